"""Whole Snakemakes: killed with all their jobs, and two at once in one folder."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.project import Project
from tests.tally import survived
from tests.workflow.faults.conftest import Undisturbed
from tests.workflow.faults.stages import ONE_CELL

pytestmark = pytest.mark.fault

KILLS = 10  # of the long form


def launch(project: Project, *arguments: str) -> subprocess.Popen:
    """A Snakemake in a process group of its own, as a terminal starts it."""
    return subprocess.Popen(
        [sys.executable, "-m", "snakemake", "--cores", "2", *arguments, "--configfile", "overlay.yaml"],
        cwd=project.folder,
        stdout=subprocess.DEVNULL,
        stderr=(project.folder / "snakemake.stderr").open("a"),
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        start_new_session=True,
    )


def wait_for(what: Callable[[], object], process: subprocess.Popen) -> None:
    until = time.monotonic() + 240
    while not what():
        assert process.poll() is None and time.monotonic() < until
        time.sleep(0.01)


def training(project: Project) -> bool:
    return any(project.folder.glob("results/.store/*/state/step*.pt"))


def kill_group(process: subprocess.Popen) -> bool:
    """Whether it was still alive."""
    alive = process.poll() is None
    if alive:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return alive


def same(undisturbed: Undisturbed, project: Project) -> None:
    """As the undisturbed run; the report is made again with its ledger."""
    nursery = undisturbed.nursery
    nursery.folder = project.folder
    undisturbed.same_ledger(nursery)
    for stage in ("collect", "report"):
        nursery.must(stage)
    undisturbed.same(project.folder)


def test_a_second_run_is_refused_and_a_killed_one_is_gone_on_from(undisturbed, tmp_path):
    """Snakemake's lock keeps a second run out while the first lives, and nobody once it is killed."""
    project = Project(tmp_path / "a project", ONE_CELL)
    first = launch(project)
    try:
        wait_for(lambda: training(project), first)
        second = project.snakemake()
        assert second.returncode != 0 and "Directory cannot be locked" in second.stderr + second.stdout
    finally:
        assert kill_group(first)
    again = project.snakemake()
    assert again.returncode == 0, again.stderr[-3000:]
    assert "sslbench: the run before this one was killed; its lock is removed" in again.stderr
    same(undisturbed, project)
    survived("SIGKILL to Snakemake and all its jobs", "workflow")
    survived("second Snakemake in one folder", "workflow")


@pytest.mark.long
def test_killed_at_random_moments_the_whole_pipeline_ends_with_the_same_bytes(undisturbed, tmp_path):
    chance, kills, number = random.Random(5), 0, 0
    begin = time.monotonic()
    project = Project(tmp_path / "timed", ONE_CELL)
    assert project.snakemake().returncode == 0
    lasts = time.monotonic() - begin
    while kills < KILLS:
        number += 1
        project = Project(tmp_path / f"run {number}", ONE_CELL)
        for _ in range(2):
            process = launch(project)
            time.sleep(chance.uniform(0.1, 0.95) * lasts)
            kills += kill_group(process)
        again = project.snakemake()
        assert again.returncode == 0, again.stderr[-3000:]
        same(undisturbed, project)
    survived("SIGKILL to Snakemake and all its jobs", "workflow", kills)


@pytest.mark.long
@pytest.mark.parametrize("target", [[], ["--until", "pretrain"]], ids=["everything", "the training"])
def test_two_runs_without_snakemakes_lock_end_with_the_same_bytes(undisturbed, tmp_path, target):
    """Whichever loses a file to the other says so and fails; what stands there then is whole, and a re-run ends it."""
    project = Project(tmp_path / "a project", ONE_CELL)
    if target:
        assert project.snakemake("--until", "pack").returncode == 0
    runs = [launch(project, "--nolock", *target)]
    time.sleep(0.5)
    runs.append(launch(project, "--nolock", *target))
    codes = [process.wait() for process in runs]
    if target:  # with the pictures there, the store's lock alone decides
        assert codes == [0, 0], (project.folder / "snakemake.stderr").read_text()[-4000:]
    assert "Traceback" not in (project.folder / "snakemake.stderr").read_text()
    again = project.snakemake()
    assert again.returncode == 0, again.stderr[-3000:]
    same(undisturbed, project)
    survived("two Snakemakes with --nolock", "workflow")


def test_the_lock_of_a_run_that_lives_is_never_removed(tmp_path):
    """Two runs may live in one folder, on different files: one of them ending does not give the other's lock away."""
    hold = "from pathlib import Path\nfrom sslbench.jobs.snakemake_lock import hold\nprint(hold(Path('.')), flush=True)\ninput()"
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])}

    def begin() -> tuple[subprocess.Popen, str]:
        process = subprocess.Popen(
            [sys.executable, "-c", hold], cwd=tmp_path, env=environment, stdin=-1, stdout=-1, text=True
        )
        return process, process.stdout.readline().strip()

    def end(process: subprocess.Popen) -> None:
        process.kill()
        process.communicate()

    lock = tmp_path / "locks" / "0.input.lock"
    lock.parent.mkdir()
    a, said = begin()
    assert said == "None"
    lock.touch()
    b, said = begin()
    assert said == "None" and lock.exists()
    end(a)
    c, said = begin()
    assert said == "None" and lock.exists(), "b lives"
    end(c)
    end(b)
    d, said = begin()
    assert "was killed" in said and not lock.exists()
    end(d)
    lock.touch()
    (tmp_path / "sslbench.running").write_text("another-host\n")
    e, said = begin()
    assert said == "None" and lock.exists(), "that run may live on its own host"
    end(e)
    survived("lock of a living run", "workflow", 3)
