"""A backbone that names weights is refused before any job: they would not be loaded, and the page would name them."""

import inspect

import pytest
import timm
from timm.models._registry import _deprecated_models

from sslbench.errors import UserError
from sslbench.grid.expand import load
from sslbench.nn import architectures
from tests.config.test_config import changed

OTHER = "the name of one of timm's architectures, e.g. resnet18"


@pytest.mark.parametrize(
    ("name", "instead"),
    [
        ("resnet18.a1_in1k", "resnet18"),
        ("vit_tiny_patch16_224.augreg_in21k", "vit_tiny_patch16_224"),
        ("resnet18.", "resnet18"),
        ("timm/resnet18", "resnet18"),
        ("timm/resnet18.a1_in1k", "resnet18"),
        ("hf-hub:timm/resnet18.a1_in1k@main", "resnet18"),
        ("hf_hub:timm/resnet18.a1_in1k", "resnet18"),
        ("HF-hub:timm/resnet18.a1_in1k", "resnet18"),
        ("hf-hub:someone/something", OTHER),
        ("someone/resnet18", OTHER),
        ("local-dir:/my/weights", OTHER),
        ("local-dir:resnet18", OTHER),
        (r"local-dir:C:\weights", OTHER),
        ("elsewhere:resnet18", OTHER),
        ("../weights/resnet18.pth", OTHER),
    ],
)
def test_a_name_of_weights_is_refused_with_what_to_write(name, instead):
    fault = architectures.fault_of_name(name)
    assert fault == f"it names pretrained weights, and every network starts from random weights; write {instead}"


def test_no_architecture_of_timm_is_refused():
    names = timm.list_models()
    assert len(names) > 1000
    assert [name for name in names if architectures.fault_of_name(name) or name in _deprecated_models] == []


def test_every_tag_of_timm_is_refused_for_its_architecture():
    for name in timm.list_pretrained():
        assert architectures.fault_of_name(name).endswith(f"write {name.partition('.')[0]}")


def test_every_argument_by_which_timm_finds_weights_is_refused():
    create = set(inspect.signature(timm.create_model).parameters) - {"model_name", "kwargs"}
    build = {name for name in inspect.signature(timm.models.build_model_with_cfg).parameters if "pretrained" in name}
    of_weights = create - {"scriptable", "exportable", "no_jit"} | build
    assert of_weights >= {"pretrained", "pretrained_cfg_overlay", "checkpoint_path"}
    for name in of_weights:
        assert architectures.fault_of_options([name, "zero_init_last"]).startswith(f"{name} cannot be set: ")
    assert architectures.fault_of_options(["zero_init_last", "pretrained_window_sizes"]) is None  # a Swin's shape


@pytest.mark.parametrize(
    ("training", "says"),
    [
        ({"backbone": "resnet18.a1_in1k"}, "backbone: 'resnet18.a1_in1k' is not allowed: it names pretrained weights"),
        (
            {"backbone_options": {"pretrained": True}},
            "backbone_options: {'pretrained': True} is not allowed: pretrained",
        ),
        (
            {"backbone_options": {"pretrained_cfg": "a", "a": 1, "b": 1, "c": 1}},
            "backbone_options: pretrained_cfg cannot be set",
        ),
    ],
)
@pytest.mark.parametrize("of_a_model", [False, True])
def test_a_config_that_names_weights_ends_in_one_line_with_its_key(training, says, of_a_model):
    if of_a_model:
        raw = changed(models={"mine": {"method": "simclr", "training": training}})
        raw["grid"][0]["models"].append("mine")
    else:
        raw = changed(training=training)
    with pytest.raises(UserError) as error:
        load(raw)
    assert str(error.value).startswith(f"config: {'models.mine.' if of_a_model else ''}training.{says}")
    assert "\n" not in str(error.value)
