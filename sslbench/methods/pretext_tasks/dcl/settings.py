"""DCL's options; the authors' code means JDAI-CV/DCL."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from sslbench.methods.pretext_tasks.spec import TaskSettings
from sslbench.methods.spec import Weight
from sslbench.settings import Strict


class Options(Strict):
    # N: the grid is N x N. None: the paper's 7, or as many as the backbone's map has cells across, where it has fewer.
    tiles: Annotated[int, Field(ge=2)] | None = None
    reach: Annotated[int, Field(ge=1)] = 2  # k: a tile moves less than 2k rows and columns; paper, section 3.1
    variant: Literal["paper", "code"] = "paper"  # how tiles move; as in transforms/spec.py
    # What is regressed at each place: its tile's row and column (paper, equation 5), or its index (authors' code).
    target: Literal["coordinates", "index"] = "coordinates"
    destruction_weight: Weight = 1.0  # beta: is it shuffled?; paper, section 4; authors' code
    location_weight: Weight = 1.0  # gamma: where was it?; the same on CUB; 0.01 on cars and aircraft

    @model_validator(mode="after")
    def _reach_below_tiles(self) -> "Options":
        if self.tiles is not None and self.reach >= self.tiles:
            raise ValueError(f"reach {self.reach} moves tiles beyond a grid of {self.tiles}; it is below `tiles`")
        return self


class Settings(Options, TaskSettings):
    weight: Weight = 1.0  # Maaz et al. 2021 and the authors add the terms as they are
