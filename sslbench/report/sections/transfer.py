"""Transfer: what was pretrained on one dataset and judged on several, with its rank on each set and its mean rank."""

from sslbench.report.blocks import Cell, Column, Paragraph, Part, Row, Table
from sslbench.report.sections.leaderboard import letters, over_all
from sslbench.report.wording import ABSENT, Labels, accuracy, counted
from sslbench.stats import multi_dataset

_ONE_TRAINING = (
    " Every set judges the same networks, so another training may move a row on all sets at once. Ranks on one set are "
    "the leaderboard's, shared where entries do not differ significantly; references are not ranked."
)


def parts(report: dict, labels: Labels) -> tuple[Part, ...]:
    """One table per dataset that is judged on two sets or more; a row per entry."""
    found = []
    for name, judges in judged_on(report).items():
        if len(judges) > 1:
            found.append(Part(name, _table(report, name, judges, labels)))
    return tuple(found)


def judged_on(report: dict) -> dict[str, dict[str, str]]:
    """By what was pretrained on: the sets that it is judged on, each with the name of the dataset that is this pair."""
    found: dict[str, dict[str, str]] = {}
    for cell in report["cells"]:
        dataset, judge = cell["dataset"], cell["evaluated_on"]
        base, at, of = dataset.partition("@")
        if of == judge or (dataset == judge and not at):
            found.setdefault(base, {})[judge] = dataset
    return found


def _table(report: dict, name: str, judges: dict[str, str], labels: Labels) -> tuple[Paragraph, Table]:
    rows: dict[tuple[str, str], dict[str, dict]] = {}
    for entry in report["entries"]:
        for judge, dataset in judges.items():
            if entry["name"][0] == dataset:
                rows.setdefault(tuple(entry["name"][1:]), {})[judge] = entry
    ranked = {key: [of[j]["top1"]["value"] for j in judges] for key, of in rows.items() if _ranked(of, judges)}
    level, together = 1 - report["confidence"], None
    if len(ranked) > 1:
        together = multi_dataset.across(ranked, level)
        left_out = sum(any(e["dataset_rank"] for e in of.values()) for of in rows.values()) - len(ranked)
        text = over_all(together, left_out, level)
    else:
        text = "Fewer than two entries are ranked on every set, so there is no mean rank."
    means = together.mean_ranks if together else {}
    groups = letters(together) if together else {}
    lines = []
    for key in sorted(rows, key=lambda key: (_reference(rows[key]), means.get(key, len(rows) + 1))):
        cells = [Cell((labels.combination(*key),))]
        if together:
            mean = means.get(key)
            cells.append(Cell((ABSENT if mean is None else f"{mean:.2f}",), order=mean))
            cells.append(Cell((groups.get(key) or ABSENT,)))
        cells += [_figure(rows[key].get(judge)) for judge in judges]
        lines.append(Row(tuple(cells), "reference" if _reference(rows[key]) else ""))
    head = [Column("Mean rank"), Column("Group", "text")] * bool(together)
    columns = (Column("Combination", "text"), *head, *(Column(judge, hint="top-1, rank") for judge in judges))
    caption = f"Pretrained on {name}, judged on {counted(len(judges), 'set')}: {counted(len(rows), 'entry', 'entries')}"
    return Paragraph(text + _ONE_TRAINING), Table(caption, columns, tuple(lines))


def _ranked(of: dict[str, dict], judges: dict[str, str]) -> bool:
    return all(judge in of and of[judge]["dataset_rank"] for judge in judges)


def _reference(of: dict[str, dict]) -> bool:
    return all(entry["kind"] == "reference" for entry in of.values())


def _figure(entry: dict | None) -> Cell:
    if entry is None or entry["top1"]["value"] is None:
        return Cell((ABSENT,), "absent")
    rank = entry["dataset_rank"]
    lines = (accuracy(entry["top1"]["value"]), *[f"rank {rank}"] * bool(rank))
    return Cell(lines, "best" if rank == 1 else "", order=entry["top1"]["value"])
