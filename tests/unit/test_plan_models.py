"""Before the first job, every method is built once on its backbone; what cannot be is one line that names the model."""

from pathlib import Path

import pytest
import yaml

from sslbench.config import load
from sslbench.errors import UserError
from sslbench.plan import Plan, require_models

CONFIG = Path(__file__).parents[2] / "config.yaml"


def trained(models: dict, training: dict) -> list:
    raw = yaml.safe_load(CONFIG.read_text()) | {"references": {"random": False, "supervised": []}}
    raw["models"] |= models
    raw["training"] |= training
    raw["grid"] = [{"datasets": ["imagewoof"], "models": list(models), "transforms": ["simclr", "baseline"]}]
    return Plan(load(raw)).cells


def test_a_method_that_its_backbone_cannot_serve_is_named_before_anything_runs() -> None:
    small = {"backbone": "test_resnet", "input_size": 32}
    with pytest.raises(UserError, match=r"config: models\.autoencoder: .*MAE masks the tokens.* test_resnet is none"):
        require_models(trained({"byol": {"method": "byol"}, "autoencoder": {"method": "mae"}}, small))


def test_a_backbone_that_timm_does_not_know_is_named_with_its_nearest() -> None:
    with pytest.raises(UserError, match=r"models\.byol: .*Did you mean 'resnet18'"):
        require_models(trained({"byol": {"method": "byol"}}, {"backbone": "resnet_18"}))


def test_methods_that_can_be_built_pass() -> None:
    vit = {"backbone": "test_vit", "backbone_options": {"patch_size": 4}}
    models = {"simclr": {"method": "simclr", "auxiliary": {"rotation": {"weight": 0.1}}}}
    models |= {"autoencoder": {"method": "mae", "decoder_dim": 64, "decoder_head_dim": 16, "training": vit}}
    require_models(trained(models, {"backbone": "test_resnet", "input_size": 32}))
