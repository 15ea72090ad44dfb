"""What only a GPU can show. Run on one: python -m pytest tests/training/test_gpu.py -v"""

import contextlib
import warnings

import pytest
import torch
from small_cells import EQUAL, cell, run

from sslbench import registry
from sslbench.data.layouts import folder
from sslbench.data.pack.read import PackedSet
from sslbench.training.device import computing
from sslbench.training.monitor.ledger import Ledger
from sslbench.training.trainer import Training
from sslbench.transforms.gpu import crop_and_operations

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU: torch finds none here")


@contextlib.contextmanager
def trained(settings: dict, folder, device: str):
    with computing(device, 1, settings["train"]) as place:
        pack = PackedSet.open(folder)
        if place.cuda:
            pack.to(place.torch)
        with contextlib.closing(Training(settings, pack, place, Ledger(place, 1))) as training:
            yield training


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("name", [*registry.METHODS, "supervised"])
def test_no_call_inside_an_epoch_waits_for_the_gpu(name, precision, small_pack):
    with trained(cell(name, precision=precision, epochs=9, measure_every=100), small_pack, "cuda") as training:
        for _ in range(2 * training.steps_per_epoch):  # compiles, allocates, fills caches
            training.advance()
        torch.cuda.set_sync_debug_mode("error")
        try:
            for _ in range(training.steps_per_epoch - 1):  # the last of an epoch reads the curve's means
                training.advance()
        finally:
            torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("transform", list(registry.TRANSFORMS))
def test_views_are_those_of_the_cpu(transform, small_pack):
    settings = cell("simclr")
    chosen = registry.load(registry.TRANSFORMS[transform]).Settings()
    settings["transform"] = [[o.model_dump(mode="json") for o in chosen.branch(i)] for i in (0, 1)]
    made = {}
    for device in ("cpu", "cuda"):
        with trained(settings, small_pack, device) as training:
            indices = training.stream.indices(0, 0)
            views = training.stream.views(indices, training.stream.draw(0, 0, indices), 0, len(indices))
            made[device] = [view.images.cpu() for view in views]
    for ours, theirs in zip(made["cuda"], made["cpu"], strict=True):
        difference = (ours - theirs).abs()
        # A level of 1/255 where a crop's rounding ties fall otherwise; rotations of colour steps amplify it.
        assert difference.mean() < 1e-3 and (difference > 0.05).float().mean() < 1e-3


@pytest.mark.skipif(not crop_and_operations.usable(), reason="needs triton")
def test_views_compile_without_falling_back(small_pack):
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="views: going on uncompiled")
        with trained(cell("vicregl", options={"form": "lightly-1.2"}), small_pack, "cuda") as training:
            training.advance()
    assert crop_and_operations.GRAPHS and not any(graph.failed for graph in crop_and_operations.GRAPHS)


@pytest.mark.skipif(not crop_and_operations.usable(), reason="needs triton")
def test_batches_of_jpegs_need_no_graph_of_their_own(jpeg_pack, tmp_path):
    """Each batch decodes to another number of bytes; torch gives up after some tens of recompilations."""
    settings = cell("simclr", batch_size=8, epochs=40, measure_every=100)
    settings["dataset"]["split"] = folder.Settings(path="x").split_name()
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="views: going on uncompiled")
        run(settings, jpeg_pack, tmp_path, device="cuda")


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_same_run_twice_gives_the_same_bytes(precision, small_pack, tmp_path):
    first, second = (run(cell("byol", precision=precision), small_pack, tmp_path / n, device="cuda") for n in "ab")
    assert {n: first[n] for n in EQUAL} == {n: second[n] for n in EQUAL}


@pytest.mark.parametrize("kind", ["sgd", "adam", "adamw"])
def test_the_fused_optimiser_makes_the_steps_of_torchs_plain_one(kind):
    from sslbench.training import optimizers

    recipe = cell("simclr")["recipe"] | {"optimizer": kind}
    networks = []
    for device in ("cpu", "cuda"):
        torch.manual_seed(0)
        network = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.ReLU(), torch.nn.Linear(16, 4)).to(device)
        optimizer = optimizers.build(recipe, [{"params": network.parameters()}])
        optimizers.set_rates(optimizer, 0.01, 0.0)
        for step in range(5):
            for number, parameter in enumerate(network.parameters()):
                drawn = torch.Generator().manual_seed(10 * step + number)
                parameter.grad = torch.randn(parameter.shape, generator=drawn).to(device)
            optimizer.step()
        networks.append(network.cpu())
    for plain, fused in zip(*(n.parameters() for n in networks), strict=True):
        torch.testing.assert_close(fused, plain)
