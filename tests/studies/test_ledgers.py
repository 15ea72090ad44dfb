"""The ledger of published figures: complete, exact, and beside the right cells only."""

import csv
import os
import re
from collections import Counter
from pathlib import Path

import pytest

from sslbench.errors import UserError
from sslbench.studies import ledgers

ROOT = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get("SSLBENCH_REAL_DATA", "/nowhere")).parent
PICTURES = {"all": 13_394, "test": 3925}


@pytest.fixture(scope="module")
def ledger() -> list[ledgers.Figure]:
    return ledgers.read()


def test_the_ledger_has_the_articles_190_figures(ledger: list[ledgers.Figure]) -> None:
    counts = Counter((f.dataset, f.metric) for f in ledger)
    expected = {("imagenette", "top1"): 50, ("imagenette2-160", "top1"): 50, ("imagewoof", "top1"): 50}
    assert counts == expected | {("nabirds", "top1"): 20, ("nabirds", "top5"): 20}
    assert len({(f.dataset, f.model, f.transform, f.metric) for f in ledger}) == 190


def test_the_ledgers_sums_are_the_articles(ledger: list[ledgers.Figure]) -> None:
    hours = sum(f.minutes for f in ledger if f.minutes is not None) / 60
    assert hours == pytest.approx(90.65, abs=0.01)  # table 1's GPU time
    best = {d: max((f for f in ledger if f.dataset == d and f.metric == "top1"), key=lambda f: f.value) for d in
            ("imagenette", "imagenette2-160", "imagewoof", "nabirds")}  # fmt: skip
    assert [(f.value, f.method) for f in best.values()] == [
        (0.772, "barlowtwins"), (0.763, "barlowtwins"), (0.507, "barlowtwins"), (0.155, "vicregl"),
    ]  # fmt: skip
    # Every top-5 figure is a multiple of one over 9,907, the test set of a per-class 80/20 resplit.
    assert all(abs(f.value * 9907 - round(f.value * 9907)) < 0.006 for f in ledger if f.metric == "top5")


def test_the_ledger_equals_the_facts_value_for_value(ledger: list[ledgers.Figure]) -> None:
    facts = SHARED / "facts" / "published_results.csv"
    if not facts.is_file():
        pytest.skip("the facts sheet is not here")
    with facts.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    theirs = [
        (r["dataset"], r["model"], r["alpha"], r["transform"], r["metric"], r["value"], r["minutes"], r["peak_gpu_gb"])
        for r in rows
    ]
    with ledgers.LEDGER.open(newline="") as stream:
        mine = list(csv.DictReader(stream))
    values = ("transform_as_printed", "metric", "value", "minutes", "peak_gb")
    ours = [(r["dataset"], *[*r["model"].split(", α="), ""][:2], *(r[key] for key in values)) for r in mine]
    assert ours == theirs
    assert [float(row[5]) for row in theirs] == [f.value for f in ledger]


def test_every_row_of_the_articles_tables_can_be_rebuilt_from_the_ledger(ledger: list[ledgers.Figure]) -> None:
    article = SHARED / "seeds" / "article-ssl-benchmark.txt"
    if not article.is_file():
        pytest.skip("the article is not here")
    text = re.sub(r"G[oO]", "Go", article.read_text())
    # The article names a model twice or more, one line in each table; the tables come in the ledger's order.
    lines = [
        line
        for line in text.splitlines()
        if re.match(r"(BarlowTwins|SimCLR|SimSiam|SwaV|BYOL|VICReg\S*( α|, α)?\S*) 256 ", line)
    ]
    assert len(lines) == 40
    for dataset, chunk in zip(("imagenette", "imagenette2-160", "imagewoof", "nabirds"), range(0, 40, 10), strict=True):
        for line in lines[chunk : chunk + 10]:
            name = line.split(" 256 ")[0].replace("VICRegL α", "VICRegL, α")
            figures = [f for f in ledger if f.dataset == dataset and f.model == name]
            cells = [f.printed + (f" ({f.minutes}Min/{f.peak_gb}Go)" if f.minutes else "") for f in figures]
            assert line.split(" 200 ")[1].strip() == " ".join(cells)


def settings(tree, model: str = "simclr", **train: object) -> dict:
    return tree.cell("nette", model, "baseline", **train)["expected"]["settings"]


def test_a_figure_stands_beside_a_cell_of_its_protocol(tree, ledger: list[ledgers.Figure]) -> None:
    found = ledgers.beside(ledger, settings(tree), {}, "baseline", "top1", PICTURES)
    assert (found.figure.value, found.figure.place[:7], found.reason) == (0.685, "table 2", "")
    assert any(c.startswith("split:") for c in found.caveats)
    assert any(c.startswith("evaluator:") for c in found.caveats)
    assert any(c.startswith("epoch:") for c in found.caveats)
    assert not any(c.startswith(("recipe", "precision")) for c in found.caveats)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"epochs": 10}, "epochs 10 (published: 200)"),
        ({"batch_size": 128}, "batch 128 (published: 256)"),
        ({"accumulate": 2}, "parts of a batch 2"),
        ({"input_size": 64}, "input size 64 (published: 224)"),
        ({"backbone": "resnet50"}, "backbone resnet50 (published: resnet18)"),
    ],
)
def test_another_protocol_has_no_figure_and_says_what_differs(tree, ledger, change: dict, said: str) -> None:
    found = ledgers.beside(ledger, settings(tree, **change), {}, "baseline", "top1", PICTURES)
    assert found.figure is None
    assert said in found.reason


def test_another_transform_metric_dataset_or_model_has_no_figure(tree, ledger) -> None:
    usual = settings(tree)
    assert "rotate.p" in ledgers.beside(ledger, usual, {"rotate": {"p": 0}}, "baseline", "top1", PICTURES).reason
    assert "mine" in ledgers.beside(ledger, usual, {}, "mine", "top1", PICTURES).reason
    assert "top5" in ledgers.beside(ledger, usual, {}, "baseline", "top5", PICTURES).reason
    assert "pictures 500" in ledgers.beside(ledger, usual, {}, "baseline", "top1", {"all": 500, "test": 100}).reason
    elsewhere = usual | {"dataset": usual["dataset"] | {"source": "shapes"}}
    assert ledgers.beside(ledger, elsewhere, {}, "baseline", "top1", PICTURES).reason == "no published figure on shapes"
    changed = usual | {"method": {"name": "simclr", "options": usual["method"]["options"] | {"temperature": 0.07}}}
    assert "temperature 0.07" in ledgers.beside(ledger, changed, {}, "baseline", "top1", PICTURES).reason


def test_vicregl_is_matched_by_its_alpha_and_its_form(tree, ledger) -> None:
    tree.model("half", "vicregl", form="lightly-1.2", alpha=0.5)
    tree.model("paper", "vicregl", form="paper", alpha=0.5)
    tree.model("tenth", "vicregl", form="lightly-1.2", alpha=0.1)
    found = {
        m: ledgers.beside(ledger, settings(tree, m), {}, "dcl", "top1", PICTURES) for m in ("half", "paper", "tenth")
    }
    assert found["half"].figure.value == 0.682
    assert "form paper (published: lightly-1.2)" in found["paper"].reason
    assert "alpha 0.1" in found["tenth"].reason


def test_a_changed_recipe_precision_or_test_set_is_a_caveat(tree, ledger) -> None:
    usual = settings(tree, precision="bf16")
    usual = usual | {"recipe": usual["recipe"] | {"base_lr": 0.5}}
    found = ledgers.beside(ledger, usual, {}, "baseline", "top1", {"all": 13_394, "test": 500})
    assert found.figure is not None
    assert "recipe: base_lr set here" in found.caveats
    assert any(c.startswith("precision: bf16") for c in found.caveats)
    assert "test pictures: 500 here, 3,925 by the published figures" in found.caveats


def test_a_damaged_ledger_is_one_line(tmp_path: Path) -> None:
    broken = tmp_path / "ledger.csv"
    text = ledgers.LEDGER.read_text().splitlines()
    broken.write_text("\n".join([*text[:2], text[2].replace("0.772", "much")]))
    with pytest.raises(UserError, match="line 3"):
        ledgers.read(broken)
    with pytest.raises(UserError, match="missing"):
        ledgers.read(tmp_path / "none.csv")
