"""The sources that make a cell's results, and whether a job runs those that its digest speaks of.

Snakemake takes `params.code` when it plans; a job imports the sources when it starts, which may be hours later. So each
job compares them: after its imports with the digest, and the files once more when all else is loaded. No torch.
"""

import contextlib
import json
import sys
from collections.abc import Iterable, Iterator
from importlib import import_module
from typing import Any

from sslbench import registry
from sslbench.errors import UserError
from sslbench.store import code_fingerprint

# Tasks whose module is called otherwise.
MODULES = {"adapt": "adapters", "labelfree": "label_free", "retrieve": "retrieval"}

_taken: dict[str, str] = {}  # module -> hash of its files, when they were found to be those of the digest
_loaded: set[str] = set()  # modules that were imported by then


def operations(branches: Iterable[list[dict[str, Any]]]) -> list[str]:
    """The operations in ``branches`` of transforms, as the registry has them: ``name=module:class``."""
    return sorted({f"{o['op']}={registry.OPERATIONS[o['op']]}" for branch in branches for o in branch})


def training(settings: dict[str, Any]) -> tuple[str, ...]:
    """What makes the backbone of a cell with ``settings``; what that imports follows (code_fingerprint.py)."""
    method = settings["method"]["name"]
    if method == "pretrained":  # which is not trained, but fetched and embedded
        return ("sslbench.evaluation.frozen", "workflow/scripts/frozen.py")
    chosen = [f"{method}={(registry.METHODS | registry.REFERENCES)[method]}.model:Model"]
    if tasks := settings.get("auxiliary"):
        chosen += [f"{name}={registry.PRETEXT[name]}.task:Task" for name in sorted(tasks)] + [registry.AUXILIARY]
    return ("sslbench.training.run", *chosen, *operations(settings["transform"]))


def tuning(settings: dict[str, Any]) -> tuple[str, ...]:
    """Those that decide one run of fine-tuning, which the store keeps: nothing of what is made of it."""
    return ("sslbench.evaluation.finetune_run", *training(settings["cell"]))


def roots(task: str, settings: dict[str, Any]) -> tuple[str, ...]:
    """What the digest of a job covers. ``task``: pretrain, embed, evaluate, frozen, weights, or one of
    config.evaluation.FILES."""
    script = f"workflow/scripts/{task}.py"
    if task == "frozen":
        return (*training(settings["cell"]), "workflow/scripts/pretrain.py")  # which every cell's digest holds
    if task == "pretrain":
        return (*training(settings), script)
    more = training(settings["cell"]) if task == "finetune" else operations(settings.get("transform", []))
    return (f"sslbench.evaluation.{MODULES.get(task, task)}", script, *more)


@contextlib.contextmanager
def as_planned(task: str, params: Any) -> Iterator[None]:
    """Run the body if the sources are those of ``params.code``, and believe what it made if they stay so.

    Raises UserError where they were changed since Snakemake took the digest. Training says itself when all is loaded.
    """
    settings = json.loads(params.settings)
    code_fingerprint.recall_parsed()
    _compare(roots(task, settings), params.code)
    if task == "finetune":
        _compare(tuning(settings), params.training)
    yield
    still_there(late=task in ("pretrain", "finetune"))


def _compare(names: tuple[str, ...], code: str) -> None:
    for name in map(code_fingerprint.module_of, names):
        if "/" not in name:
            import_module(name)
    code_fingerprint.forget()
    try:
        found = code_fingerprint.possible_digests(*names)
    except (OSError, SyntaxError) as error:
        raise UserError(f"{_CHANGED} ({error})") from error
    if code not in found:
        raise UserError(_CHANGED)
    _taken.update({name: code_fingerprint.files_sha256(name) for name in code_fingerprint.closure(*names)})
    _loaded.update(sys.modules)


_CHANGED = (
    "the code, or the version of timm or lightly, is not what it was when this run began, so nothing is made under its "
    "name; run the same command again"
)


def taken() -> dict[str, str]:
    """For another process of this job."""
    return dict(_taken)


def still_there(expected: dict[str, str] | None = None, late: bool = False) -> None:
    """Raise UserError where a source is not the one that was ``expected``: by default, the one that was compared with
    the digest, if any was. ``late``: look only at what was imported since; what runs already needs its file no more.
    """
    code_fingerprint.forget()
    for name, hashed in (_taken if expected is None else expected).items():
        if late and (name in _loaded or name not in sys.modules):
            continue
        try:
            same = code_fingerprint.files_sha256(name) == hashed
        except (OSError, SyntaxError):
            same = False
        if not same:
            raise UserError(f"{name}: {_CHANGED}")
