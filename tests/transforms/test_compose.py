"""`kind: compose`: any operations, written in YAML, checked by their own settings."""

from pathlib import Path

import pytest
import torch
import yaml

from sslbench.errors import UserError
from sslbench.grid.expand import load
from sslbench.transforms.pipeline import ViewMaker
from sslbench.transforms.recipes.compose import Settings
from sslbench.transforms.recipes.simclr import Settings as SimCLR
from sslbench.transforms.spec import Normalize, Operation, merge
from tests.transforms.test_crop_and_operations import pictures

ARTICLE = yaml.safe_load((Path(__file__).parents[2] / "config.yaml").read_text())
CROP, SOBEL = {"op": "random_resized_crop", "scale": [0.2, 1]}, {"op": "sobel", "p": 1}


def composed(**entry) -> list[list[dict]]:
    """The branches of a transform that config.yaml's reader has made of an entry."""
    return load(merge(ARTICLE, {"transforms": {"mine": {"kind": "compose", **entry}}})).all_transforms["mine"].branches


def test_a_list_of_operations_is_the_view_with_defaults_filled_in_and_normalised_last():
    first, second = composed(operations=[CROP, {"op": "color_jitter", "hue": 0.1}, SOBEL])
    assert [step["op"] for step in first] == ["random_resized_crop", "color_jitter", "sobel", "normalize"]
    assert first[0]["scale"] == [0.2, 1.0] and first[1]["hue"] == 0.1 and first[1]["p"] == 0.8
    assert first[-1] == Normalize().model_dump(mode="json") and second == first


def test_normalisation_with_figures_of_its_own_is_not_repeated():
    own = {"op": "normalize", "mean": [0.5, 0.5, 0.5], "std": [0.2, 0.2, 0.2]}
    assert composed(operations=[CROP, own])[0][1:] == [own]


def test_the_second_view_may_have_a_list_of_its_own_and_an_empty_one_is_the_centred_square():
    first, second = composed(operations=[CROP, SOBEL], second={"operations": []})
    assert len(first) == 3 and [step["op"] for step in second] == ["normalize"]
    maker, photos = ViewMaker(second, 40), pictures()
    views = [maker.make(photos, torch.Generator().manual_seed(s)).images for s in (0, 1)]
    assert torch.equal(*views)


def test_an_operation_may_come_twice_and_draws_twice():
    (first, _) = composed(operations=[CROP, {"op": "cutout", "p": 1}, {"op": "cutout", "p": 1}])
    drawn = ViewMaker(first, 40).draw(*[torch.full((50,), 60)] * 2, torch.Generator().manual_seed(0))
    tops = [values["top"] for step, values in drawn.items() if step.startswith("cutout")]
    assert len(tops) == 2 and not torch.equal(*tops)


def test_simclrs_operations_composed_are_the_same_cells_settings_as_simclr():
    operations = [step.model_dump(mode="json") for step in SimCLR().branch(0)]
    config = load(merge(ARTICLE, {"transforms": {"mine": {"kind": "compose", "operations": operations}}}))
    names = ("mine", "simclr")
    assert len({config.cell("imagenette", "byol", name, 0).text for name in names}) == 1


def test_composed_settings_survive_json():
    settings = Settings(operations=[CROP, SOBEL], second={"operations": [CROP]})
    again = Settings.model_validate_json(settings.model_dump_json())
    assert again == settings and all(type(step) is not Operation for step in again.operations)


MISTAKES = {
    "unknown operation": ([CROP, {"op": "sobl"}], r"transforms\.mine\.operations\.1: .*no operation is called 'sobl'\. "
                          r"Did you mean 'sobel'\? Known: random_resized_crop, "),
    "unknown parameter": ([{"op": "color_jitter", "strenght": 1}],
                          r"operations\.0: .*color_jitter has no 'strenght'\. Did you mean 'strength'\? Known: p, bright"),
    "out of range": ([{"op": "cutout", "share": 1.5}], r"operations\.0: .*: share: .*at most 1"),
    "two values that do not fit": ([{"op": "gaussian_noise", "sigmas": [0.2, 0.1]}], r"operations\.0: .*lowest, highest"),
    "no operation": ([{"p": 1}], r"operations\.0: \{'p': 1\} is not allowed: an operation is written \{op:"),
    "a name alone": (["sobel"], r"operations\.0: 'sobel' is not allowed"),
    "a name that is a list": ([{"op": ["sobel"]}], r"operations\.0: .*no operation is called \['sobel'\]"),
    "a late crop": ([SOBEL, CROP], r"operations: .*random_resized_crop stands first and only once"),
    "two crops": ([CROP, CROP], r"operations: .*random_resized_crop stands first and only once"),
    "early normalisation": ([{"op": "normalize"}, SOBEL], r"operations: .*normalize stands last and only once"),
    "no list": ({"op": "sobel"}, r"operations: "),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
@pytest.mark.parametrize("branch", ["first", "second"])
def test_a_mistake_is_one_line_that_says_where_and_what_is_near(mistake, branch):
    operations, pattern = MISTAKES[mistake]
    entry, where = {"operations": operations}, "config: transforms.mine." + "second." * (branch == "second")
    pattern = pattern.removeprefix(r"transforms\.mine\.")
    with pytest.raises(UserError, match=pattern) as caught:
        composed(**(entry if branch == "first" else {"operations": [], "second": entry}))
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(f"{where}operations")
