"""As a Snakemake module, the workflow makes the checks that it makes by itself: at the start, and of what is asked
for.
"""

import re
import subprocess

import pytest

from tests.project import Project
from tests.workflow.tiny_grid import TINY, our_line

MODULE = """
module sslbench:
    snakefile: "project/Snakefile"
    config: config

use rule * from sslbench as ssl_*
"""
ONSTART = """
onstart:
    sys.exit("the parent's own onstart")
"""
PARENT = """
import sys

configfile: "project/config.yaml"
{before}
{module}
{after}
rule all:
    default_target: True
    input:
        "results/drawn/simclr/simclr/seed0/run.json"

rule own:
    output:
        "own.txt"
    log:
        "own.log"
    shell:
        "echo made > {{output}}"
"""
NO_GPU = re.compile(r"sslbench: no GPU here\. 1 cells to pretrain; .*compute\.allow_cpu: true")


@pytest.fixture(scope="module")
def parent(tmp_path_factory) -> Project:
    """A folder with a workflow that uses a copy of this one as a module."""
    folder = tmp_path_factory.mktemp("parent")
    Project(folder / "project").copy()
    write(folder, after=ONSTART)
    return Project(folder)


def write(folder, **parts: str) -> None:
    (folder / "Snakefile").write_text(PARENT.format(**{"before": "", "after": "", "module": MODULE} | parts))


def run(parent: Project, *arguments: str, allow_cpu: bool = False) -> subprocess.CompletedProcess:
    parent.overlay(TINY | {"compute": TINY["compute"] | {"allow_cpu": allow_cpu}})
    return parent.snakemake(*arguments)


@pytest.mark.parametrize(
    "parts",
    [
        {"after": ONSTART},
        {"before": ONSTART},
        {},
        # Some rules of it alone, and one of them changed.
        {"module": MODULE + "\nuse rule pretrain from sslbench as ssl_pretrain with:\n    threads: 2\n"},
        {"module": MODULE.replace("rule *", "rule fetch, pack, pretrain")},
    ],
    ids=["onstart after", "onstart before", "no onstart", "a rule changed", "some rules"],
)
def test_without_a_gpu_a_parent_stops_in_one_line_before_the_first_job(parent, parts):
    write(parent.folder, **parts)
    line = our_line(run(parent))
    assert NO_GPU.fullmatch(line), line
    assert not (parent.folder / "data").exists()  # nothing was fetched


@pytest.mark.parametrize("where", ["before", "after"])
def test_what_a_parent_asks_for_beside_the_grid_needs_no_gpu(parent, where):
    write(parent.folder, **{where: ONSTART})
    assert "the parent's own onstart" in run(parent, "own").stderr


def test_a_dry_run_needs_no_gpu(parent):
    write(parent.folder)
    done = run(parent, "-n")
    assert done.returncode == 0, done.stderr
    assert "rule ssl_pretrain:" in done.stdout


def test_a_parent_that_allows_cpus_goes_on(parent):
    write(parent.folder, after=ONSTART)
    done = run(parent, allow_cpu=True)
    assert "the parent's own onstart" in done.stderr
    assert "sslbench:" not in done.stdout + done.stderr


def test_each_of_two_modules_is_checked_by_its_own_config(parent):
    paths = {name: f"second/{name}" for name in ("data", "results", "reports")}
    second = MODULE.replace("sslbench:", "second:").replace("sslbench as ssl_", "second as two_")
    second = second.replace("config: config", f"config: config | {{'paths': {paths}, 'compute': {{'device': 'cpu'}}}}")
    write(parent.folder, module=MODULE + second)
    line = our_line(run(parent, "all", "second/results/drawn/simclr/simclr/seed0/run.json", allow_cpu=True))
    assert NO_GPU.fullmatch(line), line


def test_pictures_that_a_parent_lacks_are_named_before_any_job(parent):
    write(parent.folder)
    grid = [{"datasets": ["nabirds"], "models": ["simclr"], "transforms": ["simclr"]}]
    parent.overlay(TINY | {"grid": grid})
    assert "dl.allaboutbirds.org/nabirds" in our_line(parent.snakemake("results/nabirds/simclr/simclr/seed0/run.json"))
    assert not (parent.folder / "data").exists()
