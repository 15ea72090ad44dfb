"""The first article, "SSL benchmark article, part 1": its tables beside ours, its claims tested, its families.

Only names here: what a run needs of a study that it does not have is no more than DATASETS.
"""

DATASETS = ("imagenette", "imagewoof", "nabirds")  # those of its tables, sslbench/studies/data/published_results.csv
FILES = ("sslbench/studies/data/published_results.csv",)
HOOKS = {
    "cells": ("sslbench.studies.published_columns:cells",),
    "tested": ("sslbench.studies.claims.comparable_entries:may_test",),
    "entries": ("sslbench.studies.published_columns:entries",),
    "fields": ("sslbench.studies.published_columns:fields", "sslbench.studies.claims.claims:fields"),
    "family": ("sslbench.studies.article_families:cell",),
    "leaderboard": ("sslbench.studies.published_tables:leaderboard",),
    "remarks": ("sslbench.studies.published_tables:remarks",),
    "metrics": ("sslbench.studies.published_tables:metrics",),
    "rows": ("sslbench.studies.published_tables:rows",),
    "accuracy": ("sslbench.studies.article_families:without_row", "sslbench.studies.published_tables:blocks"),
    "sections": ("sslbench.studies.tables_side_by_side:section", "sslbench.studies.claims.section:section"),
    "cell_names": ("sslbench.studies.article_families:column",),
    "cell_columns": ("sslbench.studies.published_columns:cell_columns",),
    "entry_columns": ("sslbench.studies.published_columns:entry_columns",),
    "tables": ("sslbench.studies.claims.claims:tables",),
}
