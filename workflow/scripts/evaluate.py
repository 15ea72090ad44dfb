"""Linear probe, nearest neighbours and health of one cell."""

import json
from pathlib import Path

from sslbench.warm import share_imports

if __name__ == "__main__":
    share_imports()
    from sslbench.config import Compute
    from sslbench.evaluate.evaluate import evaluate
    from sslbench.job_log import job_log
    from sslbench.sources import as_planned

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
