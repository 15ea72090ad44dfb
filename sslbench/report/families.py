"""Which family of self-supervision each model belongs to, in our words or those of a study."""

from sslbench.report import studies
from sslbench.report.blocks import Cell
from sslbench.report.wording import listed


def cell(report: dict, name: str) -> Cell:
    """The family of a model of the report."""
    model = report["models"][name]
    of = studies.asked(report, "family")
    return of[0](model) if of else Cell((own(model),))


def own(model: dict) -> str:
    """A model's family, with the pretext tasks that are trained beside it."""
    family = model["family"]
    if beside := tasks(model):
        return f"{family} with {listed(beside)}"
    return f"{family} task" if family == "pretext" else family


def tasks(model: dict) -> list[str]:
    """The pretext tasks beside a model's method; one of weight 0 is none."""
    asked = (model.get("options") or {}).get("auxiliary") or {}
    return sorted(task for task, options in asked.items() if (options or {}).get("weight", 1) != 0)
