"""Packing: how fast do files become training data, against the ways that others go?

    python -m benchmarks.packing --archive imagenette2-160.tgz

Every way begins with the same JPEG files and ends with all pictures decoded, RGB, shortest side at most --size px:

    sslbench         sslbench.data.pack.write.pack, whole: scan, decode, hash, write to disk and sync; --jobs processes
    sslbench, 1 job  the same in one process
    PIL loop         open, draft, convert, resize (bilinear), one after the other into one array in memory: the decoder
                     alone, with nothing hashed, checked or written
    ImageFolder      torchvision's dataset with a Resize, read to the end by a DataLoader with --jobs workers: what the
                     usual training pays in every epoch
    FFCV writer      ffcv.writer.DatasetWriter, raw pictures, --jobs workers, over the same dataset
"""

import tempfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks import bench, pictures
from sslbench.config.models import Compute
from sslbench.data.layouts import folder as layout
from sslbench.data.pack.write import pack
from sslbench.data.sources.fetch import fetch


def main() -> None:
    parser = bench.parser(__doc__)
    pictures.add_flags(parser, 3000)
    parser.add_argument("--size", type=int, default=128, help="px, shortest side of what is kept, default 128")
    parser.add_argument("--jobs", type=int, default=Compute().packing_jobs(), help="processes, default: one per core")
    options = parser.parse_args()
    if options.quick:
        options.pictures = min(options.pictures, 300)
    with pictures.gathered(options) as (root, described), tempfile.TemporaryDirectory(prefix="sslbench-") as scratch:
        print(f"{described}; {options.jobs} processes", flush=True)
        ways = Ways(root, Path(scratch), options.size, options.jobs)
        table = bench.interleaved(
            f"packing at {options.size} px",
            "picture",
            {
                "sslbench": lambda: ways.ours(options.jobs),
                "sslbench, 1 job": lambda: ways.ours(1),
                "PIL loop": ways.pil_loop,
                "ImageFolder": ways.image_folder,
                "FFCV writer": ways.ffcv,
            },
            options.repeats,
            may_fail={"FFCV writer"},
        )
    table.notes.append(described)
    table.compare("sslbench, 1 job", "PIL loop")
    for peer in ("PIL loop", "ImageFolder", "FFCV writer"):
        table.compare("sslbench", peer)
    bench.finish(options, [table], packages=["pillow", "numpy", "torch", "torchvision", "ffcv"])


class Ways:
    """Each returns how many pictures it did."""

    def __init__(self, root: Path, scratch: Path, size: int, jobs: int) -> None:
        self.root, self.scratch, self.size, self.jobs = root, scratch, size, jobs
        self.settings = layout.Settings(path=root)
        fetch(self.settings, scratch / "source")
        self.files = sorted(root.rglob("*.jpg"))

    def ours(self, jobs: int) -> int:
        pack(self.settings, self.scratch / "source" / "source.json", self.scratch / "pack", self.size, jobs)
        return len(self.files)

    def pil_loop(self) -> int:
        whole, end = np.empty(len(self.files) * self.size**2 * 3 * 2, dtype=np.uint8), 0
        for file in self.files:
            with Image.open(file) as image:
                factor = min(1.0, self.size / min(image.size))
                size = round(image.width * factor), round(image.height * factor)
                image.draft(None, (2 * size[0], 2 * size[1]))
                picture = image.convert("RGB")
            if picture.size != size:
                picture = picture.resize(size, Image.Resampling.BILINEAR)
            pixels = np.asarray(picture).reshape(-1)
            whole[end : end + len(pixels)] = pixels
            end += len(pixels)
        return len(self.files)

    def dataset(self, transform: object):
        from torchvision.datasets import ImageFolder

        return ImageFolder(self.root, transform)

    def image_folder(self) -> int:
        from torch.utils.data import DataLoader
        from torchvision.transforms import Compose, PILToTensor, Resize

        dataset = self.dataset(Compose([Resize(self.size), PILToTensor()]))
        loader = DataLoader(dataset, batch_size=64, num_workers=self.jobs, collate_fn=list)
        return sum(len(batch) for batch in loader)

    def ffcv(self) -> int:
        if find_spec("ffcv") is None:
            raise bench.Skipped("ffcv is not installed; it needs libturbojpeg and OpenCV to build")
        from ffcv.fields import IntField, RGBImageField
        from ffcv.writer import DatasetWriter

        kept = RGBImageField(write_mode="raw", max_resolution=self.size * 4 // 3)  # of the longest side
        writer = DatasetWriter(str(self.scratch / "set.beton"), {"image": kept, "label": IntField()}, self.jobs)
        writer.from_indexed_dataset(self.dataset(None))
        return len(self.files)


if __name__ == "__main__":
    main()
