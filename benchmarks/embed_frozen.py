"""How long pretrained backbones of configs/which.yaml take to embed images on a CPU.

    python -m benchmarks.embed_frozen --threads 2    # --images 500, --models mobilenetv4-s,dinov2-s

The architectures at their sizes and at random weights, on which the time does not depend. Images are drawn as they
would be packed, and seen and embedded as a row's are, to disk block by block. Wall seconds count what else the machine
does, CPU seconds do not; those of 2,000 images are extrapolated. Imports, the probe and kNN come on top.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import timm
import torch
import yaml

from sslbench.data.pack.read import Pictures
from sslbench.evaluation import frozen
from sslbench.grid.cell import pack_size
from sslbench.nn.backbone import Backbone
from sslbench.store.code_fingerprint import ROOT
from sslbench.training.device import computing

SMALL = "mobilenetv4-s,clip-b32,resnet50,dinov2-s"  # the first, cheap half of the file's rows


class Drawn:
    """Stands for a pack: noise, 4:3, of which the shortest side is what it would be packed at."""

    def __init__(self, input_size: int) -> None:
        side, draw = pack_size(input_size), torch.Generator().manual_seed(0)
        shape = (3, side, side * 4 // 3)
        self.some = [torch.randint(0, 256, shape, dtype=torch.uint8, generator=draw) for _ in range(8)]

    def batch(self, rows: torch.Tensor) -> Pictures:
        return Pictures.from_list([self.some[i % len(self.some)] for i in rows.tolist()])


def measured(entry: dict, images: int, threads: int, folder: Path) -> tuple[str, float, float, float]:
    """Architecture with its size, millions of parameters, and wall and CPU seconds of ``images``."""
    published = timm.get_pretrained_cfg(entry["timm"])
    size = entry.get("input_size") or published.input_size[-1]
    told = {"input_size": size} | {key: getattr(published, key) for key in ("mean", "std", "interpolation")}
    torch.manual_seed(0)
    backbone = Backbone(entry["timm"].partition(".")[0], {}, size).eval()
    with computing("cpu", threads, frozen.EXACT) as place:
        model = place.place(backbone).model
        seen = frozen.Seen(model, told | {"features": backbone.num_features}, 1.0, place)
        packed = Drawn(size)
        seen.embed(packed, np.arange(8), folder / f"{entry['timm']}.first")
        begun = time.perf_counter(), time.process_time()
        seen.embed(packed, np.arange(images), folder / entry["timm"])
        took = time.perf_counter() - begun[0], time.process_time() - begun[1]
    return f"{backbone.name}, {size} px", sum(p.numel() for p in backbone.parameters()) / 1e6, *took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--models", default=SMALL, help="of configs/which.yaml, by commas")
    options = parser.parse_args()
    weights = yaml.safe_load((ROOT / "configs" / "which.yaml").read_text(encoding="utf-8"))["weights"]
    print(f"| row | network | M parameters | wall, {options.images} images | CPU | wall, 2,000 images | CPU |")
    print("|---|---|---|---|---|---|---|")
    total = np.zeros(4)
    with tempfile.TemporaryDirectory() as folder:
        for name in options.models.split(","):
            network, millions, wall, cpu = measured(weights[name], options.images, options.threads, Path(folder))
            more = 2000 / options.images
            total += (wall, cpu, more * wall, more * cpu)
            print(
                f"| {name} | {network} | {millions:.1f} | {wall:.0f} s | {cpu:.0f} s | {more * wall / 60:.1f} min | "
                f"{more * cpu / 60:.1f} min |"
            )
            sys.stdout.flush()
    wall, cpu, all_wall, all_cpu = total
    print(f"| all | | | {wall:.0f} s | {cpu:.0f} s | {all_wall / 60:.1f} min | {all_cpu / 60:.1f} min |")


if __name__ == "__main__":
    main()
