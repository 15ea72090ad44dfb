"""The last step of a view."""

import torch
from torch import Tensor

from sslbench.transforms.ops.base import BatchedOperation, NativeForm, Parameters, constant


class Normalize(BatchedOperation):
    """(x - mean) / std per channel. Nothing is drawn."""

    def __init__(self, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__(1.0)
        self.mean, self.std = tuple(mean), tuple(std)

    def draw(self, n: int, height: int, width: int, generator: torch.Generator) -> Parameters:
        return {}

    def native(self, parameters: Parameters) -> NativeForm:
        return "normalize", (*self.mean, *self.std)

    def change(self, images: Tensor, parameters: Parameters) -> Tensor:
        mean, std = self._column(self.mean, images), self._column(self.std, images)
        return (images - mean) / std

    def undo(self, images: Tensor) -> Tensor:
        """Images [n, 3, h, w] brought back to [0, 1]."""
        return images * self._column(self.std, images) + self._column(self.mean, images)

    def apply_(self, images: Tensor, parameters: Parameters) -> Tensor:
        if images.device.type != "cpu":
            return self.change(images, parameters)
        return images.sub_(self._column(self.mean, images)).div_(self._column(self.std, images))

    def _column(self, values: tuple[float, ...], like: Tensor) -> Tensor:
        return constant(values, like.dtype, like.device)[:, None, None]
