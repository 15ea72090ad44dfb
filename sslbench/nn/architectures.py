"""Which networks a config may name: architectures, since every network starts from random weights. No torch, and so
without timm's list of them, which sslbench/nn/backbone.py holds the name against."""

import re
from collections.abc import Iterable

# Arguments of timm.create_model that sslbench sets, or that ask for weights: ImageNet's would leak, for ImageNette's
# images are among those they saw.
REFUSED = (
    "num_classes", "in_chans", "img_size", "features_only", "dynamic_img_size",
    "pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "pretrained_strict", "pretrained_filter_fn",
    "pretrained_model_args", "checkpoint_path", "cache_dir",
)  # fmt: skip
# `arch.tag`, `timm/arch.tag`, `hf-hub:timm/arch.tag@revision`.
_TAGGED = re.compile(r"(?:(?:hf[-_]hub:)?timm/)?(\w+)(?:[.@].*)?", re.IGNORECASE)


def fault_of_name(name: str) -> str | None:
    """Why ``name`` cannot be a backbone's and what to write instead, where it names weights (tag, hub or folder)."""
    if not re.search(r"[./\\:@]", name):  # no architecture's name has any
        return None
    found = _TAGGED.fullmatch(name)
    instead = found[1] if found else "the name of one of timm's architectures, e.g. resnet18"
    return f"it names pretrained weights, and every network starts from random weights; write {instead}"


def fault_of_options(options: Iterable[str]) -> str | None:
    """Why these options of a backbone cannot be given, where some of them cannot."""
    taken = sorted(set(options) & set(REFUSED))
    if not taken:
        return None
    names = ", ".join(taken)
    return f"{names} cannot be set: sslbench sets it, and every network starts from random weights; leave it out"
