"""The views of configs/lightly-protocol.yaml against lightly's transform objects, parameter by parameter."""

from pathlib import Path

import pytest
import yaml
from lightly.transforms import (
    BYOLTransform,
    BYOLView1Transform,
    BYOLView2Transform,
    DINOTransform,
    SimCLRTransform,
    SimSiamTransform,
    SwaVTransform,
    VICRegLTransform,
    VICRegTransform,
)

from sslbench.grid.expand import load
from sslbench.transforms.spec import merge

pytestmark = pytest.mark.parity

ROOT = Path(__file__).parents[2]
SIZE = 128
FLIPPED = ("RandomVerticalFlip", {"p": 0.5})  # VICRegL's views, until June 2023
# As docs/source/getting_started/benchmarks/imagenette_benchmark.py makes them.
THEIRS = {
    "simclr": lambda: SimCLRTransform(input_size=SIZE, cj_strength=0.5),
    "simsiam": lambda: SimSiamTransform(input_size=SIZE),
    "swav": lambda: SwaVTransform(crop_sizes=(128, 64), crop_counts=(2, 6), cj_strength=0.5),
    "dino": lambda: DINOTransform(global_crop_size=128, local_crop_size=64, cj_strength=0.5),
    "vicreg": lambda: VICRegTransform(input_size=SIZE, cj_strength=0.5),
    "vicregl": lambda: VICRegLTransform(global_crop_size=128, n_local_views=0, global_grid_size=4, cj_strength=0.5),
    "byol": lambda: BYOLTransform(
        view_1_transform=BYOLView1Transform(input_size=SIZE), view_2_transform=BYOLView2Transform(input_size=SIZE)
    ),
}
CONSTANT = {"RandomRotate", "ToTensor", "ColorJitter"}  # off, no operation of ours, without an argument


@pytest.fixture(scope="module")
def cells():
    read = (yaml.safe_load((ROOT / name).read_text()) for name in ("config.yaml", "configs/lightly-protocol.yaml"))
    return {c.names[1:3]: c for c in load(merge(*read)).cells() if not c.reference}


def theirs(view: object) -> list[tuple[str, dict]]:
    """The operations of one of lightly's views that act, in order: (torchvision's name, parameters)."""
    if isinstance(view, tuple):  # VICRegL: crop and flips, then the rest
        parts = [view[0].resized_crop, view[0].horizontal_flip, view[0].vertical_flip, *view[1].transform.transforms]
    elif hasattr(view, "transforms"):  # SwAV: crop, then the rest
        parts = [view.transforms[0], *view.transforms[1].transform.transforms]
    else:
        parts = view.transform.transforms
    found = []
    for part in parts:
        name = type(part).__name__.removesuffix("WithLocation")
        if name == "RandomApply":
            jitter = part.transforms[0]
            ranges = {key: getattr(jitter, key) for key in ("brightness", "contrast", "saturation", "hue")}
            found.append(("ColorJitter", {"p": part.p, **{k: pytest.approx(v) for k, v in ranges.items()}}))
        elif name == "RandomResizedCrop":
            found.append((name, {"scale": part.scale, "ratio": pytest.approx(part.ratio)}))
        elif name == "Normalize":
            found.append((name, {"mean": part.mean, "std": part.std}))
        elif name == "GaussianBlur":
            found.append((name, {"p": part.prob, "sigmas": part.sigmas}))
        elif name == "RandomSolarization":
            found.append((name, {"p": part.prob, "threshold": part.threshold}))
        elif name not in CONSTANT:
            found.append((name, {"p": part.p}))
    return [(name, values) for name, values in found if values.get("p", 1) > 0]


def ours(branch: list[dict]) -> list[tuple[str, dict]]:
    """A cell's operations in torchvision's terms."""
    names = {"random_resized_crop": "RandomResizedCrop", "horizontal_flip": "RandomHorizontalFlip",
             "vertical_flip": "RandomVerticalFlip", "color_jitter": "ColorJitter", "grayscale": "RandomGrayscale",
             "gaussian_blur": "GaussianBlur", "solarize": "RandomSolarization", "normalize": "Normalize"}  # fmt: skip
    found = []
    for operation in branch:
        values = {k: tuple(v) if k in ("scale", "ratio", "sigmas") else v for k, v in operation.items() if k != "op"}
        if operation["op"] == "color_jitter":
            strength = values.pop("strength")
            for key in ("brightness", "contrast", "saturation"):
                values[key] = (max(0, 1 - values[key] * strength), 1 + values[key] * strength)
            values["hue"] = (-values["hue"] * strength, values["hue"] * strength)
        if operation["op"] == "solarize":
            values["threshold"] = round(255 * values["threshold"])
        found.append((names[operation["op"]], values))
    return found


@pytest.mark.parametrize(
    ("model", "transform"),
    [("simclr", "simclr"), ("moco", "simclr"), ("barlowtwins", "simclr"), ("byol", "simclr"), ("simsiam", "simsiam"),
     ("swav", "swav"), ("dino", "dino"), ("vicreg", "vicreg"), ("vicregl", "vicregl"), ("byol", "byol"),
     ("barlowtwins", "byol")],
)  # fmt: skip
def test_the_views_are_lightlys(cells, model: str, transform: str) -> None:
    branches = cells[model, f"lightly-{transform}"].settings["transform"]
    for branch, view in zip(branches, THEIRS[transform]().transforms[:2], strict=True):
        mine = ours(branch)
        if transform == "vicregl":
            assert FLIPPED in mine
            mine.remove(FLIPPED)
        assert mine == theirs(view)


@pytest.mark.parametrize(("model", "blurred"), [("swav", (0.5, 0.5)), ("dino", (1.0, 0.5))])
def test_the_small_views_are_lightlys_but_for_dinos_blur(cells, model: str, blurred: tuple) -> None:
    settings = cells[model, f"lightly-{model}"].settings
    small = [view for view in settings["views"] if view["role"] == "local"]
    views = THEIRS[model]().transforms
    assert len(small) == len(views) - 2 == 6
    crop, *rest = theirs(views[2])
    assert {(view["size"], tuple(view["crop_scale"]), view["branch"]) for view in small} == {(64, crop[1]["scale"], 0)}
    mine = ours(settings["transform"][0])[1:]
    blurs = [dict(side)["GaussianBlur"].pop("p") for side in (mine, rest)]
    assert tuple(blurs) == blurred and mine == rest
