"""Pretrain one cell from its settings, and publish it through the store."""

import json
from pathlib import Path

from sslbench.warm import share_imports

if __name__ == "__main__":
    share_imports()
    from sslbench.config import Compute
    from sslbench.engine.fit import fit
    from sslbench.errors import job_log

    with job_log(snakemake.log[0]) as log:
        compute = Compute(**snakemake.config.get("compute", {}))
        fit(
            json.loads(snakemake.params.settings),
            snakemake.params.code,
            Path(snakemake.input[0]).parent,
            {name: Path(path) for name, path in snakemake.output.items()},
            state_root=Path(snakemake.output.run).parents[4] / ".store",
            **compute.model_dump(include={"device", "threads", "checkpoint_minutes", "placement", "views"}),
            progress=log,
        )
