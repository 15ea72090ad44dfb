"""Every finished cell's figures in one tidy table and one JSON file for the page."""

import json
from pathlib import Path

from sslbench.errors import job_log
from sslbench.report.collect import collect

if __name__ == "__main__":
    with job_log(snakemake.log[0]):
        folder = Path(snakemake.output.table).parent
        collect(json.loads(snakemake.params.settings), folder.parents[1], folder)
