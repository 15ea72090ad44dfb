"""DCL: the tiles of a 7 x 7 grid shuffled within their neighbourhood (region confusion).

Chen, Bai, Zhang, Mei 2019 (CVPR), section 3.1, with its N = 7 and k = 2; the article cites it through Maaz et al. 2021
(arXiv 2105.08788), who took over the first authors' program. There a network also learns to tell shuffled from whole
pictures and to find each tile's place; in the article the shuffle is an augmentation alone, and so it is here. Not to
be confused with the decoupled contrastive loss of the same name.

Open in the source, and chosen here:
- The paper's rule and the authors' program move tiles differently: the program never permutes columns apart from one
  another and can carry a tile on to the end of its row. Here the paper's rule (override: shuffle.variant = "code").
- Rows and columns: the paper writes both permutations at once, which can send two tiles to one place; rows are
  shuffled first here, then columns.
- Every view is shuffled (p 1): the article does not say that some stay whole (override: shuffle.p).
- The steps around it and the crop scale: as in lorot, for the same reason.
"""

from sslbench.transforms.spec import (
    ColorJitter,
    GaussianBlur,
    Grayscale,
    HorizontalFlip,
    Normalize,
    RandomResizedCrop,
    RegionConfusion,
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
    shuffle: RegionConfusion = RegionConfusion(p=1.0, tiles=7, reach=2, variant="paper")
    normalize: Normalize = Normalize()
