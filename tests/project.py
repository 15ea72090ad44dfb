"""A copy of the project in a folder of its own, and Snakemake run in it as a user would."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
PARTS = [
    "Snakefile",
    "config.yaml",
    "workflow",
    "sslbench",
    "envs",
    "profiles",
    "configs",
]


class Project:
    def __init__(self, folder: Path, overlay: dict | None = None) -> None:
        self.folder = folder
        if overlay is not None:
            self.copy()
            self.overlay(overlay)

    def copy(self) -> None:
        for part in PARTS:
            target = self.folder / part
            target.parent.mkdir(parents=True, exist_ok=True)
            if (ROOT / part).is_dir():
                shutil.copytree(ROOT / part, target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(ROOT / part, target)

    def overlay(self, settings: dict) -> None:
        (self.folder / "overlay.yaml").write_text(yaml.safe_dump(settings))

    def snakemake(self, *arguments: str, path: Path | None = None) -> subprocess.CompletedProcess:
        """Run with the overlay; ``path`` is put in front of PATH."""
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        if path:
            environment["PATH"] = f"{path}:{environment['PATH']}"
        return subprocess.run(
            # The overlay comes last: --configfile takes every word that follows.
            [sys.executable, "-m", "snakemake", "--cores", "2", *arguments, "--configfile", "overlay.yaml"],
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
            env=environment,
        )
