"""A quick comparison of a freshly compiled library with torch's operations, against compilers that err."""

import torch

from sslbench import registry
from sslbench.data.pack.read import Pictures
from sslbench.transforms.cpu import apply
from sslbench.transforms.cpu.build import Native
from sslbench.transforms.ops.crop import RandomResizedCrop
from sslbench.transforms.ops.resize import picture_by_picture

SIZE = 40
MOST = 1e-4  # of the range [0, 1]: far above rounding, far below any mistake
OPERATIONS: tuple[tuple[str, dict], ...] = (
    ("horizontal_flip", {"p": 0.5}),
    ("vertical_flip", {"p": 0.5}),
    ("rotate", {"p": 0.5}),
    ("rotate_square", {"p": 1.0, "smallest": 2, "largest_share": 0.5, "box": "image"}),
    ("region_confusion", {"p": 0.5, "tiles": 7, "reach": 2, "variant": "paper"}),
    ("color_jitter", {"p": 1.0, "brightness": 0.8, "contrast": 0.8, "saturation": 0.8, "hue": 0.2}),
    ("grayscale", {"p": 0.2}),
    ("gaussian_blur", {"p": 0.5, "sigmas": (0.1, 2.0)}),
    ("normalize", {"mean": (0.5, 0.4, 0.3), "std": (0.3, 0.3, 0.3)}),
)


@torch.no_grad()
def disagreement(native: Native) -> str | None:
    """What the library does otherwise than torch's operations; None where they agree."""
    seed = torch.Generator().manual_seed(0)
    pictures = Pictures.from_list(
        [torch.randint(0, 256, (3, *shape), generator=seed, dtype=torch.uint8) for shape in [(30, 50), (90, 70)] * 8]
    )
    boxes = RandomResizedCrop((0.08, 1.0), (3 / 4, 4 / 3)).draw(pictures.heights, pictures.widths, seed)
    expected = picture_by_picture(pictures, boxes, SIZE).float().div_(255).contiguous()
    images, _ = apply.make(native, (pictures, boxes), SIZE, [])
    if not torch.equal(images, expected):
        return "crop"
    for name, options in OPERATIONS:
        operation = registry.load(registry.OPERATIONS[name])(**options)
        drawn = operation.draw(len(images), SIZE, SIZE, seed)
        ours, _ = apply.make(native, images, SIZE, [(operation, drawn)])
        if not (ours - operation.apply(images, drawn)).abs().max() < MOST:
            return name
    return None
