"""A study is part of a report where its datasets are in the grid, and of no other."""

import csv
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from sslbench import registry
from sslbench.grid.expand import load
from sslbench.grid.plan import Plan
from sslbench.report import page, studies
from sslbench.store import code_fingerprint
from sslbench.studies import ledgers
from sslbench.studies.claims import section as verdicts
from sslbench.transforms.spec import merge
from tests.report.conftest import plain_tree, right_for

ROOT = Path(__file__).parents[2]
FIELDS = {"published", "public", "ledger", "second_article", "claims", "studies"}
SAID = ("article", "claims", "findings", "ublished figure", "public figure", "Best published", "our reading", "GiB")
OVERLAY = "configs/second-article-claims.yaml"
SECTIONS = {"articles", "claims", "milestones", "findings"}


def keys(value: object) -> set[str]:
    """Every key of plain values, at any depth."""
    if isinstance(value, dict):
        return set(value).union(*map(keys, value.values()))
    return set().union(*map(keys, value)) if isinstance(value, list) else set()


def finished(tree, labels, *datasets: str):
    for name in datasets:
        tree.finish(tree.cell(name, "simclr", "baseline"), right_for(1000, 700), labels)
        tree.finish(tree.cell(name, "byol", "baseline"), right_for(1000, 600), labels)
    return tree


def columns(tree) -> set[str]:
    with (tree.out / "cells.csv").open(newline="") as stream:
        return set(next(csv.reader(stream)))


@pytest.fixture
def own(tmp_path):
    """A tree whose one dataset has a name that a study knows, and is of the kind that it is made with."""

    def make(kind: str):
        tree = plain_tree(tmp_path)
        del tree.plan["datasets"]["nette"]
        tree.dataset("imagenette", kind, 13_394, 10)
        return tree

    return make


@pytest.mark.parametrize("kind", sorted(registry.DATASETS.keys() - {"imagenet", "imagenette", "imagewoof", "nabirds"}))
def test_a_run_on_none_of_their_datasets_holds_nothing_of_any(own, labels, kind: str) -> None:
    tree = finished(own(kind), labels, "imagenette")
    tree.plan["config_text"] = "datasets: [imagenette2-160, nabirds]\n"
    html, text = tree.pages()
    assert not keys(json.loads((tree.out / "report.json").read_text())) & FIELDS
    assert not [name for name in columns(tree) if re.match("published|public|difference|article", name)]
    shown = re.sub(r"<(style|script).*?</\1>", "", html, flags=re.S)
    for page_text in (text, shown):
        assert "SimCLR" in page_text
        assert not [words for words in SAID if words in page_text]
    assert "claims.csv" not in html


@pytest.mark.parametrize(("kind", "loads"), [("folder", False), ("imagenette2-160", True)])
def test_a_report_loads_the_studies_that_are_in_it_and_no_other(own, labels, kind: str, loads: bool) -> None:
    tree = finished(own(kind), labels, "imagenette")
    (tree.root / "plan.json").write_text(json.dumps(tree.plan))
    code = """if True:
        import json, sys
        from pathlib import Path
        from sslbench.report.collect.collect import collect
        from sslbench.report.page import render
        root = Path(sys.argv[1])
        collect(json.loads((root / "plan.json").read_text()), root / "results", root / "out")
        render(root / "out" / "report.json", None, root / "out" / "report.html", root / "out" / "report.md")
        print(*(name for name in sys.modules if name.startswith("sslbench")))"""
    said = subprocess.run([sys.executable, "-c", code, tree.root], cwd=ROOT, check=True, capture_output=True, text=True)
    declared = set(registry.STUDIES.values())
    hooked = {name for name in studies.code(list(registry.STUDIES)) if "/" not in name} - declared
    room = {name for name in said.stdout.split() if re.search(r"\.(studies\.|published)", name)} - declared
    assert (hooked & set(said.stdout.split()) | room) == (hooked | room if loads else set())


def test_the_pages_of_a_report_without_studies_ignore_what_an_older_one_held_of_them(tree, labels) -> None:
    report = finished(tree, labels, "nette").report()
    both = page.build(report, {})
    assert {section.anchor for section in both.sections} & SECTIONS == {"articles", "claims", "milestones"}
    del report["studies"]
    older = page.build(report, {})
    assert not {section.anchor for section in older.sections} & SECTIONS


def test_each_is_about_the_datasets_that_its_figures_are_of() -> None:
    for name, file in (("first_article", "published_results.csv"), ("public_figures", "published_public.csv")):
        study = registry.load(registry.STUDIES[name])
        (path,) = [path for path in study.FILES if path.endswith(file)]
        with (ROOT / path).open(newline="") as stream:
            sources = {source for row in csv.DictReader(stream) for source in row["dataset_sources"].split()}
        assert set(study.DATASETS) == {re.match("[a-z]+", source)[0] for source in sources}
    for study in map(registry.load, registry.STUDIES.values()):
        assert set(study.DATASETS) <= set(registry.DATASETS)


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [
        ({"imagenette"}, ["first_article", "second_article", "public_figures"]),
        ({"shapes", "nabirds"}, ["first_article", "second_article"]),
        ({"imagenet"}, ["second_article"]),
        ({"shapes", "folder", "scenes"}, []),
    ],
)
def test_a_grid_has_the_studies_of_any_of_its_datasets(kinds: set, expected: list) -> None:
    assert studies.of_run(kinds) == expected


def test_every_hook_answers_a_question_that_the_report_asks() -> None:
    asked = set(
        re.findall(r"asked\(\w+, \"(\w+)\"\)", "".join(p.read_text() for p in ROOT.glob("sslbench/report/**/*.py")))
    )
    for study in map(registry.load, registry.STUDIES.values()):
        assert set(study.HOOKS) <= asked
        assert all(callable(registry.load(hook)) for of in study.HOOKS.values() for hook in of)
    for question in asked:
        assert re.search(rf"\b{question}\(", studies.__doc__), question


def test_a_report_counts_the_code_and_files_of_its_own_studies_alone() -> None:
    pages = ("sslbench.report.collect.collect", "sslbench.report.page")
    declared = set(registry.STUDIES.values())
    for name, others in (("public_figures", declared - {registry.STUDIES["public_figures"]}), (None, declared)):
        mine = studies.code([name] if name else [])
        counted = code_fingerprint.closure(*pages, *(root for root in mine if "/" not in root))
        assert declared - counted == others
        assert any(root.endswith("published_public.csv") for root in mine) == bool(name)
        assert (ledgers.__name__ in counted) == bool(name) and verdicts.__name__ not in counted


def test_the_articles_config_on_a_folder_of_the_same_name_has_no_study(tmp_path) -> None:
    base, overlay = (yaml.safe_load((ROOT / name).read_text()) for name in ("config.yaml", OVERLAY))
    raw = merge(base, overlay)
    assert studies.of_run({cell.dataset.kind for cell in Plan(load(raw)).cells}) == list(registry.STUDIES)
    raw["datasets"]["imagenette2-160"] = {"kind": "folder", "path": str(tmp_path), "pack_size": 160}
    assert studies.of_run({cell.dataset.kind for cell in Plan(load(raw)).cells}) == []


def test_a_grid_of_imagenet_has_the_second_article_alone(tree, labels) -> None:
    tree.dataset("net", "imagenet", 13_394, 10)
    report = finished(tree, labels, "net").report()
    assert {verdict["article"] for verdict in report["claims"]["verdicts"]} == {
        "The state of Self-Supervision for Vision"
    }
    assert keys(report) & FIELDS == {"second_article", "claims", "studies"}
    text = tree.pages()[1]
    assert "The second article" in text and "The first article" not in text and "article_family" not in columns(tree)


def test_beside_other_images_theirs_stay_without_a_published_figure(tree, labels) -> None:
    tree.dataset("drawn", "shapes", 13_394, 10)
    finished(tree, labels, "nette", "drawn").pages()
    with (tree.out / "cells.csv").open(newline="") as stream:
        found = {row["dataset"]: row for row in csv.DictReader(stream) if row["model"] == "simclr"}
    assert found["nette"]["published_top1"] == "0.685" and found["drawn"]["published_top1"] == ""
    assert found["drawn"]["published_why_not"] == "no published figure on shapes"
