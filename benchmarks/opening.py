"""How long a report takes to open in a browser: the rendered page, from disk, in headless Chromium.

    python -m benchmarks.opening results/collected/scale/report.html

Needs playwright and a Chromium ($SSLBENCH_CHROMIUM, or the first that is installed). Prints megabytes, seconds until
the page's load event, its elements, and the seconds that sorting its leaderboard takes.
"""

import os
import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
SORT = """() => {
  const heads = document.querySelectorAll("figure.board thead button"), begun = performance.now();
  [...heads].find((head) => head.textContent.startsWith("Top-1")).click();
  document.body.offsetHeight;
  return (performance.now() - begun) / 1000;
}"""


def opened(page: Path) -> dict[str, float]:
    """What opening ``page`` took; RuntimeError where its scripts fail."""
    found = os.environ.get("SSLBENCH_CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), None)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox", "--disable-gpu"])
        tab, errors = browser.new_page(viewport={"width": 1280, "height": 900}), []
        tab.on("pageerror", lambda error: errors.append(str(error)))
        tab.goto(page.resolve().as_uri(), wait_until="load", timeout=300_000)
        loaded = tab.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd") / 1000
        elements, sorting = tab.evaluate("document.querySelectorAll('*').length"), tab.evaluate(SORT)
        browser.close()
    if errors:
        raise RuntimeError(f"{page}: {errors[0]}")
    return {"MB": page.stat().st_size / 1e6, "load s": loaded, "elements": elements, "sort s": sorting}


if __name__ == "__main__":
    for name in sys.argv[1:]:
        print(name, ", ".join(f"{key} {value:,.2f}".removesuffix(".00") for key, value in opened(Path(name)).items()))
