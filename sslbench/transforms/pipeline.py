"""Views from packed pictures: a transform's operations, built once, drawn and applied for whole batches."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor

from sslbench import registry
from sslbench.data.packed import Pictures
from sslbench.errors import UserError
from sslbench.randomness import generator as seeded
from sslbench.transforms.ops.crop import CenterCrop, RandomResizedCrop
from sslbench.transforms.ops.normalize import Normalize
from sslbench.transforms.spec import Normalize as NormalizeSettings

Drawn = dict[str, dict[str, Tensor]]  # step -> its parameters: CPU tensors with one row per picture

CROP = "crop"


@dataclass
class View:
    """One view of a batch.

    ``images`` [n, 3, s, s], normalised; ``locations`` float32 [n, 2, s, s], the (y, x) in its picture of every pixel
    (see resize.box_locations), where asked for; ``spec``, the ViewSpec it was made for, as a dict.
    """

    images: Tensor
    locations: Tensor | None = None
    spec: dict = field(default_factory=dict)


class ViewMaker:
    """Makes one view of every picture of a batch.

    ``operations`` is one branch of a transform, as dicts (Operation.model_dump()). A crop among them stands first;
    without one the view is the centred square. ``crop_scale`` replaces the crop's own area share, where a method asks
    for local views. Operations whose p is 0 are left out. Every operation draws from a generator of its own, so that
    changing one leaves the draws of the others as they were: two transforms that share operations are compared on
    equal crops.
    """

    def __init__(
        self,
        operations: Sequence[dict],
        size: int,
        crop_scale: tuple[float, float] | None = None,
        *,
        spec: dict | None = None,
    ) -> None:
        self.size = size
        self.spec = spec or {"size": size, "crop_scale": crop_scale}
        first, *rest = operations or [{"op": None}]
        if first["op"] == "random_resized_crop":
            options = _parameters(first)
            self.crop = RandomResizedCrop(**(options | ({"scale": tuple(crop_scale)} if crop_scale else {})))
        else:
            self.crop, rest = CenterCrop(), operations
        self.steps = {}
        counts: dict[str, int] = {}
        for operation in rest:
            name = operation["op"]
            counts[name] = counts.get(name, 0) + 1
            if name == "random_resized_crop":
                raise UserError("a transform's random_resized_crop stands first and only once; remove or move it")
            if operation.get("p", 1) > 0:
                step = name if counts[name] == 1 else f"{name}-{counts[name]}"
                self.steps[step] = registry.load(registry.OPERATIONS[name])(**_parameters(operation))

    def draw(self, heights: Tensor, widths: Tensor, generator: torch.Generator) -> Drawn:
        """Parameters for pictures of ``heights`` x ``widths`` px (int64 [n]). One value is taken from ``generator``."""
        base = int(torch.randint(2**62, (), generator=generator))
        with _one_thread(heights.device):
            drawn = {CROP: self.crop.draw(heights, widths, seeded(base, CROP))}
            for step, operation in self.steps.items():
                drawn[step] = operation.draw(len(heights), self.size, self.size, seeded(base, step))
        return drawn

    @torch.no_grad()
    def apply(
        self,
        pictures: Pictures,
        parameters: Drawn,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype = torch.float32,
        want_locations: bool = False,
    ) -> View:
        """The view on ``device`` (default: the pictures' own). Arithmetic is float32; ``dtype`` is the result's.

        On a CPU it runs in one thread, whatever torch.get_num_threads() says, so views do not depend on it.
        """
        device = torch.device(device if device is not None else pictures.device)
        with _one_thread(device):
            return self._apply(pictures, parameters, device, dtype, want_locations)

    def _apply(
        self, pictures: Pictures, parameters: Drawn, device: torch.device, dtype: torch.dtype, want_locations: bool
    ) -> View:
        boxes = parameters[CROP]
        images = self.crop.apply(pictures, boxes, self.size, device=device)
        locations = None
        if want_locations:
            locations = self.crop.locations(boxes, self.size).to(device, non_blocking=True)
        moved = to_device({step: parameters[step] for step in self.steps}, device)
        for step, operation in self.steps.items():
            images = operation.apply_(images, moved[step])
            if locations is not None and operation.geometric:
                locations = operation.apply_locations(locations, moved[step])
        return View(images.to(dtype), locations, self.spec)

    def make(self, pictures: Pictures, generator: torch.Generator, **options) -> View:
        """``draw`` and ``apply`` in one; ``options`` are apply's."""
        return self.apply(pictures, self.draw(pictures.heights, pictures.widths, generator), **options)


@contextmanager
def _one_thread(device: torch.device) -> Iterator[None]:
    """On a CPU a view is thousands of steps of microseconds: waiting for a second thread at the end of each gains
    little on idle cores, and costs tens of times the work where another process has them."""
    threads = torch.get_num_threads()
    if device.type != "cpu" or threads == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _parameters(operation: dict) -> dict:
    return {name: value for name, value in operation.items() if name != "op"}


def rows_of(parameters: Drawn, rows: slice | Tensor) -> Drawn:
    """The parameters of some of the pictures, e.g. one process's share of the global batch."""
    return {step: {name: values[rows] for name, values in mine.items()} for step, mine in parameters.items()}


def to_device(parameters: Drawn, device: torch.device) -> Drawn:
    """``parameters`` on ``device``, sent there in one transfer per dtype."""
    if device.type == "cpu":
        return parameters
    moved: Drawn = {step: {} for step in parameters}
    entries = [(step, name, values) for step, mine in parameters.items() for name, values in mine.items()]
    for dtype in {values.dtype for _, _, values in entries}:
        chosen = [entry for entry in entries if entry[2].dtype == dtype]
        flat = torch.cat([values.reshape(-1) for _, _, values in chosen])
        flat = (flat.pin_memory() if device.type == "cuda" else flat).to(device, non_blocking=True)
        parts = flat.split([values.numel() for _, _, values in chosen])
        for (step, name, values), part in zip(chosen, parts, strict=True):
            moved[step][name] = part.view(values.shape)
    return moved


@torch.no_grad()
def center_view(
    pictures: Pictures,
    size: int,
    resize_ratio: float = 1.0,
    *,
    device: torch.device | str | None = None,
    dtype: torch.dtype = torch.float32,
    mean: tuple[float, ...] | None = None,
    std: tuple[float, ...] | None = None,
) -> View:
    """The evaluation's view: the centred square, resized with antialiasing, normalised; nothing is random.

    ``resize_ratio`` is the shortest side before the centred crop over ``size``, e.g. 256 / 224. The square is cut from
    the picture first and resized once. ``mean`` and ``std`` default to ImageNet's.
    """
    usual = NormalizeSettings()
    crop, normalise = CenterCrop(resize_ratio), Normalize(mean or usual.mean, std or usual.std)
    boxes = crop.draw(pictures.heights, pictures.widths)
    images = normalise.apply_(crop.apply(pictures, boxes, size, device=device), {})
    return View(images.to(dtype), None, {"size": size, "resize_ratio": resize_ratio})
