"""How long an image takes in one network."""

import json
from pathlib import Path

from sslbench.jobs.import_server.client import share_imports

if __name__ == "__main__":
    share_imports()
    from sslbench.evaluation.speed import speed
    from sslbench.jobs.gpu_slots import gpu_job

    with gpu_job(snakemake) as (_, compute):
        speed(
            json.loads(snakemake.params.settings),
            Path(snakemake.input[0]) if snakemake.input else None,
            Path(snakemake.output[0]),
            **compute.model_dump(include={"device", "threads"}),
        )
