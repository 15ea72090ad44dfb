"""A small grid over two datasets, for counting what would re-run."""

import re
from collections import Counter
from pathlib import Path

import yaml

from tests.project import Project

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


class Finished(Project):
    """A finished grid, to be changed and dry-run."""

    def would_run(self, *arguments: str, path: Path | None = None) -> Counter:
        """Jobs per rule that a dry run announces."""
        done = self.snakemake("-n", *arguments, path=path)
        assert done.returncode == 0, done.stdout + done.stderr
        table = re.search(r"^job +count\n-+ +-+\n(.*?)^total", done.stdout + done.stderr, re.S | re.M)
        rows = re.findall(r"^(\S+) +(\d+)$", table.group(1), re.M) if table else []
        return Counter({rule: int(count) for rule, count in rows})

    def pretrained(self) -> int:
        return self.would_run()["pretrain"]

    def edit(self, path: str, old: str, new: str) -> None:
        file = self.folder / path
        text = file.read_text()
        assert old in text, f"{path} holds no {old!r}"
        file.write_text(text.replace(old, new, 1))

    def move(self, old: str, new: str) -> None:
        """Move a module of sslbench/ and rewrite its imports."""
        (self.folder / old).rename(self.folder / new)
        (package, was), (other, name) = (
            Path(path).with_suffix("").as_posix().replace("/", ".").rsplit(".", 1) for path in (old, new)
        )
        for file in [*self.folder.rglob("*.py"), *self.folder.rglob("*.smk")]:
            text = file.read_text()
            text = re.sub(rf"\bfrom {package} import {was}\b", f"from {other} import {name} as {was}", text)
            file.write_text(re.sub(rf"\b{package}\.{was}\b", f"{other}.{name}", text))

    def configure(self, **changes) -> None:
        """Change config.yaml, as a user would: ``a__b=1`` sets a.b. The overlay stays."""
        file = self.folder / "config.yaml"
        settings = yaml.safe_load(file.read_text())
        for dotted, value in changes.items():
            *parents, last = dotted.split("__")
            part = settings
            for parent in parents:
                part = part.setdefault(parent, {})
            part[last] = value
        file.write_text(yaml.safe_dump(settings))
