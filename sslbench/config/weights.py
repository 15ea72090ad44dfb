"""The config's `weights:`: pretrained backbones that can be had, by name. No torch.

Each entry says where the weights come from; `references.pretrained` says which of them are judged.
"""

import re
from typing import Annotated, Any

from pydantic import Field, field_validator, model_validator

from sslbench.settings import LocalPath, Strict


class Weights(Strict):
    """One pretrained backbone: a tag of timm's, a folder or file, or a repository on the Hugging Face hub."""

    timm: str | None = None  # e.g. vit_small_patch14_dinov2.lvd142m
    path: LocalPath | None = None  # a folder of config.json and weights, or a file: of `timm`, or beside a config.json
    hub: str | None = None  # owner/name, with a config.json as timm writes it
    revision: str | None = None  # of the hub's repository; null: its main branch
    sha256: str | None = None  # of the file of weights; any other is refused
    input_size: Annotated[int, Field(ge=16)] | None = None  # px, square; null: the weights' own
    # What they were trained on, e.g. [imagenet-1k with labels]; []: nothing; null: as their tag or export says
    seen: list[str] | None = None

    @field_validator("timm")
    @classmethod
    def _a_tag(cls, value: str | None) -> str | None:
        if value is None or re.fullmatch(r"\w+\.\w+", value):
            return value
        if re.fullmatch(r"\w+", value):
            raise ValueError(f"it names an architecture: name its weights too, as {value}.<tag>")
        raise ValueError("give timm's name of weights, <architecture>.<tag>, e.g. resnet50.a1_in1k")

    @field_validator("hub")
    @classmethod
    def _a_repository(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*", value):
            raise ValueError("give a repository of the hub as owner/name")
        return value

    @field_validator("revision")
    @classmethod
    def _a_revision(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"\w[\w./-]*", value):
            raise ValueError("give a branch, a tag or a commit of the repository")
        return value

    @field_validator("sha256", mode="before")
    @classmethod
    def _a_hash(cls, value: Any) -> Any:
        if value is not None and not re.fullmatch(r"[0-9a-fA-F]{64}", str(value)):
            raise ValueError("give 64 hexadecimal digits, in quotes")
        return value and str(value).lower()

    @model_validator(mode="after")
    def _one_place(self) -> "Weights":
        named = [key for key in ("timm", "path", "hub") if getattr(self, key) is not None]
        if len(named) != 1 and named != ["timm", "path"]:
            raise ValueError("give one of timm, path and hub, or timm with the path of its file")
        if self.revision is not None and self.hub is None:
            raise ValueError("revision is of a hub's repository: give hub, or leave it out")
        return self

    @property
    def asked(self) -> dict[str, Any]:
        """What the weights depend on, as plain values.

        No path, for what is read from there is known by content. Nor ``seen``, which only the page and the card read.
        """
        return self.model_dump(mode="json", exclude={"path", "seen"}, exclude_none=True)


def instead(backbone: str) -> str:
    """What to write to have weights judged that were named as a backbone: a tag, a repository of the hub or a path."""
    place = re.sub(r"^(?:hf[-_]hub:|local-dir:)?(?:timm/)?", "", backbone, flags=re.IGNORECASE)
    if re.fullmatch(r"\w+\.\w+", place):
        key = "timm"
    else:
        key = "hub" if re.match("hf[-_]hub:", backbone, re.IGNORECASE) else "path"
    name = re.sub(r"\W+", "-", place.partition(".")[0] or place).strip("-")[-40:] or "mine"
    return f"weights: {{{name}: {{{key}: {place}}}}} and references: {{pretrained: [{name}]}}"
