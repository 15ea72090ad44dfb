"""Fetch the weights of one pretrained backbone."""

from sslbench.grid.expand import load
from sslbench.jobs.log import job_log
from sslbench.store.code_check import as_planned

if __name__ == "__main__":
    from sslbench.evaluation.weights import fetch

    with job_log(snakemake.log[0]) as log, as_planned("weights", snakemake.params):
        name, config = snakemake.wildcards.weights, load(snakemake.config)
        fetch(name, config.weights[name], config.paths.data, log=lambda line: print(line, file=log))
