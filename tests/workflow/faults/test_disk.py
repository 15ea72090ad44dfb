"""A disk that is full, or that refuses: one line that names the file, nothing half-written, and the re-run is right."""

import contextlib
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from sslbench.jobs.log import job_log
from sslbench.store import checksum
from tests.tally import survived
from tests.workflow.faults.conftest import Undisturbed
from tests.workflow.faults.stages import STAGES, Nursery, copy, leftovers, written
from tests.workflow.faults.test_kills import critical, forget, named, recount, spread

pytestmark = pytest.mark.fault

ROOM = {
    "fetch": 40,
    "pack": 160,
    "pretrain": 200,
    "embed": 8,
    "evaluate": 8,
    "speed": 0,
    "labelfree": 0,
    "look": 0,
    "gallery": 8,
    "collect": 8,
    "album": 8,
    "report": 8,
}
INTERRUPTS = 20  # of each stage in the long form
SIGNS = ("no disk space", "No space left", "free some space", "disk is full")


def shortly(cases: Iterable, few: Iterable) -> list:
    """Cases for parametrize; all but ``few`` are for the long form."""
    return [case if case in few else pytest.param(case, marks=pytest.mark.long) for case in cases]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 16 MB in memory."""
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=16m,mode=777", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True).returncode != 0:
        pytest.skip("only root may mount a small disk, and not in every container")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def fill(disk: Path, left: int) -> Path:
    """Leave ``left`` kilobytes."""
    free = shutil.disk_usage(disk).free - left * 1024
    file = disk / "filler"
    with file.open("wb") as stream:
        stream.write(b"\0" * max(0, free))
    return file


def unfinished(folder: Path, undisturbed: Undisturbed) -> list[str]:
    """Results that are there and not what they should be."""
    return [name for name, content in written(folder).items() if undisturbed.files.get(name) != content]


@pytest.mark.parametrize(
    "stage",
    shortly([stage for stage in STAGES if stage not in ("speed", "labelfree")], ["fetch", "pack", "pretrain", "embed"]),
)
def test_a_full_disk_is_one_line_and_with_room_the_stage_ends_right(undisturbed, small_disk, stage):
    nursery = undisturbed.again(small_disk / "project")
    forget(nursery, stage)
    filler = fill(small_disk, ROOM[stage])
    assert nursery.run(stage) == 1
    line = nursery.message()
    assert any(sign in line for sign in SIGNS), line
    assert str(nursery.jobs.files[stage][0].parts[0]) in line or str(small_disk) in line, line
    assert unfinished(nursery.folder, undisturbed) == []
    filler.unlink()
    nursery.must(stage)
    undisturbed.same(nursery.folder)
    survived("full disk", named(stage))


@pytest.mark.long
@pytest.mark.parametrize("stage", STAGES)
def test_a_disk_that_is_full_from_any_call_on_is_one_line(undisturbed, tmp_path, stage):
    """ENOSPC from every publishing call on, and from others spread over the stage, in turn."""
    nursery = undisturbed.again(tmp_path / "full")
    calls = recount(nursery, stage)
    aimed = critical(calls)
    places = sorted({*(aimed[i - 1] for i in spread(len(aimed), 10)), *spread(len(calls), 10)})
    count = 0
    for place in places:
        forget(nursery, stage)
        code = nursery.run(stage, fault={"full_at": place})
        if code == 0:  # only what it could do without was refused: a checkpoint, its log
            undisturbed.same_ledger(nursery) if stage == "pretrain" else None
        else:
            assert code == 1, place
            assert "run again" in nursery.message(), nursery.message()
        assert unfinished(nursery.folder, undisturbed) == [], place
        nursery.must(stage)
        undisturbed.same(nursery.folder)
        count += 1
    survived("disk full from a given call on", named(stage), count)


@pytest.fixture
def frozen(tmp_path: Path) -> Iterator[list[Path]]:
    """Paths put here cannot be changed, by root neither, until the test is over."""
    paths: list[Path] = []
    yield paths
    for path in paths:
        subprocess.run(["chattr", "-i", str(path)], capture_output=True)


def freeze(path: Path, frozen: list[Path]) -> None:
    if os.geteuid() != 0 or subprocess.run(["chattr", "+i", str(path)], capture_output=True).returncode != 0:
        pytest.skip("this file system, or a user who is not root, cannot make a file immutable")
    frozen.append(path)


@pytest.mark.parametrize("stage", shortly(["pack", "pretrain", "embed", "evaluate", "report"], ["embed", "report"]))
def test_a_folder_that_cannot_be_written_is_one_line_and_then_ends_right(undisturbed, tmp_path, frozen, stage):
    nursery = undisturbed.again(tmp_path / "frozen")
    forget(nursery, stage)
    folder = (nursery.folder / nursery.jobs.files[stage][0]).parent
    folder.mkdir(parents=True, exist_ok=True)
    freeze(folder, frozen)
    assert nursery.run(stage) == 1
    line = nursery.message()
    assert folder.name in line and "ermi" in line, line
    subprocess.run(["chattr", "-i", str(folder)], check=True)
    nursery.must(stage)
    undisturbed.same(nursery.folder)
    survived("folder without write permission", named(stage))


@pytest.mark.long
def test_a_store_that_another_user_owns_is_one_line(undisturbed, tmp_path):
    """The job runs as nobody, and the folders are root's."""
    if os.geteuid() != 0:
        pytest.skip("only root can run a job as somebody else")
    nursery = undisturbed.again(tmp_path / "owned")
    forget(nursery, "pretrain")
    for folder in (tmp_path, *list(tmp_path.parents)[:2]):
        folder.chmod(0o755)
    assert nursery.run("pretrain", fault={"nobody": True}) == 1
    line = nursery.message()
    assert "ermission denied" in line and ("results" in line or "data" in line), line
    nursery.must("pretrain")
    undisturbed.same_ledger(nursery)
    undisturbed.same(nursery.folder)
    survived("folder without write permission", "train")


SENT = [(number, group) for number in (signal.SIGTERM, signal.SIGINT) for group in (False, True)]


@pytest.mark.parametrize("sent", shortly(SENT, SENT[1:3]), ids=lambda sent: f"{sent[0].name}-{sent[1]}")
def test_a_signal_to_the_training_makes_it_checkpoint_first(undisturbed, tmp_path, sent):
    """To the process alone, or to its whole group."""
    number, whole_group = sent
    nursery = undisturbed.again(tmp_path / "stopped")
    forget(nursery, "pretrain")
    pid = nursery.start("pretrain")
    wait_for_a_checkpoint(nursery)
    (os.killpg if whole_group else os.kill)(pid, number)
    assert nursery.wait() == 1
    line = nursery.message()
    assert f"stopped by {number.name} after step" in line and "checkpoint written" in line
    assert not (nursery.folder / nursery.jobs.files["pretrain"][0]).exists()
    nursery.must("pretrain")
    assert "resumed after step" in nursery.log("pretrain")
    undisturbed.same_ledger(nursery)
    undisturbed.same(nursery.folder)
    survived(f"{number.name} to the {'process group' if whole_group else 'process'}", "train")


def wait_for_a_checkpoint(nursery: Nursery) -> None:
    until = time.monotonic() + 60
    while not list(nursery.folder.glob("results/.store/*/state/step*.pt")):
        assert time.monotonic() < until
        time.sleep(0.005)


@pytest.mark.parametrize("stage", ["pack", "evaluate"])
def test_ctrl_c_elsewhere_is_one_line_and_the_next_run_ends_right(undisturbed, tmp_path, stage):
    nursery = undisturbed.again(tmp_path / "stopped")
    forget(nursery, stage)
    log = nursery.folder / f"logs/{stage}.log"
    log.unlink(missing_ok=True)
    pid = nursery.start(stage)
    while not log.exists():  # it has begun
        time.sleep(0.002)
    os.killpg(pid, signal.SIGINT)
    assert nursery.wait() == 130
    assert "stopped by SIGINT" in nursery.message()
    assert [name for name in leftovers(nursery.folder) if "pixels" in name] == []
    nursery.must(stage)
    undisturbed.same(nursery.folder)
    survived("SIGINT", named(stage))


def test_ctrl_c_that_a_library_takes_for_an_error_of_its_own_is_no_damaged_file(tmp_path):
    """As safetensors does in the middle of a read."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    file = tmp_path / "features.safetensors"
    file.touch()
    try:
        with pytest.raises(SystemExit) as ended, job_log(tmp_path / "log"):
            try:
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(60)
            except KeyboardInterrupt:
                raise checksum.refuse(file, "cannot be read") from None
    finally:
        signal.signal(signal.SIGINT, before)
    assert ended.value.code == 130 and "stopped by SIGINT" in (tmp_path / "log").read_text()
    assert [path.name for path in tmp_path.iterdir() if path.name != "log"] == [file.name]


@pytest.mark.long
@pytest.mark.parametrize("stage", ["embed", "evaluate", "labelfree", "collect"])
def test_ctrl_c_at_random_moments_is_one_line_and_the_next_run_ends_right(undisturbed, tmp_path, stage):
    nursery = undisturbed.again(tmp_path / "stopped")
    recount(nursery, stage)
    begin = time.monotonic()
    nursery.must(stage)
    lasts, chance, stopped = time.monotonic() - begin, random.Random(f"interrupts of {stage}"), 0
    for _ in range(10 * INTERRUPTS):
        forget(nursery, stage)
        log = nursery.folder / f"logs/{stage}.log"
        log.unlink(missing_ok=True)
        pid = nursery.start(stage)
        while not log.exists():
            time.sleep(0.001)
        time.sleep(chance.uniform(0, lasts))
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGINT)
        code = nursery.wait()
        if code == 130:
            stopped += 1
            assert "stopped by SIGINT" in nursery.message()
        else:  # it was done, or has written all and was leaving
            assert code in (0, -signal.SIGINT), (code, nursery.stderr.read_text())
        nursery.must(stage)
        undisturbed.same(nursery.folder)
        if stopped == INTERRUPTS:
            break
    assert stopped == INTERRUPTS
    survived("SIGINT", named(stage), stopped)


def test_the_copy_that_these_tests_start_from_is_the_undisturbed_run(undisturbed, tmp_path):
    copy(undisturbed.folder, tmp_path / "copy")
    undisturbed.same(tmp_path / "copy")
    (tmp_path / "copy" / undisturbed.nursery.jobs.files["evaluate"][0]).write_text("{}")
    assert unfinished(tmp_path / "copy", undisturbed)
