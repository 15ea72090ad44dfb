"""What the published figures show by themselves, each finding with its arithmetic.

    python -m sslbench.studies.reanalysis.findings > docs/findings.md

Reads sslbench/studies/data/published_results.csv and published_second_article.csv, and nothing else; the few constants
that are not in them stand below with their source. Needs no torch.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass

from sslbench.report.blocks import Block, Code, Page, Paragraph, Part, Section, Table
from sslbench.report.render import markdown
from sslbench.studies import ledgers
from sslbench.studies.claims.section import coded
from sslbench.studies.ledgers import Figure, Milestone
from sslbench.studies.reanalysis import costs as findings_costs
from sslbench.studies.reanalysis import test_sets as findings_sets


@dataclass(frozen=True)
class Finding:
    """``says``: what follows, in a sentence or two; ``sums``: the arithmetic, a line each; then a table, if any."""

    title: str
    says: str
    sums: tuple[str, ...]
    table: Table | None = None

    def blocks(self) -> tuple[Block, ...]:
        code = (Code("\n".join(self.sums)),) if self.sums else ()
        return (Paragraph(self.says), *code, *((self.table,) if self.table else ()))


# In reading order: what the test sets can carry, what they are, then costs, then the text about them.
_ALL: tuple[Callable[[list[Figure]], tuple], ...] = (
    findings_sets.smallest_differences,
    findings_sets.differences_carried,
    findings_sets.who_leads,
    findings_sets.alpha,
    findings_sets.nabirds_test_set,
    findings_sets.nabirds_split,
    findings_sets.imagenette_test_set,
    findings_sets.collapsed,
    findings_sets.sign_flips,
    findings_costs.pixels,
    findings_costs.less_time,
    findings_costs.same_time,
    findings_costs.memory_by_transform,
    findings_costs.totals,
)


def findings(figures: list[Figure], second: list[Milestone]) -> list[Finding]:
    """All findings on the two articles' figures, in reading order."""
    return [*(Finding(*make(figures)) for make in _ALL), Finding(*findings_costs.wrong_pair(second))]


def parts() -> tuple[Part, ...]:
    """The findings as parts of a section."""
    found = findings(ledgers.read(), ledgers.read_second())
    return tuple(Part(f"{number}. {one.title}", one.blocks()) for number, one in enumerate(found, start=1))


def page() -> Page:
    """The findings as a page of their own: docs/findings.md."""
    source = Paragraph(
        coded(
            "Computed from the figures as printed (`sslbench/studies/data/published_results.csv` and "
            "`sslbench/studies/data/published_second_article.csv`) by "
            "`python -m sslbench.studies.reanalysis.findings > docs/findings.md`. "
            "Nothing "
            "here was trained or measured."
        )
    )
    section = Section("findings", "What the articles' figures show by themselves", (), parts())
    return Page("Findings on the published figures", "findings", "", (source,), (section,))


def main() -> None:
    sys.stdout.write(markdown.write(page()))


if __name__ == "__main__":
    main()
