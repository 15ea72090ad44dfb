"""What single methods promise: head sizes, views, prototypes, collapse values, refusals."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from pydantic import ValidationError
from torch import nn
from torch.nn.functional import adaptive_avg_pool2d

from sslbench import registry
from sslbench.errors import UserError
from sslbench.methods.base import Batch, spread
from sslbench.methods.vicregl.settings import Settings as VICRegL
from sslbench.nn.backbone import Backbone
from tests.methods.method_batches import build, make_batch

SMALL = {"hidden_dim": 16, "out_dim": 8}


def linear_shapes(module: nn.Module) -> list[tuple[int, int]]:
    return [(m.in_features, m.out_features) for m in module.modules() if isinstance(m, nn.Linear)]


def test_heads_over_resnet18_have_the_sizes_of_lightlys_imagenette_benchmark():
    def heads(name: str, **options: object) -> dict[str, list[tuple[int, int]]]:
        model = build(name, "resnet18", 64, options)
        return {key: linear_shapes(child) for key, child in model.named_children() if "backbone" not in key}

    expander = [(512, 2048), (2048, 2048), (2048, 2048)]
    assert heads("barlowtwins") == {"projection": expander}
    assert heads("vicreg") == {"projection": expander}
    assert heads("vicregl") == {"projection": expander, "local_projection": [(512, 128), (128, 128), (128, 128)]}
    assert heads("simclr") == {"projection": [(512, 512), (512, 128)]}
    assert heads("simsiam") == {"projection": expander, "prediction": [(2048, 512), (512, 2048)]}
    assert heads("swav") == {"projection": [(512, 2048), (2048, 128)], "prototypes": [(128, 3000)]}
    projection = [(512, 4096), (4096, 256)]
    assert heads("byol") == {
        "projection": projection,
        "prediction": [(256, 4096), (4096, 256)],
        "momentum_projection": projection,
    }
    projection = [(512, 2048), (2048, 128)]
    assert heads("moco") == {"projection": projection, "momentum_projection": projection}
    layers = [(512, 2048), (2048, 2048), (2048, 256)]
    assert heads("dino") == {"head": layers, "teacher_head": layers}
    assert heads("supervised", classes=555) == {"classifier": [(512, 555)]}
    assert heads("random") == {}


def test_simsiam_alone_has_a_learning_rate_that_the_batch_does_not_scale():
    settings = {name: registry.load(f"{package}.settings").Settings() for name, package in registry.METHODS.items()}
    assert [name for name, s in settings.items() if not s.recipe.scale_lr] == ["simsiam"]
    assert [name for name, s in settings.items() if s.recipe.optimizer == "lars"] == ["vicreg", "vicregl"]
    assert [name for name, s in settings.items() if s.recipe.ema_start is not None] == ["byol", "moco", "dino"]


def test_settings_and_facts_of_every_method_load_without_torch():
    packages = [f"{package}.settings" for package in (registry.METHODS | registry.REFERENCES).values()]
    script = (
        f"import sys, importlib\nfor p in {packages}: importlib.import_module(p)\nassert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True, cwd=Path(__file__).parents[2])


@pytest.mark.parametrize(("input_size", "local"), [(224, 96), (128, 55), (64, 27), (16, 8)])
def test_the_vicregl_of_lightly_1_2_has_one_view_of_the_input_size_and_one_local_view(input_size, local):
    first, second = VICRegL(form="lightly-1.2").views(input_size)
    assert (first.role, first.size, first.crop_scale, first.branch) == ("global", input_size, None, 0)
    assert (second.role, second.size, second.crop_scale, second.branch) == ("local", local, (0.05, 0.2), 1)


def test_the_papers_vicregl_has_two_global_views_and_local_ones_on_demand():
    views = VICRegL(form="paper", local_views=3, local_size_share=0.5, local_crop_scale=(0.1, 0.3)).views(128)
    assert [(v.role, v.size, v.branch) for v in views[:2]] == [("global", 128, 0), ("global", 128, 1)]
    assert [(v.role, v.size, v.crop_scale) for v in views[2:]] == [("local", 64, (0.1, 0.3))] * 3
    assert len(VICRegL(form="paper").views(128)) == 2
    with pytest.raises(ValidationError, match=r"form .lightly-1\.2. has one local view"):
        VICRegL(form="lightly-1.2", local_views=6)


def test_vicregl_refuses_a_map_of_one_cell_and_names_backbone_and_size():
    with pytest.raises(UserError, match=r"test_resnet at input_size 32 is 1x1") as error:
        build("vicregl", "test_resnet", 32, SMALL)
    assert "raise input_size" in str(error.value)


def test_a_local_view_too_small_for_the_backbone_is_refused_before_training():
    with pytest.raises(UserError, match=r"cannot take pictures of 27 px.*VICRegL makes such views at input_size 64"):
        build("vicregl", "test_convnext", 64, SMALL | {"form": "lightly-1.2"})


def test_swavs_prototypes_have_unit_length_before_each_step_and_no_bias():
    model = build("swav", "test_resnet", 32, SMALL | {"prototypes": 9})
    assert model.prototypes.bias is None
    torch.testing.assert_close(model.prototypes.weight.norm(dim=1), torch.ones(9))
    with torch.no_grad():
        model.prototypes.weight.mul_(3).add_(1)
    parameter = model.prototypes.weight
    model.before_step(5, 1)
    torch.testing.assert_close(parameter.norm(dim=1), torch.ones(9))
    assert model.prototypes.weight is parameter  # the optimiser holds this very tensor


@pytest.mark.parametrize("name", ["barlowtwins", "simclr", "swav", "vicreg", "vicregl", "moco", "supervised"])
def test_heads_that_answer_with_a_constant_reach_the_trivial_loss(name):
    options = {"swav": SMALL | {"prototypes": 9}, "vicregl": SMALL, "supervised": {"classes": 4}}.get(name, SMALL)
    model = build(name, "test_resnet", 64, options)
    batch = make_batch(model, n=6)
    for key, child in model.named_children():
        if key not in ("backbone", "prototypes"):
            for parameter in child.parameters():
                nn.init.zeros_(parameter)
    trivial = model.trivial_loss(6)
    assert model.loss(batch)[trivial["part"]].item() == pytest.approx(trivial["value"], rel=1e-4)


@pytest.mark.parametrize("name", ["simsiam", "byol"])
def test_where_collapse_is_the_optimum_there_is_no_trivial_loss(name):
    assert build(name, "test_resnet", 32, SMALL).trivial_loss(6) is None


def test_simclrs_trivial_loss_needs_the_batch_size():
    assert build("simclr", "test_resnet", 32, SMALL).trivial_loss() is None


def test_spread_is_0_for_one_point_and_1_for_a_filled_sphere():
    assert spread(torch.ones(8, 16)).item() == pytest.approx(0, abs=1e-6)
    assert spread(torch.randn(4096, 64, generator=torch.Generator().manual_seed(0))).item() == pytest.approx(
        1, abs=0.02
    )


def test_byols_momentum_networks_start_as_copies_and_get_no_gradient():
    model = build("byol", "test_resnet", 32, SMALL)
    pairs = model.momentum_pairs()
    assert [a is not b for a, b in pairs] == [True, True]
    for online, momentum in pairs:
        for p, q in zip(online.parameters(), momentum.parameters(), strict=True):
            assert torch.equal(p, q)
            assert p.data_ptr() != q.data_ptr()
            assert not q.requires_grad
    model.loss(make_batch(model, n=4))["loss"].backward()
    for online, momentum in pairs:
        assert all(q.grad is None for q in momentum.parameters())
        assert sum(p.grad.abs().sum() for p in online.parameters()) > 0
    assert model.evaluated is model.backbone


def test_byols_momentum_batch_norm_keeps_statistics_of_its_own():
    model = build("byol", "test_resnet", 32, SMALL).train()
    with torch.no_grad():
        for parameter in model.momentum_backbone.parameters():
            parameter.mul_(1.5)
    model.loss(make_batch(model, n=4))
    online, momentum = (dict(net.named_buffers()) for net in (model.backbone, model.momentum_backbone))
    means = [key for key in online if key.endswith("running_mean")]
    assert all(momentum[key].abs().sum() > 0 for key in means)
    assert any(not torch.allclose(online[key], momentum[key]) for key in means)


def test_simsiams_targets_are_detached_inside_the_model():
    model = build("simsiam", "test_resnet", 32, SMALL)
    nn.init.zeros_(model.prediction.layers[-1].weight)
    nn.init.normal_(model.prediction.layers[-1].bias)  # predictions are constant: only targets could carry a gradient
    model.loss(make_batch(model, n=4))["loss"].backward()
    assert all(p.grad is None or p.grad.abs().sum() == 0 for p in model.projection.parameters())


@pytest.mark.parametrize("name", ["simsiam", "byol"])
def test_each_views_prediction_is_held_against_the_other_views_projection(name):
    model = build(name, "test_resnet", 32, SMALL)
    model.prediction = nn.Identity()  # then a view agrees with itself, so that only crossed views differ
    batch = make_batch(model, n=4)
    assert model.loss(batch)["loss"].item() > -0.99
    batch.views[1] = batch.views[0]
    assert model.loss(batch)["loss"].item() == pytest.approx(-1, abs=1e-5)


@pytest.mark.parametrize("form", ["lightly-1.2", "paper"])
def test_vicregl_pairs_map_positions_with_the_places_under_them(form):
    invariance_alone = {"form": form, "matches": (16, 16), "variance_weight": 0, "covariance_weight": 0}
    model = build("vicregl", "test_resnet", 64, SMALL | invariance_alone)
    features = torch.randn(5, model.backbone.num_features)
    model.backbone.maps = lambda images: (features, adaptive_avg_pool2d(images, (4, 4)))
    model.local_projection = nn.Identity()  # a position's projection is its cell's mean colour
    batch = make_batch(model, n=5)
    first = batch.views[0]
    mirrored = SimpleNamespace(images=first.images.flip(3), locations=first.locations.flip(3))
    batch.views = [first, mirrored]  # each place has the same colour in both
    assert model.loss(batch)["location_matches"].item() == pytest.approx(0, abs=1e-6)
    mirrored.locations = first.locations  # now colours stand in the wrong places
    assert model.loss(batch)["location_matches"].item() > 0.1


def test_the_random_reference_cannot_be_trained_by_mistake():
    model = build("random", "test_resnet", 32, {})
    assert registry.load("sslbench.methods.random.settings").Settings().views(224) == []
    with pytest.raises(RuntimeError, match="0 epochs"):
        model.loss(Batch(views=[]))


def test_supervised_needs_to_be_told_the_number_of_classes():
    with pytest.raises(ValueError, match="classes"):
        build("supervised", "test_resnet", 32, {})


def test_a_misspelt_option_is_refused():
    with pytest.raises(ValidationError, match="temprature"):
        build("simclr", "test_resnet", 32, {"temprature": 0.1})


def test_the_input_size_of_a_backbone_may_be_smaller_than_the_methods():
    network = Backbone("test_resnet", {}, 32)
    assert network.map_size(64) == (2, 2)
