"""Compose: any operations in any order, written in YAML.

    mine: {kind: compose, operations: [{op: random_resized_crop, scale: [0.2, 1]}, {op: sobel, p: 1}]}

For studies such as that of Chen, Kornblith, Norouzi, Hinton 2020 (arXiv 2002.05709), section 3.1, figure 5, which
composes pairs. A crop stands first and once; without one a view is the centred square. Normalisation ends the list and
need not be named. Without ``operations`` it is a crop alone. ``second: {operations: [...]}`` gives view 2 a list of its
own, for figure 5 an empty one: there only one view is transformed.

Open in the source, and chosen here: operations that the paper names without their parameters, see ops/sobel.py,
ops/cutout.py and ops/noise.py.
"""

from typing import Annotated, Any

from pydantic import BeforeValidator, SerializeAsAny, ValidationError, field_validator

from sslbench import registry
from sslbench.settings import words
from sslbench.transforms.spec import Normalize, Operation, RandomResizedCrop, TransformSettings


def operation(entry: Any) -> Operation:
    """The typed operation of a YAML entry such as ``{op: sobel, p: 1}``.

    Raises ValueError, one line, with the nearest name where an operation or a parameter is unknown.
    """
    if isinstance(entry, Operation):
        return entry
    if not isinstance(entry, dict) or "op" not in entry:
        raise ValueError("an operation is written {op: its name, and its parameters}")
    kinds = {kind.model_fields["op"].default: kind for kind in Operation.__subclasses__()}
    names = [name for name in registry.OPERATIONS if name in kinds]
    if entry["op"] not in names:
        guess = registry.nearest(entry["op"], names)
        raise ValueError(f"no operation is called {entry['op']!r}.{guess} Known: {', '.join(names)}")
    kind = kinds[entry["op"]]
    try:
        return kind.model_validate(entry)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key, known = ".".join(map(str, first["loc"])), [name for name in kind.model_fields if name != "op"]
        if first["type"] == "extra_forbidden":
            guess = registry.nearest(key, known)
            raise ValueError(f"{entry['op']} has no {key!r}.{guess} Known: {', '.join(known)}") from None
        raise ValueError(f"{key}: {words(first)}".removeprefix(": ")) from None


class Settings(TransformSettings):
    operations: tuple[Annotated[SerializeAsAny[Operation], BeforeValidator(operation)], ...] = (RandomResizedCrop(),)

    @field_validator("operations")
    @classmethod
    def _in_their_places(cls, operations: tuple[Operation, ...]) -> tuple[Operation, ...]:
        names = [one.op for one in operations]
        if "random_resized_crop" in names[1:]:
            raise ValueError("random_resized_crop stands first and only once")
        if "normalize" in names[:-1]:
            raise ValueError("normalize stands last and only once")
        return operations

    def branch(self, index: int) -> list[Operation]:
        """The operations of view recipe 0 or 1, in order, normalisation last."""
        chosen = type(self).model_validate(self.second).operations if index == 1 and self.second else self.operations
        return [*chosen, *([] if chosen and chosen[-1].op == "normalize" else [Normalize()])]
