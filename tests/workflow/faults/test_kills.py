"""SIGKILL at any moment of any stage, then the same command again: the bytes of an undisturbed run.

Kills come before a given file-system call of the job (so that every renaming, linking and syncing is hit, and the same
one again tomorrow), at a given byte of a file (the kernel ends the process in the middle of a write), and after a time.
"""

import random
import shutil
import signal
import time
from pathlib import Path

import pytest

from tests.tally import survived
from tests.workflow.faults.conftest import Undisturbed
from tests.workflow.faults.stages import STAGES, Nursery

pytestmark = pytest.mark.fault

NAMES = {
    "pretrain": "train",
    "embed": "evaluate",
    "speed": "evaluate",
    "labelfree": "evaluate",
    "look": "evaluate",
    "gallery": "report",
    "collect": "report",
    "album": "report",
}  # in the table
CALLS, BYTES, MOMENTS = 40, 6, 24  # kills of each kind and stage in the long form


def named(stage: str) -> str:
    return NAMES.get(stage, stage)


def forget(nursery: Nursery, stage: str) -> None:
    """As before the stage ever ran; what comes after it stays."""
    jobs = nursery.jobs
    if stage == "fetch":
        shutil.rmtree(nursery.folder / "data/sources", ignore_errors=True)
    if stage == "pack":
        shutil.rmtree(nursery.folder / "data/packed", ignore_errors=True)
    if stage == "pretrain":
        shutil.rmtree(nursery.folder / "results/.store", ignore_errors=True)
    for file in jobs.files[stage]:
        (nursery.folder / file).unlink(missing_ok=True)


def recount(nursery: Nursery, stage: str) -> list[str]:
    """What a stage asks of the file system each time that it is run again: the first time verifies the pack's copy."""
    forget(nursery, stage)
    nursery.must(stage)
    forget(nursery, stage)
    assert nursery.run(stage, calls=True) == 0
    forget(nursery, stage)
    return nursery.calls.read_text().splitlines()


def end(undisturbed: Undisturbed, nursery: Nursery, stage: str) -> None:
    """The plain re-run."""
    nursery.must(stage)
    undisturbed.same(nursery.folder)
    forget(nursery, stage)


def spread(count: int, most: int) -> list[int]:
    """Up to ``most`` of 1..count, evenly, with the first and the last."""
    return sorted({1 + round(i * (count - 1) / max(1, most - 1)) for i in range(most)})


def critical(calls: list[str]) -> list[int]:
    """Positions of the calls that make something visible: renaming, linking, syncing."""
    return [i for i, call in enumerate(calls, 1) if call.startswith(("os.rename", "os.link", "fsync", "synced"))]


def killed_at(undisturbed: Undisturbed, nursery: Nursery, stage: str, places: list[int]) -> int:
    for place in places:
        assert nursery.run(stage, fault={"kill_at": place}) == -signal.SIGKILL, (stage, place)
        end(undisturbed, nursery, stage)
    survived("SIGKILL before a file-system call", named(stage), len(places))
    return len(places)


@pytest.mark.parametrize("stage", ["fetch", "pack", "pretrain", "evaluate", "report"])
def test_killed_while_publishing_a_stage_ends_with_the_same_bytes(undisturbed, tmp_path, stage):
    """One kill: before the renaming that makes its last result visible, or the linking of it."""
    nursery = undisturbed.again(tmp_path / "killed")
    forget(nursery, stage)
    renamed = [i for i, call in enumerate(undisturbed.calls[stage], 1) if call.startswith("os.rename")]
    killed_at(undisturbed, nursery, stage, renamed[-1:])


def test_a_training_killed_between_two_checkpoints_goes_on_from_the_last_one(undisturbed, tmp_path):
    nursery = undisturbed.again(tmp_path / "killed")
    forget(nursery, "pretrain")
    saved = [i for i, call in enumerate(undisturbed.calls["pretrain"], 1) if "step000" in call and "rename" in call]
    saved = saved or [i for i, call in enumerate(undisturbed.calls["pretrain"], 1) if "writing.tmp" in call][3:]
    assert nursery.run("pretrain", fault={"kill_at": saved[-1]}) == -signal.SIGKILL
    nursery.must("pretrain")
    assert "resumed after step" in nursery.log("pretrain")
    undisturbed.same(nursery.folder)
    survived("SIGKILL before a file-system call", "train")


def test_a_killed_packing_leaves_no_processes(undisturbed, tmp_path):
    nursery = undisturbed.again(tmp_path / "killed")
    forget(nursery, "pack")
    decoding = [i for i, call in enumerate(undisturbed.calls["pack"], 1) if "pixels.bin" in call]
    # The next call but one: the workers have begun.
    pid = nursery.start("pack", fault={"kill_at": decoding[0] + 2})
    assert nursery.wait() == -signal.SIGKILL
    until = time.monotonic() + 20
    while members := group(pid):
        assert time.monotonic() < until, members
        time.sleep(0.05)
    end(undisturbed, nursery, "pack")
    survived("SIGKILL while processes decode", "pack")


def group(number: int) -> list[str]:
    """Processes of a group that are not dead."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, its = path.read_text().rpartition(")")[2].split()[:3]
        except OSError:
            continue
        if int(its) == number and state not in "ZX":
            found.append(path.parent.name)
    return found


@pytest.mark.long
@pytest.mark.parametrize("stage", STAGES)
def test_killed_before_any_file_system_call_a_stage_ends_with_the_same_bytes(undisturbed, tmp_path, stage):
    nursery = undisturbed.again(tmp_path / "killed")
    calls = recount(nursery, stage)
    aimed = critical(calls)
    aimed = [aimed[i - 1] for i in spread(len(aimed), CALLS // 2)]
    assert killed_at(undisturbed, nursery, stage, sorted({*aimed, *spread(len(calls), CALLS // 2)})) >= 7


@pytest.mark.long
@pytest.mark.parametrize("stage", STAGES)
def test_ended_in_the_middle_of_a_write_a_stage_ends_with_the_same_bytes(undisturbed, tmp_path, stage):
    nursery = undisturbed.again(tmp_path / "killed")
    made = [undisturbed.folder / file for file in nursery.jobs.files[stage]]
    if stage == "pack":
        made.append(undisturbed.folder / nursery.jobs.pack / "pixels.bin")
    if stage == "fetch":
        made += (undisturbed.folder / "data/sources").rglob("*.tar")
    largest = max(file.stat().st_size for file in made)
    if stage == "speed":  # what is measured has more digits at one time than at another
        largest //= 2
    forget(nursery, stage)
    count = 0
    for place in spread(largest - 1, BYTES):
        code = nursery.run(stage, fault={"kill_at_byte": place})
        assert code == -signal.SIGXFSZ, (stage, place, code)
        end(undisturbed, nursery, stage)
        count += 1
    survived("killed in the middle of a write", named(stage), count)


@pytest.mark.long
@pytest.mark.parametrize("stage", STAGES)
def test_killed_at_random_moments_a_stage_ends_with_the_same_bytes(undisturbed, tmp_path, stage):
    """Up to three kills in a row, each somewhere in the stage's own time, and then it is left alone."""
    nursery = undisturbed.again(tmp_path / "killed")
    forget(nursery, stage)
    begin = time.monotonic()
    nursery.must(stage)
    lasts, chance, kills = time.monotonic() - begin, random.Random(f"kills of {stage}"), 0
    forget(nursery, stage)
    for _ in range(20 * MOMENTS):
        for _ in range(chance.randint(1, 3)):
            kills += nursery.kill_after(stage, chance.uniform(0.0, 1.1) * lasts) == -signal.SIGKILL
        end(undisturbed, nursery, stage)
        if kills >= MOMENTS:
            break
    assert kills >= MOMENTS
    survived("SIGKILL at a random moment", named(stage), kills)
