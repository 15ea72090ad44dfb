"""A digest of code by meaning: which statements a result depends on, not how they are written or when.

The digest covers the given modules and every sslbench module they import, without docstrings, comments and layout,
C sources that lie beside such a module (as they are), and the versions of the libraries that hold losses and backbones.
It leaves out what only declares, since those modules' whole effect stands in a cell's settings (cells.py): adding a
method or an operation makes nothing stale. And it leaves out what only watches and keeps (progress, ledger, store),
which changes no bit of a result.
"""

import ast
import hashlib
import re
from collections.abc import Iterator
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
LIBRARIES = ("lightly", "timm")
COMPILED = (".c", ".h", ".cpp", ".cu")
LEFT_OUT = re.compile(
    r"sslbench\.(canonical|registry|config|cells|plan|strict|errors|warm|\w+\.spec|(methods|pretext)\.\w+\.settings"
    r"|engine\.(progress|ledger|slots|store|tensorboard)|transforms\.native\.check)"
)
# Fields of the syntax tree that carry no meaning or exist in some Python versions only.
SKIPPED_FIELDS = {"ctx", "kind", "type_comment", "type_ignores", "type_params", "lineno", "col_offset"}


def code_digest(*roots: str) -> str:
    """SHA-256 over the syntax of ``roots`` (module names, or paths below the repository) and their imports."""
    return _digest(tuple(sorted(set(roots))))


def closure(*roots: str) -> set[str]:
    """``roots`` and every sslbench module that they import, at any depth, less those left out."""
    found: set[str] = set()
    waiting = list(roots)
    while waiting:
        name = waiting.pop()
        if name in found or (name not in roots and LEFT_OUT.fullmatch(name)):
            continue
        found.add(name)
        waiting += _module(name).imports
    return found


@cache
def _digest(roots: tuple[str, ...]) -> str:
    total = hashlib.sha256()
    for name in sorted(closure(*roots)):
        total.update(f"{name}\n{_module(name).digest}\n".encode())
    for library in LIBRARIES:
        total.update(f"{library} {library_version(library)}\n".encode())
    return total.hexdigest()


@cache
def library_version(name: str) -> str:
    """The installed version, or the one that envs/train.yaml pins where Snakemake runs in a leaner environment."""
    try:
        return version(name)
    except PackageNotFoundError:
        pinned = re.search(rf"\b{name}\s*=+\s*([\d.]+)", (ROOT / "envs" / "train.yaml").read_text())
        return pinned.group(1) if pinned else "unknown"


@cache
def source_file(name: str) -> Path | None:
    """The file of a module name or of a path below the repository; None for packages and foreign modules."""
    path = ROOT / name if "/" in name else ROOT.joinpath(*name.split(".")).with_suffix(".py")
    return path if path.is_file() else None


class _Module(NamedTuple):
    imports: tuple[str, ...]  # sslbench's own modules
    digest: str


@cache
def _module(name: str) -> _Module:
    """A module's imports and digest, from one reading: parsing is most of what start-up costs."""
    path = source_file(name)
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".py":  # templates count as they are
        return _Module((), hashlib.sha256(text.encode()).hexdigest())
    tree = ast.parse(text)
    imports = tuple(n for n in _imported(tree) if n.startswith("sslbench.") and source_file(n) is not None)
    total = hashlib.sha256(_meaning(tree).encode())
    for source in compiled_sources(path):
        total.update(source.read_bytes())
    return _Module(imports, total.hexdigest())


def compiled_sources(module: Path) -> list[Path]:
    """What a module may compile and load: the sources in other languages that lie in its folder."""
    return sorted(path for path in module.parent.iterdir() if path.suffix in COMPILED)


def _imported(tree: ast.AST) -> Iterator[str]:
    """Every dotted name that may be a module, in the order of the walk."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def meaning(text: str) -> str:
    """The syntax tree of Python source as text that is the same for every supported Python version."""
    return _meaning(ast.parse(text))


def _meaning(tree: ast.Module) -> str:
    """Takes the docstrings out of ``tree``."""
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and body:
            first = body[0]
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                del body[0]
    return _canonical(tree)


def _canonical(node: object) -> str:
    if isinstance(node, list):
        return "[" + ",".join(map(_canonical, node)) + "]"
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = [
        f"{name}={_canonical(value)}"
        for name, value in ast.iter_fields(node)
        if name not in SKIPPED_FIELDS and value is not None and value != []
    ]
    return f"{type(node).__name__}({','.join(fields)})"
