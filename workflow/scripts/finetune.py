"""Fine-tune one cell's backbone on shares of the labels."""

import json
from pathlib import Path

from sslbench.warm import share_imports

if __name__ == "__main__":
    share_imports()
    from sslbench.config import Compute
    from sslbench.errors import about, job_log
    from sslbench.evaluate.finetune import finetune

    with job_log(snakemake.log[0]) as log, about("evaluation.finetune"):
        compute, output = Compute(**snakemake.config.get("compute", {})), Path(snakemake.output[0])
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
