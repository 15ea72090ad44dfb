"""What a configuration asks for, as the rules and the report need it. No torch, no Snakemake."""

import hashlib
import importlib.util
import json
import os
import re
import shlex
import subprocess
import sys
from functools import cached_property
from pathlib import Path
from typing import Any

from sslbench import downstream, registry, sources, starts
from sslbench.canonical import canonical
from sslbench.cells import Cell, Dataset
from sslbench.composition import places
from sslbench.config import Config
from sslbench.errors import UserError
from sslbench.evaluate.spec import APART
from sslbench.expand import parameter_of
from sslbench.fingerprint import ROOT, code_digest

PRETRAIN_SCRIPT = "workflow/scripts/pretrain.py"


def alternatives(names: Any) -> str:
    """A regular expression that matches exactly these names."""
    return "|".join(re.escape(str(name)) for name in names) or "(?!)"


def listing_digest(folder: Path | None) -> str | None:
    """A digest of the names and sizes below a folder of pictures, so that an added picture is noticed."""
    if folder is None or not folder.is_dir():
        return None
    total = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            total.update(f"{path.relative_to(folder)}\0{path.stat().st_size}\0".encode(errors="surrogateescape"))
    return total.hexdigest()


class Plan:
    """Cells by name, sources and packs by folder name, and what is set aside.

    Raises UserError where an archive or folder that the grid reads is missing, or a batch is larger than its dataset.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self.cells = config.cells()
        self._by_names = {cell.names: cell for cell in self.cells}
        self.datasets: dict[str, Dataset] = {cell.dataset.name: cell.dataset for cell in self.cells}
        self.datasets |= {cell.evaluated.name: cell.evaluated for cell in self.cells}
        self.sources = {dataset.source: dataset for dataset in reversed(config.all_datasets.values())}
        self.packs = {dataset.pack: dataset for dataset in reversed(config.all_datasets.values())}
        self._check_files()
        self._check_batches()

    def _check_files(self) -> None:
        for name, dataset in self.datasets.items():
            if (self.config.paths.data / "sources" / dataset.source / "source.json").exists():
                continue  # it was read once; a report needs it no more
            archive, path = dataset.settings.archive, dataset.settings.path
            if archive is not None and not archive.is_file():
                raise UserError(f"config: datasets.{name}.archive: there is no file {archive}; give the path of one")
            if path is not None and not path.is_dir():
                raise UserError(f"config: datasets.{name}.path: there is no folder {path}; give the path of one")

    def _check_batches(self) -> None:
        # Seeds and transforms have no say in it.
        pairs = {(cell.dataset.name, cell.model.name): cell for cell in self.cells if cell.transform}
        for cell in pairs.values():
            counts = cell.dataset.settings.known_counts()
            batch = cell.model.training.batch_size
            if counts and batch > counts[0]:
                raise UserError(
                    f"config: training.batch_size is {batch}, but {cell.dataset.name} has {counts[0]} training "
                    "pictures; choose a batch of at most that"
                )
            if counts and (fault := cell.model.settings.fault(counts[0])):
                raise UserError(f"config: models.{cell.model.name} on {cell.dataset.name}: {fault}")
            training = cell.model.training
            steps = training.epochs * (counts[0] // batch) if counts else None
            idle = cell.model.settings.without_effect(training.epochs, steps, batch // training.accumulate)
            # A default's is noted by the job.
            for option in (name for name in idle if _says(cell.model.overrides, name)):
                raise UserError(f"config: models.{cell.model.name}.{option} on {cell.dataset.name}: {idle[option]}")

    def cell(self, dataset: str, model: str, transform: str, seed: int) -> Cell:
        """The cell of these names, in the grid or not."""
        found = self._by_names.get((dataset, model, transform, seed))
        if found is None:
            if (transform == "none") != (self.config.all_models[model].method == starts.RANDOM):
                raise UserError(
                    f"there is no cell {dataset}/{model}/{transform}: only untrained rows, random and random-..., go "
                    "with none"
                )
            found = self.config.cell(dataset, model, transform, seed)
        return found

    def check_targets(self, words: list[str]) -> None:
        """Raise UserError where a file asked for by its path is of a cell that nothing here defines.

        Snakemake itself would say that no rule makes it, and not why.
        """
        roots = "|".join(map(re.escape, (str(self.config.paths.results), "exports")))
        known = (
            ("dataset", self.config.all_datasets),
            ("model", self.config.all_models),
            ("transform", [*self.config.all_transforms, "none"]),
        )
        for word in words:
            found = re.match(rf"(?:\./)?(?:{roots})/([^/.]+)/([^/]+)/([^/]+)/seed\d", word)
            for (what, names), name in zip(known, found.groups() if found else (), strict=False):
                if name not in names:
                    guess = registry.nearest(name, list(names))
                    raise UserError(f"{word}: no {what} is called {name!r}.{guess} If an overlay defines it, name it "
                                    "after the target: --configfile mine.yaml")  # fmt: skip

    @cached_property
    def runnable(self) -> list[Cell]:
        """The cells whose pictures can be had."""
        return [cell for cell in self.cells if not self._set_aside(cell)]

    @property
    def used_packs(self) -> list[str]:
        """Packs of the runnable cells, once each."""
        return list(dict.fromkeys(d.pack for cell in self.runnable for d in (cell.dataset, cell.evaluated)))

    def require_pictures(self, cells: list[Cell]) -> None:
        """Raise UserError, with how to get them, where pictures of ``cells`` cannot be had."""
        for cell in cells:
            if why := self._set_aside(cell):
                raise UserError(why)

    @cached_property
    def _of_datasets(self) -> dict[str, list[Cell]]:
        found: dict[str, list[Cell]] = {}
        for cell in self.cells:
            found.setdefault(cell.dataset.name, []).append(cell)
        return found

    def of_dataset(self, name: str) -> list[Cell]:
        """A dataset's cells."""
        return self._of_datasets.get(name, [])

    def _set_aside(self, cell: Cell) -> str | None:
        for dataset in (cell.dataset, cell.evaluated):
            if dataset.needs_archive:
                return f"datasets.{dataset.name}: {dataset.settings.how_to_get()}"
        return None

    def report(self, overlays: list[str] = ()) -> dict:
        """All that the report needs to know of the plan, as plain values. ``overlays``: the config files named."""
        config = self.config
        evaluation = config.evaluation.model_dump(mode="json", exclude=set(APART))
        used_models = {cell.model.name: cell.model for cell in self.cells}
        used_transforms = {cell.transform.name: cell.transform for cell in self.cells if cell.transform}
        untrained = [model.name for model in used_models.values() if model.method == starts.RANDOM]
        return {
            "name": config.name,
            "title": config.title,
            "note": config.note,
            "command": {"prefix": command([]), "suffix": shlex.join(configfile(overlays))},
            "confidence": config.evaluation.confidence,
            "cells": [self._report_cell(cell, evaluation) for cell in self.cells],
            "datasets": {
                name: {
                    "pack": str(config.paths.data / "packed" / dataset.pack),
                    "source_folder": dataset.source,
                    "kind": dataset.kind,
                    "identity": dataset.settings.identity(),
                    "split": dataset.settings.split_name(),
                    "source": dataset.settings.source(),
                }
                for name, dataset in self.datasets.items()
            },
            "models": {
                name: {
                    "method": model.method,
                    "family": model.facts.family,
                    "title": model.title
                    # Of several it has to say which.
                    + (f" of {model.training.backbone}" if name in untrained and len(untrained) > 1 else ""),
                    **({"method_title": model.facts.title} if model.preset else {}),
                    "views": [view.size for view in model.settings.views(model.training.input_size)],
                    "paper": model.facts.paper,
                    "options": model.overrides,
                }
                for name, model in used_models.items()
            },
            "transforms": {
                name: {"kind": transform.kind, "overrides": transform.overrides}
                for name, transform in used_transforms.items()
            },
            "sweep": self._sweep(),
            "composition": self._composition(),
            "config_text": json.dumps(self._used_config(), indent=1, sort_keys=True, ensure_ascii=False),
        }

    def _used_config(self) -> dict:
        """The configuration less what this grid does not use and what changes no result."""
        used = self.config.model_dump(mode="json", exclude={"compute", "paths"})
        for key, names in (
            ("datasets", self.datasets),
            ("models", {cell.model.name for cell in self.cells}),
            ("transforms", self.gallery()),
        ):
            used[key] = {name: entry for name, entry in used[key].items() if name in names}
        off = APART - {task for cell in self.cells for task in downstream.tasks(self.config, cell)}
        used["evaluation"] = {key: value for key, value in used["evaluation"].items() if key not in off}
        for entry in used["datasets"].values():
            for place in ("archive", "path"):
                entry.pop(place, None)
        return used

    def _report_cell(self, cell: Cell, evaluation: dict) -> dict:
        dataset, model, transform, seed = cell.names
        return {
            "dataset": dataset,
            "evaluated_on": cell.evaluated.name,
            "model": model,
            "transform": transform,
            "seed": seed,
            "folder": str(cell.folder),
            "kind": "reference" if cell.reference else "grid",
            "probed": cell.probed,
            "expected": {
                "settings": cell.settings,
                "code": code_digest(*cell.code_roots, PRETRAIN_SCRIPT),
                "evaluation": evaluation,
            },
            "beside": {
                task: downstream.settings(self.config, cell, task) for task in downstream.tasks(self.config, cell)
            },
            "set_aside": self._set_aside(cell),
        }

    def _sweep(self) -> dict | None:
        sweep = self.config.sweep
        if sweep is None:
            return None
        known = self.config.all_transforms
        values = {name: parameter_of(known[name], sweep.parameter) for name in sweep.transforms}
        return {"parameter": sweep.parameter, "values": values}

    def _composition(self) -> dict | None:
        study = self.config.composition
        return study and study.model_dump() | {"places": places(study, self.config.all_transforms)}

    def gallery(self) -> dict[str, list[list[dict]]]:
        """The operations of every transform that the grid uses, for the gallery."""
        return {cell.transform.name: cell.transform.branches for cell in self.cells if cell.transform}

    def operations(self) -> list[str]:
        """Every operation that the grid uses, as sources.operations has it."""
        return sources.operations(branch for branches in self.gallery().values() for branch in branches)


def _says(entry: dict, option: str) -> bool:
    """Whether a model's entry holds the dotted option."""
    for part in option.split("."):
        if not isinstance(entry, dict) or part not in entry:
            return False
        entry = entry[part]
    return True


def template_files() -> list[str]:
    """The report's templates, as paths below the repository."""
    folder = ROOT / "sslbench" / "report" / "templates"
    return [str(path.relative_to(ROOT)) for path in sorted(folder.iterdir()) if path.is_file()]


def require_models(cells: list[Cell], devices: int = 1) -> None:
    """Raise UserError where a cell's method cannot be built on its backbone and size, or cannot learn from batches of
    its size on so many devices, before any cell starts."""
    if any(importlib.util.find_spec(name) is None for name in ("timm", "lightly")):
        return  # they are in an environment that is not made yet
    wanted: dict[str, str] = {}  # once each, with the first model that asks for it
    for cell in cells:
        keys = ("backbone", "input_size", "method", "auxiliary", "recipe", "seed")
        one = {key: cell.settings[key] for key in keys if key in cell.settings} | {"seed": 0}
        one["train"] = {key: cell.settings["train"][key] for key in ("batch_size", "accumulate")}
        wanted.setdefault(canonical(one), cell.model.name)
    # Another process: timm and lightly take seconds to import and hundreds of megabytes to hold.
    code = (
        "import json, sys\nfrom sslbench.engine.training import build_method, check_batch\n"
        "from sslbench.errors import UserError\n"
        "for text, name in json.load(sys.stdin).items():\n"
        "    settings = json.loads(text)\n"  # the number of pictures is for the plan and the job
        f"    try: check_batch(build_method(settings, 2), settings, 10**9, {devices})\n"
        "    except UserError as error: sys.exit(f'models.{name}: {error}')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=json.dumps(wanted),
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    lines = done.stderr.strip().splitlines()
    if done.returncode and lines and lines[-1].startswith("models."):
        raise UserError(f"config: {lines[-1]}")


def configfile(overlays: list[str]) -> list[str]:
    """The words that name the overlays, last in a command."""
    return ["--configfile", *overlays] if overlays else []


def command(overlays: list[str], target: str = "", cores: str = "all") -> str:
    """What to type for a target. It stands before --configfile, which takes every word that follows."""
    return shlex.join(word for word in ["snakemake", "--cores", cores, target, *configfile(overlays)] if word)


def failure_lines(config: Config, overlays: list[str]) -> str:
    """The last lines of a failed run: what to look at, and how to render what is there. See command() for overlays.

    Without `sslbench:` in front, which marks the one line that says what is wrong.
    """
    page = config.paths.reports / config.name / "now.html"
    return (
        "Some jobs failed: what they said stands above, and in logs/. Finished cells are kept, and the same "
        "command goes on where this one stopped.\n"
        f"What is finished now, rendered to {page}: {command(overlays, 'report_now', '1')}"
    )
