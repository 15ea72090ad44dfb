"""Where a GPU cannot be had or its lock cannot lie, one line says what to change; what is not needed costs nothing."""

import errno
import io
import os
from pathlib import Path

import pytest

from sslbench.errors import UserError
from sslbench.jobs import gpu_slots

UUIDS = ["GPU-aa10", "GPU-aa20", "GPU-bb30"]


@pytest.fixture
def machine(tmp_path, monkeypatch) -> Path:
    monkeypatch.setattr(gpu_slots, "_machine", lambda: [[gpu_slots.Card(uuid)] for uuid in UUIDS])
    monkeypatch.setenv(gpu_slots.FOLDER, str(tmp_path / "locks"))
    monkeypatch.delenv(gpu_slots.VISIBLE, raising=False)
    return tmp_path


def fails(number: int):
    def call(*_):
        raise OSError(number, os.strerror(number))

    return call


def test_a_place_that_cannot_hold_locks_is_named_in_one_line(machine, monkeypatch):
    for make in (lambda place: place.touch(), lambda place: place.symlink_to("/nowhere/x")):
        make(machine / "locks")
        with (
            pytest.raises(UserError, match=f"cannot lie here.*{gpu_slots.FOLDER}"),
            gpu_slots.gpu("cuda", io.StringIO()),
        ):
            pass
        (machine / "locks").unlink()
    monkeypatch.setattr(gpu_slots.fcntl, "flock", fails(errno.ENOLCK))
    with (
        pytest.raises(UserError, match=f"No locks available.*{gpu_slots.FOLDER}"),
        gpu_slots.gpu("cuda", io.StringIO()),
    ):
        pass
    assert gpu_slots._held == set()


def test_a_full_disk_costs_the_note_of_who_holds_a_card_and_not_the_job(machine, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(gpu_slots.os, "write", fails(errno.ENOSPC))
        with gpu_slots.gpu("cuda", io.StringIO()):
            assert os.environ[gpu_slots.VISIBLE] == UUIDS[0]
    assert gpu_slots._held == set()


def test_too_many_devices_are_refused_with_the_keys_to_change(machine):
    keys = r"lower compute\.devices, or compute\.jobs\.<rule>\.gpus"
    with pytest.raises(UserError, match=keys), gpu_slots.gpu("cuda", io.StringIO(), 4):
        pass
