"""Mirrored images."""

from torch import Tensor

from sslbench.transforms.ops.batched import BatchedOperation, Parameters


class HorizontalFlip(BatchedOperation):
    """Left and right exchanged."""

    geometric = True

    def change(self, images: Tensor, parameters: Parameters) -> Tensor:
        return images.flip(-1)


class VerticalFlip(BatchedOperation):
    """Top and bottom exchanged."""

    geometric = True

    def change(self, images: Tensor, parameters: Parameters) -> Tensor:
        return images.flip(-2)
