"""Pages of frozen backbones from drawn predictions: no network, no training.

``python -m tests.report.drawn_backbones FOLDER`` renders the page of ten backbones on a table of 2,000 images.
"""

import hashlib
import json
import sys
from pathlib import Path
from typing import NamedTuple

import numpy

from tests.report.conftest import Tree

CLASSES = ("bent", "burr", "crack", "dent", "good", "pit", "rust", "scratch")


class Drawn(NamedTuple):
    """A backbone with the accuracy that is drawn for it, what it costs, and what is stated of it."""

    name: str
    tag: str
    top1: float
    milliseconds: float  # of one image
    millions: float  # of parameters
    licence: str


# Tags, parameters and licences are as timm states them; accuracies and times are made up.
TEN = (
    Drawn("mobilenetv4-s", "mobilenetv4_conv_small.e2400_r224_in1k", 0.78, 6.1, 2.5, "apache-2.0"),
    Drawn("resnet50", "resnet50.a1_in1k", 0.79, 33.0, 23.5, "apache-2.0"),
    Drawn("convnext-t", "convnext_tiny.fb_in1k", 0.83, 42.0, 27.8, "apache-2.0"),
    Drawn("mae-b", "vit_base_patch16_224.mae", 0.70, 96.0, 85.8, "cc-by-nc-4.0"),
    Drawn("clip-b32", "vit_base_patch32_clip_quickgelu_224.openai", 0.82, 38.0, 87.5, "apache-2.0"),
    Drawn("siglip2-b", "vit_base_patch16_siglip_224.v2_webli", 0.865, 101.0, 92.9, "apache-2.0"),
    Drawn("dinov2-s", "vit_small_patch14_dinov2.lvd142m", 0.88, 45.0, 22.1, "apache-2.0"),
    Drawn("dinov2-b", "vit_base_patch14_dinov2.lvd142m", 0.905, 142.0, 86.6, "apache-2.0"),
    Drawn("dinov3-s", "vit_small_patch16_dinov3.lvd1689m", 0.90, 41.0, 21.6, "dinov3-license"),
    Drawn("dinov3-convnext-t", "convnext_tiny.dinov3_lvd1689m", 0.875, 42.0, 27.8, "dinov3-license"),
)


def named_pack(tree: Tree, dataset: str, names: list[str], folder: str | None = None) -> Path:
    """Give the pack of a dataset, or another of its images in ``folder``, the images' names."""
    pack = Path(tree.plan["datasets"][dataset]["pack"])
    manifest = json.loads((pack / "manifest.json").read_text())
    pack = pack.with_name(folder) if folder else pack
    pack.mkdir(exist_ok=True)
    text = json.dumps(names)
    (pack / "names.json").write_text(text)
    tree.write(pack / "manifest.json", manifest | {"names_sha256": hashlib.sha256(text.encode()).hexdigest()})
    return pack


def add(tree: Tree, dataset: str, drawn: Drawn, kind: str = "grid", pack: Path | None = None, **asked: object) -> dict:
    """A pretrained row of the plan, with what the rule speed measured; nothing finished."""
    asked = asked or {"timm": drawn.tag}
    tree.plan["models"][f"pretrained-{drawn.name}"] = {
        "method": "pretrained",
        "family": "reference",
        "title": f"{drawn.name}, frozen",
        "options": asked,
    }
    data = tree.plan["datasets"][dataset]
    settings = {
        "dataset": {"source": data["source"], "split": data["split"], "identity": {}},
        "backbone": {"name": drawn.tag.partition(".")[0], "options": {}, "residual_gain": None},
        "input_size": 224,
        "method": {"name": "pretrained", "options": asked},
        "recipe": {},
        "train": {"epochs": 0, "batch_size": None, "precision": "fp32"},
        "seed": 0,
    }
    name = f"pretrained-{drawn.name}"
    cell = {"dataset": dataset, "evaluated_on": dataset, "model": name, "transform": "none", "seed": 0, "kind": kind}
    cell |= {"folder": f"results/{dataset}/{name}/none/seed0", "set_aside": None}
    cell |= {"expected": {"settings": settings, "code": "c0de"}, "packs": [str(pack or data["pack"])] * 2}
    cell["speed"] = timed(tree, drawn.name, drawn.milliseconds)
    tree.plan["cells"].append(cell)
    return cell


def timed(tree: Tree, name: str, milliseconds: float) -> str:
    """The file that the rule speed would have written of a network."""
    file = tree.root / "data" / "speed" / f"{name}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    one, many = (
        {"ms": ms, "low": 0.97 * ms, "high": 1.06 * ms, "runs": 7} for ms in (milliseconds, 0.7 * milliseconds)
    )
    tree.write(file, {"device": "AMD EPYC 9654", "threads": 2, "batches": {"1": one, "32": many}})
    return str(file)


def finish(tree: Tree, cell: dict, drawn: Drawn, right: numpy.ndarray, labels: numpy.ndarray) -> Path:
    """Write what the row's jobs would have."""
    folder = tree.finish(cell, right, labels, minutes=3.0, gpu=False, gigabytes=2.1, device="AMD EPYC 9654")
    run = json.loads((folder / "run.json").read_text()) | {"parameters": int(drawn.millions * 1e6)}
    run["weights"] = {"licence": drawn.licence}
    tree.write(folder / "run.json", run)
    return folder


def page(root: Path) -> Tree:
    """Ten backbones on a table of 2,000 images, 400 of which test; their errors fall on the same images more often than
    by chance, as those of real networks do."""
    tree = Tree(root, "Which backbone for my images?")
    tree.plan["name"] = "which"
    tree.dataset("parts", "table", 2000, len(CLASSES), split="per-class-80-20-seed0")
    named_pack(tree, "parts", [f"{CLASSES[i % 8]}/{i:05}.png" for i in range(2000)])
    rng = numpy.random.default_rng(14)
    labels, hard = numpy.arange(400) % len(CLASSES), rng.normal(0, 1, 400)
    for drawn in TEN:
        score = 0.8 * hard + 0.6 * rng.normal(0, 1, 400)
        right = score <= numpy.quantile(score, drawn.top1)
        finish(tree, add(tree, "parts", drawn), drawn, right, labels)
    return tree


if __name__ == "__main__":
    made = page(Path(sys.argv[1]))
    made.pages()
    print(made.out / "report.html")
