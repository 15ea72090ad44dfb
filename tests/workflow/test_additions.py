"""What docs/add-a-method.md and docs/add-a-transform.md say, done: their examples join a finished grid and train, and
nothing of the grid runs again."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.project import ROOT
from tests.workflow.staleness.small_grid import Finished
from tests.workflow.tiny_grid import TINY

DOCS = ("docs/add-a-method.md", "docs/add-a-transform.md")
EXAMPLE = re.compile(r"^```python\n# ([\w/]+\.py)(?:, (in|above) (\w+))?\n(.*?)^```$", re.M | re.S)
METHOD, TRANSFORM, OPERATION = "alignuniform", "posterised", "posterize"
FRESH = {"grid": [*TINY["grid"], {"datasets": ["drawn"], "models": [METHOD, "simclr"], "transforms": [TRANSFORM]}]}
FRESH |= {"models": {METHOD: {"method": METHOD}}, "transforms": {TRANSFORM: {"kind": TRANSFORM}}}


def follow(page: str, folder: Path) -> list[str]:
    """Do what a page's examples say, in ``folder``: new files, and lines put where they belong. The files' names."""
    done = []
    for path, where, name, text in EXAMPLE.findall((ROOT / page).read_text()):
        file = folder / path
        if where:
            before = file.read_text()
            place = f"{name} = {{\n" if where == "in" else f"class {name}("
            assert before.count(place) == 1, (path, place)
            new = place + text if where == "in" else f"{text}\n\n{place}"
            file.write_text(before.replace(place, new))
        else:
            assert not file.exists(), f"{path} is there already: an example is not among what is shipped"
            file.parent.mkdir(parents=True, exist_ok=True)
            if "/methods/" in path:
                (file.parent / "__init__.py").touch()
            file.write_text(text.lstrip("\n"))
        done.append(f"{path}:{where}{name}" if where else path)
    return done


@pytest.fixture(scope="module")
def extended(finished, tmp_path_factory) -> Finished:
    """The finished tiny grid, moved, with the examples of both pages added, and not yet asked for."""
    folder = tmp_path_factory.mktemp("extended") / "a project"
    subprocess.run(["cp", "-a", finished.folder, folder], check=True)
    project = Finished(folder)
    project.overlay(TINY)
    done = project.snakemake()  # another test may have left it a step behind
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert project.would_run() == {}
    added = [path for page in DOCS for path in follow(page, folder)]
    assert added == [
        "sslbench/methods/alignuniform/settings.py",
        "sslbench/methods/alignuniform/model.py",
        "sslbench/registry.py:inMETHODS",
        "sslbench/transforms/recipes/posterised.py",
        "sslbench/registry.py:inTRANSFORMS",
        "sslbench/transforms/spec.py:aboveNormalize",
        "sslbench/transforms/ops/posterize.py",
        "sslbench/registry.py:inOPERATIONS",
        "tests/transforms/test_ops_posterize.py",
    ]
    return project


def test_adding_a_method_an_operation_and_a_transform_runs_nothing_again(extended):
    assert extended.would_run() == {}


def test_they_pass_the_tests_that_the_pages_name(extended):
    for part in ("tests", "pyproject.toml"):
        source, target = ROOT / part, extended.folder / part
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
        else:
            shutil.copy(source, target)
    least = {
        "tests/methods/test_every_method.py": 8,
        "tests/methods/test_several_devices.py": 2,
        "tests/transforms/test_every_transform.py": 12,
        "tests/transforms/test_ops_posterize.py": 3,
    }
    chosen = ["-k", f"{METHOD} or {OPERATION} or {TRANSFORM} or one_to_one"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider", "-o", "addopts=", *least, *chosen],
        cwd=extended.folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:]
    for file, count in least.items():
        assert len(re.findall(rf"^{re.escape(file)}\S+ PASSED", done.stdout, re.M)) >= count, (file, done.stdout)


def test_their_cells_train_and_are_evaluated_and_no_other_cell_is_touched(extended):
    results = extended.folder / "results"
    before = {file: file.stat().st_mtime_ns for file in results.rglob("*") if file.is_file()}
    extended.overlay(TINY | FRESH)
    jobs = extended.would_run()
    assert (jobs["pretrain"], jobs["embed"], jobs["evaluate"]) == (2, 2, 2)
    assert not {"fetch", "pack"} & set(jobs)
    done = extended.snakemake()
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
    for model in (METHOD, "simclr"):
        cell = results / "drawn" / model / TRANSFORM / "seed0"
        run = json.loads((cell / "run.json").read_text())
        assert OPERATION in [step["op"] for step in run["settings"]["transform"][0]]
        assert run["settings"]["method"]["name"] == model
        assert 0 <= json.loads((cell / "linear.json").read_text())["top1"] <= 1
    header = (results / "drawn" / METHOD / TRANSFORM / "seed0" / "curve.csv").read_text().partition("\n")[0]
    assert {"alignment", "uniformity"} <= set(header.split(","))
    cells = {file: time for file, time in before.items() if "collected" not in file.parts}
    assert len(cells) >= 6 * 10
    assert {file: file.stat().st_mtime_ns for file in cells} == cells
    page = (extended.folder / "reports/tiny/report.md").read_text()
    assert "Alignment and uniformity" in page and TRANSFORM in page
    assert extended.would_run() == {}
