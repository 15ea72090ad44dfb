"""The families of self-supervision that the first article lists, and which of them each of our methods belongs to.

The article's list stands in its section "What is self-supervised learning?"; it says of itself that it is not complete.
"""

from functools import cache

from sslbench import registry
from sslbench.report.blocks import Block, Cell, Paragraph, Span
from sslbench.report.families import own, tasks
from sslbench.report.sections import accuracy as tables
from sslbench.report.wording import Labels, listed

# In the article's order: name in a table, and why there is none where no method here is of it.
ARTICLE = {
    "contrastive": "",
    "autoencoder": "",
    "generative model": "GANs and VAEs learn to make pictures, and none is built in",
    "multitask": "a method with pretext tasks beside it (auxiliary) would be one",
    "predictive coding": "it predicts the next frame or word, and these are single pictures",
    "non-contrastive": "",
}

# MethodFacts.family -> the article's; None: not on its list
_OURS = {
    "contrastive": "contrastive",
    "non-contrastive": "non-contrastive",
    "clustering": "non-contrastive",  # it compares no pictures with each other
    "distillation": "non-contrastive",
    "generative": "autoencoder",  # by reconstruction: MAE
    "predictive": "predictive coding",
    "pretext": None,  # one task made from the picture itself
    "reference": None,
}


def of_article(model: dict) -> str | None:
    """The article's family of a model of the report; None where it is not on the article's list."""
    if tasks(model):
        return "multitask"
    return _OURS.get(model["family"])


def cell(model: dict) -> Cell:
    """The family of a model of the report: the article's, and ours where that says more."""
    article, ours = of_article(model), own(model)
    return Cell((ours,)) if article in (None, model["family"]) else Cell((article, Span(ours, "faint")))


def of_method(method: str) -> Cell:
    """The family of a registered method, as ``cell``."""
    return cell({"family": registry.load(f"{registry.METHODS[method]}.settings").FACTS.family})


def column(cell: dict, report: dict) -> dict:
    """A column of a row of cells.csv."""
    return {"article_family": of_article(report["models"][cell["model"]])}


def without_row(_: dict, shown: dict, dataset: str, labels: Labels) -> tuple[Block, ...]:
    """The line on a dataset's accuracies that says which of the article's families no row belongs to."""
    entries, grid = tables.of_dataset(shown, dataset)
    if not any(entry["probed"] for entry in entries.values()):
        return ()
    line = missing(shown, list(dict.fromkeys(model for model, _ in grid)))
    return (Paragraph(line, "faint"),) if line else ()


def missing(report: dict, names: list[str]) -> str:
    """One line: the article's families that none of the models ``names`` belongs to, each with the reason."""
    present = {of_article(report["models"][name]) for name in names}
    told = []
    for family, why in ARTICLE.items():
        if family not in present:
            known = _methods(family)
            verb = "is" if len(known) == 1 else "are"
            told.append(f"{family} ({f'{listed(known)} {verb} not in this grid' if known else why})")
    return f"Families of the first article without a row here: {listed(told)}." if told else ""


@cache
def _methods(family: str) -> list[str]:
    """The titles of the registered methods of one of the article's families."""
    facts = [registry.load(f"{module}.settings").FACTS for module in registry.METHODS.values()]
    return [fact.title for fact in facts if _OURS.get(fact.family) == family]
