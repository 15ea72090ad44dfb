"""RankMe, alpha-ReQ and LiDAR of one cell."""

import json
from pathlib import Path

from sslbench.warm import share_imports

if __name__ == "__main__":
    share_imports()
    from sslbench.config import Compute
    from sslbench.errors import job_log
    from sslbench.evaluate.labelfree import labelfree

    with job_log(snakemake.log[0]) as log:
        labelfree(
            json.loads(snakemake.params.settings),
            *(Path(snakemake.input[name]) for name in ("backbone", "run")),
            Path(snakemake.input.manifest).parent,
            Path(snakemake.output[0]),
            **Compute(**snakemake.config.get("compute", {})).model_dump(include={"device", "threads"}),
            log=lambda line: print(line, file=log),
        )
