"""What grows with the seeds of a grid, and what must not: counted, since times say little on a busy machine."""

import ast
import json
import os
import subprocess
import sys
from collections import Counter

import pytest
import yaml

from sslbench.grid.cell import Model
from sslbench.grid.deduplicate import fold, unfold
from sslbench.grid.expand import load
from sslbench.grid.plan import PRETRAIN_SCRIPT, Plan
from sslbench.grid.report_plan import report_plan
from sslbench.store import code_fingerprint
from sslbench.store.canonical_json import canonical
from sslbench.store.code_fingerprint import code_digest

ARTICLE = yaml.safe_load((code_fingerprint.ROOT / "config.yaml").read_text())


def plan(seeds: int) -> Plan:
    return Plan(load(ARTICLE | {"seeds": list(range(seeds))}))


@pytest.fixture
def counted(monkeypatch):
    """Counts calls of what is named: counted(object, name) -> a list that grows by one a call."""

    def count(owner: object, name: str) -> list:
        calls, real = [], getattr(owner, name)

        def wrapped(*arguments, **keywords):
            calls.append(arguments[:1])
            return real(*arguments, **keywords)

        monkeypatch.setattr(owner, name, wrapped)
        return calls

    yield count
    monkeypatch.undo()
    forget()


def forget() -> None:
    code_fingerprint.forget()
    code_fingerprint._parsed.clear()


def test_every_module_is_parsed_once_however_many_cells_and_rules_ask(counted):
    forget()
    parsed = counted(ast, "parse")
    grid = plan(seeds=3)
    for cell in grid.cells:
        code_digest(*cell.code_roots, PRETRAIN_SCRIPT)
    assert len(parsed) > 40
    assert max(Counter(parsed).values()) == 1
    first = len(parsed)
    code_fingerprint.forget()
    for cell in plan(seeds=5).cells:
        code_digest(*cell.code_roots, PRETRAIN_SCRIPT)
    assert len(parsed) == first


def test_code_is_digested_once_for_each_combination_of_method_and_operations(counted):
    digests = {}
    for seeds in (1, 20):
        forget()
        for cell in (grid := plan(seeds)).cells:
            code_digest(*cell.code_roots, PRETRAIN_SCRIPT)
        digests[seeds] = code_fingerprint._digest.cache_info().misses
        assert digests[seeds] <= len({(cell.model.method, cell.names[2]) for cell in grid.cells})
    assert digests[1] == digests[20]


def test_a_model_is_written_out_once_for_all_its_cells(counted):
    made = counted(Model.trained, "func")
    grid = plan(seeds=20)
    texts = {cell.text for cell in grid.cells}
    assert len(texts) == len({(c.dataset.source, c.names[1], c.names[2], c.seed, c.dataset.pack) for c in grid.cells})
    assert len(made) == len({cell.model.name for cell in grid.cells})


def test_cells_of_one_model_share_what_they_have_in_common():
    first, second = plan(seeds=2).cells[:2]
    assert first.names[:3] == second.names[:3] and first.seed != second.seed
    shared = [key for key, value in first.settings.items() if key != "seed" and value is second.settings[key]]
    assert set(shared) == first.settings.keys() - {"seed"}
    assert first.text.replace('"seed":0', '"seed":1') == second.text


def test_the_report_s_plan_comes_back_whole():
    report = report_plan(plan(seeds=2), ["configs/demo.yaml"])
    assert unfold(json.loads(canonical(fold(report)))) == json.loads(canonical(report))


def test_a_plan_that_was_never_folded_is_left_as_it_is():
    report = report_plan(plan(seeds=1))
    assert unfold(report) is report


def test_the_plan_is_folded_alike_in_every_process():
    """What numbers stand for must not hang on a set's order, which Python draws anew for each process."""
    code = """
from sslbench.store.canonical_json import canonical
from sslbench.grid.deduplicate import fold
print(canonical(fold({"cells": [{"expected": {"settings": {}, "code": "a", "evaluation": "b"}, "beside": {}}]})))
"""
    environments = (os.environ | {"PYTHONHASHSEED": str(seed)} for seed in range(4))
    command = [sys.executable, "-c", code]
    found = {subprocess.check_output(command, env=each, cwd=code_fingerprint.ROOT, text=True) for each in environments}
    assert len(found) == 1


def test_a_seed_adds_the_names_of_its_cells_to_the_report_s_plan_and_not_their_settings():
    sizes = {seeds: len(canonical(fold(report_plan(plan(seeds))))) for seeds in (1, 2, 20)}
    cells = len(plan(1).cells)
    a_seed = (sizes[20] - sizes[2]) / 18
    assert a_seed / cells < 600  # bytes a cell; its settings in full are 3,000
    assert a_seed == pytest.approx(sizes[2] - sizes[1], rel=0.1)


def test_a_batch_is_held_against_a_dataset_once_for_each_model(counted):
    grid = plan(seeds=20)
    kinds = {type(cell.model.settings) for cell in grid.cells if cell.transform}
    calls = [counted(kind, "fault") for kind in kinds]
    again = Plan(grid.config)
    pairs = {(c.dataset.name, c.model.name) for c in again.cells if c.transform and c.dataset.settings.known_counts()}
    assert 0 < sum(map(len, calls)) <= len(pairs)


def test_a_dataset_s_cells_are_found_without_going_through_the_others():
    grid = plan(seeds=2)
    for name in grid.datasets:
        assert grid.of_dataset(name) == [cell for cell in grid.cells if cell.dataset.name == name]
    grid.cells = None  # no longer needed
    assert grid.of_dataset("imagewoof")


def test_what_a_cluster_s_job_reads_lists_no_cell_of_the_grid():
    rules = (code_fingerprint.ROOT / "workflow" / "rules" / "report.smk").read_text()
    for line in rules.splitlines():
        listing = "collected()" in line or "dataset_target(" in line or "finished(" in line
        assert not listing or "lambda wc" in line, line
