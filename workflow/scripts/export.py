"""One finished cell as a folder for timm, ONNX and a hub."""

import json
from pathlib import Path

from sslbench.config.models import Compute
from sslbench.export.export import export
from sslbench.jobs.log import job_log

if __name__ == "__main__":
    with job_log(snakemake.log[0]) as log:
        export(
            {name: Path(path) for name, path in snakemake.input.items()},
            json.loads(snakemake.params.settings),
            {name: Path(path) for name, path in snakemake.output.items()},
            threads=Compute(**snakemake.config.get("compute", {})).threads,
            log=lambda line: print(line, file=log),
        )
