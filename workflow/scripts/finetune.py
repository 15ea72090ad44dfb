"""Fine-tune one cell's backbone on shares of the labels."""

import json
from pathlib import Path

from sslbench.jobs.import_server.client import share_imports

if __name__ == "__main__":
    share_imports()
    from sslbench.errors import about
    from sslbench.evaluation.finetune import finetune
    from sslbench.jobs.gpu_slots import gpu_job
    from sslbench.store.code_check import as_planned

    with gpu_job(snakemake) as (log, compute), as_planned("finetune", snakemake.params), about("evaluation.finetune"):
        output = Path(snakemake.output[0])
        finetune(
            json.loads(snakemake.params.settings),
            snakemake.params.training,
            *(Path(snakemake.input[name]) for name in ("backbone", "run")),
            Path(snakemake.input.manifest).parent,
            output,
            state_root=output.parents[4] / ".store",
            **compute.model_dump(include={"device", "threads", "checkpoint_minutes", "placement", "views"}),
            progress=log,
        )
