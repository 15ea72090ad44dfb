"""Every finished cell's figures in one tidy table and one JSON file for the page."""

import json
from pathlib import Path

from sslbench.errors import UserError
from sslbench.jobs.log import job_log
from sslbench.report.collect.collect import collect
from sslbench.report.collect.quarantine import set_aside_damaged

if __name__ == "__main__":
    with job_log(snakemake.log[0]):
        folder = Path(snakemake.output.table).parent
        plan = json.loads(snakemake.params.settings)
        if damaged := set_aside_damaged(plan, folder.parents[1]):
            raise UserError("; ".join(damaged))
        collect(plan, folder.parents[1], folder)
