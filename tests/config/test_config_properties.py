"""Whatever stands in the configuration's place ends in a configuration, or in one line."""

import copy
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sslbench.config.models import Config
from sslbench.errors import UserError
from sslbench.grid.expand import load
from tests.tally import survived

pytestmark = pytest.mark.property

ROOT = Path(__file__).parents[2]
FILES = [yaml.safe_load((ROOT / "config.yaml").read_text())]
FILES += [FILES[0] | yaml.safe_load(file.read_text()) for file in sorted((ROOT / "configs").glob("*.yaml"))]
SHORT, LONG = 60, 4000
QUIET = {"deadline": None, "suppress_health_check": list(HealthCheck), "database": None}


def paths(value: object, here: tuple = ()) -> Iterator[tuple]:
    """Every place in a nest of dicts and lists."""
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        yield (*here, key)
        yield from paths(child, (*here, key))


PLACES = [list(paths(file)) for file in FILES]
WORDS = sorted({str(part) for places in PLACES for path in places for part in path})
# All that a YAML file can hold, odd numbers and names that are none of ours included.
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-(10**400), 10**400),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from([*WORDS, "", "..", "/", "a\n", "-x", "__class__", "1e999", "0.1", "{}"]),
    st.binary(max_size=3),
    st.dates(),
    st.datetimes(),
)
KEYS = st.one_of(st.sampled_from(WORDS), st.text(max_size=5), st.integers(), st.none(), st.booleans(), st.floats())
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=3), st.sets(SCALARS, max_size=2)
    ),
    max_leaves=8,
)


@st.composite
def mutilated(draw: st.DrawFn) -> object:
    """One of the project's own files with a few places cut out, replaced, or added to."""
    number = draw(st.integers(0, len(FILES) - 1))
    value = copy.deepcopy(FILES[number])
    for _ in range(draw(st.integers(1, 3))):
        *above, last = draw(st.sampled_from(PLACES[number]))
        parent = value
        try:
            for part in above:
                parent = parent[part]
            if draw(st.integers(0, 3)) == 0:
                del parent[last]
            elif isinstance(parent, dict) and draw(st.integers(0, 2)) == 0:
                parent[draw(KEYS)] = draw(VALUES)
            else:
                parent[last] = draw(VALUES)
        except (KeyError, IndexError, TypeError):  # an earlier change took that place away
            continue
    return value


def ends_well(raw: object) -> None:
    try:
        config = load(raw)
    except UserError as error:
        line = str(error)
        assert line.startswith("config: ") and line.isprintable() and len(line) < 2000, line
    else:
        assert isinstance(config, Config)
        for cell in config.cells():
            assert json.loads(cell.text) == json.loads(json.dumps(cell.settings))


@settings(max_examples=SHORT, **QUIET)
@given(VALUES)
def test_any_value_is_a_configuration_or_one_line(raw: object) -> None:
    ends_well(raw)
    survived("property", "config")


@settings(max_examples=SHORT, **QUIET)
@given(mutilated())
def test_a_configuration_with_a_few_places_changed_is_one_or_one_line(raw: object) -> None:
    ends_well(raw)
    survived("property", "config")


@pytest.mark.long
@settings(max_examples=LONG, **QUIET)
@given(st.one_of(VALUES, mutilated(), mutilated(), mutilated()))
def test_any_configuration_is_one_or_one_line_at_length(raw: object) -> None:
    ends_well(raw)
    survived("property", "config")
