"""A value of any JSON type under any key is answered in one line of ours that names the key."""

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from sslbench import registry
from sslbench.config.json_schema import FILE
from sslbench.config.validation import filled
from sslbench.errors import UserError
from sslbench.grid.expand import load

ROOT = Path(__file__).parents[2]
SCHEMA = json.loads(FILE.read_text())
WHOLE = yaml.safe_load((ROOT / "config.yaml").read_text()) | {
    "compute": {},
    "composition": {"rows": ["simclr"], "columns": ["simclr"]},
    "sweep": {"parameter": "jitter.p", "transforms": ["simclr", "baseline-lightly"]},
}
for kind, names in (
    ("datasets", ["imagenette"]),
    ("models", ["byol"]),
    ("transforms", ["simclr", "dcl", "baseline", "baseline-lightly"]),
):
    WHOLE[kind] = {name: WHOLE[kind][name] for name in names}
WHOLE["grid"] = [{"datasets": ["imagenette"], "models": ["byol"], "transforms": ["dcl"], "downstream": []}]
VALUES = [None, True, -7, 0.37, 1e300, "odd text", "", [], ["x"], [[]], [1, 2, 3, 4], {}, {"odd": 1}, {"a/b": {}}]
THEIRS = ("Input should", "should be a valid", "should have", "type=", "Value error", "Assertion", "Extra inputs", "pydantic", "unable to")  # fmt: skip


def keys(node: dict, here: tuple = ()) -> Iterator[tuple]:
    """Every key of the schema, at any depth, those of blocks of the grid included."""
    if "$ref" in node:
        yield from keys(SCHEMA["$defs"][node["$ref"].rpartition("/")[2]], here)
    for option in node.get("anyOf", []):
        yield from keys(option, here)
    if "$ref" in node.get("items", {}):
        yield from keys(node["items"], (*here, 0))
    for name, below in node.get("properties", {}).items():
        yield (*here, name)
        yield from keys(below, (*here, name))


def put(key: tuple, value: Any) -> dict:
    document = copy.copy(WHOLE)
    place: Any = document
    for part in key[:-1]:
        below = place[part] if isinstance(place, list) else place.get(part)
        place[part] = copy.copy(below) if isinstance(below, dict | list) else {}
        place = place[part]
    place[key[-1]] = value
    return document


def require_ours(line: str, key: tuple) -> None:
    assert not [words for words in THEIRS if words in line], line
    names = [".".join(map(str, key)), ".".join(map(str, key)).replace("grid.0", "grid[0]")]
    # What an emptied section leaves missing is named where it is missed.
    elsewhere = ("config: grid[0].", "config: references.", "config: composition: there is no transform")
    assert any(name in line for name in names) or line.startswith(elsewhere), (key, line)


def test_no_sentence_of_pydantic_reaches_a_user_whatever_stands_under_whichever_key():
    everything, refused = dict.fromkeys(keys(SCHEMA)), 0
    assert len(everything) > 150
    load(WHOLE)
    for key in everything:
        if key[:2] == ("compute", "jobs") and key[2:3] not in ((), ("pack",)):
            continue  # they are of one type
        for value in VALUES:
            try:
                load(put(key, value))
            except UserError as error:
                refused += 1
                require_ours(str(error), key)
    assert refused > 1000


@pytest.mark.parametrize("kind", [*registry.DATASETS, *registry.TRANSFORMS, *registry.METHODS])
def test_nor_under_the_keys_of_a_kind(kind):
    module = (registry.DATASETS | registry.TRANSFORMS).get(kind)
    for found in filter(None, (module, registry.METHODS.get(kind) and f"{registry.METHODS[kind]}.settings")):
        cls = registry.load(found).Settings
        for name in cls.model_fields:
            for value in VALUES:
                try:
                    filled(cls, {name: value}, "place")
                except UserError as error:
                    assert not [words for words in THEIRS if words in str(error)], error
                    assert str(error).startswith(("config: place: ", f"config: place.{name}")), error


def test_true_is_no_number():
    """Pydantic takes it for 1."""
    for value in (True, [True]):
        with pytest.raises(UserError, match=r"config: seeds.*(give a list|not true or false)"):
            load(WHOLE | {"seeds": value})
    with pytest.raises(UserError, match=r"training\.epochs: give a number, not true or false"):
        load(put(("training", "epochs"), True))
