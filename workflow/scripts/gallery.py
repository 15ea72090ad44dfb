"""One picture per transform, drawn on the user's own pictures."""

import json
from pathlib import Path

from sslbench.jobs.log import job_log
from sslbench.transforms.preview import gallery

if __name__ == "__main__":
    with job_log(snakemake.log[0]):
        settings = json.loads(snakemake.params.settings)
        pack = Path(snakemake.input[0]).parent
        gallery(pack, settings["transforms"], settings["size"], Path(snakemake.output[0]), seed=0)
