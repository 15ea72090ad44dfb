"""One row of a pretrained backbone: its features and what stands beside them."""

import json
from pathlib import Path

from sslbench.jobs.import_server.client import share_imports

if __name__ == "__main__":
    share_imports()
    from sslbench.evaluation.frozen import frozen
    from sslbench.jobs.gpu_slots import gpu_job
    from sslbench.store.code_check import as_planned

    with gpu_job(snakemake) as (log, compute), as_planned("frozen", snakemake.params):
        frozen(
            json.loads(snakemake.params.settings),
            snakemake.params.code,
            Path(snakemake.input.weights),
            {"own": Path(snakemake.input.own).parent, "evaluated": Path(snakemake.input.manifest).parent},
            {name: Path(path) for name, path in snakemake.output.items()},
            **compute.model_dump(include={"device", "threads", "views"}),
            log=lambda line: print(line, file=log),
        )
