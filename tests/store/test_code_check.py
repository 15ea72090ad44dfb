"""A job runs the sources that its digest speaks of, or refuses; and what is kept of their parsing is never wrong."""

import ast
import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from sslbench.config.evaluation import FILES
from sslbench.errors import UserError
from sslbench.grid import downstream_tasks
from sslbench.grid.expand import load
from sslbench.grid.plan import Plan
from sslbench.grid.report_plan import report_plan
from sslbench.store import code_check, code_fingerprint
from sslbench.store.code_fingerprint import ROOT, code_digest

SETTINGS = {"method": {"name": "simclr"}, "transform": [[{"op": "horizontal_flip"}], []]}
MODEL = "sslbench/methods/simclr/model.py"


@pytest.fixture
def copied(tmp_path, monkeypatch) -> Path:
    """The sources as files apart from what this process has imported."""
    for part in ("sslbench", "workflow/scripts", "envs"):
        shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(code_fingerprint, "ROOT", tmp_path)
    monkeypatch.setattr(code_check, "_taken", {})
    monkeypatch.setattr(code_check, "_loaded", set())
    monkeypatch.chdir(tmp_path)
    code_fingerprint.forget()
    yield tmp_path
    monkeypatch.undo()
    code_fingerprint.forget()


def edit(file: Path, more: str) -> None:
    file.write_text(file.read_text() + more)


def planned(task: str, settings: dict = SETTINGS) -> SimpleNamespace:
    code = code_digest(*code_check.roots(task, settings))
    return SimpleNamespace(settings=json.dumps(settings), code=code)


def test_a_job_refuses_other_sources_than_those_of_its_digest(copied):
    params = planned("pretrain")
    with code_check.as_planned("pretrain", params):
        pass
    edit(copied / MODEL, "# a remark\n")
    with code_check.as_planned("pretrain", params):
        pass
    edit(copied / MODEL, "OTHER = 1\n")
    with pytest.raises(UserError, match="run the same command again"), code_check.as_planned("pretrain", params):
        pytest.fail("it ran")


def test_what_does_not_belong_to_a_job_may_change_before_it_starts(copied):
    params = planned("pretrain")
    edit(copied / "sslbench/methods/byol/model.py", "OTHER = 1\n")
    with code_check.as_planned("pretrain", params):
        pass


def test_a_result_is_refused_whose_sources_change_while_it_is_made(copied):
    with pytest.raises(UserError, match=r"evaluation\.knn"), code_check.as_planned("evaluate", planned("evaluate")):
        edit(copied / "sslbench/evaluation/knn.py", "OTHER = 1\n")


def test_a_training_needs_the_files_of_what_it_runs_no_more_but_those_of_what_comes_late(copied):
    with code_check.as_planned("pretrain", planned("pretrain")):
        edit(copied / MODEL, "OTHER = 1\n")
        code_check.still_there(late=True)
        with pytest.raises(UserError, match=r"methods\.simclr\.model"):
            code_check.still_there()
        code_check._loaded.discard("sslbench.methods.simclr.model")  # as if it were imported only now
        with pytest.raises(UserError, match=r"methods\.simclr\.model"):
            code_check.still_there(late=True)
        shutil.copy(ROOT / MODEL, copied / MODEL)


def test_a_leaner_environment_may_have_looked_the_libraries_up(copied, monkeypatch):
    pins = yaml.safe_dump({"dependencies": ["timm=0.0.1", "lightly=0.0.2"]})
    (copied / "envs/train.yaml").write_text(pins)
    code_fingerprint.library_version.cache_clear()
    with monkeypatch.context() as leaner:
        leaner.setattr(code_fingerprint, "_versions", lambda name: {"timm": ["0.0.1"], "lightly": ["0.0.2"]}[name])
        params = planned("pretrain")
    code_fingerprint.library_version.cache_clear()
    code_fingerprint.forget()
    assert code_digest(*code_check.roots("pretrain", SETTINGS)) != params.code
    with code_check.as_planned("pretrain", params):
        pass


def test_every_job_that_makes_a_figure_is_checked_against_what_the_plan_says_of_it():
    for task in ("pretrain", "embed", "evaluate", *FILES):
        script = (ROOT / "workflow" / "scripts" / f"{task}.py").read_text()
        assert f'as_planned("{task}", ' in script, task
    config = load(yaml.safe_load((ROOT / "config.yaml").read_text()))
    plan = Plan(config)
    cells = {(cell.model.name, cell.transform and cell.transform.name): cell for cell in plan.cells}
    for cell, said in zip(plan.cells, report_plan(plan)["cells"], strict=True):
        if cells[cell.model.name, cell.transform and cell.transform.name] is not cell:
            continue
        assert said["expected"]["code"] in code_fingerprint.possible_digests(
            *code_check.roots("pretrain", cell.settings)
        )
        for task in FILES:
            settings = json.loads(downstream_tasks.text(config, cell, task))
            assert downstream_tasks.code(config, cell, task) == code_digest(*code_check.roots(task, settings))
        assert downstream_tasks.training_code(config, cell) == code_digest(
            *code_check.tuning(settings | {"cell": tuned(config, cell)})
        )


def tuned(config, cell) -> dict:
    return downstream_tasks.settings(config, cell, "finetune")["cell"]


def parsed_by(monkeypatch, roots: tuple[str, ...]) -> tuple[str, int]:
    """The digest, and how many files were parsed for it."""
    calls, real = [], ast.parse
    with monkeypatch.context() as counted:
        counted.setattr(ast, "parse", lambda *a, **k: (calls.append(1), real(*a, **k))[1])
        code_fingerprint.forget()
        return code_digest(*roots), len(calls)


def test_a_job_parses_nothing_that_snakemakes_process_has_parsed_and_says_the_same(copied, tmp_path, monkeypatch):
    roots = code_check.roots("pretrain", SETTINGS)
    monkeypatch.setattr(code_fingerprint, "_parsed", {})
    first, count = parsed_by(monkeypatch, roots)
    assert count > 20
    code_fingerprint.keep_parsed(tmp_path)
    code_fingerprint._parsed.clear()
    code_fingerprint.recall_parsed(tmp_path)
    assert parsed_by(monkeypatch, roots) == (first, 0)
    edit(copied / MODEL, "OTHER = 1\n")
    second, count = parsed_by(monkeypatch, roots)
    assert second != first and count == 1


@pytest.mark.parametrize("way", ["another's", "changed", "cut"])
def test_what_was_kept_of_the_parsing_is_not_believed_where_it_is_damaged(copied, tmp_path, monkeypatch, way):
    monkeypatch.setattr(code_fingerprint, "_parsed", {})
    first, _ = parsed_by(monkeypatch, code_check.roots("embed", {}))
    code_fingerprint.keep_parsed(tmp_path)
    file = tmp_path / code_fingerprint.KEPT
    kept = json.loads(file.read_text())
    some = next(iter(kept["parsed"]))
    if way == "another's":
        kept["edition"] = "0" * 64
    kept["parsed"][some] = ["0" * 64]
    file.write_text(json.dumps(kept) if way != "cut" else file.read_text()[:-9])
    code_fingerprint._parsed.clear()
    code_fingerprint.recall_parsed(tmp_path)
    assert code_fingerprint._parsed == {}
    assert parsed_by(monkeypatch, code_check.roots("embed", {}))[0] == first
