"""Start-up: ``snakemake -n`` on the article's grid, and what a cell imports before it can begin.

    python -m benchmarks.startup

Every call is a process of its own, in a fresh copy of the project, files warm in the system's cache. "The limit" is
the figure that start-up is held to; imports are set against what lightly's way imports to train one model.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks import bench

ROOT = Path(__file__).resolve().parent.parent
PARTS = [
    "Snakefile",
    "config.yaml",
    "workflow",
    "sslbench",
    "envs",
    "profiles",
    "configs",
]
LIMIT = 5.0  # s of `snakemake -n` on the whole grid
OURS = "snakemake -n, the article's grid"
IMPORTS = {
    "a cell's pretraining": "import sslbench.training.run, sslbench.nn.backbone, sslbench.methods.simclr.model, timm",
    "a cell's embedding": "import sslbench.evaluation.embed, sslbench.nn.backbone, timm",
    "a cell's evaluation": "import sslbench.evaluation.evaluate",
    "torch alone": "import torch",
    "lightly's way": "import torch, timm, torchvision.datasets, lightly.loss, lightly.transforms, lightly.models",
}


def copied(folder: Path) -> Path:
    for part in PARTS:
        target = folder / part
        target.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / part).is_dir():
            shutil.copytree(ROOT / part, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / part, target)
    return folder


def called(folder: Path, *arguments: str) -> int:
    """Run python with ``arguments`` in ``folder``; 1, or RuntimeError with the end of what it said."""
    done = subprocess.run([sys.executable, *arguments], cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"python {' '.join(arguments)}: {(done.stdout + done.stderr)[-600:]}")
    return 1


def main(arguments: list[str] | None = None) -> None:
    options = bench.parser(__doc__).parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="sslbench-") as scratch:
        project = copied(Path(scratch))
        grid = bench.interleaved(
            "start-up of the workflow",
            "call",
            {
                OURS: lambda: called(project, "-m", "snakemake", "-n", "--cores", "2"),
                "snakemake --version": lambda: called(project, "-m", "snakemake", "--version"),
            },
            options.repeats,
        )
        grid.add("the limit", {"wall": [LIMIT]})
        grid.compare(OURS, "the limit", 1.0)
        imports = bench.interleaved(
            "imports of a cell's jobs",
            "call",
            {name: lambda code=code: called(project, "-c", code) for name, code in IMPORTS.items()},
            options.repeats,
            may_fail={"lightly's way"},
        )
        for name in IMPORTS:
            if name.startswith("a cell's"):
                imports.compare(name, "lightly's way")
    bench.finish(options, [grid, imports], ["snakemake", "torch", "timm", "lightly"])


if __name__ == "__main__":
    main()
