"""Neighbours and map of one cell, for the report's pictures."""

from pathlib import Path

from sslbench.jobs.import_server.client import share_imports

if __name__ == "__main__":
    share_imports()
    from sslbench.config.models import Compute
    from sslbench.evaluation.neighbours_and_map import look
    from sslbench.jobs.log import job_log

    with job_log(snakemake.log[0]):
        look(
            {"train": Path(snakemake.input.train), "test": Path(snakemake.input.test)},
            Path(snakemake.output[0]),
            threads=Compute(**snakemake.config.get("compute", {})).threads,
        )
