"""Presets: what a document, an entry and an override choose, and that every constant has its source."""

import copy
from pathlib import Path

import pytest
import yaml

from sslbench import registry
from sslbench.config import recipe_table
from sslbench.config.models import Config
from sslbench.errors import UserError
from sslbench.grid.expand import load
from sslbench.transforms.spec import merge

ROOT = Path(__file__).parents[2]
ARTICLE = yaml.safe_load((ROOT / "config.yaml").read_text())
BOTH = ("barlowtwins", "simclr", "simsiam", "swav", "byol", "vicreg", "vicregl", "moco", "dino")


def settings(name: str) -> type:
    return registry.load(f"{(registry.METHODS | registry.REFERENCES)[name]}.settings").Settings


def configured(models: dict, training: dict | None = None) -> Config:
    grid = [{"datasets": ["imagenette2-160"], "transforms": ["simclr"], "models": list(models)}]
    return load(merge(copy.deepcopy(ARTICLE), {"models": models, "grid": grid, "training": training or {}}))


def test_the_articles_methods_moco_and_dino_have_both_presets_and_the_others_their_authors() -> None:
    for name in registry.METHODS:
        assert tuple(settings(name).presets) == (("lightly", "authors") if name in BOTH else ("authors",)), name


@pytest.mark.parametrize("name", [*registry.METHODS, "supervised"])
def test_every_constant_that_a_preset_sets_has_a_source(name: str) -> None:
    cls = settings(name)
    found = recipe_table.presets(cls)
    rows = [recipe_table.constants(one) for one in found.values()]
    for key in rows[0]:
        values = [row[key] for row in rows]
        if recipe_table.matters(key, values, list(found.values())):
            source = cls.sources.get(key)
            assert source is not None and (source.authors or source.lightly or source.note), f"{name}: {key}"
    assert not set(cls.sources) - set(rows[0]), name


def test_the_table_of_the_docs_is_that_of_the_settings() -> None:
    assert recipe_table.FILE.read_text(encoding="utf-8") == recipe_table.text(), (
        "run python -m sslbench.config.recipe_table"
    )


def test_an_entry_chooses_over_the_document_and_recipe_overrides_single_fields() -> None:
    entry = {"method": "vicreg"}
    models = {
        "document": entry,
        "own": entry | {"preset": "authors"},
        "changed": entry | {"preset": "authors", "recipe": {"base_lr": 0.7}},
        "mae-like": {"method": "rotation"},
    }
    config = configured(models)
    lightly, authors = recipe_table.presets(settings("vicreg")).values()
    assert config.all_models["document"].settings == lightly != authors
    assert config.all_models["own"].settings == authors
    assert config.all_models["changed"].settings.recipe == authors.recipe.model_copy(update={"base_lr": 0.7})
    assert [config.all_models[name].preset for name in models] == ["lightly", "authors", "authors", "authors"]
    assert configured({"document": entry}, {"preset": "authors"}).all_models["document"].settings == authors


def test_a_preset_that_a_method_has_not_is_refused_where_it_is_named() -> None:
    with pytest.raises(
        UserError, match=r"config: models\.mine\.preset: no preset of RotNet is called 'lightly'.*authors"
    ):
        configured({"mine": {"method": "rotation", "preset": "lightly"}})


def test_a_cells_settings_hold_values_and_no_presets_name() -> None:
    config = configured({"mine": {"method": "vicreg", "preset": "authors"}})
    text = config.cell("imagenette2-160", "mine", "simclr", 0).text
    assert "preset" not in text and '"authors"' not in text and "lars_skips_1d" in text


def test_a_part_that_a_method_has_not_is_refused() -> None:
    with pytest.raises(UserError, match=r"recipe\.frozen_epochs: the method has no part 'prototypes'; its parts: none"):
        configured({"mine": {"method": "simclr", "recipe": {"frozen_epochs": {"prototypes": 1}}}})
