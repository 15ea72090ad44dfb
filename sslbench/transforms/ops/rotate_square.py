"""LoRot-I's operation: one random square of each image turned in place."""

import torch
from torch import Tensor

from sslbench.errors import UserError
from sslbench.transforms.ops.base import BatchedOperation, NativeForm, Parameters, integers


class RotateSquare(BatchedOperation):
    """A square of each image rotated counter-clockwise by 0, 90, 180 or 270 degrees; all other pixels stay as they are.

    The side is a whole number, uniform in [smallest, largest_share x width]; its top-left corner is uniform in
    {0 .. height - side - 1} x {0 .. width - side - 1}, as in the authors' code, so that a square never touches the
    lower or the right border (unless it is as large as the view). Draws, in this order: whether it fires, side, top,
    left, quarter turns. With box="batch" side, top and left are drawn once for all images, as the authors do.
    """

    geometric = True

    def __init__(self, p: float, smallest: int, largest_share: float, box: str) -> None:
        super().__init__(p)
        self.smallest, self.largest_share, self.box = smallest, largest_share, box

    def draw(self, n: int, height: int, width: int, generator: torch.Generator) -> Parameters:
        """``fired``; ``side``, ``top``, ``left`` in px and ``quarter_turns`` in 0..3, int64 [n]."""
        largest = min(int(self.largest_share * width), height)
        if largest < self.smallest:
            raise UserError(
                f"rotate_square: no square fits a view of {height}x{width} px, its side being at least "
                f"{self.smallest} and at most {largest}; lower `smallest` or raise `largest_share`"
            )
        drawn = super().draw(n, height, width, generator)
        boxes = n if self.box == "image" else min(n, 1)
        side = integers(self.smallest, torch.full((boxes,), largest + 1), generator)
        top = integers(0, height - side, generator)
        left = integers(0, width - side, generator)
        drawn |= {name: value.expand(n).clone() for name, value in (("side", side), ("top", top), ("left", left))}
        drawn["quarter_turns"] = torch.randint(4, (n,), generator=generator)
        return drawn

    def touched(self, parameters: Parameters) -> Tensor:
        return parameters["fired"] & (parameters["quarter_turns"] != 0)

    def native(self, parameters: Parameters) -> NativeForm:
        return "rotate_square", [parameters[name] for name in ("top", "left", "side", "quarter_turns")]

    def change(self, images: Tensor, parameters: Parameters) -> Tensor:
        n, channels, height, width = images.shape
        y, x = torch.arange(height, device=images.device), torch.arange(width, device=images.device)
        side, top, left, turns = (parameters[name][:, None] for name in ("side", "top", "left", "quarter_turns"))
        down, right = y - top, x - left  # place within the square, [n, h] and [n, w]
        up, back = side - 1 - down, side - 1 - right  # the same, from the other end
        # The flat index a pixel reads from is a term of its row plus a term of its column, whatever the turn.
        by_row = torch.where(
            turns % 2 == 0, (top + torch.where(turns == 0, down, up)) * width, left + torch.where(turns == 1, up, down)
        )
        by_column = torch.where(
            turns % 2 == 0,
            left + torch.where(turns == 0, right, back),
            (top + torch.where(turns == 1, right, back)) * width,
        )
        inside = ((down >= 0) & (up >= 0))[:, :, None] & ((right >= 0) & (back >= 0))[:, None, :]
        reads = torch.where(inside, by_row[:, :, None] + by_column[:, None, :], y[:, None] * width + x)  # [n, h, w]
        reads = reads.reshape(n, 1, -1).expand(n, channels, -1)
        return images.reshape(n, channels, -1).gather(2, reads).reshape(images.shape)
