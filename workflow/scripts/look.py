"""Neighbours and map of one cell, for the report's pictures."""

from pathlib import Path

from sslbench.warm import share_imports

if __name__ == "__main__":
    share_imports()
    from sslbench.config import Compute
    from sslbench.job_log import job_log
    from sslbench.report.look import look

    with job_log(snakemake.log[0]):
        look(
            {"train": Path(snakemake.input.train), "test": Path(snakemake.input.test)},
            Path(snakemake.output[0]),
            threads=Compute(**snakemake.config.get("compute", {})).threads,
        )
