"""configs/which.yaml says of its weights what timm knows of them."""

import re
from pathlib import Path

import timm
import torch
import yaml

FILE = Path(__file__).parents[2] / "configs" / "which.yaml"
LICENCES = {"apache-2.0": "Apache-2.0", "dinov3-license": "DINOv3 licence"}


def test_sizes_parameters_and_licences_of_the_shipped_weights_are_timms():
    text = FILE.read_text()
    weights = yaml.safe_load(text)["weights"]
    assert set(yaml.safe_load(text)["references"]["pretrained"]) == set(weights) and 8 <= len(weights) <= 10
    known, total = timm.list_pretrained(), 0.0
    for name, entry in weights.items():
        published = timm.get_pretrained_cfg(entry["timm"])
        assert entry["timm"] in known and published.hf_hub_id, name
        said = re.search(rf"^  {name}: .*# .*; ([\d.]+); (.*)$", text, re.M)
        with torch.device("meta"):
            model = timm.create_model(entry["timm"].partition(".")[0], num_classes=0)
        millions = sum(p.numel() for p in model.parameters()) / 1e6
        assert float(said[1]) == round(millions, 1), name
        assert said[2].startswith(LICENCES[published.license]), name
        own = published.input_size[1]
        assert entry["input_size"] == (224 if "dinov2" in name else own), name
        total += 4 * millions / 1e3
    assert f"{total:.1f} GB in all" in text
