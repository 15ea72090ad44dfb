# Last, where every rule is known: a target for each dataset of the grid, and words that are no target.

import sys

from snakemake.cli import get_argument_parser

from sslbench.grid.preflight import require_targets

TARGETS = {}  # dataset -> what to ask for its cells by: its name, or where a rule is called so, dataset_<name>
for DATASET in dict.fromkeys(name for d in PLAN.datasets.values() for name in (d.entry, d.name)):
    TARGETS[DATASET] = DATASET
    while rules.has(TARGETS[DATASET]):
        TARGETS[DATASET] = f"dataset_{TARGETS[DATASET]}"

    rule:
        name:
            TARGETS[DATASET]
        input:
            lambda wc, name=DATASET: dataset_target(name),


# Snakemake itself would say that no rule produces a word, and not why. It hands the words on only after this file.
if workflow.is_main_process and workflow.modifier.is_main_snakefile() and "snakemake" in sys.argv[0]:
    for line in one_line(require_targets, TARGETS, get_argument_parser().parse_known_args()[0].targets, made):
        print(f"sslbench: {line}", file=sys.stderr)
