"""What cells are measured on beside the probe: read for the collected table, and shown as one table per task."""

from collections.abc import Callable, Sequence
from pathlib import Path

from sslbench.config.evaluation import FILES
from sslbench.report import families
from sslbench.report.blocks import Block, Cell, Column, Paragraph, Row, Span, Table, Text
from sslbench.report.wording import ABSENT, Labels, accuracy, interval
from sslbench.runtime.files import read_object
from sslbench.stats import paired

_FEWEST = 3  # seeds or draws that an interval is made of; fewer are shown as they are
_HEADS = {"linear": "linear", "hidden": "one hidden layer"}
_RETRIEVAL = (
    "Every test picture asks, the training pictures answer, by cosine similarity; an answer is right where it has the "
    "query's class. Recall@k: share of queries with a right answer among the first k. mAP: mean average precision over "
    "all answers; mAP@R: over as many answers as the class has pictures. Below each value its interval over queries."
)
_LABELS = (
    "Top-1 accuracy by share of the labels, which are drawn equally from every class and are the same for all models. "
    "Below each value: its interval for the choice of test pictures; then, where there are several draws, the "
    "t-interval of the mean over draws, or the draws themselves where there are two."
)
_TITLES = {
    "retrieve": "image-to-image retrieval on frozen features",
    "adapt": "heads on frozen features",
    "finetune": "the whole backbone trained on, with a linear head",
}


def read(entry: dict, folder: Path, cell: dict) -> dict:
    """By task that the plan's ``entry`` asks for, its result; ``current`` is False where it is not of today's settings
    or not of the backbone that ``cell``, the same cell as collected, has now."""
    found = {}
    for task, settings in (entry.get("beside") or {}).items():
        result = read_object(folder / FILES[task]) if cell["status"] in ("done", "stale") else {}
        if result:
            today = result.get("settings") == settings and result.get("digest") == cell["run"].get("digest")
            kept = {key: value for key, value in result.items() if key not in ("settings", "digest", "runs")}
            found[task] = kept | {"current": today}
    return found


def columns(cell: dict) -> dict:
    """A cell's figures for the tidy table: each with its interval over queries or test pictures."""
    row = {}
    for task in ("retrieve", "adapt", "finetune"):
        for name, figure in _figures(task, cell["beside"].get(task) or {}).items():
            column = f"{task}_{name}"
            row |= {column: figure["value"], f"{column}_low": figure["low"], f"{column}_high": figure["high"]}
            if figure["draws"] > 1:
                row[f"{column}_sd"] = figure["sd"]
    measures = cell["beside"].get("labelfree") or {}
    return row | {name: measures[name] for name in ("rankme", "alpha", "lidar") if name in measures}


def tables(report: dict, dataset: str, labels: Labels) -> tuple[Block, ...]:
    """One table per task that any cell of the dataset has a result of."""
    blocks: list[Block] = []
    for task in ("retrieve", "adapt", "finetune"):
        rows = grouped(report, dataset, lambda cell, task=task: cell["beside"].get(task))
        if not rows:
            continue
        names: dict[str, dict] = {}
        for cells in rows.values():
            for cell in cells:
                names |= {n: f for n, f in _figures(task, cell["beside"][task]).items() if n not in names}
        heads = [Column("Model", "text"), Column("Family", "text", spare=True)]
        heads += [Column(f["title"], hint=f["hint"]) for f in names.values()]
        lines = [
            Row(
                (heading(key, labels), families.cell(report, key[0]), *(_cell(cells, task, name) for name in names)),
                "reference" if cells[0]["kind"] == "reference" else "",
            )
            for key, cells in rows.items()
        ]
        counts = {cell["beside"][task].get("n") for cells in rows.values() for cell in cells}
        pictures = f", {max(counts):,} test pictures" if counts and None not in counts else ""
        caption = f"{labels.dataset(dataset)}: {_TITLES[task]}{pictures}"
        told = Paragraph(_RETRIEVAL if task == "retrieve" else _LABELS, "faint")
        blocks += [told] * (told not in blocks)
        blocks.append(Table(caption, tuple(heads), tuple(lines)))
    return tuple(blocks)


def grouped(report: dict, dataset: str, wanted: Callable[[dict], object]) -> dict[tuple[str, str], list[dict]]:
    """A dataset's cells with what is ``wanted``, over seeds, by (model, transform); references last."""
    chosen = [cell for cell in report["cells"] if cell["dataset"] == dataset and wanted(cell)]
    found: dict[tuple[str, str], list[dict]] = {}
    for cell in sorted(chosen, key=lambda cell: cell["kind"] == "reference"):  # stable: the plan's order otherwise
        found.setdefault((cell["model"], cell["transform"]), []).append(cell)
    return found


def heading(key: tuple[str, str], labels: Labels) -> Cell:
    model, transform = key
    return Cell((labels.model(model),) if transform == "none" else (labels.model(model), Span(transform, "code")))


def marks(cells: list[dict], task: str) -> list[Text]:
    """Collapse and staleness of a row's cells, as words."""
    collapsed = any(c["health"].get("verdict") == "collapsed" and c["kind"] == "grid" for c in cells)
    stale = any(c["status"] == "stale" or not c["beside"][task]["current"] for c in cells)
    return [Span("collapsed", "collapsed")] * collapsed + [Span("not today's", "stale")] * stale


def _cell(cells: list[dict], task: str, name: str) -> Cell:
    """One figure over a row's seeds."""
    found = [_figures(task, cell["beside"][task]).get(name) for cell in cells]
    found = [figure for figure in found if figure and figure["value"] is not None]
    if not found:
        return Cell((ABSENT, *marks(cells, task)), "absent")
    figure = found[0]
    lines: list[Text] = [accuracy(figure["value"]), interval(figure)]
    if len(found) > 1:
        over = paired.over_seeds([each["value"] for each in found])
        bounds = (max(over.low, 0), min(over.high, 1))
        lines = [accuracy(over.mean), _over("seeds", [each["value"] for each in found], bounds)]
    elif len(figure["each"]) > 1:
        lines.append(_over("draws", figure["each"], figure["over_draws"]))
    return Cell(tuple(line for line in [*lines, *marks(cells, task)] if line))


def _over(what: str, values: list[float], bounds: Sequence[float] | None) -> str:
    """What several seeds or draws say: the interval of their mean, or the values where they are too few for one."""
    if len(values) < _FEWEST or bounds is None:
        return f"{len(values)} {what}: {', '.join(f'{value:.3f}' for value in values)}"
    return f"{len(values)} {what}: {bounds[0]:.3f}–{bounds[1]:.3f}"


def _figures(task: str, result: dict) -> dict[str, dict]:
    """A task's figures by a column's name: value, interval, spread over draws, and the heading of a column."""
    if task == "retrieve":
        parts = {f"recall{k}": (f"recall@{k}", v) for k, v in (result.get("recall") or {}).items()}
        parts |= {"map": ("mAP", result.get("map")), "map_at_r": ("mAP@R", result.get("map_at_r"))} if result else {}
        return {name: _figure(title, "", value or {}, "value") for name, (title, value) in parts.items()}
    found = {}
    for entry in result.get("entries") or []:
        share, head = f"{100 * entry['share']:g} %", entry.get("head")
        name = f"{entry['share']:g}" if head is None else f"{head}_{entry['share']:g}"
        title = f"{share} of the labels" if head is None else f"{_HEADS.get(head, head)}, {share}"
        each = [count / result["n"] for count in entry.get("right") or []]
        found[name] = _figure(title, f"{entry['n_train']:,} labels", entry, "top1") | {"each": each}
    return found


def _figure(title: str, hint: str, value: dict, key: str) -> dict:
    low, high = value.get("interval") or (None, None)
    spread = {"over_draws": value.get("over_draws"), "draws": value.get("draws") or 1, "sd": value.get("sd")}
    return {"title": title, "hint": hint, "value": value.get(key), "low": low, "high": high, "each": []} | spread
