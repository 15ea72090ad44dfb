"""Public figures of others, each with its protocol, beside the cells that share it."""

DATASETS = ("imagenette", "imagewoof")  # of sslbench/studies/data/published_public.csv's, those that a config can name
FILES = ("sslbench/studies/data/published_public.csv",)
HOOKS = {
    "cells": ("sslbench.studies.public_table:cells",),
    "accuracy": ("sslbench.studies.public_table:blocks",),
    "cell_columns": ("sslbench.studies.public_table:cell_columns",),
}
