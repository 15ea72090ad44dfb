"""Charts: what stands behind them is the report's own, both drawings refer to nothing outside, equal ones are equal."""

import json
import re
import string
from importlib import resources
from itertools import combinations, pairwise
from xml.etree import ElementTree

import altair
import numpy
import pandas
import pytest

from sslbench.report import blocks as content
from sslbench.report.charts import accuracy_vs_cost, forest, heatmap, learning_curves, scales, sweep, vega
from sslbench.report.charts import resources as spent
from sslbench.report.page import build, render
from sslbench.report.wording import Labels

HOSTILE = """</script><script>alert("1")</script> <!-- 'q' & url(http://x.example) &amp; ünï"""
SVG = "{http://www.w3.org/2000/svg}"
RATES = {  # share of right pictures by model and transform
    "simclr": {"baseline": 0.70, "simclr": 0.74, "lorot": 0.40},
    "byol": {"baseline": 0.69, "simclr": 0.60, "lorot": 0.10},
    "vicreg": {"baseline": 0.30, "simclr": 0.52, "lorot": 0.45},
}


@pytest.fixture
def grid(tree):
    """Three models by three transforms on 400 pictures: one collapsed; a sweep of three values over two models."""
    rng, labels = numpy.random.default_rng(3), numpy.arange(400) % 10
    tree.model("vicreg", "vicreg", "non-contrastive", title="VICReg")
    tree.transform("lorot")
    hard = rng.random(400)
    for model, rates in RATES.items():
        for transform, rate in rates.items():
            right = (hard + rng.normal(0, 0.1, 400)) < rate
            cell, minutes = tree.cell("nette", model, transform), float(rng.uniform(5, 90))
            verdict = "collapsed" if rate == 0.10 else "healthy"
            folder = tree.finish(cell, right, labels, minutes=minutes, verdict=verdict)
            ledger = json.loads((folder / "ledger.json").read_text())
            parts = {"data": 0.05, "augment": 0.1, "step": 0.6, "evaluate": 0.08, "checkpoint": 0.02, "setup": 0.01}
            ledger["seconds"] = {k: 60 * minutes * v for k, v in parts.items()} | {"total": 60 * minutes}
            tree.write(folder / "ledger.json", ledger)
    values = {"weak": 0.25, "usual": 1.0, "strong": 1.5}
    tree.plan["sweep"] = {"parameter": "jitter.strength", "values": values}
    for name in values:
        tree.transform(name, "simclr", jitter={"strength": values[name]})
        for model in ("simclr", "byol"):
            tree.finish(tree.cell("nette", model, name), rng.random(400) < 0.6, labels, minutes=30)
    return tree


@pytest.fixture
def report(grid) -> dict:
    return grid.report()


def every(report: dict) -> dict[str, content.Figure]:
    return {block.name: block for block in content.figures(build(report, {}))}


def rows(block: content.Figure) -> list[dict]:
    return json.loads(block.spec)["data"]["values"]


def one(blocks: tuple) -> content.Figure:
    (block,) = blocks
    return block


def test_a_report_draws_each_of_its_charts_once_and_in_the_same_bytes_again(report) -> None:
    first = every(report)
    assert list(first) == [
        f"{kind}--nette" for kind in ("heat", "forest", "cost", "resources", "sweep", "loss", "online", "parts")
    ]
    # Altair numbers views and parameters as a process goes on; none of that may reach a specification.
    assert every(json.loads(json.dumps(report))) == first
    for block in first.values():
        assert not re.search(r"(view|param|layer|concat)_\d|data-[0-9a-f]{8}", block.spec), block.name
        assert block.spec == vega._canonical(json.loads(block.spec))


def test_every_specification_is_valid_vega_lite(report) -> None:
    for block in every(report).values():
        altair.Chart.from_dict(json.loads(block.spec), validate=True).to_dict(validate=True)


def test_drawings_refer_to_nothing_outside_and_do_not_clash_on_a_page(report) -> None:
    blocks, ids = every(report).values(), []
    for block in blocks:
        for text in (str(block.svg), vega.standalone(block)):
            tree = ElementTree.fromstring(text)
            tags = {element.tag.removeprefix(SVG) for element in tree.iter()}
            assert tags <= {"svg", "g", "path", "line", "text", "rect", "style", "title", "clipPath", "defs"}, tags
            assert not re.search(r"href|@import|https?:(?!//www\.w3\.org/2000/svg\")|\son\w+=", text), block.name
            assert all(name.startswith(f"#{block.name}-") for name in re.findall(r"url\(([^)]*)\)", text))
        ids += re.findall(r'\sid="([^"]*)"', str(block.svg))
        assert len(list(ElementTree.fromstring(str(block.svg)).iter(f"{SVG}path"))) > 3
    assert len(ids) == len(set(ids))


def test_every_colour_is_a_role_that_follows_the_scheme(report) -> None:
    lights = [light for light, _ in vega.palette().values()]
    assert len(set(lights)) == len(lights)  # or a rule by colour would give one role another's
    for block in every(report).values():
        used = set(re.findall(r'(?:fill|stroke)="([^"]*)"', str(block.svg))) | set(
            re.findall(r"#[0-9a-f]{6}\b", block.spec)
        )
        assert used - {"none", "transparent"} <= set(lights), block.name
        alone = vega.standalone(block)
        for light, dark in vega.palette().values():
            assert f'[fill="{light}"]{{fill:{dark}}}' in alone and f'[stroke="{light}"]{{stroke:{dark}}}' in alone
    for role, (light, _) in vega.palette().items():
        assert f'figure[data-chart] [fill="{light}"]{{fill:var(--{role})}}' in vega.style()


def test_the_line_joins_exactly_the_runs_that_no_other_beats_in_both(report) -> None:
    found = rows(one(accuracy_vs_cost.cost_chart(report, "nette", Labels(report))))
    table = pandas.DataFrame(report["cells"])
    minutes = [c["cost"]["minutes"] for c in report["cells"]]
    top1 = [c["top1"]["value"] for c in report["cells"]]
    sound = [c["health"]["verdict"] != "collapsed" for c in report["cells"]]
    assert len(found) == len(table) == 15 and sound.count(False) == 1
    beaten = {
        a
        for a in range(15)
        for b in range(15)
        if sound[b]
        and minutes[b] <= minutes[a]
        and top1[b] >= top1[a]
        and (minutes[b], top1[b]) != (minutes[a], top1[a])
    }
    wanted = sorted((round(minutes[i], 2), round(top1[i], 4)) for i in range(15) if sound[i] and i not in beaten)
    assert sorted({(round(row["min"], 2), round(row["top1"], 4)) for row in found if "best" in row}) == wanted
    assert [row["name"] for row in found if "collapsed" in row] == ["BYOL with lorot"]
    for row, cell in zip(found, report["cells"], strict=True):  # one cell an entry here, in the plan's order
        share = cell["top1"]
        assert (row["low"], row["high"]) == pytest.approx((share["low"], share["high"]), rel=1e-4)


def test_no_point_of_the_pareto_line_is_beaten_in_both() -> None:
    rng = numpy.random.default_rng(3)
    points = [
        accuracy_vs_cost.Point(float(x), float(y), str(i), i % 7 == 0) for i, (x, y) in enumerate(rng.random((200, 2)))
    ]
    line = accuracy_vs_cost.pareto(points)
    healthy = [p for p in points if not p.collapsed]
    beaten = {p.name for p in healthy if any(q.cost <= p.cost and q.accuracy >= p.accuracy and q != p for q in healthy)}
    assert {p.name for p in line} == {p.name for p in healthy} - beaten


def test_no_name_on_the_line_hides_a_mark_or_another_name() -> None:
    rng = numpy.random.default_rng(5)
    points = [
        accuracy_vs_cost.Point(float(x), float(y), f"model {i} with a name")
        for i, (x, y) in enumerate(rng.random((60, 2)) + 0.5)
    ]
    x, y = scales.cost([p.cost for p in points]), scales.linear([p.accuracy for p in points], 5)
    sides = accuracy_vs_cost.placed(points, accuracy_vs_cost.pareto(points), x, y)
    boxes = []
    for point, side in sides.items():
        px, py = (
            x.place(point.cost) * accuracy_vs_cost.WIDTH,
            (1 - y.place(point.accuracy)) * accuracy_vs_cost.HEIGHT,
        )
        length = 6 * len(point.name)
        left = px + 7 if side == "ne" else px - 7 - length
        boxes.append((left, left + length, py - 9))
        assert left >= 0 and left + length <= accuracy_vs_cost.WIDTH
    assert boxes
    for (a, b, h), (c, d, k) in combinations(boxes, 2):
        assert b <= c or d <= a or abs(h - k) >= 12
    for other in points:
        px, py = (
            x.place(other.cost) * accuracy_vs_cost.WIDTH,
            (1 - y.place(other.accuracy)) * accuracy_vs_cost.HEIGHT,
        )
        assert not any(a < px < b and abs(h - py) < 6 for a, b, h in boxes)


def test_resource_bars_are_the_tables_seconds_and_add_up_to_its_minutes(grid, report) -> None:
    block = one(spent.resource_chart(report, "nette", Labels(report)))
    table = pandas.read_csv(grid.out / "cells.csv").set_index(["model", "transform"])
    titles = {"SimCLR": "simclr", "BYOL": "byol", "VICReg": "vicreg"}
    found = rows(block)
    assert [row["total"] for row in found] == sorted((row["total"] for row in found), reverse=True)
    for row in found:
        title, transform = row["name"].split(" with ")
        of = table.loc[titles[title], transform]
        for part in ("data", "augment", "step", "evaluate"):
            seconds = of[f"seconds_{part}"]
            assert row[part] == pytest.approx(0 if numpy.isnan(seconds) else seconds / 60, rel=1e-4), (row, part)
        rest = of["seconds_total"] - of[["seconds_data", "seconds_augment", "seconds_step", "seconds_evaluate"]].sum()
        assert row["other"] == pytest.approx(rest / 60, rel=1e-3)
        assert sum(row[part] for part in spent.PARTS) == pytest.approx(of["minutes"], rel=1e-3)
    shares = table["seconds_step"].sum() / table["seconds_total"].sum()
    assert f"{100 * shares:.1f} % training step" in block.told


def test_the_heat_maps_colour_is_the_difference_to_the_models_own_baseline(report) -> None:
    block = one(heatmap.heat_chart(report, "nette", Labels(report)))
    top1 = {(c["model"], c["transform"]): c["top1"]["value"] for c in report["cells"]}
    names = {"SimCLR": "simclr", "BYOL": "byol", "VICReg": "vicreg"}
    shifts = {key: value - top1[key[0], "baseline"] for key, value in top1.items() if key != ("byol", "lorot")}
    widest = max(map(abs, shifts.values()))
    assert len(rows(block)) == len(top1)
    for row in rows(block):
        key = names[row["row"]], row["column"]
        assert row["text"] == f"{top1[key]:.3f}"
        if key == ("byol", "lorot"):
            assert row["state"] == "collapsed" and "shade" not in row
            continue
        assert row["shade"] == pytest.approx(heatmap.STRONGEST * abs(shifts[key]) / widest, abs=1e-4)
        assert row["side"] == ("above" if shifts[key] > 0 else "below")
    assert "Collapsed, and hatched: BYOL with lorot" in block.told and "VICReg with simclr" in block.told
    texts = [element.text for element in ElementTree.fromstring(str(block.svg)).iter(f"{SVG}text")]
    assert {f"{value:.3f}" for value in top1.values()} <= set(texts)


def test_the_forest_shows_each_pairs_own_interval_and_holms_verdict(grid, report) -> None:
    block = one(forest.forest_chart(report, "nette", Labels(report)))
    found = {row["name"]: row for row in rows(block)}
    ranked = [e for e in report["entries"] if e["dataset_rank"] is not None]
    best = max(ranked, key=lambda e: e["top1"]["value"])
    assert len(found) == len(ranked) == 14 and "BYOL with lorot" not in found
    labels = Labels(report)
    for e in ranked:
        row = found[labels.entry(e)]
        assert row["shift"] == pytest.approx(e["top1"]["value"] - best["top1"]["value"], abs=1e-4)
        if e is best:
            assert row["kind"] == "best"
            continue
        assert (row["low"], row["high"]) == pytest.approx((e["behind"]["low"], e["behind"]["high"]), rel=1e-4)
        assert row["kind"] == ("differs" if e["behind"]["adjusted"] <= 0.05 else "ties")
        assert (row["kind"] == "ties") == (e["dataset_rank"] == 1)
    heights = [row["shift"] for row in rows(block)]
    assert heights == sorted(heights, reverse=True) and {row["kind"] for row in found.values()} == {
        "best",
        "ties",
        "differs",
    }
    for lane in range(3):  # bars of one lane stand apart
        of = [{bar for bar, at in zip(row["bars"], row["lanes"], strict=True) if at == lane} for row in rows(block)]
        assert all(len(bars) <= 1 for bars in of)


def test_curves_are_points_of_the_files_few_and_with_the_last(grid, report) -> None:
    blocks = learning_curves.curve_charts(report, "nette", Labels(report))
    files = {}
    for cell in report["cells"]:
        files[cell["model"], cell["transform"]] = pandas.read_csv(grid.root / cell["folder"] / "curve.csv").set_index(
            "epoch"
        )
    titles = {"SimCLR": "simclr", "BYOL": "byol", "VICReg": "vicreg"}
    seen = set()
    for block in (*blocks[:2], *blocks[2].blocks):
        kind = block.name.split("--")[0]
        for row in rows(block):
            title, _, part = row["panel"].partition(": ")
            column = {"loss": "loss", "online": "online_top1"}.get(kind, part)
            of = files[titles[title], row["transform"]][column].dropna()
            assert row["value"] == pytest.approx(list(of[row["epoch"]]), rel=1e-3)
            assert row["epoch"][-1] == of.index[-1] == 200 and 2 < len(row["epoch"]) <= 60
            seen.add((kind, column))
    assert seen == {("loss", "loss"), ("online", "online_top1"), ("parts", "part")}  # no count of images, no rate


def test_a_measured_rank_has_its_own_figure_and_is_no_part_of_the_loss(grid) -> None:
    path = grid.root / grid.plan["cells"][0]["folder"] / "curve.csv"
    table = pandas.read_csv(path).assign(effective_rank=numpy.linspace(3, 40, 200), images=numpy.arange(200))
    table.to_csv(path, index=False)
    report = grid.report()
    assert report["cells"][0]["loss_parts"] == ["part"]
    assert rows(every(report)["effective--nette"])[0]["value"][-1] == 40


def test_a_sweep_stands_in_the_order_of_its_values_and_its_names_keep_apart(report) -> None:
    block = one(sweep.sweep_chart(report, "nette", Labels(report)))
    assert [(row["model"], row["value"]) for row in rows(block)] == [
        (model, value) for model in ("SimCLR", "BYOL") for value in (0.25, 1, 1.5)
    ]
    for places in (
        {"a": 10.0, "b": 10.0, "c": 11.0},
        {"a": 0.0, "b": 100.0},
        {"a": 5.0, "b": 15.0, "c": 30.0, "d": 30.5},
    ):
        apart = sweep.spread(places)
        heights = [apart[name] for name in sorted(places, key=lambda n: (places[n], n))]
        assert all(b - a >= 14 - 1e-9 for a, b in pairwise(heights))
        assert numpy.mean(heights) == pytest.approx(numpy.mean(list(places.values())))


def test_hostile_names_are_text_in_specification_drawing_and_file_name(grid) -> None:
    grid.plan["models"]["simclr"]["title"] = (
        HOSTILE + "\x0c\udce9\ufffe"
    )  # undrawable: vl-convert would end the process
    grid.plan["transforms"][HOSTILE] = {"kind": "simclr", "overrides": {}}
    report = grid.report()
    for block in every(report).values():
        assert "<" not in block.spec and "\u2028" not in block.spec
        said = json.dumps(json.loads(block.spec), ensure_ascii=False).encode().decode().replace('\\"', '"')
        assert HOSTILE + "\\\\x0c\\\\udce9\ufffd" in said
        ElementTree.fromstring(vega.standalone(block))
        assert "<script" not in block.svg and "<!--" not in block.svg
    names = [vega.slug("cost", name) for name in ("a b", "a-b", "A-B", "a_b", "../a", "a--b", "é", "è")]
    assert len(set(names)) == len(names) and all(re.fullmatch(r"[a-z0-9.-]+", name) for name in names)
    assert not any(".." in name.removeprefix("cost--") and "/" in name for name in names)


def test_the_script_on_the_page_asks_for_nothing_and_ends_where_it_should() -> None:
    boot = (resources.files("sslbench.report.render") / "templates" / "charts.js").read_text()
    assert not re.search(r"https?:|fetch\(|import[ (]|XMLHttp|\.src\s*=|insertAdjacentHTML|innerHTML", boot)
    assert string.Template(boot).get_identifiers() == ["theme"]
    bundle = vega.bundle()
    assert len(bundle) < 950_000 and not re.search(r"</script|<!--", bundle, re.IGNORECASE)
    assert bundle.count(vega._canonical(vega.theme())) == 0 or json.dumps(vega.FONT) in bundle
    assert "vegaEmbed" not in boot.split("async function draw")[0]


def test_markdown_shows_the_drawings_beside_it_and_old_ones_go(grid, report) -> None:
    folder = grid.out / "report-charts"
    folder.mkdir()
    (folder / "of-yesterday.svg").write_text("<svg/>")
    for _ in range(2):
        render(grid.out / "report.json", None, grid.out / "report.html", grid.out / "report.md")
    text, html = (grid.out / "report.md").read_text(), (grid.out / "report.html").read_text()
    linked = re.findall(r"!\[[^\]]+\]\(report-charts/([\w.-]+)\.svg\)", text)
    assert sorted(linked) == sorted(path.stem for path in folder.iterdir()) == sorted(every(report))
    for name, block in every(report).items():
        assert (folder / f"{name}.svg").read_text() == vega.standalone(block)
        assert html.count(f'data-chart="{name}"') == 1 and str(block.svg) in html and str(block.spec) in html


def test_where_nothing_is_measured_nothing_is_drawn(tree, labels) -> None:
    tree.cell("nette", "simclr", "baseline")
    assert every(tree.report()) == {}
    tree.finish(tree.plan["cells"][0], numpy.arange(1000) < 500, labels)
    assert list(every(tree.report())) == ["resources--nette", "loss--nette", "online--nette", "parts--nette"]


def test_a_chart_of_65_runs_is_small(tree) -> None:
    labels = numpy.arange(100) % 10
    for i in range(13):
        tree.model(f"model{i}", "simclr", title=f"Model number {i}")
        for transform in ("baseline", "simclr", "lorot", "dcl", "rotation"):
            tree.plan["transforms"].setdefault(transform, {"kind": transform, "overrides": {}})
            tree.finish(tree.cell("nette", f"model{i}", transform, epochs=1), labels < i % 9, labels, minutes=10 + i)
    blocks = every(tree.report())
    assert len(blocks["cost--nette"].spec) < 14_000 and len(blocks["cost--nette"].svg) < 40_000
    assert len(blocks["heat--nette"].spec) < 14_000 and len(blocks["forest--nette"].spec) < 26_000
