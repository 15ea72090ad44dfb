"""The rooms of sslbench/ from the ground up, and who imports whom.

``python -m tests.architecture`` redraws the picture in docs/architecture.md and prints what each room holds.
"""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "architecture.md"
PICTURE = re.compile(r"(?<=```mermaid\n).*?(?=```)", re.DOTALL)
ROOMS = (
    *("errors", "registry", "settings", "runtime", "stats", "nn", "store", "data", "transforms", "methods"),
    *("config", "training", "grid", "jobs", "evaluation", "report", "studies", "export"),
)


def modules() -> dict[str, Path]:
    """Every module of the package by its dotted name."""
    files = sorted((ROOT / "sslbench").rglob("*.py"))
    return {".".join(f.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): f for f in files}


def imports() -> dict[str, set[str]]:
    """Module -> those of ours that it imports, at its top or within a function."""
    known = modules()
    return {name: {found for found in _named(file) if found in known} for name, file in known.items()}


def _named(file: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def room(module: str) -> str:
    """``training`` of ``sslbench.training.run``."""
    return module.split(".")[1]


def arrows() -> set[tuple[str, str]]:
    """(room, a room that it imports)."""
    pairs = {(room(a), room(b)) for a, found in imports().items() for b in found if "." in a and "." in b}
    return {(above, below) for above, below in pairs if above != below}


def picture() -> str:
    """Rooms as a Mermaid chart, without the arrows that a longer way implies."""
    every = arrows()
    below = {name: {b for a, b in every if a == name} for name in ROOMS}
    reach: dict[str, set[str]] = {}
    for name in ROOMS:  # from the ground: what is below is done
        reach[name] = below[name].union(*(reach.get(b, set()) for b in below[name]))
    drawn = [
        (a, b) for a in reversed(ROOMS) for b in ROOMS if b in below[a] - set().union(*(reach[c] for c in below[a]))
    ]
    return "flowchart TD\n" + "".join(f"    {a} --> {b}\n" for a, b in drawn)


def main() -> None:
    PAGE.write_text(PICTURE.sub(lambda _: picture(), PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    for name in ROOMS:
        files = [file for module, file in modules().items() if "." in module and room(module) == name]
        lines = sum(len(file.read_text(encoding="utf-8").splitlines()) for file in files)
        print(f"{name:12} {len(files):3} modules {lines:6} lines")


if __name__ == "__main__":
    main()
