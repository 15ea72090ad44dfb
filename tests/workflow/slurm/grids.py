"""A project whose grid runs on a test cluster, and what of it must equal a local run's."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.project import Project
from tests.workflow.slurm.cluster import Cluster

# Snakemake, but that it looks at the queue every two seconds. The executor waits longer each time, up to three minutes,
# which a shared cluster needs and a test does not.
SNAKEMAKE = """
from snakemake.cli import main
from snakemake_executor_plugin_slurm import Executor

Executor.next_seconds_between_status_checks = property(lambda self: 2, lambda self, seconds: None)
main()
"""
# No accounting database to ask. The network's device is the CPU: the GPUs are only counted.
SETTINGS = [
    *("--slurm-status-command", "squeue", "--slurm-init-seconds-before-status-checks", "2"),
    *("--latency-wait", "5", "--config", "compute={device: cpu}"),
]
MEASURED_TIMES = {"ledger.json"}  # what differs between identical runs


class OnSlurm(Project):
    def __init__(self, folder: Path, overlay: dict, cluster: Cluster) -> None:
        super().__init__(folder, overlay)
        self.cluster = cluster
        self.earlier = {job["id"] for job in cluster.history()}

    def history(self) -> list[dict[str, str]]:
        """The cluster's jobs since this project was made: others ran on it before."""
        return [job for job in self.cluster.history() if job["id"] not in self.earlier]

    def slurm(self, *arguments: str) -> subprocess.CompletedProcess:
        """Run with profiles/slurm, as docs/clusters.md says."""
        profile = ["--workflow-profile", "profiles/slurm", *SETTINGS]
        return subprocess.run(
            [sys.executable, "-c", SNAKEMAKE, *profile, *arguments, "--configfile", "overlay.yaml"],
            cwd=self.folder,
            env=os.environ | self.cluster.environment | {"OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            check=False,
        )


def results(project: Project) -> dict[str, bytes]:
    """Every file of every cell that must not depend on where it was made."""
    root = project.folder / "results"
    files = [path for path in root.glob("*/*/*/seed*/*") if path.name not in MEASURED_TIMES]
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(files)}


def same_report(here: Project, there: Project, name: str) -> tuple[str, str]:
    """Both reports in Markdown, ``there`` rendered anew with the ledgers of ``here``: times, hosts and memory
    differ.
    """
    for entry in (there.folder / "results/.store").glob("*/done"):  # which holds the ledgers' hashes
        shutil.rmtree(entry)
        shutil.copytree(here.folder / entry.relative_to(there.folder), entry)
    for ledger in (here.folder / "results").glob("*/*/*/seed*/ledger.json"):
        path = there.folder / ledger.relative_to(here.folder)
        path.unlink(missing_ok=True)  # a link into the store
        path.write_bytes(ledger.read_bytes())
    texts = []
    for project in (here, there):
        rendered = project.snakemake("--forcerun", "collect")
        assert rendered.returncode == 0, rendered.stdout + rendered.stderr
        texts.append((project.folder / "reports" / name / "report.md").read_text())
    return texts[0], texts[1]
