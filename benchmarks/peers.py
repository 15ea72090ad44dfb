"""The peers' ways of making SimCLR views, each set up as its documentation has it, at equal strengths.

Every maker returns a Stream: a call that makes ``batches`` batches and returns how many views those were. What a peer
does differently is in DEVIATIONS, and printed beside its figure.
"""

from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset, Sampler

from benchmarks.bench import Skipped
from sslbench.transforms.recipes.simclr import Settings

Stream = Callable[[int], int]

SIMCLR = Settings()  # every peer's strengths are taken from here; lightly's own defaults are these (tested)
MEAN, STD, SCALE, BLUR = SIMCLR.normalize.mean, SIMCLR.normalize.std, SIMCLR.crop.scale, SIMCLR.blur.sigmas
JITTER = SIMCLR.jitter.brightness, SIMCLR.jitter.contrast, SIMCLR.jitter.saturation, SIMCLR.jitter.hue
TAPS = 13  # of a peer's Gaussian kernel: three of the largest standard deviations to each side; ours takes four
DEVIATIONS = {
    "lightly + ImageFolder": "decodes every epoch; blurs with PIL's boxes",
    "lightly, decoded": "blurs with PIL's boxes",
    "torchvision v2": f"blur of {TAPS} taps",
    "kornia": f"float, crops not antialiased, centred squares, one order of jitter a batch, blur of {TAPS} taps",
    "DALI": "decodes every epoch; jitter in one fixed order, contrast about mid-grey",
    "FFCV": "raw pixels from its own file; crops without antialiasing",
}
PIP = {"lightly": "lightly", "kornia": "kornia", "nvidia.dali": "nvidia-dali-cuda120", "ffcv": "ffcv"}


def need(module: str) -> None:
    """Raises Skipped, naming what to install, where ``module`` is not there."""
    if find_spec(module.partition(".")[0]) is None or find_spec(module) is None:
        raise Skipped(f"not installed; pip install {PIP[module]} (benchmarks/README.md)")


class Cycle(Sampler):
    """Batches of positions, round and round through ``count``; ``batches`` of them an epoch."""

    def __init__(self, count: int, batch: int) -> None:
        self.count, self.batch, self.batches = count, batch, 1

    def __iter__(self) -> Iterator[list[int]]:
        for number in range(self.batches):
            yield [(number * self.batch + place) % self.count for place in range(self.batch)]

    def __len__(self) -> int:
        return self.batches


class InMemory(Dataset):
    """Two views of pictures that are decoded already."""

    def __init__(self, pictures: Sequence, transform: Callable) -> None:
        self.pictures, self.transform = pictures, transform

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> tuple[list[torch.Tensor], int]:
        return self.transform(self.pictures[index]), 0


def _loaded(dataset: Dataset, batch: int, workers: int) -> Stream:
    """A DataLoader with ``workers`` workers that stay (none: in this process), as many batches for each of them."""
    cycle = Cycle(len(dataset), batch)
    loader = DataLoader(dataset, batch_sampler=cycle, num_workers=workers, persistent_workers=workers > 0)

    def make(batches: int) -> int:
        cycle.batches = max(1, -(-batches // max(1, workers))) * max(1, workers)
        return sum(sum(len(view) for view in views) for views, _ in loader)

    return make


def lightly_folder(root: Path, size: int, batch: int, workers: int) -> Stream:
    need("lightly")
    from lightly.transforms import SimCLRTransform
    from torchvision.datasets import ImageFolder

    return _loaded(ImageFolder(root, SimCLRTransform(input_size=size)), batch, workers)


def lightly_memory(pictures: list[Image.Image], size: int, batch: int, workers: int) -> Stream:
    need("lightly")
    from lightly.transforms import SimCLRTransform

    return _loaded(InMemory(pictures, SimCLRTransform(input_size=size)), batch, workers)


def torchvision_v2(pictures: list[Image.Image], size: int, batch: int, workers: int) -> Stream:
    """Per image on uint8 tensors: on a batch, v2 draws once for all its pictures, which is not the same work."""
    from torchvision.transforms import v2

    view = v2.Compose(
        [
            v2.RandomResizedCrop(size, SCALE, antialias=True),
            v2.RandomHorizontalFlip(SIMCLR.flip.p),
            v2.RandomApply([v2.ColorJitter(*JITTER)], SIMCLR.jitter.p),
            v2.RandomGrayscale(SIMCLR.gray.p),
            v2.RandomApply([v2.GaussianBlur(TAPS, BLUR)], SIMCLR.blur.p),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(MEAN, STD),
        ]
    )
    tensors = [v2.functional.pil_to_tensor(picture) for picture in pictures]
    return _loaded(InMemory(tensors, lambda picture: [view(picture), view(picture)]), batch, workers)


def kornia(pictures: list[Image.Image], size: int, batch: int) -> Stream:
    need("kornia")
    import kornia.augmentation as K

    view = K.AugmentationSequential(
        K.RandomResizedCrop((size, size), SCALE),
        K.RandomHorizontalFlip(p=SIMCLR.flip.p),
        K.ColorJitter(*JITTER, p=SIMCLR.jitter.p),
        K.RandomGrayscale(p=SIMCLR.gray.p),
        K.RandomGaussianBlur((TAPS, TAPS), BLUR, p=SIMCLR.blur.p),
        K.Normalize(torch.tensor(MEAN), torch.tensor(STD)),
        data_keys=["input"],
    )
    side = min(min(picture.size) for picture in pictures)
    cached = (
        torch.from_numpy(np.stack([_square(picture, side) for picture in pictures])).permute(0, 3, 1, 2).contiguous()
    )

    @torch.no_grad()
    def make(batches: int) -> int:
        views = 0
        for places in _places(len(cached), batch, batches):
            images = cached[places].float() / 255
            views += len(view(images)) + len(view(images))
        return views

    return make


def dali(root: Path, size: int, batch: int, threads: int) -> Stream:
    """On the CPU alone. Runs in step with the caller: nothing is made ahead while another way is measured."""
    need("nvidia.dali")
    from nvidia.dali import fn, types
    from nvidia.dali.pipeline import pipeline_def

    def view(images):
        images = fn.random_resized_crop(images, size=(size, size), random_area=SCALE)
        fires = fn.random.coin_flip(probability=SIMCLR.jitter.p)
        brightness, contrast, saturation = (
            fires * fn.random.uniform(range=(-strength, strength)) + 1.0 for strength in JITTER[:3]
        )
        hue = fires * fn.random.uniform(range=(-360 * JITTER[3], 360 * JITTER[3]))
        colour = 1 - fn.random.coin_flip(probability=SIMCLR.gray.p)
        images = fn.color_twist(
            images, brightness=brightness, contrast=contrast, saturation=saturation * colour, hue=hue
        )
        if fn.random.coin_flip(probability=SIMCLR.blur.p, dtype=types.DALIDataType.BOOL):
            images = fn.gaussian_blur(images, sigma=fn.random.uniform(range=BLUR))
        return fn.crop_mirror_normalize(
            images,
            mirror=fn.random.coin_flip(probability=SIMCLR.flip.p),
            mean=[255 * value for value in MEAN],
            std=[255 * value for value in STD],
            output_layout="CHW",
        )

    @pipeline_def(enable_conditionals=True)
    def pipeline():
        encoded, _ = fn.readers.file(file_root=str(root), random_shuffle=True)
        images = fn.decoders.image(encoded, device="cpu")
        return view(images), view(images)

    built = pipeline(
        batch_size=batch, num_threads=threads, device_id=None, exec_async=False, exec_pipelined=False, seed=0
    )
    built.build()

    def make(batches: int) -> int:
        return sum(len(part) for _ in range(batches) for part in built.run())

    return make


def ffcv(pictures: list[Image.Image], scratch: Path, size: int, batch: int, workers: int) -> Stream:
    """Crop, flip and normalise: FFCV has no jitter of hue, no greyscale and no blur of a drawn strength."""
    need("ffcv")
    from ffcv.fields import RGBImageField
    from ffcv.fields.rgb_image import RandomResizedCropRGBImageDecoder
    from ffcv.loader import Loader, OrderOption
    from ffcv.transforms import NormalizeImage, RandomHorizontalFlip, ToTensor, ToTorchImage
    from ffcv.writer import DatasetWriter

    file = scratch / "pictures.beton"
    if not file.exists():
        writer = DatasetWriter(str(file), {"image": RGBImageField(write_mode="raw")}, num_workers=1)
        writer.from_indexed_dataset(_Single(pictures))
    mean, std = (255 * np.array(values) for values in (MEAN, STD))
    steps = [
        RandomResizedCropRGBImageDecoder((size, size), SCALE),
        RandomHorizontalFlip(SIMCLR.flip.p),
        NormalizeImage(mean, std, np.float32),
        ToTensor(),
        ToTorchImage(channels_last=False),
    ]
    loader = Loader(
        str(file),
        batch_size=batch,
        num_workers=workers,
        os_cache=True,
        order=OrderOption.SEQUENTIAL,
        drop_last=True,
        batches_ahead=1,
        pipelines={"image": steps},
    )

    def make(batches: int) -> int:
        views = 0
        while batches > 0:
            for (images,) in loader:
                views, batches = views + len(images), batches - 1
        return views

    return make


class _Single(Dataset):
    """Pictures as FFCV's writer takes them: one field each."""

    def __init__(self, pictures: list[Image.Image]) -> None:
        self.pictures = pictures

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> tuple[np.ndarray]:
        return (np.asarray(self.pictures[index]),)


def _square(picture: Image.Image, side: int) -> np.ndarray:
    """The centred square of ``side`` px, the smallest common one, so that pictures make one tensor."""
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    return np.asarray(picture.crop((left, top, left + side, top + side)))


def _places(count: int, batch: int, batches: int) -> Iterator[torch.Tensor]:
    for number in range(batches):
        yield (torch.arange(batch) + number * batch) % count
