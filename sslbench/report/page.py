"""From report.json to one self-contained HTML page and the same content in Markdown.

Neither asks the clock or the network; equal inputs give equal bytes. Jinja2 escapes everything that comes from outside.
"""

import base64
import binascii
import itertools
import json
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from sslbench.errors import UserError
from sslbench.report import (
    composition,
    diagnostics,
    downstream,
    figures,
    labelfree,
    markdown,
    milestones,
    provenance,
    tables,
)
from sslbench.report.answer import answer
from sslbench.report.content import Page, Paragraph, Part, Pictures, Section, spans
from sslbench.report.files import write_text
from sslbench.report.wording import Labels

_MEMORY = (
    "Minutes are those of pretraining, from the ledger. GB are 10⁹ bytes: peak memory that torch allocated on the GPU, "
    "or, marked RSS, the process's peak resident set where it ran on the CPU. The article's Go are most likely GiB "
    "(1.074 GB)."
)
_RANKS = (
    "Entries of a column that share a rank cannot be told apart from the best of them; the shaded ones share rank 1. "
    "The rows at the bottom are references, counted apart and not ranked."
)


def render(report_json: Path, gallery_json: Path | None, out_html: Path, out_md: Path) -> None:
    """Write ``out_html`` and ``out_md`` from collect's report.json and, where there is one, the gallery.

    Raises UserError where an input is missing or is not what its rule writes.
    """
    report = _read(report_json, "collect")
    gallery = _read(gallery_json, "gallery") if gallery_json is not None else {}
    page = build(report, gallery)
    write_text(out_html, html(page))
    write_text(out_md, markdown.write(page))


def build(report: dict, gallery: dict) -> Page:
    """The page's content: the one definition that both writers use."""
    labels = Labels(report)
    names = list(dict.fromkeys(c["dataset"] for c in report["cells"]))
    accuracy = [(n, tables.accuracy_tables(report, n, labels) + figures.cost_chart(report, n, labels)) for n in names]
    features = [(n, diagnostics.neighbours(report, n, labels) + diagnostics.health(report, n, labels)) for n in names]
    curves = [(n, figures.curve_charts(report, n, labels)) for n in names]
    beside = [(n, downstream.tables(report, n, labels)) for n in names]
    unlabelled = [(n, labelfree.blocks(report, n, labels)) for n in names]
    sections = [
        Section("accuracy", "Accuracy", (Paragraph(f"{_RANKS} {_MEMORY}", "faint"),), _parts(accuracy, labels)),
        Section("features", "Neighbours and health", (), _parts(features, labels)),
        Section(
            "composition",
            "Pairs of operations",
            (),
            tuple(Part(*found) for found in composition.composition(report, labels)),
        ),
        Section("sweep", "By parameter", (), tuple(Part(t, b) for t, b in diagnostics.sweep(report, labels))),
        Section("downstream", "Downstream", (), _parts(beside, labels)),
        Section("label-free", "Choosing without labels", (), _parts(unlabelled, labels)),
        Section("milestones", "The second article's figures", milestones.table(report, labels)),
        Section("transforms", "What the transforms do", _pictures(report, gallery)),
        Section("curves", "Learning curves", (), _parts(curves, labels)),
        Section("data", "Data", (), provenance.data_parts(report, labels)),
        Section("provenance", "Provenance", provenance.provenance(report, labels)),
    ]
    plan = report["plan"]
    return Page(
        title=plan.get("title") or plan["name"],
        name=plan["name"],
        note=plan.get("note") or "",
        answer=answer(report, labels),
        sections=tuple(
            section for section in sections if section.parts or (section.blocks and section.anchor != "accuracy")
        ),
    )


def html(page: Page) -> str:
    """The page as one HTML text that refers to nothing outside itself."""
    environment = Environment(
        loader=PackageLoader("sslbench.report"), autoescape=True, undefined=StrictUndefined, keep_trailing_newline=True
    )
    numbers = itertools.count(1)
    environment.globals |= {"spans": spans, "fresh": lambda prefix: f"{prefix}{next(numbers)}"}
    style, _, _ = environment.loader.get_source(environment, "style.css")
    return environment.get_template("page.html.j2").render(page=page, style=Markup(style))


def _parts(found: list[tuple[str, tuple]], labels: Labels) -> tuple[Part, ...]:
    return tuple(Part(labels.dataset(name), blocks) for name, blocks in found if blocks)


def _pictures(report: dict, gallery: dict) -> tuple:
    """The gallery's pictures in the order of the plan's transforms, then any others."""
    used = dict.fromkeys(entry["name"][2] for entry in report["entries"])
    order = [*(t for t in used if t in gallery), *sorted(t for t in gallery if t not in used)]
    items = []
    for name in order:
        entry, plan = gallery[name], report["transforms"].get(name, {})
        try:
            raw = base64.b64decode(entry["webp_base64"], validate=True)
            size = int(entry["width"]), int(entry["height"])
        except (KeyError, TypeError, ValueError, binascii.Error):
            raise UserError(
                f"gallery: the picture of {name!r} is damaged; delete the gallery's file and run again"
            ) from None
        kind = plan.get("kind", name)
        does = str(entry.get("alt", ""))
        title = name if kind == name else f"{name} ({kind})"
        items.append((title, does, base64.b64encode(raw).decode(), does, *size))
    return (Pictures(tuple(items)),) if items else ()


def _read(path: Path, rule: str) -> dict:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: not there; run the rule {rule} first") from None
    except ValueError as error:
        raise UserError(f"{path}: not JSON ({error}); delete it and run the rule {rule} again") from None
    if not isinstance(value, dict):
        raise UserError(f"{path}: not what the rule {rule} writes; delete it and run again")
    return value
