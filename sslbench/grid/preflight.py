"""What is checked before the first job, beyond what the configuration says of itself. No torch in this process."""

import contextlib
import hashlib
import importlib.util
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterable
from importlib.metadata import version
from pathlib import Path

from sslbench import registry
from sslbench.config.models import left_out
from sslbench.errors import UserError
from sslbench.grid.cell import Cell, Dataset
from sslbench.grid.plan import Plan, check_batch
from sslbench.runtime.files import user_cache
from sslbench.store.canonical_json import canonical
from sslbench.store.code_fingerprint import ROOT, code_digest


def check_targets(plan: Plan, words: list[str]) -> None:
    """Raise UserError where a file asked for by its path is of a cell that nothing here defines.

    Snakemake itself would say that no rule makes it, and not why.
    """
    roots = "|".join(map(re.escape, (str(plan.config.paths.results), "exports")))
    known = (
        ("dataset", plan.config.all_datasets),
        ("model", plan.config.all_models),
        ("transform", [*plan.config.all_transforms, "none"]),
    )
    for word in words:
        found = re.match(rf"(?:\./)?(?:{roots})/([^/.]+)/([^/]+)/([^/]+)/seed\d", word)
        for (what, names), name in zip(known, found.groups() if found else (), strict=False):
            if name not in names:
                guess = registry.nearest(name, list(names))
                raise UserError(f"{word}: no {what} is called {name!r}.{guess} If an overlay defines it, name it "
                                "after the target: --configfile mine.yaml")  # fmt: skip


def require_targets(targets: dict[str, str], words: Iterable[str], made: Callable[[str], bool]) -> list[str]:
    """Lines on what is asked for by a name that a dataset and a rule share. Raises UserError for the first of ``words``
    that no rule is called or makes.

    Args:
        targets: dataset -> the word that its cells are asked for by.
        words: what Snakemake was asked for.
        made: whether a rule is called so, or makes a file of that path.
    """
    for word in map(str, words):
        if made(word) or (Path(word).exists() and not word.endswith((".yaml", ".yml"))):
            continue
        if word.endswith((".yaml", ".yml", ".json")) and "/seed" not in word:
            raise UserError(f"{word}: a config file is named after --configfile: snakemake ... --configfile {word}")
        guess = registry.nearest(word, [*targets, "all", "report_now"])
        raise UserError(
            f"{word}: no rule, dataset or result is called so.{guess} Datasets here: {', '.join(targets)}. If an "
            "overlay defines it, name it after the target: --configfile mine.yaml"
        )
    return [
        f"{word} is the name of a rule and of a dataset: this is the rule; the dataset is {targets[word]}"
        for word in words
        if targets.get(word, word) != word
    ]


def check_images(plan: Plan) -> list[str]:
    """Notes on the user's own folders and archives that unfinished cells need, by the names of their images alone.

    Raises UserError where one cannot be read as training and test images, is an official set and holds others than were
    published, or has too few training images.
    """
    waiting, notes = plan.waiting, {}
    for dataset in {d.entry: d for c in waiting for d in (c.dataset, c.evaluated)}.values():
        _require_published(dataset)
    for cell in plan.trained_pairs(c for c in waiting if c.dataset.settings.path or c.dataset.settings.archive):
        counts, batch = cell.dataset.counts, cell.model.training.batch_size
        check_batch(cell, counts)
        if counts and (line := left_out(counts[0], batch)):
            notes[cell.dataset.entry, batch] = f"datasets.{cell.dataset.entry}: {line}"  # one for all folds
    return list(notes.values())


def _require_published(dataset: Dataset) -> None:
    """Raise UserError where an official set of the user's own is not what was published."""
    found, published = dataset.own_counts, dataset.settings.published()
    subset = dataset.kind == "imagenet" and found and found[2] < published[2]
    if found and published and found != published and not subset:
        place = dataset.settings.path or dataset.settings.archive
        has, wanted = (f"{n[0]:,} training and {n[1]:,} test images of {n[2]:,} classes" for n in (found, published))
        raise UserError(
            f"datasets.{dataset.entry}: {place} holds {has}, and {dataset.settings.source()} has {wanted}: get it "
            "whole, or write kind: folder where these are images of your own"
        )


def require_models(cells: Iterable[Cell], devices: int = 1) -> None:
    """Raise UserError where a cell's method cannot be built on its backbone and size, or cannot learn from batches of
    its size on so many devices. What could once is not built again."""
    if any(importlib.util.find_spec(name) is None for name in ("timm", "lightly")):
        return  # they are in an environment that is not made yet
    wanted: dict[str, str] = {}  # once each, with the first model that asks for it, the user's own before references
    passed: dict[str, Path] = {}
    common: set[str] = set()  # models whose backbone is training.backbone
    try:
        kept = user_cache() / "built"  # an empty file for each that could be
    except RuntimeError:
        kept = Path(os.devnull)
    for cell in sorted(cells, key=lambda cell: cell.reference):
        keys = ("backbone", "input_size", "method", "auxiliary", "recipe", "seed")
        one = {key: cell.settings[key] for key in keys if key in cell.settings} | {"seed": 0}
        one["train"] = {key: cell.settings["train"][key] for key in ("batch_size", "accumulate")}
        text = canonical(one)
        if text not in passed:
            asked = canonical([one, devices, code_digest(*cell.code_roots), version("torch")])
            passed[text] = kept / hashlib.sha256(asked.encode()).hexdigest()
            if not passed[text].exists():
                wanted[text] = f"models.{cell.model.name}"
                if "backbone" not in cell.model.overrides.get("training", {}):
                    common.add(wanted[text])
    if not wanted:
        return
    # Another process: timm and lightly take seconds to import and hundreds of megabytes to hold.
    code = (
        "import json, sys\nfrom sslbench.training.trainer import build_method, check_batch\n"
        "from sslbench.errors import UserError\n"
        "for text, key in json.load(sys.stdin).items():\n"
        "    settings = json.loads(text)\n"  # the number of images is for the plan and the job
        f"    try: check_batch(build_method(settings, 2), settings, 10**9, {devices})\n"
        "    except UserError as error: sys.exit(f'{key}: {error}')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=json.dumps(wanted),
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    lines = done.stderr.strip().splitlines()
    if done.returncode and lines and lines[-1].startswith("models."):
        model, _, said = lines[-1].partition(": ")
        raise UserError(f"config: {f'training.{said}' if model in common and said[:8] == 'backbone' else lines[-1]}")
    if not done.returncode:
        with contextlib.suppress(OSError):
            kept.mkdir(parents=True, exist_ok=True)
            for text in wanted:
                passed[text].touch()
