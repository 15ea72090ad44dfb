"""A cell on two processes: the result of one, whatever interrupts it, and nothing left behind. CPU and gloo."""

import csv
import io
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import safetensors.torch
import torch
from small_cells import EQUAL, cell, run, send
from timm.layers import EvoNorm2dB0

from sslbench.errors import UserError
from sslbench.nn.sync_batchnorm import synchronise
from sslbench.store import code_check
from sslbench.training import process_group
from sslbench.training.dataloader import Stream
from sslbench.training.device import Device
from sslbench.training.prefetch import Prepared
from sslbench.training.run import Interrupted
from sslbench.training.trainer import build_method
from tests.tally import survived


def two_device_cell() -> dict:
    """A queue, shuffled groups, a momentum network, two parts a step, an online head: all that could drift apart."""
    settings = cell("moco", accumulate=2, recipe={"optimizer": "sgd", "base_lr": 0.01, "warmup_epochs": 0})
    settings["method"]["options"] |= {
        "statistics_group": 4,
        "key_batch_norm": "shuffle",
        "symmetric": False,
        "temperature": 0.2,
    }
    return settings


def others(of: int) -> list[int]:
    """Process ids of the ranks that the process ``of`` has started."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
            command = stat.with_name("cmdline").read_bytes().split(b"\0")
        except (OSError, IndexError):
            continue
        if parent == of and any(b"sslbench.training.worker" in word for word in command):
            found.append(int(stat.parent.name))
    return found


def gone(pid: int) -> bool:
    """Within a minute: one that was still importing notices afterwards that nobody is there."""
    for _ in range(1200):
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.05)
    return False


@pytest.fixture(scope="module")
def straight(small_pack, tmp_path_factory) -> dict[str, bytes]:
    return run(two_device_cell(), small_pack, tmp_path_factory.mktemp("straight"), devices=2)


def test_two_processes_give_the_result_of_one_within_rounding(small_pack, tmp_path, straight):
    alone = run(two_device_cell(), small_pack, tmp_path)
    weights = [safetensors.torch.load(files["backbone.safetensors"]) for files in (alone, straight)]
    assert weights[0].keys() == weights[1].keys()
    for name, value in weights[0].items():
        torch.testing.assert_close(weights[1][name], value, rtol=1e-3, atol=1e-4)
    curves = [list(csv.DictReader(io.StringIO(files["curve.csv"].decode()))) for files in (alone, straight)]
    assert len(curves[0]) == len(curves[1]) == 2 and curves[0][0].keys() == curves[1][0].keys()
    for one, two in zip(*curves, strict=True):
        assert {k: float(v) for k, v in two.items()} == pytest.approx({k: float(v) for k, v in one.items()}, rel=1e-3)
    runs = [json.loads(files["run.json"]) for files in (alone, straight)]
    assert runs[0] == runs[1], "the number of devices stands in what must be equal"
    assert [json.loads(f["ledger.json"])["devices"] for f in (alone, straight)] == [1, 2]


def test_one_process_stops_and_two_go_on(small_pack, tmp_path, straight, after_step):
    after_step(2, send(signal.SIGTERM))
    with pytest.raises(Interrupted, match="stopped by SIGTERM after step 2"):
        run(two_device_cell(), small_pack, tmp_path)
    resumed = run(two_device_cell(), small_pack, tmp_path, devices=2)
    weights = [safetensors.torch.load(files["backbone.safetensors"]) for files in (resumed, straight)]
    for name, value in weights[1].items():
        torch.testing.assert_close(weights[0][name], value, rtol=1e-3, atol=1e-4)
    assert [r["step"] for r in json.loads(resumed["ledger.json"])["resumed"]] == [2]


DRIVER = """
import json, sys
from pathlib import Path
sys.path[:0] = [{tests!r}, {root!r}]
from small_cells import run
from sslbench.jobs.log import job_log
with job_log(Path({results!r}) / "log") as log:
    run(json.loads({settings!r}), Path({pack!r}), Path({results!r}), devices=2, checkpoint_minutes=0, progress=log)
"""


def start(settings: dict, pack: Path, results: Path) -> subprocess.Popen:
    tests, root = str(Path(__file__).parent), str(Path(__file__).parents[2])
    code = DRIVER.format(tests=tests, root=root, results=str(results), settings=json.dumps(settings), pack=str(pack))
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", code], stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True
    )


@pytest.mark.long
def test_whatever_dies_it_ends_in_one_line_and_then_in_the_same_bytes(small_pack, tmp_path, straight, after_step):
    """The other process is killed; then both get a signal; then rank 0 is killed; then a run to the end."""
    settings = two_device_cell()
    after_step(2, lambda: [os.kill(pid, signal.SIGKILL) for pid in others(os.getpid())])
    text = r"^the process of device 1 \(of 2, from 0\) was killed by SIGKILL; the last checkpoint is kept"
    with pytest.raises(UserError, match=text):
        run(settings, small_pack, tmp_path, devices=2, checkpoint_minutes=0)
    assert not others(os.getpid())
    survived("SIGKILL of one of two processes", "train")

    def to_both() -> None:
        for pid in [*others(os.getpid()), os.getpid()]:
            os.kill(pid, signal.SIGTERM)

    after_step(4, to_both)
    with pytest.raises(Interrupted, match="stopped by SIGTERM after step 4 of 6; checkpoint written"):
        run(settings, small_pack, tmp_path, devices=2)
    assert not others(os.getpid())
    survived("SIGTERM to both of two processes", "train")

    process = start(settings, small_pack, tmp_path)
    while not (left := others(process.pid)):
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.05)
    process.kill()
    process.communicate(timeout=60)
    assert all(gone(pid) for pid in left), "an orphan is left"
    survived("SIGKILL of rank 0", "train")

    assert not (tmp_path / "cell").exists(), "something unfinished stands where results belong"
    resumed = run(settings, small_pack, tmp_path, devices=2)
    assert {name: resumed[name] for name in EQUAL} == {name: straight[name] for name in EQUAL}


def test_a_batch_that_does_not_divide_is_refused_before_anything_starts(small_pack, tmp_path, monkeypatch):
    monkeypatch.setattr(process_group, "Others", None)
    with pytest.raises(UserError, match=r"accumulate: 1 part\(s\) on 3 device\(s\) do not divide the batch of 16"):
        run(cell("simclr"), small_pack, tmp_path, devices=3)


def test_what_depends_on_the_number_of_devices_is_refused():
    settings = cell("simclr")
    settings["backbone"]["options"] = {"drop_path_rate": 0.2}
    with pytest.raises(UserError, match=r"compute\.devices: DropPath drops at random"):
        synchronise(build_method(settings, 3))
    with pytest.raises(UserError, match=r"compute\.devices: EvoNorm2dB0 has batch statistics"):
        synchronise(torch.nn.Sequential(EvoNorm2dB0(8)))
    settings = cell("moco")
    settings["method"]["options"]["statistics_group"] = 5
    with pytest.raises(UserError, match="5 pictures, and 16 at a time make no equal groups for 2 devices"):
        build_method(settings, 3).check_pictures(100, 16, 2)


def test_a_process_that_waits_in_vain_for_a_dead_one_ends(monkeypatch, capfd):
    """NCCL waits for long: the watching thread ends rank 0, in one line."""
    ended = threading.Event()
    monkeypatch.setattr(process_group, "GRACE", 0.2)
    monkeypatch.setattr(process_group, "START", "input(); print('ready', flush=True); raise SystemExit('no such card')")
    monkeypatch.setattr(process_group.os, "_exit", lambda status: ended.set() if status == 1 else None)
    said = []
    waiting = process_group.Others({}, 2, said.append)
    assert ended.wait(20)
    waiting.end(0)
    (line,) = said
    assert line.startswith("the process of device 1 (of 2, from 0) ended: no such card; the last checkpoint is kept")
    assert f"sslbench: {line}" in capfd.readouterr().err


def test_processes_that_never_start_are_given_up_in_one_line(monkeypatch):
    monkeypatch.setattr(process_group, "LONGEST_START", 0.5)
    monkeypatch.setattr(process_group, "START", "import time; time.sleep(60)")
    began = time.monotonic()
    with pytest.raises(UserError, match=r"^the processes of the other devices did not start within 0\.\d+ minutes"):
        process_group.Others({}, 3, print)
    assert time.monotonic() - began < 20


def test_nobody_can_take_the_port_at_which_processes_will_meet():
    """From before the others start, which takes seconds."""
    meeting = process_group._meeting(2)
    with socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind(("127.0.0.1", meeting.port))


@pytest.mark.parametrize(("world", "accumulate"), [(2, 1), (2, 4), (4, 2)])
def test_a_process_is_sent_its_own_pictures_alone(world, accumulate):
    """The pictures that each rank gets ahead, cut as its views ask for them, are its shares of the parts."""
    batch, seen = torch.arange(16) * 10, []
    for part in range(accumulate):
        for rank in range(world):
            stream = Stream.__new__(Stream)
            stream.batch_size, stream.part_size = 16, 16 // accumulate
            stream.device = Device("cpu", {"precision": "fp32", "channels_last": False}, rank, world)
            mine = stream.mine(batch)
            start, stop = stream.device.shard(part * stream.part_size, (part + 1) * stream.part_size)
            pictures = SimpleNamespace(part=lambda a, b, mine=mine: mine[a:b])
            stream._ready = Prepared(batch, [], pictures, None)
            stream._staging = SimpleNamespace(receive=lambda *_: None)
            assert torch.equal(stream._pictures(batch, start, stop), batch[start:stop])
            seen += batch[start:stop].tolist()
    assert seen == batch.tolist()


def test_a_process_that_imported_other_sources_than_rank_0_ends_the_run(small_pack, tmp_path, monkeypatch):
    monkeypatch.setattr(code_check, "taken", lambda: {"sslbench.training.trainer": "0" * 64})
    with pytest.raises(UserError, match=r"device 1 .* ended: sslbench\.training\.trainer: the code"):
        run(two_device_cell(), small_pack, tmp_path, devices=2)
