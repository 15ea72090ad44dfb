"""RankMe, alpha-ReQ and LiDAR of one cell."""

import json
from pathlib import Path

from sslbench.jobs.import_server.client import share_imports

if __name__ == "__main__":
    share_imports()
    from sslbench.evaluation.label_free import labelfree
    from sslbench.jobs.gpu_slots import gpu_job
    from sslbench.store.code_check import as_planned

    with gpu_job(snakemake) as (log, compute), as_planned("labelfree", snakemake.params):
        labelfree(
            json.loads(snakemake.params.settings),
            *(Path(snakemake.input[name]) for name in ("backbone", "run")),
            Path(snakemake.input.manifest).parent,
            Path(snakemake.output[0]),
            **compute.model_dump(include={"device", "threads"}),
            log=lambda line: print(line, file=log),
        )
