"""Rotation prediction's options."""

from typing import Literal

from sslbench.methods.pretext_tasks.spec import TaskSettings
from sslbench.methods.spec import Weight
from sslbench.settings import Strict


class Options(Strict):
    # all: each view in its four rotations, as the paper; one: a rotation drawn for each view, at a fourth of the cost.
    turns: Literal["all", "one"] = "one"


class Settings(Options, TaskSettings):
    weight: Weight = 0.1  # Maaz et al. 2021 (arXiv 2105.08788): of rotation beside fine-grained classification
