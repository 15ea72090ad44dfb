"""What is measured beside the probe, cell by cell: which tasks, with which settings, by which code. No torch.

``labelfree`` is made of every cell. The others are made where a block of the grid says so under `downstream:`; the
references of a dataset get what any of its blocks asks for.
"""

from sslbench import registry
from sslbench.config.evaluation import FILES
from sslbench.config.models import Config
from sslbench.grid.cell import Cell
from sslbench.store import code_check
from sslbench.store.canonical_json import canonical
from sslbench.store.code_fingerprint import code_digest
from sslbench.transforms.spec import Normalize


def tasks(config: Config, cell: Cell) -> list[str]:
    """The tasks of one cell, in the order of FILES."""
    _, model, transform, _ = cell.names
    names = {cell.dataset.name, cell.dataset.entry}
    asked = {"labelfree"}
    for block in config.grid:
        datasets, models, transforms = block.members
        inside = cell.reference or (model in models and transform in transforms)
        if names & datasets and inside:
            asked |= set(block.downstream)
    if cell.model.weights:  # fine-tuning would show them images as training does, not as they were made for
        asked.discard("finetune")
    return [task for task in FILES if task in asked]


def settings(config: Config, cell: Cell, task: str) -> dict:
    """All that the result of a task depends on, bar code, data and what the cell's earlier jobs hand over."""
    asked, confidence = config.evaluation, {"confidence": config.evaluation.confidence}
    if task == "retrieve":
        return asked.retrieve.model_dump(mode="json") | confidence
    if task == "adapt":
        head = asked.adapt.model_dump(mode="json")
        shares = {key: head.pop(key) for key in ("shares", "draws")}
        return shares | confidence | {"linear": asked.linear.model_dump(mode="json"), "hidden": head}
    own = {key: cell.settings[key] for key in ("backbone", "input_size")}
    if task == "labelfree":
        own |= {key: cell.settings[key] for key in ("dataset", "transform")} | {"resize_ratio": asked.resize_ratio}
        return own | asked.labelfree.model_dump(mode="json")
    supervised = registry.load(f"{registry.REFERENCES['supervised']}.settings").Settings()
    values = asked.finetune.model_dump(mode="json")
    light = [asked.finetune.crop, asked.finetune.flip, Normalize()]
    operations = [o.model_dump(mode="json") for o in light if getattr(o, "p", 1) > 0]
    like_pretraining = ("precision", "channels_last", "compile", "deterministic")
    run = own | {
        "dataset": cell.evaluated_data,
        "method": {"name": "supervised", "options": supervised.model_dump(mode="json", exclude={"recipe"})},
        "recipe": values["recipe"],
        "views": [view.model_dump(mode="json") for view in supervised.views(own["input_size"])],
        "transform": [operations, operations],
        "train": {key: cell.settings["train"][key] for key in like_pretraining} | {"accumulate": 1, "holdout": 0},
    }
    kept = {key: values[key] for key in ("shares", "draws", "epochs", "least_steps", "batch_size")}
    return kept | confidence | {"resize_ratio": asked.resize_ratio, "cell": run}


def text(config: Config, cell: Cell, task: str) -> str:
    return canonical(settings(config, cell, task))


def code(config: Config, cell: Cell, task: str) -> str:
    """Digest of the code that makes a task's result."""
    return code_digest(*code_check.roots(task, settings(config, cell, task)))


def training_code(config: Config, cell: Cell) -> str:
    """Digest of the code that decides one run of fine-tuning, which the store keeps: nothing of what is made of it."""
    return code_digest(*code_check.tuning(settings(config, cell, "finetune")))
