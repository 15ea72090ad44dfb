"""Every method, transform, operation, dataset kind and study, by name. Strings only: reading this imports nothing.

To add one, write its module and add its line here; config validation, rules, report, docs and tests read this file.
"""

from difflib import get_close_matches
from importlib import import_module
from types import ModuleType

# name -> package with settings.py (torch-free: Settings, FACTS) and model.py (a class named Model)
METHODS = {
    "barlowtwins": "sslbench.methods.barlowtwins",
    "simclr": "sslbench.methods.simclr",
    "simsiam": "sslbench.methods.simsiam",
    "swav": "sslbench.methods.swav",
    "byol": "sslbench.methods.byol",
    "vicreg": "sslbench.methods.vicreg",
    "vicregl": "sslbench.methods.vicregl",
    "moco": "sslbench.methods.moco",
    "dino": "sslbench.methods.dino",
    "rotation": "sslbench.methods.rotation",
    "lorot": "sslbench.methods.lorot",
    "dcl": "sslbench.methods.dcl",
    "contextprediction": "sslbench.methods.contextprediction",
    "mae": "sslbench.methods.mae",
}

# name -> package with settings.py (torch-free: Settings) and task.py (a class named Task): tasks that a model entry can
# lay beside its method under `auxiliary:`
PRETEXT = {
    "rotation": "sslbench.methods.pretext_tasks.rotation",
    "lorot": "sslbench.methods.pretext_tasks.lorot",
    "dcl": "sslbench.methods.pretext_tasks.dcl",
}

AUXILIARY = "sslbench.methods.with_auxiliary:WithAuxiliary"  # a method with such tasks

# Rows to hold the methods against. Same contract, but they may read labels, and the grid does not count them.
REFERENCES = {
    "random": "sslbench.methods.random",
    "supervised": "sslbench.methods.supervised",
    "pretrained": "sslbench.methods.pretrained",
}

# name -> torch-free module with Settings, a declarative list of operations
TRANSFORMS = {
    "baseline": "sslbench.transforms.recipes.baseline",
    "simclr": "sslbench.transforms.recipes.simclr",
    "orthogonality": "sslbench.transforms.recipes.orthogonality",
    "lorot": "sslbench.transforms.recipes.lorot",
    "dcl": "sslbench.transforms.recipes.dcl",
    "compose": "sslbench.transforms.recipes.compose",
}

# Operation.op (sslbench/transforms/spec.py) -> module:class of its batched implementation
OPERATIONS = {
    "random_resized_crop": "sslbench.transforms.ops.crop:RandomResizedCrop",
    "horizontal_flip": "sslbench.transforms.ops.flip:HorizontalFlip",
    "vertical_flip": "sslbench.transforms.ops.flip:VerticalFlip",
    "rotate": "sslbench.transforms.ops.rotate:Rotate",
    "color_jitter": "sslbench.transforms.ops.color:ColorJitter",
    "grayscale": "sslbench.transforms.ops.color:Grayscale",
    "solarize": "sslbench.transforms.ops.color:Solarize",
    "gaussian_blur": "sslbench.transforms.ops.blur:GaussianBlur",
    "quarter_turns": "sslbench.transforms.ops.quarter_turns:QuarterTurns",
    "sobel": "sslbench.transforms.ops.sobel:Sobel",
    "cutout": "sslbench.transforms.ops.cutout:Cutout",
    "gaussian_noise": "sslbench.transforms.ops.noise:GaussianNoise",
    "rotate_square": "sslbench.transforms.ops.rotate_square:RotateSquare",
    "region_confusion": "sslbench.transforms.ops.region_confusion:RegionConfusion",
    "normalize": "sslbench.transforms.ops.normalize:Normalize",
}

# name -> torch-free module with Settings and scan()
DATASETS = {
    "imagenet": "sslbench.data.layouts.imagenet",
    "imagenette": "sslbench.data.layouts.imagenette",
    "imagewoof": "sslbench.data.layouts.imagewoof",
    "nabirds": "sslbench.data.layouts.nabirds",
    "folder": "sslbench.data.layouts.folder",
    "table": "sslbench.data.layouts.table",
    "torchvision": "sslbench.data.layouts.torchvision_sets",
    "shapes": "sslbench.data.layouts.shapes",
    "scenes": "sslbench.data.layouts.scenes",
}

# name -> module that declares a study of published results (sslbench/report/studies.py): DATASETS, FILES and HOOKS
STUDIES = {
    "first_article": "sslbench.studies.first_article",
    "second_article": "sslbench.studies.second_article",
    "public_figures": "sslbench.studies.public_figures",
}


def load(module: str) -> ModuleType | type:
    """Import ``package.module``, or the class of ``package.module:Class``."""
    path, _, attribute = module.partition(":")
    loaded = import_module(path)
    return getattr(loaded, attribute) if attribute else loaded


def nearest(name: str, known: list[str]) -> str:
    """`` Did you mean 'x'?`` where a known name is close, else nothing."""
    close = get_close_matches(str(name), [str(k) for k in known], n=1, cutoff=0.6)
    return f" Did you mean {close[0]!r}?" if close else ""
