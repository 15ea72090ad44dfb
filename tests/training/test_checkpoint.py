"""Checkpoints: what was saved comes back, and nothing that is broken is believed."""

import os

import pytest
import torch
from torch import nn

from sslbench.training import checkpoint


class Bank(nn.Module):
    """A memory bank as lightly keeps it: in a buffer that state_dict leaves out, and that takes shape at first use."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.register_buffer("bank", torch.zeros(size), persistent=False)


def test_buffers_outside_the_state_dict_are_kept_too():
    module, fresh = nn.Sequential(nn.BatchNorm1d(3), Bank(4)), nn.Sequential(nn.BatchNorm1d(3), Bank(0))
    module[0].running_mean.fill_(2.0)
    module[1].bank += 5
    checkpoint.load_module_state(fresh, checkpoint.module_state(module))
    assert torch.equal(fresh[1].bank, torch.full((4,), 5.0)) and fresh[0].running_mean.tolist() == [2.0] * 3


def test_the_newest_comes_back_as_it_was_and_two_are_kept(tmp_path):
    for step in (9, 10, 11):
        state = {"step": step, "w": torch.arange(6.0).reshape(1, 2, 1, 3).to(memory_format=torch.channels_last)}
        checkpoint.save(tmp_path, step, state)
    loaded = checkpoint.newest(tmp_path, pytest.fail)
    assert loaded["step"] == 11 and torch.equal(loaded["w"], state["w"]) and loaded["w"].stride() == state["w"].stride()
    assert [path.name[:14] for path in sorted(tmp_path.iterdir())] == ["step0000000010", "step0000000011"]


@pytest.mark.parametrize("damage", ["flipped", "cut", "empty"])
def test_a_damaged_one_is_set_aside_and_the_one_before_it_is_used(tmp_path, damage):
    checkpoint.save(tmp_path, 1, {"step": 1})
    path = checkpoint.save(tmp_path, 2, {"step": 2, "w": torch.zeros(1000)})
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes({"flipped": content, "cut": content[: len(content) // 2], "empty": b""}[damage])
    lines = []
    assert checkpoint.newest(tmp_path, lines.append)["step"] == 1
    assert len(lines) == 1 and path.name in lines[0] and "set aside as" in lines[0]
    assert not path.exists() and path.with_name(f"{path.name}.broken-1").exists()


class Payload:
    """Unpickled without care, it writes a file."""

    def __init__(self, path) -> None:
        self.path = path

    def __reduce__(self):
        return (os.mkdir, (str(self.path),))


def test_a_checkpoint_from_elsewhere_runs_no_code(tmp_path):
    checkpoint.save(tmp_path / "state", 3, {"step": 3, "payload": Payload(tmp_path / "owned")})
    lines = []
    assert checkpoint.newest(tmp_path / "state", lines.append) is None
    assert "set aside" in lines[0] and "starts anew" in lines[1] and not (tmp_path / "owned").exists()


def test_a_full_disk_costs_one_checkpoint_and_leaves_the_others(tmp_path, monkeypatch):
    checkpoint.save(tmp_path, 1, {"step": 1})

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint._Hashing, "write", full)
    with pytest.raises(OSError):
        checkpoint.save(tmp_path, 2, {"step": 2, "w": torch.zeros(1000)})
    monkeypatch.undo()
    assert checkpoint.newest(tmp_path, pytest.fail) == {"step": 1} and len(list(tmp_path.iterdir())) == 1


def test_no_checkpoint_is_none(tmp_path):
    assert checkpoint.newest(tmp_path / "nothing", pytest.fail) is None
