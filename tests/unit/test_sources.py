"""A job runs the sources that its digest speaks of, or refuses; and what is kept of their parsing is never wrong."""

import ast
import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from sslbench import downstream, fingerprint, sources
from sslbench.errors import UserError
from sslbench.evaluate.spec import FILES
from sslbench.expand import load
from sslbench.fingerprint import ROOT, code_digest
from sslbench.plan import Plan
from sslbench.report_plan import report_plan

SETTINGS = {"method": {"name": "simclr"}, "transform": [[{"op": "horizontal_flip"}], []]}
MODEL = "sslbench/methods/simclr/model.py"


@pytest.fixture
def copied(tmp_path, monkeypatch) -> Path:
    """The sources as files apart from what this process has imported."""
    for part in ("sslbench", "workflow/scripts", "envs"):
        shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(fingerprint, "ROOT", tmp_path)
    monkeypatch.setattr(sources, "_taken", {})
    monkeypatch.setattr(sources, "_loaded", set())
    monkeypatch.chdir(tmp_path)
    fingerprint.forget()
    yield tmp_path
    monkeypatch.undo()
    fingerprint.forget()


def edit(file: Path, more: str) -> None:
    file.write_text(file.read_text() + more)


def planned(task: str, settings: dict = SETTINGS) -> SimpleNamespace:
    code = code_digest(*sources.roots(task, settings))
    return SimpleNamespace(settings=json.dumps(settings), code=code)


def test_a_job_refuses_other_sources_than_those_of_its_digest(copied):
    params = planned("pretrain")
    with sources.as_planned("pretrain", params):
        pass
    edit(copied / MODEL, "# a remark\n")
    with sources.as_planned("pretrain", params):
        pass
    edit(copied / MODEL, "OTHER = 1\n")
    with pytest.raises(UserError, match="run the same command again"), sources.as_planned("pretrain", params):
        pytest.fail("it ran")


def test_what_does_not_belong_to_a_job_may_change_before_it_starts(copied):
    params = planned("pretrain")
    edit(copied / "sslbench/methods/byol/model.py", "OTHER = 1\n")
    with sources.as_planned("pretrain", params):
        pass


def test_a_result_is_refused_whose_sources_change_while_it_is_made(copied):
    with pytest.raises(UserError, match=r"evaluate\.knn"), sources.as_planned("evaluate", planned("evaluate")):
        edit(copied / "sslbench/evaluate/knn.py", "OTHER = 1\n")


def test_a_training_needs_the_files_of_what_it_runs_no_more_but_those_of_what_comes_late(copied):
    with sources.as_planned("pretrain", planned("pretrain")):
        edit(copied / MODEL, "OTHER = 1\n")
        sources.still_there(late=True)
        with pytest.raises(UserError, match=r"methods\.simclr\.model"):
            sources.still_there()
        sources._loaded.discard("sslbench.methods.simclr.model")  # as if it were imported only now
        with pytest.raises(UserError, match=r"methods\.simclr\.model"):
            sources.still_there(late=True)
        shutil.copy(ROOT / MODEL, copied / MODEL)


def test_a_leaner_environment_may_have_looked_the_libraries_up(copied, monkeypatch):
    pins = yaml.safe_dump({"dependencies": ["timm=0.0.1", "lightly=0.0.2"]})
    (copied / "envs/train.yaml").write_text(pins)
    fingerprint.library_version.cache_clear()
    with monkeypatch.context() as leaner:
        leaner.setattr(fingerprint, "_versions", lambda name: {"timm": ["0.0.1"], "lightly": ["0.0.2"]}[name])
        params = planned("pretrain")
    fingerprint.library_version.cache_clear()
    fingerprint.forget()
    assert code_digest(*sources.roots("pretrain", SETTINGS)) != params.code
    with sources.as_planned("pretrain", params):
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
        assert said["expected"]["code"] in fingerprint.possible_digests(*sources.roots("pretrain", cell.settings))
        for task in FILES:
            settings = json.loads(downstream.text(config, cell, task))
            assert downstream.code(config, cell, task) == code_digest(*sources.roots(task, settings))
        assert downstream.training_code(config, cell) == code_digest(
            *sources.tuning(settings | {"cell": tuned(config, cell)})
        )


def tuned(config, cell) -> dict:
    return downstream.settings(config, cell, "finetune")["cell"]


def parsed_by(monkeypatch, roots: tuple[str, ...]) -> tuple[str, int]:
    """The digest, and how many files were parsed for it."""
    calls, real = [], ast.parse
    with monkeypatch.context() as counted:
        counted.setattr(ast, "parse", lambda *a, **k: (calls.append(1), real(*a, **k))[1])
        fingerprint.forget()
        return code_digest(*roots), len(calls)


def test_a_job_parses_nothing_that_snakemakes_process_has_parsed_and_says_the_same(copied, tmp_path, monkeypatch):
    roots = sources.roots("pretrain", SETTINGS)
    monkeypatch.setattr(fingerprint, "_parsed", {})
    first, count = parsed_by(monkeypatch, roots)
    assert count > 20
    fingerprint.keep_parsed(tmp_path)
    fingerprint._parsed.clear()
    fingerprint.recall_parsed(tmp_path)
    assert parsed_by(monkeypatch, roots) == (first, 0)
    edit(copied / MODEL, "OTHER = 1\n")
    second, count = parsed_by(monkeypatch, roots)
    assert second != first and count == 1


@pytest.mark.parametrize("way", ["another's", "changed", "cut"])
def test_what_was_kept_of_the_parsing_is_not_believed_where_it_is_damaged(copied, tmp_path, monkeypatch, way):
    monkeypatch.setattr(fingerprint, "_parsed", {})
    first, _ = parsed_by(monkeypatch, sources.roots("embed", {}))
    fingerprint.keep_parsed(tmp_path)
    file = tmp_path / fingerprint.KEPT
    kept = json.loads(file.read_text())
    some = next(iter(kept["parsed"]))
    if way == "another's":
        kept["edition"] = "0" * 64
    kept["parsed"][some] = ["0" * 64]
    file.write_text(json.dumps(kept) if way != "cut" else file.read_text()[:-9])
    fingerprint._parsed.clear()
    fingerprint.recall_parsed(tmp_path)
    assert fingerprint._parsed == {}
    assert parsed_by(monkeypatch, sources.roots("embed", {}))[0] == first
