"""The page in HTML and Markdown."""

from pathlib import Path

from sslbench.jobs.log import job_log
from sslbench.report.page import render

if __name__ == "__main__":
    with job_log(snakemake.log[0]):
        files = snakemake.input
        pages = Path(snakemake.output.html), Path(snakemake.output.markdown)
        render(Path(files.report), Path(files.gallery[0]), *pages, Path(files.album[0]))
