"""Where residual gains begin under each preset, and that they are not stuck there: LARS could not move them from 0."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from harness import SHORT, Ours, cell, resolved

from sslbench import registry
from sslbench.data.layouts import shapes
from sslbench.data.pack.read import PackedSet
from sslbench.data.pack.write import pack
from sslbench.data.sources.fetch import fetch
from sslbench.training.device import computing
from sslbench.training.monitor.ledger import Ledger
from sslbench.training.trainer import Training

pytestmark = pytest.mark.parity

BATCH, STEPS = 64, 300


def gains(method: torch.nn.Module) -> Iterator[torch.Tensor]:
    """The last gain of each residual branch of test_resnet, which has a bottleneck in its third stage."""
    for number, last in ((1, "bn2"), (2, "bn2"), (3, "bn3"), (4, "bn2")):
        yield method.backbone.model.get_parameter(f"layer{number}.0.{last}.weight").detach()


@pytest.mark.parametrize(
    ("name", "authors"), [("simclr", 0), ("byol", 1), ("barlowtwins", 0), ("vicreg", 0), ("vicregl", 0)]
)
def test_residual_gains_begin_where_each_script_begins_them(name, authors):
    """lightly's script builds torchvision's resnet18, whose gains are 1."""
    for preset, begin in (("lightly", 1), ("authors", authors)):
        narrow = {field: 8 for field in ("hidden_dim", "out_dim")}
        found = torch.cat(list(gains(Ours(name, preset, SHORT, narrow).method)))
        assert found.tolist() == [begin] * len(found)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> PackedSet:
    settings, made = shapes.Settings(), tmp_path_factory.mktemp("drawn")
    fetch(settings, made / "source")
    pack(settings, made / "source" / "source.json", Path(made / "pack"), 32)
    return PackedSet.open(made / "pack")


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "preset", "recipe"),
    [("vicreg", "lightly", {}), ("vicreg", "authors", {}), ("simclr", "lightly", {"optimizer": "lars"})],
)
def test_after_300_steps_on_drawn_images_no_residual_branch_is_off_and_the_loss_has_fallen(drawn, name, preset, recipe):
    chosen = resolved(name, preset, {"hidden_dim": 64, "out_dim": 64}, recipe)
    epochs = -(-STEPS * BATCH // len(drawn.split("official")["train"]))
    simclr = registry.load(registry.TRANSFORMS["simclr"]).Settings()
    settings = cell(name, chosen, epochs)
    settings["backbone"]["options"] = {}
    settings["transform"] = [[o.model_dump(mode="json") for o in simclr.branch(i)] for i in (0, 1)]
    settings["train"] |= {"batch_size": BATCH, "channels_last": True}
    with computing("cpu", 1, settings["train"]) as device:
        training = Training(settings, drawn, device, Ledger(device, 1))
        while training.step < STEPS:
            training.advance()
    assert min(gain.square().mean().sqrt().item() for gain in gains(training.method)) > 0.1
    assert training.rows[-1]["loss"] < training.rows[0]["loss"]
