"""Which job a cell waits for, and what that job's log says.

Snakemake removes what a failed job was to write, and leaves the files of the jobs after it from an earlier time. So the
first job whose files are missing is the one to ask, in the order fetch, pack, pretrain, embed, evaluate; where nothing
is labelled, labelfree stands for the last two.
"""

import re
from pathlib import Path
from typing import NamedTuple

from sslbench.config.evaluation import FILES
from sslbench.runtime.files import read_object

RESULTS = ("linear.json", "predictions.parquet", "knn.json", "health.json")
FEATURES = ("features-train.safetensors", "features-test.safetensors")
_TRACEBACK = "Traceback (most recent call last):"


class Stage(NamedTuple):
    """The first job that a cell still needs: what it leaves undone, in words, and its log file."""

    undone: str
    log: Path


def first_missing(cell: dict, folder: Path, datasets: dict, results: Path) -> Stage | None:
    """The stage that ``cell`` (of the plan, with its results in ``folder``) waits for; None where it is finished.

    ``datasets``: the plan's, by name; ``results``: the folder of all results, whose neighbour is ``logs``.
    """
    names = Path(cell["dataset"], cell["model"], cell["transform"], f"seed{cell['seed']}.log")
    trained = Path(cell.get("trained_as", cell["dataset"])) / names.relative_to(cell["dataset"])
    if not read_object(folder / "run.json"):
        pictures = no_pictures(datasets[cell["dataset"]], results)
        if pictures:
            return Stage(f"not trained, its pictures are {pictures.undone}", pictures.log)
        if "packs" in cell:  # a pretrained row
            fetched = _log(results, "weights", Path(f"{cell['model'].partition('-')[2]}.log"))
            if error_line(fetched):
                return Stage("its weights are not fetched", fetched)
            return Stage("not embedded", _log(results, "frozen", names))
        return Stage("not trained", _log(results, "pretrain", trained))
    if not cell.get("probed", True):
        measured = (folder / FILES["labelfree"]).is_file()
        return None if measured else Stage("trained, not measured", _log(results, "labelfree", names))
    absent = [name for name in RESULTS if not (folder / name).is_file()]
    embedding = _log(results, "embed", names)
    if not all((folder / name).is_file() for name in FEATURES):
        # Features may be deleted to save room; results that outlive a failed embedding are of an older backbone.
        if error_line(embedding):
            return Stage("trained, not embedded", embedding)
        if absent:
            pictures = no_pictures(datasets[cell.get("evaluated_on") or cell["dataset"]], results)
            undone = f"trained, not embedded, its pictures are {pictures.undone}" if pictures else ""
            return Stage(undone or "trained, not embedded", pictures.log if pictures else embedding)
    if absent:
        undone = f"trained, not evaluated ({', '.join(absent)} missing)"
        return Stage(undone, _log(results, "evaluate", names))
    return None


def no_pictures(dataset: dict, results: Path) -> Stage | None:
    """What keeps a dataset of the plan from being packed: `not fetched` or `not packed`; None where it is packed."""
    pack, source = Path(dataset["pack"]), source_folder(dataset)
    packed = (pack / "manifest.json").is_file()
    if not (source / "source.json").is_file():
        log = _log(results, "fetch", Path(f"{source.name}.log"))
        if not packed or error_line(log):
            return Stage("not fetched", log)
    return None if packed else Stage("not packed", _log(results, "pack", Path(f"{pack.name}.log")))


def source_folder(dataset: dict) -> Path:
    """Where the archive of a dataset of the plan lies."""
    return Path(dataset["pack"]).parent.parent / "sources" / str(dataset.get("source_folder") or dataset["source"])


def error_line(log: Path) -> str:
    """The line that says why a job failed, or "" where its log does not end in an error; at most 300 characters.

    A job's log ends in a line `sslbench: ...` after a user's mistake, and in Python's traceback after a defect.
    """
    lines = _tail(log)
    named = next((line for line in reversed(lines[-5:]) if line.startswith("sslbench: ")), "")
    if named or _TRACEBACK not in lines:
        return named[:300]
    after = lines[len(lines) - lines[::-1].index(_TRACEBACK) :]
    # Frames are indented; the exception is not, and what follows it is the rest of its message.
    return next((line for line in after if not line[0].isspace()), "a defect; its traceback is in the log")[:300]


def last_line(log: Path) -> str:
    """The last line of a log that is not blank, cut to 300 characters; "" where there is none."""
    lines = _tail(log)
    return lines[-1].strip()[:300] if lines else ""


def _log(results: Path, rule: str, name: Path) -> Path:
    """A job's log. It lies beside the results, or where the workflow runs."""
    places = [root / "logs" / rule / name for root in (results.parent, Path())]
    return next((path for path in places if path.is_file()), places[0])


def _tail(path: Path, size: int = 65_536) -> list[str]:
    """The lines in the last ``size`` bytes that are not blank, without control characters and blanks at their ends."""
    try:
        with path.open("rb") as stream:
            stream.seek(0, 2)
            stream.seek(max(stream.tell() - size, 0))
            text = stream.read().decode("utf-8", errors="replace")
    except OSError:
        return []
    # A progress bar rewrites its line with carriage returns and colours it with escape sequences.
    text = re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", text).replace("\r", "\n")
    lines = ("".join(c for c in line if c.isprintable()).rstrip() for line in text.split("\n"))
    return [line for line in lines if line]
