"""Compare the images that a dataset is pretrained on with the test images that it is judged on."""

import json
from pathlib import Path

from sslbench.data.leaks import find
from sslbench.jobs.log import job_log

if __name__ == "__main__":
    with job_log(snakemake.log[0]) as log:
        files, splits = snakemake.input, json.loads(snakemake.params.settings)
        trained, tested = (Path(manifest).parent for manifest in (files.trained, files.tested))
        outputs = Path(snakemake.output.found), Path(snakemake.output.copies)
        find(trained, splits["pretraining"], tested, splits["test"], *outputs, snakemake.threads, log)
