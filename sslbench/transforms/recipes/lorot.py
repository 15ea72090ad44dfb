"""LoRot-I: one random square of each view turned by 0, 90, 180 or 270 degrees.

Moon, Kim, Heo 2022 (arXiv 2207.10023), section 3.2. There the turn is a label to be predicted beside the classes; in
the article the operation is an augmentation and the label is dropped, and so it is here.

Open in the source, and chosen here:
- One square per batch or per image: the authors' code draws one per batch, the paper says nothing of it. Here one per
  image, since views of one batch are compared with each other and a square in a common place would tell nothing about
  which belong together (override: square.box = "batch").
- The steps around it: the article's times and scores of this column are those of a light pipeline, so jitter,
  greyscale and blur are there with p 0, at the baseline's strengths. The square comes after them, as in the authors'
  code.
- Crop scale: the baseline's.
"""

from sslbench.transforms.spec import (
    ColorJitter,
    GaussianBlur,
    Grayscale,
    HorizontalFlip,
    Normalize,
    RandomResizedCrop,
    RotateSquare,
    TransformSettings,
    VerticalFlip,
)


class Settings(TransformSettings):
    crop: RandomResizedCrop = RandomResizedCrop(scale=(0.15, 1.0))
    flip: HorizontalFlip = HorizontalFlip(p=0.5)
    vertical_flip: VerticalFlip = VerticalFlip(p=0)  # off, as are the next three; here for overrides
    jitter: ColorJitter = ColorJitter(p=0, brightness=0.7, contrast=0.7, saturation=0.7, hue=0.2)
    gray: Grayscale = Grayscale(p=0)
    blur: GaussianBlur = GaussianBlur(p=0)
    square: RotateSquare = RotateSquare(p=1.0, smallest=2, largest_share=0.5, box="image")
    normalize: Normalize = Normalize()
