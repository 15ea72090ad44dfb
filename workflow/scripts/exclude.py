"""Leave test images of other datasets out of what a pack's split trains on."""

import json
from pathlib import Path

from sslbench.data.pack.exclude import exclude
from sslbench.jobs.log import job_log

if __name__ == "__main__":
    with job_log(snakemake.log[0]) as log:
        split = json.loads(snakemake.params.settings)["split"]
        pack, out = (Path(files.manifest).parent for files in (snakemake.input, snakemake.output))
        exclude(pack, [Path(file) for file in snakemake.input.copies], split, out, log)
