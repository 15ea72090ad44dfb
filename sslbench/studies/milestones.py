"""The second article's figures as a table of their own, for the methods of it that a grid has."""

from dataclasses import asdict

from sslbench.report.blocks import Block, Cell, Column, Paragraph, Row, Section, Span, Table, Text
from sslbench.report.sections.accuracy import Notes
from sslbench.report.wording import ABSENT, Labels, accuracy, interval
from sslbench.studies import article_families, ledgers


def fields(*_: object) -> dict:
    """What report.json holds of the second article."""
    return {"second_article": [asdict(milestone) for milestone in ledgers.read_second()]}


def section(report: dict, labels: Labels) -> Section:
    return Section("milestones", "The second article's figures", table(report, labels), (), "Second article")


def table(report: dict, labels: Labels) -> tuple[Block, ...]:
    """Method, family, what the article printed, what its source says, and our best; empty where no method is shared."""
    methods = {model["method"] for model in report["models"].values()}
    shared = [figure for figure in report["second_article"] if figure["method"] in methods]
    if not shared:
        return ()
    notes, rows = Notes(), []
    for figure in shared:
        printed: list[Text] = [f"{figure['printed_top1']} @ {figure['printed_parameters']}"]
        if not figure["right"]:
            printed.append(Span("not its source's pair", "suspicious"))
        number = notes.number(f"{figure['title']}: {figure['source']}; {figure['note']}.")
        said = (accuracy(figure["value"]), f"{figure['backbone']}, {figure['parameters']:g} M")
        rows.append(
            Row(
                (
                    Cell((figure["title"], str(figure["year"]))),
                    article_families.of_method(figure["method"]),
                    Cell(tuple(printed), notes=(number,)),
                    Cell(said),
                    Cell(_ours(report, figure["method"], labels)),
                )
            )
        )
    columns = (
        Column("Method", "text"),
        Column("Family", "text", spare=True),
        Column("As printed", hint="top-1 @ parameters"),
        Column("As its source has it", hint="top-1, backbone, parameters"),
        Column("Ours", hint="best of each dataset"),
    )
    caption = "The second article: top-1 of a linear probe on ImageNet-1K, and what we have of the same methods"
    on_imagenet = any(entry["kind"] == "imagenet" for entry in report["datasets"].values())
    other = "another network, size and length of training" if on_imagenet else "other data and size"
    text = (
        "Not comparable with ours: these figures are of ImageNet-1K, 1.28 million training pictures in 1,000 classes, "
        f"and of networks of 23 to 94 million parameters; ours are of {other}."
    )
    return (Paragraph(text, "note"), Table(caption, columns, tuple(rows), tuple(notes.texts)))


def _ours(report: dict, method: str, labels: Labels) -> tuple[Text, ...]:
    """For each dataset the best current, uncollapsed figure of a method, with its network and size."""
    best: dict[str, dict] = {}
    for entry in report["entries"]:
        sound = entry["kind"] == "grid" and "done" in entry["states"] and not entry["collapsed"]
        value = entry["top1"]["value"]
        if sound and value is not None and report["models"][entry["name"][1]]["method"] == method:
            dataset = entry["name"][0]
            if dataset not in best or value > best[dataset]["top1"]["value"]:
                best[dataset] = entry
    lines: list[Text] = []
    for dataset, entry in best.items():
        lines.append(f"{accuracy(entry['top1']['value'])} ({interval(entry['top1'])})")
        size = _parameters(report, entry)
        told = [labels.dataset(dataset), labels.entry(entry), entry["protocols"][0]["backbone"]]
        lines.append(Span(", ".join(told + [f"{size / 1e6:.1f} M"] * bool(size)), "faint"))
    return tuple(lines) or (ABSENT,)


def _parameters(report: dict, entry: dict) -> int | None:
    name = tuple(entry["name"])
    cells = (c for c in report["cells"] if (c["dataset"], c["model"], c["transform"]) == name)
    return next((c["run"]["parameters"] for c in cells if c["run"].get("parameters")), None)
