"""Features of one cell's evaluation pictures."""

import json
from pathlib import Path

from sslbench.jobs.import_server.client import share_imports

if __name__ == "__main__":
    share_imports()
    from sslbench.evaluation.embed import embed
    from sslbench.jobs.gpu_slots import gpu_job
    from sslbench.store.code_check import as_planned

    with gpu_job(snakemake) as (log, compute), as_planned("embed", snakemake.params):
        settings = json.loads(snakemake.params.settings)
        embed(
            settings,
            settings,
            Path(snakemake.input.backbone),
            Path(snakemake.input.manifest).parent,
            {name: Path(path) for name, path in snakemake.output.items()},
            **compute.model_dump(include={"device", "threads", "views"}),
            log=lambda line: print(line, file=log),
        )
