"""Views from packed pictures: a transform's operations, built once, drawn and applied for whole batches."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import groupby

import torch
from torch import Tensor

from sslbench import registry
from sslbench.data.pack.read import Pictures
from sslbench.errors import UserError
from sslbench.nn.random import generator as seeded
from sslbench.nn.threads import using
from sslbench.transforms.cpu import apply as chain
from sslbench.transforms.cpu import backend, build
from sslbench.transforms.gpu import crop_and_operations
from sslbench.transforms.ops.base import BatchedOperation
from sslbench.transforms.ops.crop import CenterCrop, Crop, RandomResizedCrop
from sslbench.transforms.ops.normalize import Normalize
from sslbench.transforms.spec import Normalize as NormalizeSettings

Drawn = dict[str, dict[str, Tensor]]  # step -> its parameters: CPU tensors with one row per picture
Steps = Sequence[tuple[BatchedOperation, dict[str, Tensor]]]  # operations in order, each with its parameters

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
        memory_format: torch.memory_format = torch.contiguous_format,
        want_locations: bool = False,
    ) -> View:
        """The view on ``device`` (default: the pictures' own). Arithmetic is float32; ``dtype`` and ``memory_format``
        are those of the result's images.

        On a CPU it is made natively (transforms/cpu/views.c), picture by picture on torch.get_num_threads() threads, or
        by torch's operations in one thread (transforms/cpu/backend.py says when). Views never depend on the number of
        threads.
        """
        device = torch.device(device if device is not None else pictures.device)
        steps = [(operation, parameters[step]) for step, operation in self.steps.items()]
        native = backend.native() if device.type == pictures.device.type == "cpu" else None
        if native:
            images, locations = _natively(
                native, pictures, parameters[CROP], self.size, steps, dtype, memory_format, want_locations
            )
        else:
            with _one_thread(device):
                images, locations = self._batched(pictures, parameters, device, dtype, memory_format, want_locations)
        return View(images, locations, self.spec)

    def _batched(
        self,
        pictures: Pictures,
        parameters: Drawn,
        device: torch.device,
        dtype: torch.dtype,
        memory_format: torch.memory_format,
        want_locations: bool,
    ) -> tuple[Tensor, Tensor | None]:
        boxes = parameters[CROP]
        moved = to_device(parameters, device)
        locations = self.crop.locations(moved[CROP], self.size) if want_locations else None
        steps = [(operation, moved[step]) for step, operation in self.steps.items()]
        if locations is not None:
            locations = _chain_of_places(locations, steps)
        if device.type == pictures.device.type == "cuda" and crop_and_operations.usable():
            return crop_and_operations.images_of(pictures, boxes, self.size, steps, dtype, memory_format), locations
        images = _chain(self.crop.apply(pictures, boxes, self.size, device=device), steps)
        return images.to(dtype, memory_format=memory_format), locations

    def make(self, pictures: Pictures, generator: torch.Generator, **options) -> View:
        """``draw`` and ``apply`` in one; ``options`` are apply's."""
        return self.apply(pictures, self.draw(pictures.heights, pictures.widths, generator), **options)


def _chain(images: Tensor, steps: Steps) -> Tensor:
    """``images`` [n, 3, s, s], which may be overwritten, after the operations; all on one device."""
    for operation, parameters in steps:
        images = operation.apply_(images, parameters)
    return images


def _chain_of_places(locations: Tensor, steps: Steps) -> Tensor:
    for operation, parameters in steps:
        if operation.geometric:
            locations = operation.apply_locations(locations, parameters)
    return locations


def _natively(
    native: build.Native,
    pictures: Pictures,
    boxes: dict[str, Tensor],
    size: int,
    steps: Steps,
    dtype: torch.dtype,
    memory_format: torch.memory_format,
    want_locations: bool,
) -> tuple[Tensor, Tensor | None]:
    """Native stretches of the chain, and torch's operations between them for those without a native form."""
    stretches = [(known, list(these)) for known, these in groupby(steps, lambda s: chain.has_native_form(s[0]))]
    whole = all(known for known, _ in stretches)
    first = stretches.pop(0)[1] if stretches and stretches[0][0] else []
    wanted = {"dtype": dtype, "memory_format": memory_format}
    if whole and dtype in chain.DTYPES and memory_format in chain.LAYOUTS:
        return chain.make(native, (pictures, boxes), size, first, want_locations=want_locations, **wanted)
    images, _ = chain.make(native, (pictures, boxes), size, first)
    for known, these in stretches:
        if known:
            images, _ = chain.make(native, images, size, these)
        else:
            with _one_thread(images.device):
                images = _chain(images, these)
    locations = None
    if want_locations:
        with _one_thread(images.device):
            locations = _chain_of_places(Crop().locations(boxes, size), steps)
    return images.to(dtype, memory_format=memory_format), locations


@contextmanager
def _one_thread(device: torch.device) -> Iterator[None]:
    """On a CPU a view is thousands of steps of microseconds: waiting for a second thread at the end of each gains
    little on idle cores, and costs tens of times the work where another process has them."""
    if device.type != "cpu" or torch.get_num_threads() == 1:
        yield
        return
    with using(1):
        yield


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
    memory_format: torch.memory_format = torch.contiguous_format,
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
    device = torch.device(device if device is not None else pictures.device)
    native = backend.native() if device.type == pictures.device.type == "cpu" else None
    if native:
        images, _ = _natively(native, pictures, boxes, size, [(normalise, {})], dtype, memory_format, False)
    else:
        images = normalise.apply_(crop.apply(pictures, boxes, size, device=device), {})
    images = images.to(dtype, memory_format=memory_format)
    return View(images, None, {"size": size, "resize_ratio": resize_ratio})
