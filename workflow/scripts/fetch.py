"""Fetch one source: a download, a local archive or folder, or pictures that the project draws."""

from pathlib import Path

from sslbench.data.sources.fetch import fetch
from sslbench.errors import about
from sslbench.grid.expand import load
from sslbench.grid.plan import Plan
from sslbench.jobs.log import job_log

if __name__ == "__main__":
    with job_log(snakemake.log[0]) as log:
        dataset = Plan(load(snakemake.config)).sources[snakemake.wildcards.source]
        with about(f"datasets.{dataset.entry}"):
            fetch(dataset.settings, Path(snakemake.output[0]).parent, log)
