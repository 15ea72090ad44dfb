"""The study of pairs: each pair's figure in its place of table and heat map, and nothing where there is none."""

import json
import re
from pathlib import Path

import pytest
import yaml
from test_page import Read, right

from sslbench.errors import UserError
from sslbench.grid.expand import load
from sslbench.grid.plan import Plan
from sslbench.grid.report_plan import report_plan
from sslbench.report.blocks import Figure, figures
from sslbench.report.charts.heatmap import PALEST, STRONGEST, Place, heat_map
from sslbench.report.page import build
from sslbench.report.sections import composition as module
from sslbench.report.wording import Labels
from sslbench.transforms.spec import merge

ROOT = Path(__file__).parents[2]
ARTICLE, STUDY = (yaml.safe_load((ROOT / name).read_text()) for name in ("config.yaml", "configs/composition.yaml"))
NAMES = ["crop", "color", "blur"]
PLACES = [
    ["crop", "crop+color", "crop+blur"],
    ["crop+color", "color", "color+blur"],
    ["crop+blur", "blur+color", "blur"],
]
RIGHT = {
    "crop": 600,
    "crop+color": 800,
    "crop+blur": 500,
    "color": 400,
    "color+blur": 300,
    "blur+color": 350,
    "blur": 200,
}


@pytest.fixture
def study(tree, labels):
    """Three operations; one pair collapsed, one stale, one not run."""
    tree.plan["composition"] = {"rows": NAMES, "columns": NAMES, "places": PLACES}
    for name, count in RIGHT.items():
        tree.transform(name, "compose", operations=[])
        cell = tree.cell("nette", "simclr", name)
        if name == "blur":
            continue
        tree.finish(cell, right(1000, count), labels, verdict="collapsed" if name == "color+blur" else "healthy")
        if name == "crop+blur":
            cell["expected"] = cell["expected"] | {"code": "new"}
    return tree


def test_first_operations_stand_down_second_across_with_intervals_marks_and_the_rows_mean(study):
    html, text = study.pages()
    head, *rows = Read(html).table("SimCLR: top-1 accuracy by pair of operations")
    assert head == ["First, then", "crop", "color", "blur", "Mean"]
    assert [row[0] for row in rows] == NAMES
    assert rows[0][1].startswith("0.600 0.569–0.630") and rows[0][2].startswith("0.800 0.774–0.824")
    assert rows[0][3].startswith("0.500") and rows[0][3].endswith("not today's")
    assert [row[1][:8] for row in rows] == ["0.600 0.", "0.800 1 ", "0.500 1 "]  # footnote 1 marks the other order's
    assert rows[1][3].startswith("0.300") and rows[1][3].endswith("collapsed")
    assert rows[2][2].startswith("0.350") and rows[2][3] == "– not run yet"
    assert [row[4] for row in rows] == ["0.633", "0.500", "0.425 of 2 of 3"]
    assert "Run in one order only: crop comes first here, too." in html and "color comes first" not in html
    assert html.index('id="accuracy"') < html.index('id="composition"') < html.index('id="provenance"')
    assert "### nette" in text.split("## Pairs of operations")[1]


def test_only_the_pairs_that_tie_with_the_best_are_shaded(study):
    html, _ = study.pages()
    table = html[html.index('id="composition"') :]
    table = table[: table.index("</table>")]
    assert re.findall(r'<td class="number best"><span class="first">([\d.]+)', table) == ["0.800", "0.800"]


def drawn(tree) -> tuple[Figure, list[dict]]:
    (figure,) = (f for f in figures(build(tree.report(), {})) if f.name.startswith("composition--"))
    return figure, json.loads(figure.spec)["data"]["values"]


def test_the_heat_map_says_the_same_and_its_told_words_name_highest_and_lowest(study):
    figure, rows = drawn(study)
    assert {(row["row"], row["column"]): (row["text"], row["hint"], "state" in row) for row in rows} == {
        ("crop", "crop"): ("0.600", "crop", False),
        ("crop", "color"): ("0.800", "crop+color", False),
        ("crop", "blur"): ("0.500", "crop+blur", False),
        ("color", "crop"): ("0.800", "crop+color", False),
        ("color", "color"): ("0.400", "color", False),
        ("color", "blur"): ("0.300", "color+blur", True),
        ("blur", "crop"): ("0.500", "crop+blur", False),
        ("blur", "color"): ("0.350", "blur+color", False),
    }
    assert all(row["range"] == "0.569–0.630" for row in rows if row["text"] == "0.600")
    for row in rows:
        if "state" not in row:  # the collapsed one lends its value to no scale
            shade = PALEST + (STRONGEST - PALEST) * (row["top1"] - 0.35) / 0.45
            assert row["shade"] == pytest.approx(shade, abs=1e-4) and row["side"] == "above"
    assert "shade" not in next(row for row in rows if "state" in row)
    told = "Highest: crop+color (0.800), crop (0.600) and crop+blur (0.500); lowest: color+blur (0.300). Collapsed"
    html, text = study.pages()
    assert told in html and told in text and told in figure.told


def test_one_figure_makes_no_heat_map_and_equal_ones_a_pale_one():
    places = {("a", "a"): Place(0.5, ""), ("a", "b"): Place(0.5, "")}
    figure = heat_map(["a"], ["a", "b"], places, "t", "", ("t",), ("x", "y"))
    assert [row["shade"] for row in json.loads(figure.spec)["data"]["values"]] == [PALEST, PALEST]
    entries = {"top1": {"value": 0.5, "low": 0.4, "high": 0.6}, "collapsed": 0, "kind": "grid", "dataset_rank": None}
    entry = entries | {"states": {"done": 1}, "name": ["d", "m", "a"]}
    report = {"plan": {"composition": {"rows": ["a"], "columns": ["a", "b"], "places": [["a", "a+b"]]}}, "cells": []}
    report |= {"datasets": {"d": {}, "other": {}}, "models": {"m": {}}, "entries": [entry]}
    ((title, blocks),) = module.composition(report, Labels(report))
    assert title == "d" and [block.kind for block in blocks] == ["paragraph", "table"]


def test_without_the_key_there_is_no_such_section(tree, labels):
    tree.finish(tree.cell("nette", "simclr", "baseline"), right(1000, 700), labels)
    assert 'id="composition"' not in tree.pages()[0]


def test_hostile_names_of_operations_are_text(study):
    study.plan["composition"] |= {"rows": ["<script>", "b", "c"], "columns": ['"><script>', "|", "`"]}
    html, text = study.pages()
    own = 2 + html.count('<script type="application/json">')  # the page's, the charts', and each chart's own
    assert Read(html).tags.count("script") == own and "<script" not in text


def test_the_shipped_study_is_figure_5_and_a_crop_after_another_is_that_in_the_other_order():
    config = load(merge(ARTICLE, STUDY))
    study = report_plan(Plan(config))["composition"]
    order = ["crop", "cutout", "color", "sobel", "noise", "blur", "rotate"]
    assert study["rows"] == study["columns"] == order
    own = {name: [o["op"] for o in config.all_transforms[name].branches[0][:-1]] for name in order}
    for row, names in zip(order, study["places"], strict=True):
        for column, name in zip(order, names, strict=True):
            first, second = config.all_transforms[name].branches
            pair = [row, column] if column != "crop" else [column, row]
            expected = own[row] if row == column else own[pair[0]] + own[pair[1]]
            assert [o["op"] for o in first] == [*expected, "normalize"]
            assert [o["op"] for o in second] == ["normalize"]
    cells = [cell for cell in config.cells() if not cell.reference]
    assert len(cells) == len({cell.text for cell in cells}) == 43
    assert {cell.transform.name for cell in cells} == {name for names in study["places"] for name in names}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rows": ["crop", "colour"]}, r"composition: there is no transform called 'colour\+crop' or 'crop\+colour'\. "
                                       r"Did you mean 'col\w+\+\w+'"),
        ({"rows": []}, r"composition\.rows: \[\] is not allowed"),
        ({"row": ["crop"]}, r"composition\.row: there is no such key\. Did you mean 'rows'"),
    ],
)  # fmt: skip
def test_a_study_of_transforms_that_are_not_there_is_one_line(change, message):
    with pytest.raises(UserError, match=message) as caught:
        load(merge(ARTICLE, merge(STUDY, {"composition": change})))
    assert "\n" not in str(caught.value)


def test_equal_results_give_equal_bytes(study):
    assert study.pages() == study.pages()
