"""Pretrain one cell from its settings, and publish it through the store."""

import json
from pathlib import Path

from sslbench.config import Compute
from sslbench.engine.fit import fit
from sslbench.errors import job_log

if __name__ == "__main__":
    with job_log(snakemake.log[0]) as log:
        compute = Compute(**snakemake.config.get("compute", {}))
        fit(
            json.loads(snakemake.params.settings),
            snakemake.params.code,
            Path(snakemake.input[0]).parent,
            {name: Path(path) for name, path in snakemake.output.items()},
            state_root=Path(snakemake.output.run).parents[4] / ".store",
            device=compute.device,
            threads=compute.threads,
            checkpoint_minutes=compute.checkpoint_minutes,
            progress=log,
        )
