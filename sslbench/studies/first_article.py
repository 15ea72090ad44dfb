"""The first article, "SSL benchmark article, part 1": its tables beside ours, its claims tested, its families.

Only names here: what a run needs of a study that it does not have is no more than DATASETS.
"""

DATASETS = ("imagenette", "imagewoof", "nabirds")  # those of its tables, reports/published_results.csv
FILES = ("reports/published_results.csv",)
HOOKS = {
    "cells": ("sslbench.studies.figures:cells",),
    "tested": ("sslbench.report.evidence:may_test",),
    "entries": ("sslbench.studies.figures:entries",),
    "fields": ("sslbench.studies.figures:fields", "sslbench.report.claims:fields"),
    "family": ("sslbench.studies.families:cell",),
    "leaderboard": ("sslbench.studies.beside:leaderboard",),
    "remarks": ("sslbench.studies.beside:remarks",),
    "metrics": ("sslbench.studies.beside:metrics",),
    "rows": ("sslbench.studies.beside:rows",),
    "accuracy": ("sslbench.studies.families:without_row", "sslbench.studies.beside:blocks"),
    "sections": ("sslbench.report.articles:section", "sslbench.report.verdicts:section"),
    "cell_names": ("sslbench.studies.families:column",),
    "cell_columns": ("sslbench.studies.figures:cell_columns",),
    "entry_columns": ("sslbench.studies.figures:entry_columns",),
    "tables": ("sslbench.report.claims:tables",),
}
