"""A cluster for the tests, where they are asked for: `make test-slurm`."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest

from tests.workflow.slurm.cluster import Cluster, lacking


@pytest.fixture(scope="session")
def cluster():
    if os.environ.get("SSLBENCH_SLURM") != "1":
        pytest.skip("starts a Slurm of its own, as root: make test-slurm")
    if why := lacking():
        pytest.skip(why)
    pytest.importorskip("snakemake_executor_plugin_slurm", reason="pip install snakemake-executor-plugin-slurm")
    folder = Path(tempfile.mkdtemp(prefix="sslbench-slurm-"))  # a short path: it holds sockets
    with Cluster(folder) as running:
        yield running
    shutil.rmtree(folder)
