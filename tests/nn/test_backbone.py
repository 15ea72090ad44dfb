"""One face over timm: features, maps, weights that timm reads back, and one line for a wrong name."""

import pytest
import timm
import torch
from safetensors.torch import save_file

from sslbench.errors import UserError
from sslbench.nn.backbone import Backbone

# name, input size, side of the map: convolutional, its pooled width other than its map's, NHWC, ViT, two class tokens
FAMILIES = [
    ("test_resnet", 64, 2),
    ("test_convnext", 64, 2),
    ("mobilenetv3_small_050", 64, 2),
    ("test_vit", 64, 4),
    ("deit_tiny_distilled_patch16_224", 48, 3),
    ("swin_tiny_patch4_window7_224", 64, 2),
]
SMALL = {"swin_tiny_patch4_window7_224": {"depths": (1, 1, 1, 1), "embed_dim": 24}}  # 0.6 million weights, not 28


def backbone(name: str, size: int, seed: int = 0) -> Backbone:
    torch.manual_seed(seed)
    return Backbone(name, SMALL.get(name, {}), size).eval()


@pytest.mark.parametrize(("name", "size", "side"), FAMILIES)
@torch.no_grad()
def test_features_are_timms_own_and_the_map_has_its_stated_size(name, size, side):
    network, images = backbone(name, size), torch.randn(2, 3, size, size)
    pooled, spatial = network.maps(images)
    assert torch.equal(pooled, network.model(images))
    assert torch.equal(pooled, network(images))
    assert pooled.shape == (2, network.num_features)
    assert spatial.shape == (2, network.map_features, side, side)
    assert network.map_size(size) == (side, side)


@pytest.mark.parametrize("name", ["test_resnet", "test_convnext", "test_efficientnet"])
@torch.no_grad()
def test_pooled_features_come_from_the_very_map(name):
    network = backbone(name, 64)
    pooled, spatial = network.maps(torch.randn(2, 3, 64, 64))
    torch.testing.assert_close(network.model.forward_head(spatial, pre_logits=True), pooled)


@pytest.mark.parametrize(
    ("name", "size", "side"), [("test_vit", 64, 4), ("swin_tiny_patch4_window7_224", 224, 7), ("test_convnext", 128, 4)]
)
@torch.no_grad()
def test_a_maps_cell_looks_at_its_own_place(name, size, side):
    network, cell = backbone(name, size), size // side
    image = torch.zeros(1, 3, size, size)
    row, column = 1, side - 1  # off the diagonal, so that swapped axes show
    changed = image.clone()
    torch.manual_seed(1)
    changed[..., row * cell : (row + 1) * cell, column * cell : (column + 1) * cell] = torch.randn(3, cell, cell)
    difference = (network.maps(changed)[1] - network.maps(image)[1]).norm(dim=1)[0]  # [side, side]
    assert divmod(difference.argmax().item(), side) == (row, column)


@pytest.mark.parametrize("name", ["test_resnet", "test_vit", "swin_tiny_patch4_window7_224"])
def test_weights_depend_on_the_seed_alone(name):
    first, second, other = (backbone(name, 64, seed).timm_state() for seed in (3, 3, 4))
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert any(not torch.equal(first[key], other[key]) for key in first)
    torch.manual_seed(3)
    options = Backbone(name, SMALL.get(name, {}), 64).timm_options
    torch.manual_seed(3)
    plain = timm.create_model(name, num_classes=0, **options).state_dict()  # as if nobody had looked for options
    assert all(torch.equal(first[key], plain[key]) for key in plain)


@pytest.mark.parametrize(("name", "size"), [("test_resnet", 64), ("test_vit", 32), ("test_vit", 80)])
@torch.no_grad()
def test_timm_loads_the_saved_weights(name, size, tmp_path):
    network = backbone(name, size)
    save_file(network.timm_state(), tmp_path / "backbone.safetensors")
    path = str(tmp_path / "backbone.safetensors")
    loaded = timm.create_model(name, num_classes=0, checkpoint_path=path, **network.timm_options).eval()
    images = torch.randn(2, 3, size, size)
    assert torch.equal(loaded(images), network(images))


def test_saved_weights_are_contiguous_whatever_the_memory_format():
    network = backbone("test_resnet", 64).to(memory_format=torch.channels_last)
    assert all(value.is_contiguous() for value in network.timm_state().values())


def test_asking_for_a_maps_size_leaves_weights_statistics_and_random_state_alone():
    network = backbone("test_resnet", 64).train()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    state = torch.get_rng_state()
    assert network.map_size(96) == (3, 3)
    assert network.map_size(27) == (1, 1)
    assert torch.equal(torch.get_rng_state(), state)
    assert network.training
    assert all(module.training for module in network.modules())
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


@torch.no_grad()
def test_a_vit_takes_local_views_of_any_size():
    network = backbone("test_vit", 64)
    assert network.map_size(27) == (2, 2)  # 27 px are padded to 32, two patches of 16
    assert network.maps(torch.randn(2, 3, 27, 27))[1].shape == (2, 64, 2, 2)


def test_options_reach_timm():
    narrow, default = Backbone("test_vit", {"depth": 1}, 32), Backbone("test_vit", {}, 32)
    assert len(narrow.model.blocks) == 1 < len(default.model.blocks)


@pytest.mark.parametrize(
    ("name", "options", "size", "says"),
    [
        ("resent18", {}, 64, "Did you mean 'resnet18'?"),
        ("test_resnet.r160_in1k", {}, 64, "every network starts from random weights; write test_resnet"),
        ("vit_small_patch16_224_dino", {}, 64, "former name, most of which name weights; write vit_small_patch16_224"),
        ("test_resnet", {"pretrained_cfg_overlay": {"file": "w.pth"}}, 64, "pretrained_cfg_overlay cannot be set"),
        ("test_resnet", {"dept": 3}, 64, "'dept'"),
        ("test_vit", {"dept": 3}, 64, "'dept'"),
        ("test_resnet", {"global_pool": ""}, 64, "not one vector of features; leave global_pool out"),
        ("test_vit", {"global_pool": ""}, 64, "not one vector of features; leave global_pool out"),
        ("test_resnet", {"global_pool": "midle"}, 64, "midle"),
        ("test_convnext", {}, 16, "cannot take pictures of 16 px"),
    ],
)
def test_a_wrong_backbone_is_one_line_that_says_what(name, options, size, says):
    with pytest.raises(UserError) as error:
        Backbone(name, options, size)
    assert says in str(error.value)
    assert "\n" not in str(error.value)
