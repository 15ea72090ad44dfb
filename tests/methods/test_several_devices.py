"""Every method on two processes of half a batch each is the method on one process: loss, gradients, and what it keeps.

In float64, over two steps, so that queues, centres and running statistics of the first are used in the second.
"""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from several_ranks import CASES, trained

from sslbench import registry
from tests.methods.test_every_method import facts

pytestmark = pytest.mark.parity

ROOT = Path(__file__).parents[2]
WITHIN = 1e-10  # of the largest value of each tensor


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def pair(tmp_path_factory, request) -> list[dict]:
    """What each of two processes found, in all cases that are asked for."""
    here = [item for item in request.session.items if item.path == request.path and hasattr(item, "callspec")]
    names = dict.fromkeys(item.callspec.params["name"] for item in here)
    folder, port = tmp_path_factory.mktemp("ranks"), _free_port()
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    program = Path(__file__).with_name("several_ranks.py")
    command = [sys.executable, program, "2", str(port), folder, *names]
    done = subprocess.run(command, env=environment, stderr=subprocess.PIPE, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return [torch.load(folder / f"{rank}.pt") for rank in (0, 1)]


def test_every_method_that_says_so_is_here():
    said = {name for name in [*registry.METHODS, "supervised"] if facts(name).several_devices}
    assert {it.method for it in CASES.values()} == said
    assert said >= {"simclr", "moco", "swav", "dino", "mae", "supervised"}


@pytest.mark.parametrize("name", CASES)
def test_two_processes_train_as_one_does(name, pair):
    one, two = trained(CASES[name]), pair[0][name]
    for step, (expected, found) in enumerate(zip(one, two, strict=True)):
        for kind, tensors in expected.items():
            assert found[kind].keys() == tensors.keys()
            for key, value in tensors.items():
                far = (found[kind][key].double() - value.double()).abs().max().item() if value.numel() else 0.0
                limit = WITHIN * max(1.0, value.double().abs().max().item() if value.numel() else 0.0)
                assert far <= limit, f"step {step}: {kind} of {key} differ by {far:.2g}"
    assert any(g.abs().max() > 1e-6 for g in one[-1]["gradients"].values())


@pytest.mark.parametrize("name", CASES)
def test_both_processes_hold_the_same_bits(name, pair):
    for mine, other in zip(pair[0][name], pair[1][name], strict=True):
        for kind in mine:
            assert all(torch.equal(mine[kind][key], other[kind][key]) for key in mine[kind])
