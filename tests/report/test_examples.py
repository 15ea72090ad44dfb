"""The rendered examples that the README shows."""

from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "reports" / "examples"


def test_the_demos_page_is_below_two_megabytes_and_stands_beside_its_screenshot():
    assert 500_000 < (EXAMPLES / "demo" / "report.html").stat().st_size < 2_000_000
    assert (EXAMPLES / "demo.png").stat().st_size > 50_000
    text = (EXAMPLES / "demo" / "report.md").read_text()
    charts = [line.split("](")[1].split(")")[0] for line in text.splitlines() if line.startswith("![")]
    assert charts and all((EXAMPLES / "demo" / chart).is_file() for chart in charts)
