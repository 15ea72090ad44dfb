"""Render whatever is finished, beside the report of the whole grid."""

import json
import sys
from pathlib import Path

from sslbench.errors import UserError
from sslbench.jobs.log import job_log
from sslbench.report.collect.collect import collect
from sslbench.report.collect.quarantine import set_aside_damaged
from sslbench.report.images.collect import album
from sslbench.report.page import render
from sslbench.store.checksum import warn

if __name__ == "__main__":
    with job_log(snakemake.log[0]):
        plan = json.loads(snakemake.params.settings)
        collected = Path(snakemake.output.touch).parent
        warn(set_aside_damaged(plan, collected.parents[1]))
        collect(plan, collected.parents[1], collected / "now")
        seen = collected / "now" / "album.json"
        try:
            album(collected / "now" / "report.json", collected.parents[1], seen)
        except UserError as error:  # the figures need no pictures
            seen = None
            warn([str(error)])
        gallery = collected / "gallery.json"
        pages = Path(snakemake.config.get("paths", {}).get("reports", "reports")) / plan["name"]
        render(
            collected / "now" / "report.json",
            gallery if gallery.exists() else None,
            pages / "now.html",
            pages / "now.md",
            seen,
        )
        Path(snakemake.output.touch).touch()
        print(f"sslbench: rendered {pages / 'now.html'}", file=sys.stderr)
