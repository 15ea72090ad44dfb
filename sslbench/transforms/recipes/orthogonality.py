"""Orthogonality: SimCLR's operations and a vertical flip.

Open in the source, and chosen here: the article describes this column by its flips alone. But its runs are as slow as
the SimCLR column's, model by model (means 164 and 156 minutes; columns without colour and blur take 64), and score
just below it, which points to SimCLR's pipeline with a vertical flip added. The config's orthogonality-flips-only is
the other reading: jitter.p, gray.p and blur.p set to 0.
"""

from sslbench.transforms.recipes import simclr
from sslbench.transforms.spec import VerticalFlip


class Settings(simclr.Settings):
    vertical_flip: VerticalFlip = VerticalFlip(p=0.5)  # in the same place of the order
