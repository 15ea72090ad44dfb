"""Edges."""

from torch import Tensor
from torch.nn.functional import pad

from sslbench.transforms.ops.base import BatchedOperation, Parameters
from sslbench.transforms.ops.color import LUMA


class Sobel(BatchedOperation):
    """The length of Sobel's gradient of the brightness, in all three channels.

    Chen et al. 2020 name the filter (figure 4j) and say no more; their published code does not have it. Chosen here:
    the brightness, so that edges carry no colour; a quarter of the usual weights, by which the straight edge between
    black and white is 1, and what exceeds that (corners, up to 1.12) is cut off; the border's pixels repeated outside.
    """

    def change(self, images: Tensor, parameters: Parameters) -> Tensor:
        red, green, blue = images.split(1, dim=1)
        grey = LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue  # [n, 1, h, w]
        height, width = grey.shape[-2:]
        wide = pad(grey, (1, 1, 1, 1), mode="replicate")
        above, beside, below = (wide[..., i : i + height, :] for i in range(3))
        left, middle, right = ((above + 2 * beside + below)[..., i : i + width] for i in range(3))
        across = right - left
        left, middle, right = ((below - above)[..., i : i + width] for i in range(3))
        down = left + 2 * middle + right
        return ((across**2 + down**2).sqrt() / 4).clamp_max(1).expand_as(images)
