"""A digest of code by meaning: which statements a result depends on, not how they are written or when.

The digest covers the given modules and every sslbench module they import, without docstrings, comments and layout,
C sources that lie beside such a module (as they are), and the versions of the libraries that hold losses and backbones.
It leaves out what only declares, since those modules' whole effect stands in a cell's settings (cells.py): adding a
method or an operation makes nothing stale. And it leaves out what only watches and keeps (progress, ledger, store),
which changes no bit of a result.
"""

import ast
import contextlib
import hashlib
import itertools
import json
import os
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
    r"sslbench\.(canonical|registry|config|cells|plan|strict|errors|warm|sources|fingerprint|\w+\.spec|(methods|pretext)\.\w+\.settings"
    r"|engine\.(progress|ledger|slots|store|tensorboard)|transforms\.native\.check)"
)
# Fields of the syntax tree that carry no meaning or exist in some Python versions only.
SKIPPED_FIELDS = {"ctx", "kind", "type_comment", "type_ignores", "type_params", "lineno", "col_offset"}


def code_digest(*roots: str) -> str:
    """SHA-256 over the syntax of ``roots`` (module names, or paths below the repository) and their imports."""
    return _digest(tuple(sorted(set(roots))))


def possible_digests(*roots: str) -> set[str]:
    """What code_digest may have said of ``roots`` in an environment that can only look the libraries' versions up."""
    texts = [[f"{library} {found}\n" for found in _versions(library)] for library in LIBRARIES]
    total = _of_sources(roots)
    return {_ended(total, versions) for versions in itertools.product(*texts)}


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
    return _ended(_of_sources(roots), [f"{library} {library_version(library)}\n" for library in LIBRARIES])


def _of_sources(roots: tuple[str, ...]) -> "hashlib._Hash":
    total = hashlib.sha256()
    for name in sorted(closure(*roots)):
        total.update(f"{name}\n{_module(name).digest}\n".encode())
    return total


def _ended(total: "hashlib._Hash", versions: tuple[str, ...] | list[str]) -> str:
    total = total.copy()
    total.update("".join(versions).encode())
    return total.hexdigest()


@cache
def library_version(name: str) -> str:
    """The installed version, or the one that envs/train.yaml pins where Snakemake runs in a leaner environment."""
    return _versions(name)[0]


def _versions(name: str) -> list[str]:
    pinned = re.search(rf"\b{name}\s*=+\s*([\d.]+)", (ROOT / "envs" / "train.yaml").read_text())
    found = [pinned.group(1) if pinned else "unknown"]
    with contextlib.suppress(PackageNotFoundError):
        found.insert(0, version(name))
    return found


@cache
def source_file(name: str) -> Path | None:
    """The file of a module name or of a path below the repository; None for packages and foreign modules."""
    path = ROOT / name if "/" in name else ROOT.joinpath(*name.split(".")).with_suffix(".py")
    return path if path.is_file() else None


class _Module(NamedTuple):
    imports: tuple[str, ...]  # sslbench's own modules
    digest: str
    sources: str  # SHA-256 of its files as they are


@cache
def _module(name: str) -> _Module:
    """A module's imports and digest, from one reading: parsing is most of what start-up costs."""
    path = source_file(name)
    if path is None:
        raise FileNotFoundError(f"there is no module {name}")
    content = path.read_bytes()
    key = hashlib.sha256(content).hexdigest()
    if path.suffix != ".py":  # templates count as they are
        return _Module((), key, key)
    if key not in _parsed:
        tree = ast.parse(content)
        named = [n for n in _imported(tree) if n.startswith("sslbench.")]
        _parsed[key] = [hashlib.sha256(_meaning(tree).encode()).hexdigest(), *named]
        _news.append(key)
    meant, *named = _parsed[key]
    compiled = b"".join(source.read_bytes() for source in compiled_sources(path))
    both = (hashlib.sha256(one.encode() + compiled).hexdigest() if compiled else one for one in (meant, key))
    return _Module(tuple(n for n in named if source_file(n) is not None), *both)


def files_sha256(name: str) -> str:
    """Of a module's files, letter by letter, as they were when last read."""
    return _module(name).sources


def forget() -> None:
    """Read every file anew from here on."""
    for cached in (_digest, _module, source_file):
        cached.cache_clear()


# SHA-256 of a source -> digest of its meaning, and what it may import. Parsing 40 modules takes longer than many a job
# may, so Snakemake's process leaves what it found to its jobs and to the next run.
_parsed: dict[str, list[str]] = {}
_news: list[str] = []
KEPT = "sslbench.parsed.json"


def _edition(parsed: dict[str, list[str]]) -> str:
    """Of this module and of what is kept: another reader's findings, and damaged ones, are not believed."""
    return hashlib.sha256(Path(__file__).read_bytes() + json.dumps(parsed, sort_keys=True).encode()).hexdigest()


def keep_parsed(folder: Path = Path(".snakemake")) -> None:
    """Leave what was parsed in this process in ``folder``, if that is there and can be written to."""
    if _news and folder.is_dir():
        with contextlib.suppress(OSError):
            beside = folder / f".{KEPT}.{os.getpid()}"
            beside.write_text(json.dumps({"edition": _edition(_parsed), "parsed": _parsed}), encoding="ascii")
            beside.replace(folder / KEPT)
        _news.clear()


def recall_parsed(folder: Path = Path(".snakemake")) -> None:
    """Take up what another process has left there."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        found = json.loads((folder / KEPT).read_text(encoding="ascii"))
        if found["edition"] == _edition(found["parsed"]):
            _parsed.update(found["parsed"])


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
