"""Orthogonality: SimCLR's operations and a vertical flip.

Open in the source, and chosen here: the article describes this column by its flips alone. But its runs are as slow as
the SimCLR column's, model by model (means 164 and 156 minutes; columns without colour and blur take 64), and score
just below it, which points to SimCLR's pipeline with a vertical flip added. The config's orthogonality-flips-only is
the other reading: jitter.p, gray.p and blur.p set to 0.
"""

from sslbench.transforms.spec import (
    ColorJitter,
    GaussianBlur,
    Grayscale,
    HorizontalFlip,
    Normalize,
    RandomResizedCrop,
    Rotate,
    Solarize,
    TransformSettings,
    VerticalFlip,
)


class Settings(TransformSettings):
    crop: RandomResizedCrop = RandomResizedCrop(scale=(0.08, 1.0))
    rotate: Rotate = Rotate(p=0)  # off; here for overrides
    flip: HorizontalFlip = HorizontalFlip(p=0.5)
    vertical_flip: VerticalFlip = VerticalFlip(p=0.5)  # the one line that differs from simclr
    jitter: ColorJitter = ColorJitter(p=0.8, brightness=0.8, contrast=0.8, saturation=0.8, hue=0.2, strength=1.0)
    gray: Grayscale = Grayscale(p=0.2)
    blur: GaussianBlur = GaussianBlur(p=0.5, sigmas=(0.1, 2.0))
    solarize: Solarize = Solarize(p=0)  # off; here for overrides
    normalize: Normalize = Normalize()
