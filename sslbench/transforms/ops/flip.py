"""Mirrored images."""

from torch import Tensor

from sslbench.transforms.ops.base import BatchedOperation, NativeForm, Parameters


class HorizontalFlip(BatchedOperation):
    """Left and right exchanged."""

    geometric = True

    def change(self, images: Tensor, parameters: Parameters) -> Tensor:
        return images.flip(-1)

    def native(self, parameters: Parameters) -> NativeForm:
        return "horizontal_flip", ()


class VerticalFlip(BatchedOperation):
    """Top and bottom exchanged."""

    geometric = True

    def change(self, images: Tensor, parameters: Parameters) -> Tensor:
        return images.flip(-2)

    def native(self, parameters: Parameters) -> NativeForm:
        return "vertical_flip", ()
