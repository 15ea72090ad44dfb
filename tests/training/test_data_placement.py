"""Where the pixels live: chosen by what is free, said in one line, and without any influence on a result."""

from pathlib import Path

import pytest
import torch

from sslbench.data.pack.read import PackedSet
from sslbench.errors import UserError
from sslbench.training import data_placement
from sslbench.training.data_placement import host_available, locked_size, place
from sslbench.training.device import Device
from tests.data.data_samples import make_folder, packed, settings_of

TRAIN = {"precision": "fp32", "channels_last": True}


@pytest.fixture
def pack(tmp_path: Path) -> PackedSet:
    return PackedSet.open(packed(settings_of("folder", path=make_folder(tmp_path)), tmp_path, pack_size=9))


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Device:
    """A device that says it is a GPU and notes in ``moves`` what would be done with its memory."""
    device = Device("cpu", TRAIN)
    device.cuda, device.moves = True, []
    monkeypatch.setattr(PackedSet, "to", lambda self, where: device.moves.append(f"to {where}"))
    monkeypatch.setattr(PackedSet, "load", lambda self, pin: device.moves.append(f"load, pin={pin}"))
    return device


def free(monkeypatch: pytest.MonkeyPatch, gpu: int, host: int) -> None:
    monkeypatch.setattr(data_placement, "device_free", lambda _device: gpu)
    monkeypatch.setattr(data_placement, "host_available", lambda: host)


def test_the_fastest_place_with_room_is_taken_and_named_with_its_reason(
    pack: PackedSet, gpu: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = pack.manifest["bytes"]
    for on_gpu, in_host, moves, words in (
        (2 * size, 0, ["to cpu"], "on the GPU (of "),
        (2 * size - 2, 2 * locked_size(size), ["load, pin=True"], "in page-locked memory"),
        (2 * size - 2, 2 * locked_size(size) - 2, [], "mapped from the pack's file"),
    ):
        free(monkeypatch, on_gpu, in_host)
        gpu.moves.clear()
        line = place(pack, gpu)
        assert gpu.moves == moves and words in line and "\n" not in line
        assert line.startswith("pictures: 0.0045 MB"), line


@pytest.mark.parametrize(("wanted", "words"), [("device", "on the GPU: "), ("pinned", "in memory: ")])
def test_a_place_asked_for_without_room_is_refused_with_both_sizes(
    wanted: str, words: str, pack: PackedSet, gpu: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    free(monkeypatch, 1000, 1000)
    with pytest.raises(UserError, match=r"compute.placement is .* are 0.0045 MB .*" + words + r"0\.001 MB") as caught:
        place(pack, gpu, wanted)
    assert "\n" not in str(caught.value) and gpu.moves == []


def test_a_place_asked_for_is_taken_up_to_the_last_byte(
    pack: PackedSet, gpu: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = pack.manifest["bytes"]
    free(monkeypatch, size, locked_size(size))
    for wanted, moves in (("device", ["to cpu"]), ("pinned", ["load, pin=True"]), ("mapped", [])):
        gpu.moves.clear()
        assert "as compute.placement says" in place(pack, gpu, wanted)
        assert gpu.moves == moves


def test_memory_that_cannot_be_locked_leaves_the_file_mapped(
    pack: PackedSet, gpu: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_self: PackedSet, pin: bool) -> None:
        raise RuntimeError("CUDA error: out of memory\nand more")

    free(monkeypatch, 0, 10**9)
    monkeypatch.setattr(PackedSet, "load", refuse)
    assert place(pack, gpu).endswith("locking memory failed: CUDA error: out of memory)")


def test_pixels_are_the_same_in_every_place_on_a_cpu(pack: PackedSet) -> None:
    indices = torch.tensor([14, 3, 0])
    before = [picture.clone() for picture in map(pack.batch(indices).picture, range(3))]
    for wanted, words in (("auto", "training on the CPU"), ("mapped", "mapped"), ("pinned", "in memory")):
        at = pack.batch(indices).buffer.data_ptr()
        assert words in place(pack, Device("cpu", TRAIN), wanted)
        assert all(torch.equal(pack.batch(indices).picture(i), before[i]) for i in range(3))
        assert (pack.batch(indices).buffer.data_ptr() == at) == (wanted != "pinned")
        pack.expect(indices)


def test_available_memory_is_bounded_by_every_control_group_above(tmp_path: Path) -> None:
    def write(name: str, text: str) -> None:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)

    write("proc/meminfo", "MemTotal:  9000 kB\nMemAvailable:  8000 kB\n")
    write("proc/self/cgroup", "0::/job/step\n")
    assert host_available(tmp_path) == 8000 * 1024
    group = "sys/fs/cgroup/job"
    write(f"{group}/step/memory.max", "max\n")
    write(f"{group}/memory.max", "3000000\n")
    write(f"{group}/memory.current", "2000000\n")
    write(f"{group}/memory.stat", "anon 1200000\nfile 800000\n")
    assert host_available(tmp_path) == 1_800_000
    assert 0 < host_available() < 2**44


def test_locked_sizes_are_powers_of_two() -> None:
    assert [locked_size(size) for size in (1, 1024, 1025, 3 * 2**30)] == [1, 1024, 2048, 2**32]
