"""Writes the tables of docs/reliability.md from what the tests counted.

    python -m tests.reliability tally.jsonl     # after `make test-long`, which runs it, too

The text around the two markers is a person's and stays.
"""

import json
import sys
from collections import Counter, defaultdict
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs/reliability.md"
BEGIN, END = "<!-- table: begin -->", "<!-- table: end -->"
ORDER = ("fetch", "unpack", "pack", "train", "evaluate", "report", "store", "results", "checkpoint", "workflow")
INPUTS = ("download server", "hostile archive", "hostile picture", "odd names", "property")
TOGETHER = ("jobs that want one card", "lock of a living run", "time limit on Slurm")  # and whatever waits in slots
NAMES = {"property": "generated input (hypothesis)"}


def counted(text: str) -> Counter[tuple[str, str]]:
    """(kind, stage) -> count. Raises ValueError naming the first line that is no entry."""
    found: Counter[tuple[str, str]] = Counter()
    for number, line in enumerate(text.splitlines(), 1):
        try:
            entry = json.loads(line)
            kind, stage, count = str(entry["kind"]), str(entry["stage"]), int(entry["count"])
            if count < 1:
                raise ValueError("its count is not positive")
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"line {number} is no entry of a tally: {error}") from error
        found[kind, stage] += count
    return found


def part(kind: str, stage: str) -> int:
    """Which of the tables a count belongs to."""
    return 1 if kind in INPUTS else 2 if kind in TOGETHER or stage == "slots" else 0


def tables(found: Counter[tuple[str, str]]) -> str:
    """That of the faults in jobs and runs, that of inputs, and that of jobs beside each other; empty ones are left
    out.
    """
    parts: list[Counter[tuple[str, str]]] = [Counter(), Counter(), Counter()]
    for (kind, stage), count in found.items():
        parts[part(kind, stage)][kind, stage] = count
    heads = ("fault, then the same command again", "input", "jobs beside each other")
    return "\n\n".join(table(counts, head) for counts, head in zip(parts, heads, strict=True) if counts)


def table(found: Counter[tuple[str, str]], head: str) -> str:
    """One row per kind: what was done, in which stages how often, and the sum; then the sum of all."""
    kinds: defaultdict[str, dict[str, int]] = defaultdict(dict)
    for (kind, stage), count in found.items():
        kinds[kind][stage] = count
    lines = [f"| {head} | tried and survived | where |", "|---|--:|---|"]
    for kind, stages in sorted(kinds.items(), key=lambda item: NAMES.get(item[0], item[0]).lower()):
        order = sorted(stages, key=lambda stage: (ORDER.index(stage) if stage in ORDER else len(ORDER), stage))
        where = ", ".join(f"{stage} {stages[stage]:,}" for stage in order)
        lines.append(f"| {cell(NAMES.get(kind, kind))} | {sum(stages.values()):,} | {cell(where)} |")
    kills = sum(count for (kind, _), count in found.items() if "kill" in kind.lower())
    told = f"{kills:,} of them kills" if kills else ""
    lines.append(f"| **all** | **{sum(found.values()):,}** | {told} |")
    return "\n".join(lines)


def cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def updated(page: str, found: Counter[tuple[str, str]]) -> str:
    """``page`` with the tables between its markers. Raises ValueError where it has not exactly one pair of them."""
    if page.count(BEGIN) != 1 or page.count(END) != 1 or page.index(BEGIN) > page.index(END):
        raise ValueError(f"the page must hold {BEGIN} and then {END}, once each")
    before, after = page[: page.index(BEGIN)], page[page.index(END) :]
    return f"{before}{BEGIN}\n\n{tables(found)}\n\n{after}"


def main(arguments: list[str], page: Path = PAGE) -> int:
    if len(arguments) != 1:
        print("usage: python -m tests.reliability TALLY", file=sys.stderr)
        return 2
    try:
        found = counted(Path(arguments[0]).read_text(encoding="utf-8"))
        if not found:
            raise ValueError("nothing was counted: run the tests with SSLBENCH_TALLY set to this file first")
        text = updated(page.read_text(encoding="utf-8"), found)
    except (OSError, ValueError) as error:
        print(f"{arguments[0]}: {error}", file=sys.stderr)
        return 1
    page.write_text(text, encoding="utf-8", newline="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
