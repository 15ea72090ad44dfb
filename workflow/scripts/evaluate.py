"""Linear probe, nearest neighbours and health of one cell."""

import json
from pathlib import Path

from sslbench.jobs.import_server.client import share_imports

if __name__ == "__main__":
    share_imports()
    from sslbench.config.models import Compute
    from sslbench.evaluation.evaluate import evaluate
    from sslbench.jobs.log import job_log
    from sslbench.store.code_check import as_planned

    with job_log(snakemake.log[0]) as log, as_planned("evaluate", snakemake.params):
        files = snakemake.input
        evaluate(
            {"train": Path(files.train), "test": Path(files.test)},
            Path(files.run),
            Path(files.curve),
            json.loads(snakemake.params.settings),
            {name: Path(path) for name, path in snakemake.output.items()},
            threads=Compute(**snakemake.config.get("compute", {})).threads,
            log=lambda line: print(line, file=log),
        )
