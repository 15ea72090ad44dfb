"""Pack one source: decode its pictures once, at one size."""

from pathlib import Path

from sslbench.data.pack.write import pack
from sslbench.errors import about
from sslbench.grid.expand import load
from sslbench.grid.plan import Plan
from sslbench.jobs.log import job_log

if __name__ == "__main__":
    with job_log(snakemake.log[0]) as log:
        config = load(snakemake.config)
        dataset = Plan(config).packs[snakemake.wildcards.pack]
        folder = Path(snakemake.output.manifest).parent
        with about(f"datasets.{dataset.entry}"):
            pack(dataset.settings, Path(snakemake.input[0]), folder, dataset.pack_size, snakemake.threads, log)
