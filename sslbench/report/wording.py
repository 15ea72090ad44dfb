"""How names and figures are written: labels of models and datasets, accuracies, minutes, gigabytes."""

import re
from collections.abc import Collection, Sequence

ABSENT = "–"
_IN_TITLE = ("form", "preset")  # options that a model's title says
# as data/splits.py names them
_PER_CLASS = re.compile(r"(own-or-|repeat-)?per-class-([\d.]+)-([\d.]+)-seed(\d+)(-by-\w+)?")
_FOLD = re.compile(r"(own-or-)?fold(\d+)of(\d+)(?:-seed(\d+)(-by-\w+)?)?")


class Labels:
    """What models and datasets are called on the page; entries with one title are told apart by their options."""

    def __init__(self, report: dict) -> None:
        self._models = {name: self._model(name, report["models"]) for name in report["models"]}
        judges = {c["dataset"]: c["evaluated_on"] for c in report["cells"]}
        judges |= {
            name.partition("@")[0]: judge.partition("@")[0]
            for name, judge in judges.items()
            if "@" in name and name.partition("@")[2] != judge  # of folds; dump@birds is one that is judged on birds
        }
        self._judges = {name: judge for name, judge in judges.items() if judge != name}
        if report["models"] and all(model.get("method") == "pretrained" for model in report["models"].values()):
            self._models = {name: label.removesuffix(", frozen") for name, label in self._models.items()}
        repeated = [label for label in self._models.values() if list(self._models.values()).count(label) > 1]
        for name, label in self._models.items():
            if label in repeated:
                self._models[name] = f"{label} ({name})"

    def model(self, name: str) -> str:
        return self._models.get(name, name)

    def judge(self, dataset: str) -> str | None:
        """The dataset whose labels this one's cells are judged on, where that is not itself."""
        return self._judges.get(dataset)

    def dataset(self, name: str) -> str:
        """A dataset as figures are captioned: with whose labels they are judged on, where not its own."""
        judge = self._judges.get(name)
        return f"{name.removesuffix(f'@{judge}')}, judged on {judge}" if judge else name

    def entry(self, entry: dict) -> str:
        """An entry without its dataset: model with transform."""
        return self.combination(*entry["name"][1:])

    def combination(self, model: str, transform: str) -> str:
        return self.model(model) if transform == "none" else f"{self.model(model)} with {transform}"

    @staticmethod
    def _group(model: dict) -> str | None:
        """Whose entries are distinguished by their options: a method's, whatever else their titles say."""
        return model.get("method_title") or model.get("title")

    @staticmethod
    def _model(name: str, models: dict) -> str:
        own = models[name]
        title = own.get("title") or name
        same = Labels._group(own)
        twins = [other.get("options") or {} for other in models.values() if Labels._group(other) == same]
        if len(twins) < 2:
            return title
        options = own.get("options") or {}
        differing = [
            key
            for key, value in options.items()
            if key not in _IN_TITLE and any(twin.get(key) != value for twin in twins)
        ]
        return ", ".join([title, *(_plain(key, options[key]) for key in differing)])


def _plain(key: str, value: object) -> str:
    """An option as the page says it: `head none`, `batch_size 1024`, `α=0.75`."""
    if key == "auxiliary":  # task -> its options
        told = (f"{task} at {of['weight']}" if "weight" in (of or {}) else task for task, of in (value or {}).items())
        return f"auxiliary {' and '.join(told) or 'none'}"
    if key in ("recipe", "training", "backbone_options") and isinstance(value, dict) and value:
        return ", ".join(_plain(*item) for item in value.items())
    if key == "alpha":
        return f"α={value:.2f}" if isinstance(value, float) else f"α={value}"
    return f"{key} {'none' if value is None else value}"


def split_words(name: str, kind: str = "", stored: Collection[str] | None = None) -> str:
    """A split as a reader knows it, from its name in a plan.

    ``kind``: of the dataset; ``stored``: names of the splits of its pack, None where that is not known.
    """
    own = {"folder": "own train/test folders", "table": "the table's split column"}.get(kind)
    if name == "official":
        return own or name
    own = own or "own train/test folders"
    match = _PER_CLASS.fullmatch(name) or _FOLD.fullmatch(name)
    if match is None:
        return name
    # Where the config does not name the column, only the pack knows whether there is one.
    known = any("-by-" in split and not split.startswith("own-or-") for split in stored or ())
    grouped = ", groups kept together" if match[5] and (match[5] != "-by-group" or known) else ""
    if match.re is _FOLD:
        own = match[4] is None or (match[1] and f"fold{match[2]}of{match[3]}" in (stored or ()))
        how = " by the table's column" if own else f", seed {match[4]}{grouped}"
        return f"fold {match[2]} of {match[3]}{how}"
    words = f"{match[2]}/{match[3]} per class, seed {match[4]}{grouped}"
    if match[1] != "own-or-":
        return words
    if stored is None:
        return f"{own}, or else {words}"
    return own if "official" in stored else words


def accuracy(value: float | None) -> str:
    """A share with the article's three digits."""
    return ABSENT if value is None else f"{value:.3f}"


def interval(share: dict) -> str:
    return "" if share["low"] is None else f"{share['low']:.3f}–{share['high']:.3f}"


def share_of(entry: dict) -> dict:
    """An entry's top-1 with its interval: for another seed and test set where it is ranked over several seeds."""
    spread = entry.get("spread") or {}
    if spread.get("low") is None:
        return entry["top1"]
    return entry["top1"] | {"low": spread["low"], "high": spread["high"]}


def points(value: float) -> str:
    """A difference of shares as points, by its size."""
    return f"{100 * abs(value):.1f} points"


def difference(value: float) -> str:
    """A signed difference of two shares; the sign is a real minus."""
    return f"{value:+.3f}".replace("-", "−") if round(value, 3) else "±0.000"


def minutes(value: float | None) -> str:
    if not value:
        return ""
    return f"{value:.1f} min" if value >= 9.95 else f"{value:.2f} min"


def milliseconds(value: float) -> str:
    return f"{value:,.0f} ms" if value >= 9.95 else f"{value:.2g} ms"


def gigabytes(value: float | None, memory: str | None) -> str:
    """Peak memory; a resident set is called one, since it is no GPU's."""
    if value is None:
        return ""
    return f"{value:.1f} GB" + (" RSS" if memory == "RSS" else "")


def cost(entry: dict) -> str:
    """The article's bracket: (123.8 min / 11.1 GB)."""
    parts = [p for p in (minutes(entry["minutes"]), gigabytes(entry["peak_gb"], entry["memory"])) if p]
    return f"({' / '.join(parts)})" if parts else ""


def listed(items: Sequence[str], most: int = 6) -> str:
    """`a, b and c`; beyond ``most`` names, the rest is counted."""
    items = list(items)
    if len(items) > most:
        return f"{', '.join(items[: most - 1])} and {len(items) - most + 1} more"
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}" if items else ""


def counted(count: int, one: str, many: str | None = None) -> str:
    return f"{count:,} {one if count == 1 else many or one + 's'}"
