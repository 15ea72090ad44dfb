"""The one table of all benchmarks: from their JSON to Markdown, and into docs/performance.md."""

import json
import re
import statistics
from pathlib import Path

from benchmarks import bench

BEGIN, END = "<!-- benchmarks: begin (python -m benchmarks.run_all --write-docs) -->", "<!-- benchmarks: end -->"


def write(runs: list[dict], reports: Path, quick: bool) -> None:
    """benchmarks.json (every round of every way) and benchmarks.md (the table) into ``reports``."""
    reports.mkdir(parents=True, exist_ok=True)
    content = {"quick": quick, "runs": runs, "summary": summarised(runs, quick)}
    (reports / "benchmarks.json").write_text(json.dumps(content, indent=1) + "\n")
    (reports / "benchmarks.md").write_text("# Benchmarks\n\n" + block(content["summary"]) + "\n")


def write_docs(measured: Path, docs: Path) -> None:
    """The table of the run in ``measured`` between the markers of performance.md, and its figures beside it."""
    if not measured.exists():
        raise SystemExit(f"{measured} is not there: run make bench first")
    content = json.loads(measured.read_text())
    if content["quick"]:
        raise SystemExit(f"{measured} is of a quick run, which measures nothing worth keeping: run make bench first")
    (docs / "performance.json").write_text(json.dumps(content["summary"], indent=1) + "\n")
    page = docs / "performance.md"
    page.write_text(replaced(page.read_text(), content["summary"]))


def replaced(page: str, found: dict) -> str:
    """``page`` with what stands between its markers made anew from ``found``."""
    pattern = re.compile(re.escape(BEGIN) + ".*" + re.escape(END), re.DOTALL)
    if len(pattern.findall(page)) != 1:
        raise ValueError(f"the page needs one {BEGIN!r} and after it one {END!r}")
    return pattern.sub(lambda match: f"{BEGIN}\n{block(found)}\n{END}", page)


def summarised(runs: list[dict], quick: bool = False) -> dict:
    """{"quick", "machine", "versions", "lines": [...], "missing": [...]} of all runs.

    A line is one ratio of one measure: claim, peer, measure, ours, theirs (as shown), ratio, low, high, target.
    """
    lines, missing, alone = [], [], []
    machine, versions, loads = {}, {}, []  # loads: of the machine before each script began
    for run in runs:
        for key in ("skipped", "failed"):
            if key in run:
                missing.append({"claim": run["script"], "way": key, "reason": run[key]})
        if "tables" not in run:
            continue
        loads.append(run["machine"].get("load_before", 0.0))
        machine, versions = machine | run["machine"], versions | run["versions"]
        for table in run["tables"]:
            rows = {row["way"]: row for row in table["rows"]}
            missing += [
                {"claim": table["claim"], "way": way, "reason": row["skipped"]}
                for way, row in rows.items()
                if row["skipped"]
            ]
            for ratio in table["ratios"]:
                lines += _lines(table, rows, ratio)
            if not table["ratios"]:
                alone += _alone(table)
    if loads:
        machine["load_before"] = loads[0]  # the later ones follow their forerunners
    about = {"quick": quick, "machine": machine, "versions": versions}
    return about | {"lines": lines, "alone": alone, "missing": missing}


def _lines(table: dict, rows: dict, ratio: dict) -> list[dict]:
    shown = [measure for measure in ratio["by_measure"] if measure in ratio["target"]] or list(ratio["by_measure"])
    made = []
    for measure in shown:
        ours, theirs = (statistics.median(rows[way]["costs"][measure]) for way in (ratio["ours"], ratio["peer"]))
        found = ratio["by_measure"][measure]
        made.append(
            {
                "claim": table["claim"],
                "way": ratio["ours"],
                "peer": ratio["peer"],
                "measure": measure,
                "ours": bench.figure(measure, ours, table["unit"]),
                "theirs": bench.figure(measure, theirs, table["unit"]),
                "ratio": round(found["median"], 3),
                "low": round(found["low"], 3),
                "high": round(found["high"], 3),
                "target": ratio["target"].get(measure),
            }
        )
    return made


def _alone(table: dict) -> list[dict]:
    """Ways that were measured beside no peer."""
    return [
        {
            "claim": table["claim"],
            "way": row["way"],
            "measure": measure,
            "ours": bench.figure(measure, statistics.median(values), table["unit"]),
        }
        for row in table["rows"]
        for measure, values in row["costs"].items()
    ]


def block(found: dict) -> str:
    """The table as Markdown, with machine and versions above it and what did not run below."""
    if not (found["lines"] or found["alone"] or found["missing"]):
        return "Not measured yet: `make bench`, then `python -m benchmarks.run_all --write-docs`."
    parts = []
    if found["quick"]:
        parts.append("**A quick run: it shows that all works; its figures are worth nothing.**")
    for name in ("machine", "versions"):
        parts.append(f"{name.capitalize()}: " + ", ".join(f"{key} {value}" for key, value in found[name].items()) + ".")
    header = "| claim | ours | peer | measure | our figure | peer's | ratio [range] | target |"
    rows = [header, "|---|---|---|---|---|---|---|---|"]
    for line in found["lines"]:
        target = "" if line["target"] is None else f"{line['target']:g}x " + _verdict(line)
        named = [line[key] for key in ("claim", "way", "peer", "measure", "ours", "theirs")]
        ratio = f"**{line['ratio']:.2f}x** [{line['low']:.2f}, {line['high']:.2f}]"
        rows.append("| " + " | ".join([*named, ratio, target]).rstrip() + " |")
    parts.append("\n".join(rows))
    if found["alone"]:
        rows = ["| without a peer | way | measure | figure |", "|---|---|---|---|"]
        rows += [f"| {line['claim']} | {line['way']} | {line['measure']} | {line['ours']} |" for line in found["alone"]]
        parts.append("\n".join(rows))
    if found["missing"]:
        rows = [f"- {line['claim']}: {line['way']}: {line['reason']}" for line in found["missing"]]
        parts.append("Did not run:\n\n" + "\n".join(rows))
    return "\n\n".join(parts)


def _verdict(line: dict) -> str:
    return "met" if line["ratio"] >= line["target"] else "missed"
