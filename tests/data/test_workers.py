"""Decoding in several processes: the same pictures in the same order as in one, however their pixels travel."""

import os
import signal
from pathlib import Path

import numpy as np
import pytest

from sslbench.data.pack import workers
from sslbench.data.pack.decode import Decoded
from sslbench.errors import UserError
from tests.data.data_samples import picture, save

COUNT = 150  # 10 chunks: more than the slots of two processes


@pytest.fixture
def names(tmp_path: Path) -> list[str]:
    """Pictures of many sizes; every 17th is none, the last ones are grey."""
    names = [f"{i:03}.png" for i in range(COUNT)]
    for i, name in enumerate(names):
        save(tmp_path / name, picture(i, 5 + i % 7, 4 + i % 11))
        if i % 17 == 3:
            (tmp_path / name).write_bytes(b"no picture")
    return names


def copied(found: list[Decoded | str]) -> list:
    return [one if isinstance(one, str) else one._replace(pixels=one.pixels.copy()) for one in found]


def all_of(root: Path, names: list[str], size: int, jobs: int) -> list:
    return [one for chunk in workers.decoded(root, names, size, jobs) for one in copied(chunk)]


@pytest.mark.parametrize("slot", [1 << 23, 500, 0], ids=["shared", "some overflow", "all through the pipe"])
@pytest.mark.parametrize("jobs", [2, 3])
def test_processes_return_what_one_process_returns(
    slot: int, jobs: int, names: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if slot == 0:
        monkeypatch.setattr(workers.sys, "platform", "somewhere else")  # no shared memory there
    else:
        monkeypatch.setattr(workers, "SLOT", slot)
    alone, together = all_of(tmp_path, names, 6, 1), all_of(tmp_path, names, 6, jobs)
    assert len(alone) == len(together) == COUNT
    for i, (one, other) in enumerate(zip(alone, together, strict=True)):
        if i % 17 == 3:
            assert one == other == "is no picture that can be read"
        else:
            assert np.array_equal(one.pixels, other.pixels) and one[1:] == other[1:]


def test_a_chunks_pixels_stay_until_the_next_is_asked_for(names: list[str], tmp_path: Path) -> None:
    for chunk in workers.decoded(tmp_path, names, 6, 2):
        before = copied(chunk)
        signal.sigtimedwait([], 0.01)  # the processes go on meanwhile
        for one, other in zip(before, chunk, strict=True):
            assert one == other if isinstance(one, str) else np.array_equal(one.pixels, other.pixels)


def test_a_process_that_dies_is_one_line_that_names_the_place(
    names: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = workers.decode_file

    def crash(file: Path, *how: int | str) -> Decoded | str:
        if file.name == "070.png":
            os.kill(os.getpid(), signal.SIGKILL)
        return real(file, *how)

    monkeypatch.setattr(workers, "decode_file", crash)
    with pytest.raises(UserError, match=r"decoding process died at or after '0\d\d.png': .*pack_jobs: 1") as caught:
        all_of(tmp_path, names, 6, 2)
    assert "\n" not in str(caught.value)
