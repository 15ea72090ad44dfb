"""What the report needs to know of a plan, as plain values. No torch."""

import json
import shlex
from collections.abc import Sequence

from sslbench.config.composition import places
from sslbench.config.evaluation import APART
from sslbench.grid import downstream_tasks, networks, random_init
from sslbench.grid.cell import Cell, Dataset
from sslbench.grid.commands import command, configfile
from sslbench.grid.expand import parameter_of
from sslbench.grid.plan import PRETRAIN_SCRIPT, Plan
from sslbench.store.code_fingerprint import ROOT, code_digest


def report_plan(plan: Plan, overlays: Sequence[str] = ()) -> dict:
    """All that the report needs to know of the plan, as plain values. ``overlays``: the config files named."""
    config = plan.config
    evaluation = config.evaluation.model_dump(mode="json", exclude=set(APART))
    used_models = {cell.model.name: cell.model for cell in plan.cells}
    used_transforms = {cell.transform.name: cell.transform for cell in plan.cells if cell.transform}
    untrained = [model.name for model in used_models.values() if model.method == random_init.RANDOM]
    return {
        "name": config.name,
        "title": config.title,
        "note": config.note,
        "command": {"prefix": command([]), "suffix": shlex.join(configfile(overlays))},
        "confidence": config.evaluation.confidence,
        "cells": [_report_cell(plan, cell, evaluation) for cell in plan.cells],
        "datasets": {
            name: {
                "pack": str(config.paths.data / "packed" / dataset.pack),
                "source_folder": dataset.source,
                "kind": dataset.kind,
                "identity": dataset.settings.identity(),
                "split": dataset.split,
                "source": dataset.settings.source(),
                "block": dataset.block,
                **({"drawn": True} if dataset.settings.drawn else {}),
                **_compared(plan, dataset),
            }
            for name, dataset in plan.datasets.items()
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
        "sweep": _sweep(plan),
        "composition": _composition(plan),
        "config_text": json.dumps(_used_config(plan), indent=1, sort_keys=True, ensure_ascii=False),
    }


def _compared(plan: Plan, dataset: Dataset) -> dict:
    """The file that says which test images are among its pretraining images, where any are trained on."""
    judge, left_out = plan.config.judge(dataset), dataset.settings.exclude_test
    if not dataset.settings.probed or (judge.name != dataset.name and dataset.name not in plan.trained_on):
        return {}
    file = str(plan.config.paths.data / "leaks" / f"{dataset.name}.json")
    return {"leaks": {"file": file, "judge": judge.name, "left_out": left_out}}


def _used_config(plan: Plan) -> dict:
    """The configuration less what this grid does not use and what changes no result."""
    used = plan.config.model_dump(mode="json", exclude={"compute", "paths"})
    for key, names in (
        ("datasets", {dataset.entry for dataset in plan.datasets.values()}),
        ("models", {cell.model.name for cell in plan.cells}),
        ("transforms", plan.gallery()),
    ):
        used[key] = {name: entry for name, entry in used[key].items() if name in names}
    used["weights"] = {
        name: plan.config.weights[name].model_dump(mode="json", exclude={"path"}, exclude_none=True)
        for name in plan.config.references.pretrained
    }
    off = APART - {task for cell in plan.cells for task in downstream_tasks.tasks(plan.config, cell)}
    used["evaluation"] = {key: value for key, value in used["evaluation"].items() if key not in off}
    for entry in used["datasets"].values():
        for place in ("archive", "path"):
            entry.pop(place, None)
    return used


def _shared(cell: Cell) -> dict:
    """Whose training a cell takes over, where it does not train."""
    trained = cell.dataset.trained_as
    return {} if cell.model.weights or trained is cell.dataset else {"trained_as": trained.name}


def _report_cell(plan: Plan, cell: Cell, evaluation: dict) -> dict:
    dataset, model, transform, seed = cell.names
    return {
        "dataset": dataset,
        "evaluated_on": cell.evaluated.name,
        **_shared(cell),
        "model": model,
        "transform": transform,
        "seed": seed,
        "folder": str(cell.folder),
        "kind": "reference" if plan.counted_apart(cell) else "grid",
        "probed": cell.probed,
        "expected": {
            "settings": cell.settings,
            "code": code_digest(*cell.code_roots, PRETRAIN_SCRIPT),
            "evaluation": evaluation,
        },
        "beside": {
            task: downstream_tasks.settings(plan.config, cell, task)
            for task in downstream_tasks.tasks(plan.config, cell)
        },
        "set_aside": plan.set_aside(cell),
        **_speed(plan, cell),
    } | _of_pretrained(plan, cell)


def _speed(plan: Plan, cell: Cell) -> dict:
    """The file that says how long its network takes for an image, where networks differ."""
    name = networks.file_name(networks.network(cell)) if plan.timed else ""
    return {"speed": f"{plan.config.paths.data}/speed/{name}.json"} if name in plan.timed else {}


def _of_pretrained(plan: Plan, cell: Cell) -> dict:
    """Where a pretrained row's images are packed, and what the config says that its weights have seen."""
    if not cell.model.weights:
        return {}
    packed, seen = plan.config.paths.data / "packed", plan.config.weights[cell.model.weights].seen
    packs = [str(packed / one.pack) for one in (cell.dataset, cell.evaluated)]
    return {"packs": packs} | ({} if seen is None else {"seen": seen})


def _sweep(plan: Plan) -> dict | None:
    sweep = plan.config.sweep
    if sweep is None:
        return None
    known = plan.config.all_transforms
    values = {name: parameter_of(known[name], sweep.parameter) for name in sweep.transforms}
    return {"parameter": sweep.parameter, "values": values}


def _composition(plan: Plan) -> dict | None:
    study = plan.config.composition
    return study and study.model_dump() | {"places": places(study, plan.config.all_transforms)}


def template_files() -> list[str]:
    """The report's templates, as paths below the repository."""
    folder = ROOT / "sslbench" / "report" / "render" / "templates"
    return [str(path.relative_to(ROOT)) for path in sorted(folder.iterdir()) if path.is_file()]
