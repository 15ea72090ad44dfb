"""``python -m sslbench.config.recipe_table``: write docs/recipes.md, every constant of every method beside its sources.
No torch.

The values are those of the settings; the sources stand beside them in each method's settings.py.
"""

from typing import Any

from pydantic import BaseModel

from sslbench import registry
from sslbench.config.validation import filled
from sslbench.methods.spec import MethodSettings, Source
from sslbench.store.code_fingerprint import ROOT

FILE = ROOT / "docs" / "recipes.md"
HEAD = """# Recipes: every constant and where it comes from

Written by `python -m sslbench.config.recipe_table` from the methods' settings.py; do not edit.

A method begins with a preset: `lightly`, whose benchmark of ResNet-18 on ImageNette the article followed, or `authors`,
the paper's and its repository's recipe brought to ResNet-18 and a batch of 256 by rules that the authors state.
`training: {preset: authors}` sets it for all models, `preset:` for one, and `recipe:` overrides single fields. The
default is `lightly` where a method has it. The number of views is the grid's, not a preset's.
A number alone is a line of lightly's docs/source/getting_started/benchmarks/imagenette_benchmark.py at e8d317f.

Common to all: a warm-up's first step has a rate above 0, (t + 1) / w, where the authors' codes begin at t / w.
"""


def presets(settings: type[MethodSettings]) -> dict[str, MethodSettings]:
    """The settings of every preset."""
    return {name: filled(settings, own, f"presets.{name}") for name, own in settings.presets.items()}


def constants(settings: MethodSettings) -> dict[str, Any]:
    """Every option, and every field of the recipe as recipe.<field>; options before the recipe."""
    values = {name: getattr(settings, name) for name in type(settings).model_fields if name != "recipe"}
    recipe = settings.recipe
    return values | {f"recipe.{name}": getattr(recipe, name) for name in type(recipe).model_fields}


def matters(key: str, values: list[Any], settings: list[MethodSettings]) -> bool:
    """Whether a field is worth a row: some preset gives it a value that does something."""
    name = key.removeprefix("recipe.")
    optimizers = {one.recipe.optimizer for one in settings}
    only = {"lars_skips_1d": {"lars"}, "lars_norm": {"lars"}, "momentum": {"sgd", "lars"}, "beta2": {"adam", "adamw"}}
    if name in only:
        return bool(optimizers & only[name])
    default = type(settings[0].recipe).model_fields.get(name)
    if name == key or default is None or default.is_required() or name in ("residual_gain", "schedule"):
        return True
    return any(value != default.default for value in values)


def table(name: str, package: str) -> str:
    """The section of one method."""
    module = registry.load(f"{package}.settings")
    found = presets(module.Settings)
    rows = {preset: constants(one) for preset, one in found.items()}
    titles = list(rows)
    lines = [
        f"## {module.FACTS.title} (`{name}`)",
        "",
        f"{module.FACTS.paper}.",
        *module.__doc__.strip().splitlines()[1:],
        "",
        f"| constant | {' | '.join(f'`{title}`' for title in titles)} | authors' code or paper | lightly | note |",
        f"|---|{'---|' * len(titles)}---|---|---|",
    ]
    for key in next(iter(rows.values())):
        values = [rows[title][key] for title in titles]
        source = module.Settings.sources.get(key)
        if source is None and not matters(key, values, list(found.values())):
            continue
        source = source or Source()
        cells = [*map(written, values), source.authors, source.lightly, source.note]
        lines.append(f"| {key} | {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join(lines)


def written(value: Any) -> str:
    """A value as YAML would have it."""
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json")
    if isinstance(value, bool):
        return str(value).lower()
    if value is None:
        return "none"
    if isinstance(value, float):
        return f"{value:g}" if float(f"{value:g}") == value else f"{value:.4g}"
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(written, value))}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {written(item)}" for key, item in value.items()) + "}"
    return str(value)


def text() -> str:
    sections = [
        table(name, package)
        for name, package in (registry.METHODS | registry.REFERENCES).items()
        if name not in ("random", "pretrained")
    ]
    return HEAD + "\n" + "\n\n".join(sections) + "\n"


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
