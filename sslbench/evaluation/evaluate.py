"""All judgements of one cell's features, in one job: linear probe, nearest neighbours, health."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from sslbench.errors import UserError
from sslbench.evaluation import collapse as health
from sslbench.evaluation import knn, linear_probe
from sslbench.evaluation.features import Features, read
from sslbench.nn.threads import using
from sslbench.runtime.files import write_whole
from sslbench.stats.paired import wilson
from sslbench.store import entries as store
from sslbench.store.canonical_json import document
from sslbench.store.checksum import KEY, sealed, table_hash

# What linear.json says of the fit; excess, objective and tolerance in nats
SOLVED = ("converged", "excess", "holdout_top1", "iterations", "objective", "penalty", "penalty_at_edge", "searched",
          "tolerance")  # fmt: skip


def evaluate(
    features: dict[str, Path],
    run: Path,
    curve: Path,
    evaluation: dict[str, Any],
    outputs: dict[str, Path],
    threads: int,
    *,
    log: Callable[[str], None] = print,
) -> None:
    """Write linear.json, predictions.parquet, knn.json and health.json.

    Equal inputs, versions and ``threads`` give equal bytes. Features that are not finite cannot be probed: the
    accuracies are then null, every predicted class is -1, and the health report says why. top5 is null where there are
    no more than five classes, since it is then 1 for any model.

    Args:
        features: features files under "train" and "test" (see features.py).
        run: run.json; ``trivial_loss`` is read.
        curve: curve.csv; the last value of that loss part is read.
        evaluation: ``linear``, ``knn`` and ``confidence`` are read.
        outputs: paths under "linear", "predictions", "knn" and "health".
        threads: CPU threads.
    """
    with using(threads):
        for file in (run, curve):
            store.check(Path(file))
        train, test = (read(Path(features[part])) for part in ("train", "test"))
        _check(train, test, features)
        files = judge(train, test, trivial(Path(run), Path(curve)), evaluation, log)
    for name, content in files.items():
        write_whole(Path(outputs[name]), content)


def judge(
    train: Features,
    test: Features,
    collapse: health.Trivial | None,
    evaluation: dict[str, Any],
    log: Callable[[str], None],
) -> dict[str, bytes]:
    """The four files' contents by output name."""
    classes, n = len(train.origin["classes"]), len(test.labels)
    common = {"classes": classes, "confidence": evaluation["confidence"], "n": n, "n_train": len(train.labels)}
    val = train.val and train.val[:2]
    finite = all(bool(part.isfinite().all()) for part in (train.features, test.features, *(val or ())[:1]))
    right: dict[str, int | None] = {}

    blank = torch.full((n, min(linear_probe.TOP, classes)), -1)
    ranking, details = blank, dict.fromkeys(SOLVED)
    if finite:
        options = evaluation["linear"]
        probe = linear_probe.probe(train.features, train.labels, test.features, classes, val=val, **options)
        ranking, details = probe.ranking, _solved(probe)
        if val is not None:  # said only there, so that no other result changes
            details |= {"chosen_on": "val", "n_val": len(val[1])}
            log(f"linear probe: its penalty is chosen on {len(val[1])} val images")
        if not probe.fit.converged:
            log(f"linear probe: not converged after {probe.fit.iterations} iterations")
    scores = _scores(ranking, test.labels, classes, evaluation["confidence"], finite)
    right["linear"] = scores["right"]
    asked = evaluation | {"resize_ratio": test.origin["resize_ratio"]}  # to tell today's result from an older one
    reports = {"linear": common | details | scores | {"evaluation": asked}}

    options = evaluation["knn"]
    neighbours = dict.fromkeys(options["k"], blank)
    if finite:
        neighbours = knn.predict(train.features, train.labels, test.features, classes, **options)
    reports["knn"] = common | {"temperature": options["temperature"]}
    for k, found in neighbours.items():
        entry = _scores(found, test.labels, classes, evaluation["confidence"], finite)
        entry["neighbours"] = min(k, len(train.labels))  # fewer than k where there are fewer training pictures
        reports["knn"][str(k)] = entry
        right[f"knn {k}"] = entry["right"]

    reports["health"] = health.examine(train.features, test.features, test.labels, classes, right, collapse)
    log(_line(reports))
    files = {name: document(sealed(report)) for name, report in reports.items()}
    return files | {"predictions": _table(test, ranking)}


def trivial(run: Path, curve: Path) -> health.Trivial | None:
    """The loss part that shows collapse and its last value, or None where the method has none."""
    stated = json.loads(run.read_text(encoding="utf-8")).get("trivial_loss")
    if not stated:
        return None
    with curve.open(encoding="utf-8", newline="") as file:
        values = [row.get(stated["part"]) for row in csv.DictReader(file)]
    last = next((value for value in reversed(values) if value), None)
    return health.Trivial(stated["part"], stated["value"], None if last is None else float(last))


def _check(train: Features, test: Features, features: dict[str, Path]) -> None:
    for key in ("classes", "source", "content_sha256", "split_sha256"):
        if train.origin[key] != test.origin[key]:
            raise UserError(
                f"{features['train']} and {features['test']} differ in {key}; delete both, and the next run makes them "
                "anew"
            )


def _solved(probe: linear_probe.Probe) -> dict[str, Any]:
    tried = [entry["penalty"] for entry in probe.searched]
    values = (
        probe.fit.converged,
        probe.fit.excess,
        max((entry["top1"] for entry in probe.searched), default=None),
        probe.fit.iterations,
        probe.fit.objective,
        probe.penalty,
        len(tried) > 1 and probe.penalty in (tried[0], tried[-1]),  # a wider grid might have been better
        probe.searched,
        linear_probe.TOLERANCE,
    )
    return dict(zip(SOLVED, values, strict=True))


def _scores(ranking: Tensor, labels: Tensor, classes: int, confidence: float, finite: bool) -> dict[str, Any]:
    if not finite:
        return dict.fromkeys(("top1", "top5", "right", "interval", "interval5"))
    hits = ranking == labels[:, None]  # [n, 5]
    first, any_of_five = int(hits[:, 0].sum()), int(hits.any(1).sum())
    meaningful = classes > linear_probe.TOP
    return {
        "interval": wilson(first, len(labels), confidence),
        "interval5": wilson(any_of_five, len(labels), confidence) if meaningful else None,
        "right": first,
        "top1": first / len(labels),
        "top5": any_of_five / len(labels) if meaningful else None,
    }


def _table(test: Features, ranking: Tensor) -> bytes:
    """Parquet: one row per test picture by ascending index; -1 where there are fewer than five classes to name."""
    order = test.indices.argsort(stable=True)
    columns = {"index": test.indices[order], "label": test.labels[order]}
    for place in range(linear_probe.TOP):
        missing = torch.full_like(test.labels, -1)
        columns[f"top{place + 1}"] = ranking[order, place] if place < ranking.shape[1] else missing
    table = pa.table({name: pa.array(values.numpy().astype("int32")) for name, values in columns.items()})
    table = table.replace_schema_metadata({KEY: table_hash(table)})
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    return buffer.getvalue()


def _line(reports: dict[str, dict[str, Any]]) -> str:
    accuracy = reports["linear"]["top1"]
    shown = "not measured" if accuracy is None else f"{accuracy:.4f}"
    verdict = reports["health"]
    return f"linear top-1 {shown}; {verdict['verdict']}: {'; '.join(verdict['evidence'])}"
