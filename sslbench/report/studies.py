"""What studies of published results add to a report: the one place where it asks them.

A study (registry.STUDIES) is a module with three constants: DATASETS, the kinds of datasets that it is about; FILES,
what it reads; and HOOKS, by question the functions that answer it, as "module:function". A function that two studies
share is asked once. collect writes into report.json which studies have a dataset in the run's grid; what the hooks of
the others name is never imported. The questions, each answered by any number of studies:

    cells(plan, confidence)           a function (cell, entry, settings, pictures) -> fields of a collected cell
    tested(cell)                      whether its predictions are needed, though it is not ranked
    entries(cells)                    fields of an entry; ``cells``: those that its figures are made of
    fields(report, correct, confidence)  fields of report.json, once cells and entries are there
    family(model)                     the Cell that says a model's family
    leaderboard()                     columns of the leaderboard, as leaderboard.Figure
    remarks(report)                   text at the head of the accuracies; begins with a space
    metrics(report, dataset)          the metrics of a dataset that it has figures of
    rows(report, dataset, transforms, metrics, labels)  rows at the foot of a dataset's accuracies
    accuracy(report, shown, dataset, labels)  blocks below that table; ``shown``: the part of the report in it
    sections(report, labels)          a Section of the page; without blocks and parts it is left out
    cell_names(cell, report)          columns of cells.csv, behind the cell's names
    cell_columns(cell), entry_columns(entry)  columns of cells.csv and of entries.csv, behind the figures
    tables(report)                    {name: (rows, what a row is)}: further tables to download
"""

from collections.abc import Callable, Container, Mapping
from functools import cache

from sslbench import registry


def of_run(kinds: Container[str]) -> list[str]:
    """The names of the studies that are about one of the ``kinds`` of datasets that a grid trains on."""
    return [name for name in registry.STUDIES if any(kind in kinds for kind in _study(name).DATASETS)]


def code(names: list[str]) -> list[str]:
    """The modules and files that these studies consist of, for a code digest."""
    hooked = {hook.partition(":")[0] for name in names for of in _study(name).HOOKS.values() for hook in of}
    files = {file for name in names for file in _study(name).FILES}
    return sorted({registry.STUDIES[name] for name in names} | hooked | files)


def asked(report: Mapping, question: str) -> tuple[Callable, ...]:
    """The functions that answer a question for a report, in the registry's order."""
    return _hooks(tuple(report.get("studies") or ()), question)


@cache
def _hooks(names: tuple[str, ...], question: str) -> tuple[Callable, ...]:
    known = [_study(name).HOOKS.get(question, ()) for name in registry.STUDIES if name in names]
    return tuple(registry.load(hook) for hook in dict.fromkeys(hook for of in known for hook in of))


def _study(name: str) -> object:
    return registry.load(registry.STUDIES[name])
