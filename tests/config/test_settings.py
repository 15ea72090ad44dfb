"""Typed settings: what cannot be meant is refused, by name, and reading them needs no library of pictures."""

import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from sslbench import registry
from sslbench.errors import UserError
from sslbench.grid.expand import load
from sslbench.methods.spec import ViewSpec
from sslbench.methods.swav.settings import Settings as SwAV
from sslbench.methods.vicregl.settings import Settings as VICRegL
from sslbench.store.canonical_json import document
from sslbench.transforms.spec import Normalize, merge

ROOT = Path(__file__).parents[2]


def test_a_config_is_read_without_numpy_pillow_and_torch():
    """Snakemake may live in an environment of its own, where none of them is."""
    methods = (registry.METHODS | registry.REFERENCES).values()
    modules = [*registry.DATASETS.values(), *registry.TRANSFORMS.values(), *(f"{name}.settings" for name in methods)]
    code = (
        "import sys\n"
        "for name in ('numpy', 'PIL', 'torch'):\n"
        "    sys.modules[name] = None\n"
        "from sslbench import registry\n"
        f"settings = [registry.load(name).Settings() for name in {modules}]\n"
        "import sslbench.grid.plan"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("std", [(0.2, 0.2), (0.2, 0.2, 0.2, 0.2), (0.2, 0.2, 0.0), (0.2, -0.2, 0.2), ()])
def test_normalisation_divides_by_exactly_three_positive_numbers(std):
    with pytest.raises(ValidationError, match="std"):
        Normalize(std=std)


@pytest.mark.parametrize("scale", [(0.5, 0.1), (0.0, 0.0)])
@pytest.mark.parametrize("option", ["local_crop_scale", "global_crop_scale"])
@pytest.mark.parametrize("settings", [SwAV, VICRegL])
def test_crop_scales_of_methods_are_ordered_and_above_0(settings, option, scale):
    with pytest.raises(ValidationError, match=rf"{option}\n.*lowest, highest.* above 0"):
        settings(**{option: scale})
    with pytest.raises(ValidationError, match="lowest, highest"):
        ViewSpec(size=32, crop_scale=scale)
    settings(**{option: (0.1, 0.1)})


def test_merging_goes_dict_by_dict_and_leaves_what_is_no_dict_to_validation():
    base = {"a": {"p": 0.5, "q": 1}, "b": [1, 2]}
    assert merge(base, {"a": {"p": 0}, "b": [3]}) == {"a": {"p": 0, "q": 1}, "b": [3]}
    assert [merge(base, changes) for changes in ("text", [1], 3, None)] == ["text", [1], 3, None]
    assert base == {"a": {"p": 0.5, "q": 1}, "b": [1, 2]}


def config(**model: object) -> dict:
    return {
        "name": "x",
        "title": "x",
        "grid": [{"datasets": ["d"], "models": ["m"], "transforms": ["t"]}],
        "datasets": {"d": {"kind": "shapes"}},
        "models": {"m": model},
        "transforms": {"t": {"kind": "baseline"}},
        "references": {"supervised": []},
    }


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"method": "byol", "recipe": {"ema_start": None}}, r"models\.m\.recipe\.ema_start: None is not allowed"),
        ({"method": "swav", "local_crop_scale": [0.9, 0.1]}, r"models\.m\.local_crop_scale: .*lowest, highest"),
        ({"method": "simclr", "training": "fast"}, r"models\.m\.training: 'fast' is not allowed"),
        ({"method": "simclr", "recipe": 3}, r"models\.m\.recipe: 3 is not allowed"),
    ],
    ids=lambda value: value["method"] if isinstance(value, dict) else "",
)
def test_a_config_with_such_settings_ends_in_one_line_that_names_the_key(model, message):
    with pytest.raises(UserError, match=message) as refusal:
        load(config(**model))
    assert "\n" not in str(refusal.value)


def test_documents_are_sorted_readable_utf8_and_end_with_a_newline():
    assert document({"b": [1.5], "a": "é"}) == '{\n "a": "é",\n "b": [\n  1.5\n ]\n}\n'.encode()
    with pytest.raises(ValueError, match="not JSON compliant"):
        document({"a": float("nan")})
