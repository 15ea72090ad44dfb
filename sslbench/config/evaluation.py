"""Settings of everything that is measured on a finished backbone, `evaluation:` in the config. No torch."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from sslbench.methods.spec import Recipe
from sslbench.settings import Strict
from sslbench.transforms.spec import HorizontalFlip, RandomResizedCrop

# Rules beside the probe, and what they leave in a cell's folder.
FILES = {
    "labelfree": "labelfree.json",
    "retrieve": "retrieval.json",
    "adapt": "adapt.json",
    "finetune": "finetune.json",
}
APART = frozenset(FILES)  # keys of `evaluation:` that the probe never reads

Positive = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(gt=0, le=1)]


def _once_and_rising(values: list) -> list:
    if values != sorted(set(values)):
        raise ValueError("each once, from small to large")
    return values


Shares = Annotated[list[Share], Field(min_length=1), AfterValidator(_once_and_rising)]
Depths = Annotated[list[Positive], Field(min_length=1), AfterValidator(_once_and_rising)]

PENALTIES = [1e-5, 1e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0]


class LinearProbe(Strict):
    penalties: Annotated[list[Annotated[float, Field(gt=0)]], Field(min_length=1)] = PENALTIES
    holdout: Annotated[float, Field(gt=0, lt=1)] = 0.2  # share of training pictures on which the penalty is chosen
    max_iterations: Positive = 500


class Neighbours(Strict):
    k: Annotated[list[Positive], Field(min_length=1)] = [20, 200]
    temperature: Annotated[float, Field(gt=0)] = 0.1


class Retrieve(Strict):
    recall_at: Depths = [1, 2, 4, 8]  # Oh Song et al. 2016 (arXiv 1511.06452), section 5, for CUB-200


class Adapt(Strict):
    """Heads on frozen features. The linear one is the probe; these are the other one's numbers, chosen once."""

    shares: Shares = [0.01, 0.1, 1.0]  # of the labels
    draws: Positive = 5  # of a share below 1
    hidden: Positive = 512  # units of the one hidden layer
    base_lr: Annotated[float, Field(gt=0)] = 1e-3  # AdamW's default in torch, as is the next
    weight_decay: Annotated[float, Field(ge=0)] = 1e-2
    batch_size: Positive = 256
    steps: Positive = 1000  # whatever the share, so that few pictures are seen more often


class TuningRecipe(Recipe):
    """lightly's benchmarks/imagenet finetune_eval.py: plain SGD without weight decay or warm-up, 30 epochs."""

    optimizer: Literal["sgd", "lars", "adam", "adamw"] = "sgd"
    base_lr: Annotated[float, Field(gt=0)] = 0.05
    weight_decay: Annotated[float, Field(ge=0)] = 0


class Finetune(Strict):
    shares: Shares = [0.01, 0.1, 1.0]  # of the labels; drawn as for `adapt`
    draws: Positive = 3  # of a share below 1
    epochs: Positive = 30
    least_steps: Positive = 200  # more epochs where the epochs above have fewer: a hundred pictures make one step each
    batch_size: Annotated[int, Field(ge=2)] = 256  # or all pictures where there are fewer
    recipe: TuningRecipe = TuningRecipe()
    crop: RandomResizedCrop = RandomResizedCrop()  # lightly's finetune_eval.py: crop and flip, no colours
    flip: HorizontalFlip = HorizontalFlip()


class LabelFree(Strict):
    """LiDAR's surrogate classes. The paper takes more of both; these cost about what embedding the dataset does."""

    pictures: Annotated[int, Field(ge=2)] = 500  # or all training pictures where there are fewer
    views: Annotated[int, Field(ge=2)] = 10  # of each


class Evaluation(Strict):
    resize_ratio: Annotated[float, Field(ge=1, le=2)] = 1.0  # shortest side before the centred crop / input size
    linear: LinearProbe = LinearProbe()
    knn: Neighbours = Neighbours()
    retrieve: Retrieve = Retrieve()
    adapt: Adapt = Adapt()
    finetune: Finetune = Finetune()
    labelfree: LabelFree = LabelFree()
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
