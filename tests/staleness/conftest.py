"""A copy of the project with a small grid that Snakemake believes to be finished, and a count of what would re-run."""

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PARTS = [
    "Snakefile",
    "config.yaml",
    "workflow",
    "sslbench",
    "envs",
    "profiles",
    "configs",
    "reports/published_results.csv",
]
GRID = {
    "name": "small",
    "grid": [
        {
            "datasets": ["drawn", "other"],
            "models": ["barlowtwins", "byol", "simclr", "swav"],
            "transforms": ["baseline", "simclr", "lorot"],
        }
    ],
    "datasets": {"drawn": {"kind": "shapes", "pack_size": 32}, "other": {"kind": "shapes", "pack_size": 24}},
    "references": {"random": True, "supervised": ["baseline"]},
    "compute": {"allow_cpu": True, "device": "cpu"},
}
CELLS, REFERENCES = 2 * 4 * 3, 2 * 2


def snakemake(folder: Path, *arguments: str, env_path: Path | None = None) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "snakemake", "--cores", "2", *arguments, "--configfile", "small.yaml"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PATH": f"{env_path}:{os.environ['PATH']}"} if env_path else None,
    )


class Project:
    """A finished grid in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def would_run(self, *arguments: str, env_path: Path | None = None) -> Counter:
        """Jobs per rule that a dry run announces."""
        done = snakemake(self.folder, "-n", *arguments, env_path=env_path)
        assert done.returncode == 0, done.stdout + done.stderr
        table = re.search(r"^job +count\n-+ +-+\n(.*?)^total", done.stdout + done.stderr, re.S | re.M)
        rows = re.findall(r"^(\S+) +(\d+)$", table.group(1), re.M) if table else []
        return Counter({rule: int(count) for rule, count in rows})

    def pretrained(self, *arguments: str) -> int:
        return self.would_run(*arguments)["pretrain"]

    def edit(self, path: str, old: str, new: str) -> None:
        file = self.folder / path
        text = file.read_text()
        assert old in text, f"{path} holds no {old!r}"
        file.write_text(text.replace(old, new, 1))

    def configure(self, **changes) -> None:
        """Change config.yaml, as a user would: the overlay stays."""
        file = self.folder / "config.yaml"
        settings = yaml.safe_load(file.read_text())
        for dotted, value in changes.items():
            *parents, last = dotted.split("__")
            part = settings
            for parent in parents:
                part = part.setdefault(parent, {})
            part[last] = value
        file.write_text(yaml.safe_dump(settings))


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> Path:
    """Every output of the grid as an empty file, recorded by Snakemake itself (--touch) as made by today's rules."""
    folder = tmp_path_factory.mktemp("finished") / "project"
    for part in PARTS:
        source, target = ROOT / part, folder / part
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
    (folder / "small.yaml").write_text(yaml.safe_dump(GRID))
    listed = snakemake(folder, "-n", "--quiet", "progress", "--summary")
    outputs = [line.split("\t")[0] for line in listed.stdout.splitlines()[1:] if "\t" in line]
    assert len(outputs) > 10 * CELLS, listed.stdout + listed.stderr
    for output in outputs:
        path = folder / output
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    touched = snakemake(folder, "--touch", "--forceall")
    assert touched.returncode == 0, touched.stdout + touched.stderr
    return folder


@pytest.fixture
def project(finished, tmp_path) -> Project:
    # cp -a keeps the times, as moving the folder would.
    subprocess.run(["cp", "-a", finished, tmp_path / "moved"], check=True)
    return Project(tmp_path / "moved")
