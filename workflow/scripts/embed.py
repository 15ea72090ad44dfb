"""Features of one cell's evaluation pictures."""

import json
from pathlib import Path

from sslbench.config import Compute
from sslbench.errors import job_log
from sslbench.evaluate.embed import embed

if __name__ == "__main__":
    with job_log(snakemake.log[0]) as log:
        compute = Compute(**snakemake.config.get("compute", {}))
        settings = json.loads(snakemake.params.settings)
        embed(
            settings,
            settings,
            Path(snakemake.input.backbone),
            Path(snakemake.input.manifest).parent,
            {name: Path(path) for name, path in snakemake.output.items()},
            device=compute.device,
            threads=compute.threads,
            log=lambda line: print(line, file=log),
        )
