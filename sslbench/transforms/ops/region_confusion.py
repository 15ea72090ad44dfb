"""DCL's operation: the tiles of a grid shuffled within a neighbourhood."""

import torch
from torch import Tensor

from sslbench.errors import UserError
from sslbench.transforms.ops.base import BatchedOperation, NativeForm, Parameters


class RegionConfusion(BatchedOperation):
    """Tiles of an N x N grid change places.

    variant="paper": every row is sorted by its tiles' positions plus noise uniform in [-reach, reach), then every
    column is, so that a tile moves by less than 2 reach rows and columns. variant="code", the authors' program: tiles
    are laid down one after the other, and after each the last ``reach`` laid are shuffled; then whole rows likewise.
    A tile then moves back by at most reach - 1 but can be carried on to the end of its row.

    Tile edges are the whole numbers nearest to i x size / N, so tiles differ by a pixel where N does not divide the
    size; a tile that comes to a place of another size repeats or leaves out a row or column (nearest pixel). The
    authors' program also cuts 10 px off every side of a 512-px picture and smooths tiles as it resizes them; neither
    is done here.
    """

    geometric = True

    def __init__(self, p: float, tiles: int, reach: int, variant: str) -> None:
        super().__init__(p)
        self.tiles, self.reach, self.variant = tiles, reach, variant

    def draw(self, n: int, height: int, width: int, generator: torch.Generator) -> Parameters:
        """``fired``, and ``tile`` int64 [n, N, N]: which tile, counted along rows, each place of the grid gets."""
        if min(height, width) < self.tiles:
            raise UserError(f"region_confusion: {self.tiles} tiles do not fit a view of {height}x{width} px")
        drawn = super().draw(n, height, width, generator)
        tile = torch.arange(self.tiles**2).reshape(1, self.tiles, self.tiles).expand(n, -1, -1)
        if self.variant == "paper":
            tile = tile.gather(2, self._sorted_by_noise(n, generator))
            tile = tile.transpose(1, 2).gather(2, self._sorted_by_noise(n, generator)).transpose(1, 2)
        else:
            tile = tile.gather(2, self._laid_down((n, self.tiles), generator))
            rows = self._laid_down((n,), generator)
            tile = tile.gather(1, rows[:, :, None].expand_as(tile))
        return drawn | {"tile": tile.contiguous()}

    def _sorted_by_noise(self, n: int, generator: torch.Generator) -> Tensor:
        """int64 [n, N, N]: for each line of tiles, which of its tiles comes to each place."""
        noise = torch.rand(n, self.tiles, self.tiles, generator=generator, dtype=torch.float64)
        return (torch.arange(self.tiles) + self.reach * (2 * noise - 1)).argsort(dim=-1)

    def _laid_down(self, lines: tuple[int, ...], generator: torch.Generator) -> Tensor:
        """int64 [*lines, N]: the same, by shuffling the last ``reach`` places after each tile is laid down."""
        order = torch.arange(self.tiles).expand(*lines, self.tiles).clone()
        for laid in range(2, self.tiles + 1):
            last = slice(max(0, laid - self.reach), laid)
            shuffle = torch.rand(*lines, last.stop - last.start, generator=generator, dtype=torch.float64).argsort(
                dim=-1
            )
            order[..., last] = order[..., last].gather(-1, shuffle)
        return order

    def native(self, parameters: Parameters) -> NativeForm:
        return "region_confusion", (self.tiles, parameters["tile"].flatten(1))

    def change(self, images: Tensor, parameters: Parameters) -> Tensor:
        n, channels, height, width = images.shape
        tile = parameters["tile"]
        rows, place_down = self._reads(height, images.device)
        columns, place_across = self._reads(width, images.device)
        # The row that a pixel reads depends on its own row and on the tile that its place of the grid got.
        down = (tile // self.tiles)[:, place_down, :]  # [n, height, N]
        y = rows.expand(n, -1, -1).gather(2, down).index_select(2, place_across)  # [n, height, width]
        across = (tile % self.tiles)[:, :, place_across].transpose(1, 2)  # [n, width, N]
        x = columns.expand(n, -1, -1).gather(2, across).index_select(2, place_down).transpose(1, 2)
        reads = (y * width + x).reshape(n, 1, -1).expand(n, channels, -1)
        return images.reshape(n, channels, -1).gather(2, reads).reshape(images.shape)

    def _reads(self, length: int, device: torch.device) -> tuple[Tensor, Tensor]:
        """[length, N]: which pixel each pixel reads if its place holds tile t; and int64 [length]: its place."""
        edges = (torch.arange(self.tiles + 1, device=device) * length * 2 + self.tiles) // (2 * self.tiles)
        sizes = edges[1:] - edges[:-1]
        place = torch.repeat_interleave(torch.arange(self.tiles, device=device), sizes, output_size=length)
        within = torch.arange(length, device=device) - edges[place]
        reads = edges[:-1] + (2 * within[:, None] + 1) * sizes // (2 * sizes[place][:, None])  # nearest centre
        return reads, place
