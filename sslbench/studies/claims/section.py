"""The articles' claims with their verdicts as tables; claims.py decides them, this lays them out."""

from collections.abc import Callable

from sslbench.report.blocks import Block, Cell, Column, Paragraph, Part, Points, Row, Section, Span, Table, Text
from sslbench.report.sections.accuracy import Notes
from sslbench.report.wording import ABSENT, Labels, counted, difference, listed
from sslbench.studies.claims.claims import ASSUMED

_WORDS = {
    "holds": "tie",
    "contradicted": "collapsed",
    "undecided": "suspicious",
    "not testable": "missing",
    ASSUMED: "missing",
}
_MOST = 4  # comparisons that a cell shows; the rest is counted


def section(report: dict, _: Labels) -> Section:
    found = parts(report)
    shown = method(report) if found or report["claims"].get("why") else ()
    return Section("claims", "What the articles conclude, tested", shown, found, "Claims, tested")


def parts(report: dict) -> tuple[Part, ...]:
    """One part per article: its claims as a table. Empty for a report without verdicts."""
    verdicts = report["claims"]["verdicts"]
    sources = {source for figure in report.get("ledger", ()) for source in figure["dataset_sources"]}
    on_published = any(dataset["source"] in sources for dataset in report["datasets"].values())
    found = []
    for article in dict.fromkeys(v["article"] for v in verdicts):
        mine = [v for v in verdicts if v["article"] == article]
        if not on_published and all(v["verdict"] == "not testable" for v in mine):
            continue  # a grid that has nothing to do with it
        found.append(Part(article, (Paragraph(_summary(mine)), _table(article, mine))))
    return tuple(found)


def method(report: dict) -> tuple[Block, ...]:
    """How the verdicts were reached, for the head of their section."""
    decided = report["claims"]
    if why := decided.get("why"):
        return (Paragraph(why),)
    percent = f"{100 * decided['confidence']:g} %"
    return (
        Paragraph(
            "Each sentence is quoted, put into terms that cells can answer, and tested on finished, current, "
            "uncollapsed cells that agree in dataset, protocol and test pictures. The first article's are tested at "
            "its own protocol where such cells are there; a verdict reached elsewhere says so, and speaks of our cells "
            "alone.",
            "faint",
        ),
        Points(
            (
                "holds: what it needs is significant in its favour, every comparison or, where it says “some”, one.",
                "contradicted: one that it needs is significant against it; where it says “some”, all are.",
                "undecided: the pictures do not tell; that is no evidence of equality.",
                "not testable: the grid lacks the cells, and the row says which.",
                f"{ASSUMED}: how a method is set here decides it, and the row says how.",
            )
        ),
        Paragraph(
            f"Intervals are {percent} of each comparison by itself. Verdicts allow for all "
            f"{counted(decided['comparisons'], 'comparison')} of this section together (Holm), so one may be undecided "
            "although its interval leaves zero out.",
            "faint",
        ),
    )


def _summary(verdicts: list[dict]) -> Text:
    counts = {word: sum(v["verdict"] == word for v in verdicts) for word in _WORDS}
    told = [f"{count} {_number(word, count).partition(',')[0]}" for word, count in counts.items() if count]
    return f"Of {counted(len(verdicts), 'claim')}: {listed(told)}."


def _number(word: str, count: int) -> str:
    return "hold" if word == "holds" and count != 1 else word


def _table(article: str, verdicts: list[dict]) -> Table:
    first = any(v["theirs"] for v in verdicts)
    columns = [Column("In its words", "text"), Column("On our cells", "text")]
    columns += [Column("On its table", "text", hint="all of it")] * first
    columns += [Column("Effect", "text", hint="with interval"), Column("Verdict", "text")]
    notes, rows = Notes(), []
    for v in verdicts:
        number = notes.number(coded(f"Why this test: {v['why']}"))
        cells = [Cell((f"“{v['quote']}”",)), Cell((coded(v["means"]),), notes=(number,))]
        cells += [Cell(tuple(_limited([_effect(t) for t in v["theirs"]])) or (ABSENT,))] * first
        ours = _limited([_effect(c, v) for c in sorted(v["comparisons"], key=_telling(v["rule"]))])
        cells.append(Cell(tuple(ours)) if ours else Cell((ABSENT,), "absent"))
        rows.append(Row((*cells, _verdict(v))))
    return Table(f"{article}: its claims, tested", tuple(columns), tuple(rows), tuple(notes.texts))


def _telling(rule: str) -> Callable[[dict], tuple]:
    """Which comparisons come first: the surest, or where one would do, those nearest to being it."""
    return lambda c: (c["veto"], -c["effect"] if rule == "any" else c["adjusted"])


def _verdict(v: dict) -> Cell:
    lines: list[Text] = [Span(v["verdict"], _WORDS[v["verdict"]]), coded(v["evidence"])]
    if v["scope"]:
        lines.append(Span(v["scope"], "faint"))
    return Cell(tuple(lines), "absent" if v["verdict"] in ("not testable", ASSUMED) else "")


def _limited(lines: list[str]) -> list[Text]:
    more = len(lines) - _MOST
    return [*lines[:_MOST], Span(f"and {more} more, in report.json", "faint")] if more > 0 else list(lines)


def _effect(one: dict, verdict: dict | None = None) -> str:
    """`VICRegL less Barlow Twins: +0.031 (+0.020 to +0.042), adjusted p < 0.001`."""
    form = _FORMS[one["unit"]]
    told = f"{one['about']}: {form(one['effect'])}"
    if verdict is None:
        return told
    p = "< 0.001" if one["adjusted"] < 0.001 else f"= {one['adjusted']:.3f}"
    return f"{told} ({form(one['low'])} to {form(one['high'])}), adjusted p {p}; {one['of']}"


_FORMS = {
    "points": difference,
    "ratio": lambda value: f"× {value:.2f}",
    "order": lambda value: f"{value:+.2f}".replace("-", "−"),
}


def coded(text: str) -> Text:
    """A text in which `what stands between backticks` is code."""
    pieces = tuple(Span(piece, "code") if i % 2 else piece for i, piece in enumerate(text.split("`")) if piece)
    return pieces[0] if len(pieces) == 1 else pieces
