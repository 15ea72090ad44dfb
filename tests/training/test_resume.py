"""An interrupted cell ends with the bytes of an undisturbed one."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from small_cells import EQUAL, STEPS, Crash, cell, crash, processes, run, send

from sslbench import registry
from sslbench.training.run import Interrupted
from sslbench.training.trainer import Training

ROOT = Path(__file__).parents[2]
METHODS = [*registry.METHODS, "supervised"]


def same(a: dict[str, bytes], b: dict[str, bytes]) -> bool:
    return {name: a[name] for name in EQUAL} == {name: b[name] for name in EQUAL}


@pytest.mark.parametrize("method", METHODS)
def test_every_method_resumes_bit_for_bit(method, small_pack, tmp_path, after_step, monkeypatch):
    """Once stopped by a signal in the middle of epoch 1, once crashed in the middle of epoch 2."""
    settings = cell(method)
    straight = run(settings, small_pack, tmp_path / "straight")
    started = []
    real = Training.load
    monkeypatch.setattr(Training, "load", lambda self, state: (real(self, state), started.append(self.step)))
    after_step(2, send(signal.SIGTERM))
    with pytest.raises(Interrupted, match="stopped by SIGTERM after step 2 of 6; checkpoint written"):
        run(settings, small_pack, tmp_path / "broken")
    after_step(STEPS + 2, crash)
    with pytest.raises(Crash):
        run(settings, small_pack, tmp_path / "broken", checkpoint_minutes=0)
    resumed = run(settings, small_pack, tmp_path / "broken")
    assert started == [2, STEPS + 1], "it did not resume where its checkpoints were"
    assert same(straight, resumed)
    assert [r["step"] for r in json.loads(resumed["ledger.json"])["resumed"]] == started
    assert len(straight["curve.csv"].splitlines()) == 3


@pytest.mark.parametrize(
    "train",
    [
        {"precision": "bf16"},
        {"accumulate": 2},
        {"channels_last": False, "holdout": 0.0},
        {"measure_every": 5, "epochs": 3},
        {"batch_size": 27},
    ],
    ids=str,
)
def test_every_way_of_training_resumes_bit_for_bit(train, small_pack, tmp_path, after_step):
    settings = cell("byol", **train, recipe={"clip_gradient_norm": 1.0, "ema_end": 1.0})
    straight = run(settings, small_pack, tmp_path / "straight")
    after_step(3, send(signal.SIGINT))
    with pytest.raises(Interrupted, match="SIGINT"):
        run(settings, small_pack, tmp_path / "broken")
    assert same(straight, run(settings, small_pack, tmp_path / "broken"))


def test_a_method_with_pretext_tasks_beside_it_resumes_bit_for_bit(small_pack, tmp_path, after_step):
    tasks = {
        name: registry.load(f"{package}.settings").Settings(weight=0.1) for name, package in registry.PRETEXT.items()
    }
    auxiliary = {name: task.model_dump(mode="json") for name, task in tasks.items()}
    settings = cell("simclr") | {"input_size": 64, "auxiliary": auxiliary}
    settings["views"] = [view | {"size": 64} for view in settings["views"]]
    straight = run(settings, small_pack, tmp_path / "straight")
    after_step(4, send(signal.SIGTERM))
    with pytest.raises(Interrupted, match="SIGTERM"):
        run(settings, small_pack, tmp_path / "broken")
    assert same(straight, run(settings, small_pack, tmp_path / "broken"))
    assert b"lorot_loss" in straight["curve.csv"].splitlines()[0]


def test_a_result_does_not_depend_on_what_ran_before_it(small_pack, tmp_path):
    first = run(cell("simclr"), small_pack, tmp_path / "a")
    run(cell("byol", seed=3), small_pack, tmp_path / "b")
    torch.manual_seed(12345)
    assert same(first, run(cell("simclr"), small_pack, tmp_path / "c"))
    assert not same(first, run(cell("simclr", seed=1), small_pack, tmp_path / "d"))


def train_slowly(settings: dict, pack: Path, results: Path) -> None:
    """In a process of its own: a checkpoint after every step, and time to be killed in."""
    real = Training.advance
    Training.advance = lambda self: (real(self), time.sleep(0.02))
    torch.set_num_threads(1)
    run(settings, pack, results, checkpoint_minutes=0)


def test_killed_at_random_moments_it_ends_with_the_same_bytes(small_pack, tmp_path):
    """SIGKILL, again and again, each time somewhere between start and end, until the cell is finished."""
    settings = cell("byol", epochs=4)
    straight = run(settings, small_pack, tmp_path / "straight")
    chance, kills = random.Random(0), 0
    for _ in range(100):
        process = processes().Process(target=train_slowly, args=(settings, small_pack, tmp_path / "killed"))
        process.start()
        process.join(chance.uniform(0.05, 0.6) * (1 + kills / 3))  # longer and longer, should the machine be busy
        if process.exitcode == 0:
            break
        process.kill()
        process.join()
        kills += 1
    assert kills >= 2 and process.exitcode == 0
    assert same(straight, run(settings, small_pack, tmp_path / "killed"))


DRIVER = """
import json, sys
from pathlib import Path
sys.path[:0] = [{tests!r}, {root!r}]
from small_cells import cell, run
from sslbench.jobs.log import job_log
results = Path({results!r})
with job_log(results / "log") as log:
    run(json.loads({settings!r}), Path({pack!r}), results, checkpoint_minutes=0, progress=log)
"""


def start(settings: dict, pack: Path, results: Path) -> subprocess.Popen:
    """The cell in a fresh interpreter, as the workflow runs it."""
    code = DRIVER.format(
        tests=str(Path(__file__).parent),
        root=str(ROOT),
        results=str(results),
        settings=json.dumps(settings),
        pack=str(pack),
    )
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True, env=environment)


def end_midway(process: subprocess.Popen, results: Path, number: signal.Signals) -> str:
    """Send a signal once the process has made a checkpoint of its own; its stderr."""
    before = set(results.glob(".store/*/state/step*.pt"))
    for _ in range(6000):
        if set(results.glob(".store/*/state/step*.pt")) - before:
            break
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.01)
    process.send_signal(number)
    return process.communicate(timeout=60)[1]


def test_fresh_processes_go_on_where_others_were_ended(small_pack, tmp_path):
    """SIGKILL to the first, SIGTERM to the second, each in an interpreter of its own, as the workflow starts them."""
    settings, results = cell("barlowtwins", epochs=16), tmp_path / "ended"
    first = start(settings, small_pack, results)
    end_midway(first, results, signal.SIGKILL)
    assert first.returncode == -signal.SIGKILL
    second = start(settings, small_pack, results)
    (line,) = [line for line in end_midway(second, results, signal.SIGTERM).splitlines() if line]
    assert second.returncode == 1
    assert line.startswith("sslbench: stopped by SIGTERM after step") and "checkpoint written" in line
    log = (results / "log").read_text()
    assert "resumed after step" in log and line in log and "Traceback" not in log
    assert not (results / "cell").exists(), "something unfinished stands where results belong"
    assert same(run(settings, small_pack, tmp_path / "straight"), run(settings, small_pack, results))
