"""The report's plan with every value that cells share written once: its size follows the combinations, not the seeds.

Snakemake keeps a job's params in memory, in its records of every output and in the script that it starts, so 10,000
cells with their settings in full would be 30 MB, each time.
"""

from sslbench.store.canonical_json import canonical

SHARED = "shared"


def fold(plan: dict) -> dict:
    """``plan`` with numbers for what its cells expect, and those values by number under ``shared``."""
    values: list = []
    known: dict[str, int] = {}
    seen: dict[int, int] = {}  # by identity: most cells hold the very same objects, and these need no text
    kept: list = []  # or an identity could be another object's by now

    def number(value: object) -> int:
        if id(value) not in seen:
            kept.append(value)
            text = canonical(value)
            if text not in known:
                known[text] = len(values)
                values.append(value)
            seen[id(value)] = known[text]
        return seen[id(value)]

    cells = []
    for cell in plan["cells"]:
        expected = dict(cell["expected"])
        expected["settings"] = {key: number(value) for key, value in expected["settings"].items()}
        for key in sorted(expected.keys() - {"settings"}):  # a set has no order to number by
            expected[key] = number(expected[key])
        beside = {task: number(settings) for task, settings in cell["beside"].items()}
        cells.append(cell | {"expected": expected, "beside": beside})
    return plan | {"cells": cells, SHARED: values}


def unfold(plan: dict) -> dict:
    """What was folded, its shared values as shared objects; a plan that was not is returned as it is."""
    if SHARED not in plan:
        return plan
    values = plan[SHARED]
    cells = []
    for cell in plan["cells"]:
        expected = {key: values[at] for key, at in cell["expected"].items() if key != "settings"}
        expected["settings"] = {key: values[at] for key, at in cell["expected"]["settings"].items()}
        cells.append(cell | {"expected": expected, "beside": {task: values[at] for task, at in cell["beside"].items()}})
    return {key: value for key, value in plan.items() if key != SHARED} | {"cells": cells}
