"""Retrieval figures of one cell."""

import json
from pathlib import Path

from sslbench.jobs.import_server.client import share_imports

if __name__ == "__main__":
    share_imports()
    from sslbench.config.models import Compute
    from sslbench.evaluation.retrieval import retrieve
    from sslbench.jobs.log import job_log
    from sslbench.store.code_check import as_planned

    with job_log(snakemake.log[0]) as log, as_planned("retrieve", snakemake.params):
        files = snakemake.input
        retrieve(
            {"train": Path(files.train), "test": Path(files.test)},
            Path(files.run),
            json.loads(snakemake.params.settings),
            Path(snakemake.output[0]),
            threads=Compute(**snakemake.config.get("compute", {})).threads,
            log=lambda line: print(line, file=log),
        )
