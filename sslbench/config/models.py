"""The configuration: typed and validated before anything runs (grid/expand.py makes cells of it). No torch.

Lists say what runs (grid, seeds), dicts define things (datasets, models, transforms): Snakemake merges config files
deeply, so an overlay can replace a list, and add to a dict.
"""

from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, field_validator

from sslbench.config.composition import Composition
from sslbench.config.compute import Compute
from sslbench.config.evaluation import Evaluation
from sslbench.config.weights import Weights, instead
from sslbench.methods.spec import Preset
from sslbench.nn import architectures
from sslbench.settings import LocalPath, Name, Positive, Strict

# A dataset, or one part of a divided one: parts@fold1of5.
DatasetName = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]*(@[a-z]+\d+of\d+)?$", max_length=120)
]


class Block(Strict):
    """One part of the grid: every dataset x model x transform named here. Without models and transforms nothing is
    trained: the datasets then have the rows of `references.pretrained` alone."""

    datasets: Annotated[list[DatasetName], Field(min_length=1)]
    models: list[Name] = []
    transforms: list[Name] = []
    downstream: list[Literal["retrieve", "adapt", "finetune"]] = []  # measured beside the probe, references included

    @cached_property
    def members(self) -> tuple[frozenset[str], frozenset[str], frozenset[str]]:
        """Datasets, models and transforms, to be asked of once per cell of the grid."""
        return frozenset(self.datasets), frozenset(self.models), frozenset(self.transforms)


LEFT_OUT = 0.1  # share of training images that fill no batch, from which a line says so


def left_out(images: int, batch: int) -> str | None:
    """A line where many of the training ``images`` fill no ``batch``; None where few do."""
    rest = images % batch
    if rest < LEFT_OUT * images:
        return None
    return (
        f"{rest} of {images} training images ({rest / images:.0%}), others in each epoch, fill no batch of {batch}; "
        "another training.batch_size leaves out fewer"
    )


class Training(Strict):
    """What pretraining needs beyond the method's recipe. A model entry can override any of it under `training:`."""

    # Whose constants the methods begin with: authors, or lightly, where a method has them. A model may say its own.
    preset: Preset = "lightly"
    backbone: str = "resnet18"  # any of timm's architectures, from random weights
    backbone_options: dict[str, Any] = {}  # passed to timm.create_model
    input_size: Annotated[int, Field(ge=16)] = 224  # px, square
    batch_size: Annotated[int, Field(ge=2)] = 256  # pictures per optimiser step
    epochs: Positive = 200
    accumulate: Positive = 1  # a step's batch is made in this many parts
    precision: Literal["fp32", "bf16"] = "bf16"  # of the network's arithmetic; losses are always fp32
    channels_last: bool = True
    compile: bool = False
    deterministic: bool = True
    holdout: Annotated[float, Field(ge=0, le=0.5)] = 0.05  # share of training pictures kept from the online head
    measure_every: Positive = 10  # epochs between two measurements of the online head

    @field_validator("backbone", "backbone_options")
    @classmethod
    def _without_weights(cls, value: Any) -> Any:
        check = architectures.fault_of_name if isinstance(value, str) else architectures.fault_of_options
        if fault := check(value):
            more = f"; to have the weights judged as they are: {instead(value)}" if isinstance(value, str) else ""
            raise ValueError(fault + more)
        return value


class References(Strict):
    """Rows to hold the methods against, in every dataset of the grid."""

    random: bool = True  # every network that the dataset's models begin from, as it is initialised
    # Trained with labels on each of these transforms that the dataset's grid has, or on its first; []: none.
    supervised: list[Name] = ["baseline"]
    pretrained: list[Name] = []  # frozen backbones that can be had, of `weights:`

    @field_validator("pretrained")
    @classmethod
    def _once(cls, names: list[str]) -> list[str]:
        if len(set(names)) != len(names):
            raise ValueError("names weights twice")
        return names


class Sweep(Strict):
    """A table of the report: one parameter of a transform down, models across."""

    parameter: str  # dotted, e.g. jitter.strength
    transforms: Annotated[list[Name], Field(min_length=2)]


class Paths(Strict):
    data: LocalPath = Path("data")
    results: LocalPath = Path("results")
    reports: LocalPath = Path("reports")

    @field_validator("*")
    @classmethod
    def _a_folder(cls, path: Path) -> Path:
        if path.exists() and not path.is_dir():
            raise ValueError("it is a file, and a folder belongs here")
        if {"{", "}"} & set(str(path)):
            raise ValueError("it holds { or }, which Snakemake takes for a wildcard")
        return path


class Config(Strict):
    """config.yaml with its overlays."""

    name: Name
    title: str
    note: str = ""  # the report's first line, where its figures need a warning
    grid: list[Block]
    seeds: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)] = [0]
    datasets: dict[Name, dict[str, Any]]
    models: dict[Name, dict[str, Any]]
    transforms: dict[Name, dict[str, Any]]
    weights: dict[Name, Weights] = {}  # pretrained backbones that can be had; `references.pretrained` judges them
    training: Training = Training()
    references: References = References()
    evaluation: Evaluation = Evaluation()
    compute: Compute = Compute()
    sweep: Sweep | None = None
    composition: Composition | None = None
    paths: Paths = Paths()

    @field_validator("seeds")
    @classmethod
    def _seeds_once(cls, seeds: list[int]) -> list[int]:
        if len(set(seeds)) != len(seeds):
            raise ValueError("names a seed twice")
        return seeds
