# Which self-supervised method and which image transform work best on these pictures, and at what cost?
#
#   snakemake --cores all --use-conda      the grid of config.yaml, to reports/<name>/report.html
#   snakemake --cores all report_now       whatever is finished, rendered
#   snakemake --cores all <dataset>        one dataset of the grid
#   snakemake --cores all weights          the pretrained weights that it needs, where there is a network

import sys

from snakemake.utils import min_version

min_version("9.10")

sys.path.insert(0, workflow.basedir)  # environments hold what sslbench imports, not sslbench itself


include: "workflow/rules/document.smk"


configfile: BASE


if HERE:

    configfile: HERE


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"
include: "workflow/rules/start.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/pretrain.smk"
include: "workflow/rules/frozen.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/downstream.smk"
include: "workflow/rules/look.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/export.smk"


check_before_environments(workflow)
start_below_a_parent(workflow)

# A scheduler's SIGTERM goes to every process of a job: the shell of a job must not end before its checkpoint is written.
shell.prefix("trap : TERM; ")


localrules:
    all,
    fetch,  # where the network is
    exclude,
    share,
    share_labelfree,
    fetch_weights,
    weights,
    collect,
    album,
    report,
    report_now,


rule all:
    default_target: True
    input:
        REPORT,


include: "workflow/rules/targets.smk"


onstart:
    start()


onsuccess:
    say_where_the_report_is(workflow)


onerror:
    print(failure_lines(), file=sys.stderr)
