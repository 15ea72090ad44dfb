"""Thumbnails, neighbours, maps and confusions of all cells, for the page."""

from pathlib import Path

from sslbench.jobs.log import job_log
from sslbench.report.images.collect import album

if __name__ == "__main__":
    with job_log(snakemake.log[0]):
        report = Path(snakemake.input.report)
        album(report, report.parents[2], Path(snakemake.output[0]))
