"""From report.json to one self-contained HTML page and the same content in Markdown.

Neither asks the clock or the network; equal inputs give equal bytes. Jinja2 escapes everything that comes from outside.
"""

import itertools
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from sslbench.report import studies, truncate
from sslbench.report.blocks import Page, Paragraph, Part, Section, figures, spans
from sslbench.report.charts import accuracy_vs_cost, forest, heatmap, learning_curves, resources, vega
from sslbench.report.files import read_written, write_text
from sslbench.report.images import embedding_map, neighbours, static_files
from sslbench.report.images import sections as pictures
from sslbench.report.render import markdown
from sslbench.report.sections import accuracy as tables
from sslbench.report.sections import (
    composition,
    diagnostics,
    downloads,
    downstream,
    folds,
    label_free,
    leaderboard,
    provenance,
    transfer,
)
from sslbench.report.sections.summary import answer
from sslbench.report.wording import Labels
from sslbench.runtime.text import visible

_MEMORY = (
    "Minutes are those of pretraining, from the ledger. GB are 10⁹ bytes: peak memory that torch allocated on the GPU, "
    "or, marked RSS, the process's peak resident set where it ran on the CPU."
)
_SOURCES = ("light.css", "dark.css", "style.css", "page.js")
_RANKS = (
    "Entries of a column that share a rank cannot be told apart from the best of them; the shaded ones share rank 1. "
    "The rows at the bottom are references, counted apart and not ranked."
)


def render(
    report_json: Path, gallery_json: Path | None, out_html: Path, out_md: Path, album_json: Path | None = None
) -> None:
    """Write ``out_html`` and ``out_md`` from collect's report.json and, where there are any, the gallery and
    the album; what the Markdown shows goes into a folder beside it, "report-charts" for report.md.

    Raises UserError where an input is missing or is not what its rule writes.
    """
    report = read_written(report_json, "collect")
    gallery = read_written(gallery_json, "gallery") if gallery_json is not None else {}
    album = read_written(album_json, "album") if album_json is not None else {}
    write(build(report, gallery, album), out_html, out_md)


def write(page: Page, out_html: Path | None, out_md: Path) -> None:
    """Write a page's Markdown with its charts and, where ``out_html`` is given, its HTML, as ``render`` does."""
    if out_html is not None:
        write_text(out_html, html(page))
    folder = out_md.with_name(f"{out_md.stem}-charts")
    kept = static_files.write(page, folder)
    write_text(out_md, markdown.write(page, folder.name))
    static_files.sweep(folder, kept)


def build(report: dict, gallery: dict, album: dict | None = None) -> Page:
    """The page's content: the one definition that both writers use."""
    labels = Labels(report)
    every, report = report, folds.merged(report)
    names = list(dict.fromkeys(c["dataset"] for c in report["cells"]))
    best, models, thrifty = truncate.best(report), truncate.models(report), truncate.thrifty(report)
    accuracy = [
        (
            n,
            tables.accuracy_tables(models, n, labels)
            + tuple(block for more in studies.asked(report, "accuracy") for block in more(report, models, n, labels))
            + heatmap.heat_chart(models, n, labels),
        )
        for n in names
    ]
    paired = [(n, forest.forest_chart(best, n, labels)) for n in names]
    costs = [
        (n, accuracy_vs_cost.cost_chart(thrifty, n, labels) + resources.resource_chart(thrifty, n, labels))
        for n in names
    ]
    features = [(n, diagnostics.neighbours(models, n, labels) + diagnostics.health(models, n, labels)) for n in names]
    learning = [(n, learning_curves.curve_charts(models, n, labels)) for n in names]
    each = truncate.models(every)
    beside = [(n, downstream.tables(each, n, labels)) for n in dict.fromkeys(c["dataset"] for c in every["cells"])]
    unlabelled = [(n, label_free.blocks(report, n, labels)) for n in names]
    remarks = "".join(more(report) for more in studies.asked(report, "remarks"))
    sections = [
        Section(
            "leaderboard", "Leaderboard", leaderboard.leaderboard(best, labels), leaderboard.across(report, labels)
        ),
        Section("transfer", "Transfer", (), transfer.parts(report, labels)),
        Section(
            "accuracy",
            "Accuracy",
            (Paragraph(f"{_RANKS} {_MEMORY}{remarks}", "faint"),),
            _parts(accuracy, labels),
        ),
        Section("folds", "Folds and repeats", (), folds.parts(report, labels), "Folds"),
        Section("paired", "Differences to the best", (), _parts(paired, labels)),
        Section("charts", "Accuracy against cost", (), _parts(costs, labels)),
        Section(
            "composition",
            "Pairs of operations",
            (),
            tuple(Part(*found) for found in composition.composition(report, labels)),
        ),
        Section("sweep", "By parameter", (), tuple(Part(t, b) for t, b in diagnostics.sweep(report, labels))),
        *(section(report, labels) for section in studies.asked(report, "sections")),
        Section("transforms", "What the transforms do", (), pictures.transforms(report, gallery), "Transforms"),
        Section("features", "Neighbours and health", (), _parts(features, labels)),
        Section("pictures", "What the models see", (), pictures.seen(every, album or {}, labels), "Pictures"),
        Section("downstream", "Downstream", (), _parts(beside, labels)),
        Section("label-free", "Choosing without labels", (), _parts(unlabelled, labels), "Without labels"),
        Section("curves", "Learning curves", (), _parts(learning, labels)),
        Section("data", "Data", (), provenance.data_parts(every, labels)),
        Section("provenance", "Provenance", provenance.provenance(every, labels)),
    ]
    sections = truncate.told(report, sections)
    sections.append(Section("downloads", "Downloads", downloads.blocks(every, sections)))
    plan = report["plan"]
    return Page(
        title=plan.get("title") or plan["name"],
        name=plan["name"],
        note=plan.get("note") or "",
        answer=answer(report, labels),
        sections=tuple(
            section
            for section in sections
            # What stands at the head of the accuracies says nothing without them.
            if section.parts or (section.blocks and section.anchor != "accuracy")
        ),
        sheets=neighbours.page_sheets(album or {}),
        foot=provenance.foot(every),
    )


def html(page: Page) -> str:
    """The page as one HTML text that refers to nothing outside itself."""
    environment = Environment(
        loader=PackageLoader("sslbench.report.render"),
        autoescape=True,
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        finalize=lambda value: visible(value) if type(value) is str else value,
    )
    numbers = itertools.count(1)
    environment.filters["css"] = css_text
    environment.globals |= {"spans": spans, "fresh": lambda prefix: f"{prefix}{next(numbers)}"}
    environment.globals["marks_of_maps"] = embedding_map.MARKS
    sources = {name: environment.loader.get_source(environment, name)[0] for name in _SOURCES}
    light, dark, style, script = (Markup(sources[name]) for name in _SOURCES)
    template = environment.get_template("page.html.j2")
    drawn = bool(figures(page))
    charts = {"style": Markup(vega.style() if drawn else ""), "script": Markup(vega.bundle() if drawn else "")}
    return template.render(page=page, light=light, dark=dark, style=style, script=script, charts=charts)


def css_text(text: str) -> Markup:
    """Any text as a CSS string: what could end it or the style sheet stands as its code point."""
    return Markup('"' + "".join(c if c.isalnum() or c in " ,./-" else f"\\{ord(c):x} " for c in text) + '"')


def _parts(found: list[tuple[str, tuple]], labels: Labels) -> tuple[Part, ...]:
    return tuple(Part(labels.dataset(name), blocks) for name, blocks in found if blocks)
