"""Baseline: the steps that the article lists for its first column.

Crop and resize, rotation, colour dropping, changes of brightness, contrast, saturation and hue, blur. This is the
step order and, but for the rotation, the defaults of lightly 1.3's ImageCollateFunction.

Open in the source, and chosen here:
- Rotation. The article names no probability and no angle; lightly's rotation is by 90 degrees with p 0. A step that is
  listed is taken to act: p 0.5. The config's baseline-lightly sets rotate.p to 0.
- Where rotation stands. Before the flips, as in lightly until mid-2025 (it comes after them since).
- Blur. lightly's kernel was 10 % of the size then, a sigma of 9 to 13 px at 224; here it is 0.1 to 2 px, which lightly
  and the literature use since.
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
    crop: RandomResizedCrop = RandomResizedCrop(scale=(0.15, 1.0))
    rotate: Rotate = Rotate(p=0.5)  # by 90 degrees; before the flips, see above
    flip: HorizontalFlip = HorizontalFlip(p=0.5)
    vertical_flip: VerticalFlip = VerticalFlip(p=0)  # off, as in lightly; here for overrides
    jitter: ColorJitter = ColorJitter(p=0.8, brightness=0.7, contrast=0.7, saturation=0.7, hue=0.2)
    gray: Grayscale = Grayscale(p=0.2)
    blur: GaussianBlur = GaussianBlur(p=0.5)
    solarize: Solarize = Solarize(p=0)  # off; here for overrides
    normalize: Normalize = Normalize()
