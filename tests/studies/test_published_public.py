"""The public figures of others: complete, typed, and beside the cells of their protocol only."""

import copy
import csv
import os
from collections import Counter
from pathlib import Path

import pytest
import yaml

from sslbench import registry
from sslbench.config.validation import filled
from sslbench.data.sources.checksums import ARCHIVES
from sslbench.errors import UserError
from sslbench.grid.expand import load
from sslbench.studies import ledgers
from sslbench.transforms.spec import merge

ROOT = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get("SSLBENCH_REAL_DATA", "/nowhere")).parent
PICTURES = {"all": 13_394, "test": 3925}
# Typed from the table in lightly's docs/source/getting_started/benchmarks/imagenette_benchmark.py: 200 epochs.
LIGHTLY = {"simclr": 0.835, "moco": 0.786, "barlowtwins": 0.651, "byol": 0.705, "simsiam": 0.752, "swav": 0.861,
           "dino": 0.873, "vicreg": 0.763, "vicregl": 0.689}  # fmt: skip


@pytest.fixture(scope="module")
def ledger() -> list[ledgers.Figure]:
    return ledgers.read(ledgers.PUBLIC)


def cells_of(**changes: object) -> dict:
    """The cells of configs/lightly-protocol.yaml with ``changes`` laid over it, by (model, transform)."""
    read = (yaml.safe_load((ROOT / name).read_text()) for name in ("config.yaml", "configs/lightly-protocol.yaml"))
    raw = merge(merge(*read), copy.deepcopy(changes))
    return {cell.names[1:3]: cell for cell in load(raw).cells() if not cell.reference}


def matches(ledger: list[ledgers.Figure], cell, pictures: dict = PICTURES) -> list[ledgers.Beside]:
    settings = cell.settings
    mine = ledgers.by_place(ledger).get((settings["dataset"]["source"], cell.model.method), [])
    return ledgers.matching(mine, settings, {"top1", "knn20", "knn200"}, pictures)


def test_the_ledger_has_264_figures_of_14_sources(ledger) -> None:
    assert len(ledger) == 264
    counts = Counter(figure.source for figure in ledger)
    assert len(counts) == 14
    assert counts["lightly, ImageNette benchmark"] == 40 and counts["stable-pretraining"] == 54
    assert counts["solo-learn"] == 64 and counts["lightly, CIFAR-10 benchmark"] == 36
    assert all(figure.place and figure.evaluator and figure.epoch and figure.split for figure in ledger)


def test_the_ledger_equals_the_facts_figure_for_figure(ledger) -> None:
    facts = SHARED / "facts" / "published_public.csv"
    if not facts.is_file():
        pytest.skip("the facts sheet is not here")
    with facts.open(newline="") as stream:
        theirs = [(float(r["value"]), r["minutes"], r["peak_gb"]) for r in csv.DictReader(stream)]
    number = {"": None}
    for figure, (value, minutes, memory) in zip(ledger, theirs, strict=True):
        assert figure.value == pytest.approx(value)
        if figure.source != "BYOL's repository":  # whose hours the facts leave out
            assert (figure.minutes, figure.peak_gb) == tuple(number.get(n, n and float(n)) for n in (minutes, memory))


def test_every_row_names_what_exists_here(ledger) -> None:
    known = {*ARCHIVES, "imagewoof2", "imagewoof2-320", "imagewoof2-160"}
    for figure in ledger:
        assert set(figure.dataset_sources) <= known
        if figure.method in registry.METHODS:
            settings = registry.load(f"{registry.METHODS[figure.method]}.settings").Settings
            filled(settings, figure.options, "options")
            assert figure.preset in ("", *settings.presets)
        else:
            assert figure.options == {}
        if figure.transform:
            settings = registry.load(registry.TRANSFORMS[figure.transform]).Settings.model_validate(figure.overrides)
            assert settings.branch(1)
        # A recipe is compared where a preset is named, and that needs the views of the same source.
        assert bool(figure.preset) == bool(figure.transform)


def test_names_that_mean_another_method_here_are_not_taken_for_it(ledger) -> None:
    named = {figure.model: figure.method for figure in ledger}
    assert named["DCL"] == named["DCLW"] == ""  # the decoupled contrastive loss; dcl here: destruction and construction
    assert named["DINOv2"] == named["MoCo V3"] == named["MoCo v3"] == named["FastSiam"] == ""
    assert named["DINO (Res18)"] == "dino" and named["MoCo V2+"] == named["Moco"] == "moco"


def test_lightlys_figures_stand_beside_the_cells_of_its_protocol_and_no_others(ledger) -> None:
    found = {key: matches(ledger, cell) for key, cell in cells_of().items()}
    shown = {key: [(b.figure.source, b.figure.metric, b.figure.value) for b in beside] for key, beside in found.items()}
    own = {key: [("lightly, ImageNette benchmark", "knn200", LIGHTLY[key[0]])] for key in found}
    own |= {("byol", "lightly-byol"): [], ("barlowtwins", "lightly-byol"): []}  # views that came after the table
    assert shown == own and len(own) == 11
    for beside in filter(None, found.values()):
        assert "epoch: the best of all on the test images; ours is the last" in beside[0].caveats
        assert not any(caveat.startswith(("precision", "recipe", "split")) for caveat in beside[0].caveats)


def test_its_runs_of_800_epochs_have_their_own_warm_up(ledger) -> None:
    long = cells_of(training={"epochs": 800})
    assert [b.figure.value for b in matches(ledger, long["simclr", "lightly-simclr"])] == [0.889]
    assert matches(ledger, long["vicreg", "lightly-vicreg"]) == []
    warm = cells_of(training={"epochs": 800}, models={"vicreg": {"recipe": {"warmup_epochs": 40}}})
    assert [b.figure.value for b in matches(ledger, warm["vicreg", "lightly-vicreg"])] == [0.845]


@pytest.mark.parametrize(
    "changes",
    [
        {"training": {"epochs": 100}},
        {"training": {"input_size": 224}},
        {"training": {"batch_size": 128}},
        {"training": {"accumulate": 2}},
        {"training": {"backbone": "resnet34"}},
        {"models": {"swav": {"recipe": {"base_lr": 0.01}}}},
        {"models": {"swav": {"recipe": {"residual_gain": 0}}}},
        {"models": {"swav": {"local_views": 0}}},
        {"models": {"swav": {"auxiliary": {"lorot": {"weight": 0.1}}}}},
        {"transforms": {"lightly-swav": {"jitter": {"strength": 1.0}}}},
        {"transforms": {"lightly-swav": {"second": {"blur": {"p": 0.1}}}}},
        {"datasets": {"imagenette2-160": {"size": 320}}},
    ],
)
def test_another_protocol_has_no_public_figure(ledger, changes: dict) -> None:
    usual, changed = cells_of()["swav", "lightly-swav"], cells_of(**changes)["swav", "lightly-swav"]
    assert [b.figure.model for b in matches(ledger, usual)] == ["SwaV"]
    assert changed.settings != usual.settings
    assert matches(ledger, changed) == []


def test_other_pictures_or_a_metric_that_was_not_measured_have_none(ledger) -> None:
    settings = cells_of()["simclr", "lightly-simclr"].settings
    mine = ledgers.by_place(ledger)["imagenette2-160", "simclr"]
    assert ledgers.matching(mine, settings, {"top1", "knn20"}, PICTURES) == []
    assert ledgers.matching(mine, settings, {"knn200"}, {"all": 900, "test": 300}) == []
    settings = settings | {"dataset": settings["dataset"] | {"split": "per-class-80-20-seed0"}}
    assert ledgers.matching(mine, settings, {"knn200"}, PICTURES) == []


def test_the_queue_is_told_from_swav_without_one(ledger) -> None:
    queue = {"queue_length": 384, "recipe": {"frozen_epochs": {"prototypes": 1}}}
    cell = cells_of(models={"swav": queue})["swav", "lightly-swav"]
    assert [b.figure.model for b in matches(ledger, cell)] == ["SwaVQueue"]


def test_another_precision_is_a_caveat(ledger) -> None:
    cell = cells_of(training={"precision": "bf16"})["simclr", "lightly-simclr"]
    assert "precision: bf16 here; fp32 there" in matches(ledger, cell)[0].caveats


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (",knn200,0.705,", ",knn2000,0.705,"),
        (",knn200,0.705,", ",knn200,70.5,"),
        (",knn200,0.705,", ",knn200,,"),
        (",BYOL,byol,", ",BYOL,boyl,"),
        (",BYOL,byol,", ',BYOL,byol,{"alpha": ,'),
        (",BYOL,byol,,simclr,", ",BYOL,byol,,simcrl,"),
        (",lightly,knn200,0.705,", ",lightning,knn200,0.705,"),
        (",54.4,", ",much,"),
    ],
)
def test_a_malformed_row_is_one_line_that_names_it(tmp_path: Path, old: str, new: str) -> None:
    lines = ledgers.PUBLIC.read_text().splitlines()
    number = next(i for i, line in enumerate(lines) if old in line)
    lines[number] = lines[number].replace(old, new)
    (tmp_path / "public.csv").write_text("\n".join(lines))
    with pytest.raises(UserError, match=rf"line {number + 1}: not a published figure") as caught:
        ledgers.read(tmp_path / "public.csv")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("header", ["source,places", "source,place,surplus"])
def test_an_unknown_or_missing_column_is_one_line(tmp_path: Path, header: str) -> None:
    text = ledgers.PUBLIC.read_text().replace("source,place", header, 1)
    (tmp_path / "public.csv").write_text(text)
    with pytest.raises(UserError, match="line 2: not a published figure"):
        ledgers.read(tmp_path / "public.csv")
