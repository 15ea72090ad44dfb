"""LoRot's options; the authors' code means wjun0830/Localizable-Rotation."""

from typing import Annotated, Literal

from pydantic import Field

from sslbench.methods.pretext_tasks.spec import TaskSettings
from sslbench.methods.spec import Weight
from sslbench.settings import Strict


class Options(Strict):
    # implicit (LoRot-I): a random square is turned, 4 classes. explicit (LoRot-E): a quadrant is, 16 classes.
    variant: Literal["implicit", "explicit"] = "implicit"
    smallest: Annotated[int, Field(ge=2)] = 2  # px, side of the square; authors' code; implicit alone
    largest_share: Annotated[float, Field(gt=0, le=1)] = 0.5  # of the view's width; authors' code; implicit alone
    # One square per image, as the transform has it (transforms/recipes/lorot.py), or one per batch, as the authors'
    # code.
    box: Literal["image", "batch"] = "image"


class Settings(Options, TaskSettings):
    weight: Weight = 0.1  # authors' code beside long-tailed classification; 0.5 beside out-of-distribution detection
