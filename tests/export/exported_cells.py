"""A finished cell made up on the spot, and its export."""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file

from sslbench.nn.backbone import Backbone

NAMES = {"backbone": "backbone.safetensors", "run": "run.json", "ledger": "ledger.json", "linear": "linear.json",
         "knn": "knn.json", "health": "health.json"}  # fmt: skip
OUTPUTS = {"weights": "model.safetensors", "config": "config.json", "onnx": "model.onnx", "card": "README.md"}


def make_cell(folder: Path, name: str = "test_resnet", size: int = 32, verdict: str = "healthy", ratio=1.0) -> Path:
    """A finished cell's folder: a random backbone, and figures made up."""
    folder.mkdir(parents=True)
    torch.manual_seed(0)
    backbone = Backbone(name, {}, size)
    for module in backbone.modules():  # statistics other than 0 and 1, or a lost buffer would not show
        if hasattr(module, "running_mean"):
            module.running_mean.uniform_(-1, 1)
            module.running_var.uniform_(0.5, 2)
    save_file(backbone.timm_state(), folder / "backbone.safetensors")
    settings = {
        "dataset": {"source": "imagenette2-160", "split": "official", "identity": {"kind": "imagenette"}},
        "backbone": {"name": name, "options": {}},
        "input_size": size,
        "method": {"name": "simclr", "options": {"temperature": 0.1}},
        "recipe": {"optimizer": "sgd", "base_lr": 0.06, "clip_gradient_norm": None},
        "transform": [[{"op": "random_resized_crop", "scale": [0.08, 1.0]}, {"op": "normalize", "mean": [0.5]}]] * 2,
        "train": {"epochs": 200, "batch_size": 256, "precision": "fp32"},
        "seed": 0,
    }
    run = {"settings": settings, "code": "c0de", "digest": "d1" * 32, "data": {"content_sha256": "ab" * 32}}
    run |= {"parameters": 123_456, "versions": {"torch": "2.15.0", "timm": "1.0.31"}}
    common = {"n": 3925, "n_train": 9469, "classes": 10, "confidence": 0.95}
    score = {"top1": 0.75, "interval": [0.736, 0.763], "top5": 0.97, "interval5": [0.964, 0.975]}
    files = {
        "run": run,
        "ledger": {"commit": "0123abcd", "clean": True, "device": "NVIDIA H100", "seconds": {"total": 90.0}},
        "linear": common | score | {"evaluation": {"resize_ratio": ratio}},
        "knn": common | {"20": score, "200": score | {"top5": None, "interval5": None}},
        "health": {"verdict": verdict, "evidence": ["all one point"], "effective_rank": 12.3, "features": 96,
                   "channel_std": 0.5},
    }  # fmt: skip
    for key, value in files.items():
        (folder / NAMES[key]).write_text(json.dumps(value))
    return folder


def about_of(out: Path, collapsed: bool = False) -> dict:
    return {"dataset": "nette", "evaluated_on": "nette", "model": "simclr", "transform": "baseline", "seed": 0,
            "title": "SimCLR", "paper": "Chen et al. 2020", "family": "contrastive", "folder": str(out),
            "collapsed": collapsed, "exclude_test": False, "trained_on": ["nette train"], "command": f"snakemake --cores all {out}/README.md"}  # fmt: skip


def exported(cell: Path, out: Path, collapsed: bool = False) -> Path:
    about = about_of(out, collapsed)
    from sslbench.export.export import export

    export(
        {key: cell / name for key, name in NAMES.items()},
        about,
        {key: out / name for key, name in OUTPUTS.items()},
        log=lambda line: None,
    )
    return out
