"""The findings on the published figures, recomputed here from the CSV by other means."""

import csv
import math
import subprocess
import sys
from fractions import Fraction
from itertools import combinations
from pathlib import Path
from statistics import mean

import pytest
from scipy import stats

from sslbench.studies import ledgers
from sslbench.studies.reanalysis import findings
from sslbench.studies.reanalysis import test_sets as findings_sets

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def rows() -> list[dict]:
    with (ROOT / "sslbench/studies/data/published_results.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture(scope="module")
def found() -> dict[str, findings.Finding]:
    return {f.title: f for f in findings.findings(ledgers.read(), ledgers.read_second())}


def told(found: dict, start: str) -> str:
    one = next(f for title, f in found.items() if title.startswith(start))
    table = "" if one.table is None else "\n".join(" | ".join(str(c.lines[0]) for c in r.cells) for r in one.table.rows)
    return "\n".join((one.says, *one.sums, table))


def test_the_page_in_docs_is_what_the_command_prints() -> None:
    printed = subprocess.run(
        [sys.executable, "-m", "sslbench.studies.reanalysis.findings"], cwd=ROOT, capture_output=True, check=True
    )
    assert printed.stdout.decode() == (ROOT / "docs" / "findings.md").read_text(encoding="utf-8")
    assert printed.stderr == b""


def test_the_findings_import_no_torch() -> None:
    code = "import sys, sslbench.studies.reanalysis.findings, sslbench.studies.claims.claims; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_limits_of_the_test_sets_are_the_normal_approximation(rows, found) -> None:
    text = told(found, "The smallest difference")
    for dataset, n in (("imagenette2-160", 3925), ("imagewoof", 3929), ("nabirds", 9907), ("imagenette", 500)):
        p = mean(float(r["value"]) for r in rows if r["dataset"] == dataset and r["metric"] == "top1")
        limit = 100 * stats.norm.ppf(0.975) * math.sqrt(2 * p * (1 - p) / n)
        assert f"= {limit:.2f} points; 6 / {n} = {600 / n:.2f} points" in text
    assert stats.binomtest(0, 6).pvalue < 0.05 < stats.binomtest(0, 5).pvalue  # what "6 pictures" rests on


def test_pairs_beyond_the_limit_are_counted_as_by_a_two_sample_test(rows, found) -> None:
    table = next(f for title, f in found.items() if title.startswith("Which of the published")).table
    counted = {(str(r.cells[0].lines[0]), str(r.cells[1].lines[0])): int(str(r.cells[3].lines[0])) for r in table.rows}
    for dataset, title, n in (("imagenette2-160", "ImageNette v2-160", 3925), ("nabirds", "NABirds", 9907)):
        columns: dict[str, list[float]] = {}
        for r in rows:
            if r["dataset"] == dataset and r["metric"] == "top1":
                columns.setdefault(r["transform"], []).append(float(r["value"]))
        beyond = 0
        for values in columns.values():
            for a, b in combinations(values, 2):
                z = (a - b) / math.sqrt((a * (1 - a) + b * (1 - b)) / n)
                beyond += 2 * stats.norm.sf(abs(z)) < 0.05
        assert counted[title, f"{n:,}"] == beyond


def test_nabirds_figures_are_whole_pictures_of_9907_and_of_no_other_set(rows, found) -> None:
    values = [r["value"] for r in rows if r["metric"] == "top5"]
    assert len(values) == 20

    def fits(value: str, n: int) -> bool:
        half = Fraction(1, 2_000_000)
        low, high = (Fraction(value) - half) * n, (Fraction(value) + half) * n
        return math.ceil(low) <= math.floor(high)

    assert all(fits(value, 9907) for value in values)
    multiples = {9907 * k for k in range(1, 5)}
    assert all(any(not fits(value, n) for value in values) for n in range(1, 48_563) if n not in multiples)
    assert sum(fits(value, 24_633) for value in values) == 0
    assert "0.188554 = 1868/9907" in told(found, "NABirds was tested")
    assert "0 of 20" in told(found, "NABirds was tested")


def test_the_resplit_has_room_for_9907(found) -> None:
    text = told(found, "NABirds was split")
    assert "38655" in text and "20.4 %" in text
    assert 0.2 * 48_562 <= 9907 <= 0.2 * 48_562 + 0.8 * 555


def test_23_of_imagenettes_50_figures_are_no_multiples_of_one_over_500(rows, found) -> None:
    odd = [r["value"] for r in rows if r["dataset"] == "imagenette" and int(r["value"][2:]) % 2]
    assert len(odd) == 23
    text = told(found, "ImageNette's figures")
    assert "23 of the 50" in text
    assert all(value in text for value in odd[:8])


def test_the_collapsed_cell_is_a_constant_answer_on_3929_pictures(found) -> None:
    assert sum(findings_sets.WOOF.values()) == 3929
    assert round(401 / 3929, 3) == 0.102
    assert [name for name, k in findings_sets.WOOF.items() if round(k / 3929, 3) == 0.102] == [
        "Border terrier", "golden retriever",
    ]  # fmt: skip
    assert not any(round(k / 3929, 3) == 0.051 for k in findings_sets.WOOF.values())
    text = told(found, "SwAV collapsed")
    assert "Border terrier or golden retriever" in text and "English foxhound, gives 0.057" in text
    assert f"{stats.binom.cdf(202, 3929, 0.1):.0e}" in text


def test_who_is_first_in_each_column(rows, found) -> None:
    columns: dict[tuple, list[tuple[float, str]]] = {}
    for r in rows:
        if r["metric"] == "top1":
            columns.setdefault((r["dataset"], r["transform"]), []).append((float(r["value"]), r["method"]))
    firsts = [{m for v, m in values if v == max(values)[0]} for values in columns.values()]
    vicregl, barlow = firsts.count({"vicregl"}), firsts.count({"barlowtwins"})
    assert (vicregl, barlow, len(columns)) == (10, 7, 17)
    assert "first in 10 of 17 columns and Barlow Twins in 7" in told(found, "Who leads")


def test_alphas_spread(rows, found) -> None:
    columns: dict[tuple, dict[float, float]] = {}
    for r in rows:
        if r["metric"] == "top1" and r["method"] == "vicregl":
            columns.setdefault((r["dataset"], r["transform"]), {})[float(r["model"][-4:])] = float(r["value"])
    first = sum(c[0.95] == max(c.values()) for c in columns.values())
    widest = max(max(c.values()) - min(c.values()) for c in columns.values())
    text = told(found, "VICRegL's weight")
    assert f"in {first} of 17" in text and f"{100 * widest:.1f} points at most" in text
    assert f"{stats.binomtest(first, 17, 0.25, alternative='greater').pvalue:.1g}" in text


def test_barlow_twins_changes_sign(rows, found) -> None:
    def change(dataset: str) -> float:
        by = {
            r["transform"]: float(r["value"]) for r in rows if (r["dataset"], r["method"]) == (dataset, "barlowtwins")
        }
        return 100 * (by["simclr"] - by["baseline"])

    text = told(found, "Barlow Twins' best")
    for dataset, expected in (("imagenette", 6.7), ("imagenette2-160", -8.6), ("imagewoof", -5.2)):
        assert change(dataset) == pytest.approx(expected)
        assert f"{change(dataset):+.1f} points" in text


def test_pixels_memory_and_minutes(rows, found) -> None:
    def average(transform: str, key: str, methods: tuple[str, ...]) -> float:
        return mean(float(r[key]) for r in rows if r["transform"] == transform and r[key] and r["method"] in methods)

    five = ("simclr", "simsiam", "swav", "byol", "vicreg")
    text = told(found, "VICRegL was given")
    assert "0.592" in text and round((224**2 + 96**2) / (2 * 224**2), 3) == 0.592
    for transform, title in (("baseline", "Baseline"), ("simclr", "SimCLR"), ("dcl", "DCL")):
        memory = average(transform, "peak_gb", ("vicregl",)) / average(transform, "peak_gb", five)
        minutes = average(transform, "minutes", ("vicregl",)) / average(transform, "minutes", five)
        assert f"{title} | {memory:.2f} | {minutes:.2f}" in text
        barlow = average(transform, "minutes", ("vicregl",)) / average(transform, "minutes", ("barlowtwins",))
        assert f"{barlow:.2f}" in told(found, "VICRegL's time")
    lighter = mean(average(t, "minutes", five) for t in ("lorot", "dcl"))
    assert f"= {average('baseline', 'minutes', five) / lighter:.2f}" in told(found, "Minutes do not")


def test_memory_is_lower_with_local_transforms_for_one_model_of_ten(rows, found) -> None:
    peak = {(r["model"], r["transform"]): float(r["peak_gb"]) for r in rows if r["peak_gb"]}
    models = {m for m, _ in peak}
    lower = [m for m in models if peak[m, "lorot"] < peak[m, "baseline"] and peak[m, "dcl"] < peak[m, "baseline"]]
    assert lower == ["BarlowTwins"]
    assert "1 of 10 models next to Baseline (BarlowTwins)" in told(found, "Memory is not")


def test_runs_and_hours(rows, found) -> None:
    runs = {(r["dataset"], r["model"], r["transform"]) for r in rows}
    hours = sum(float(r["minutes"]) for r in rows if r["minutes"]) / 60
    text = told(found, "What was run")
    assert len(runs) == 170 and "200 runs; 170 are printed" in text
    assert f"{hours:.2f} GPU-hours" in text and round(hours, 2) == 90.65


def test_a_changed_figure_changes_the_findings(tmp_path: Path) -> None:
    text = ledgers.LEDGER.read_text().replace(",0.188554,", ",0.188555,")
    (tmp_path / "ledger.csv").write_text(text)
    figures = ledgers.read(tmp_path / "ledger.csv")
    assert not all(findings_sets.shown(f.printed, 9907) for f in figures if f.metric == "top5")
