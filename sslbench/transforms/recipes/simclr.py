"""SimCLR: crop, flip, strong colour jitter, greyscale, blur.

Chen, Kornblith, Norouzi, Hinton 2020 (arXiv 2002.05709), appendix A, at colour strength 1.0; lightly's SimCLRTransform
has the same figures.

Open in the source, and chosen here:
- Strength. lightly's benchmark of the article's time used 0.5 for every method; the article's column of this name, set
  against a baseline of strength 0.7, is taken to be the paper's 1.0 (override: jitter.strength).
- Solarisation is no part of SimCLR. It is here with p 0 so that BYOL's second view can be written as an override:
  second: {blur: {p: 0.1}, solarize: {p: 0.2}}.
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
    vertical_flip: VerticalFlip = VerticalFlip(p=0)  # off; here for overrides
    jitter: ColorJitter = ColorJitter(p=0.8, brightness=0.8, contrast=0.8, saturation=0.8, hue=0.2, strength=1.0)
    gray: Grayscale = Grayscale(p=0.2)
    blur: GaussianBlur = GaussianBlur(p=0.5, sigmas=(0.1, 2.0))
    solarize: Solarize = Solarize(p=0)  # off; here for overrides
    normalize: Normalize = Normalize()
