"""Pretrain one cell from its settings, and publish it through the store."""

import json
from pathlib import Path

from sslbench.jobs.import_server.client import share_imports

if __name__ == "__main__":
    share_imports()
    from sslbench.jobs.gpu_slots import gpu_job
    from sslbench.store.code_check import as_planned
    from sslbench.training.run import fit

    cell, settings = Path(snakemake.output.run).parent, json.loads(snakemake.params.settings)
    several, params = settings["train"]["epochs"] > 0, snakemake.params
    with gpu_job(snakemake, several=several) as (log, compute), as_planned("pretrain", params):
        fit(
            settings,
            params.code,
            Path(snakemake.input[0]).parent,
            {name: Path(path) for name, path in snakemake.output.items()},
            state_root=cell.parents[3] / ".store",
            **compute.model_dump(include={"device", "devices", "threads", "checkpoint_minutes", "placement", "views"}),
            tensorboard=Path("logs/tensorboard", *cell.parts[-4:]) if compute.tensorboard else None,
            progress=log,
        )
