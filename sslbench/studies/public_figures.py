"""Public figures of others, each with its protocol, beside the cells that share it."""

DATASETS = ("imagenette", "imagewoof")  # of reports/published_public.csv's, those that a config can name
FILES = ("reports/published_public.csv",)
HOOKS = {
    "cells": ("sslbench.report.public:cells",),
    "accuracy": ("sslbench.report.public:blocks",),
    "cell_columns": ("sslbench.report.public:cell_columns",),
}
