"""The rendered examples that the README shows."""

import re
from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "reports" / "examples"


def test_the_demos_page_is_below_two_megabytes_and_stands_beside_its_screenshot():
    assert 500_000 < (EXAMPLES / "demo" / "report.html").stat().st_size < 2_000_000
    assert (EXAMPLES / "demo.png").stat().st_size > 50_000
    text = (EXAMPLES / "demo" / "report.md").read_text()
    shown = set(re.findall(r"\]\(report-charts/([^)]+)\)", text))
    there = {path.name for path in (EXAMPLES / "demo" / "report-charts").iterdir() if path.suffix in (".svg", ".webp")}
    assert shown == there
    kinds = {name.partition("--")[0] for name in there}
    assert {"cost", "forest", "heat", "transform", "neighbours", "map", "confused"} <= kinds
