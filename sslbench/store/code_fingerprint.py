"""A digest of code by meaning: what a result depends on, not how it is written, which file holds it, or when.

It covers the given modules and every module of ours that they import, as normalized_ast.py reads them, C sources beside
such a module, and the versions of the libraries that hold losses and backbones. It contains no module names: an import
counts by the content of what it names, so moving or renaming modules makes nothing stale.

Rooms that change no bit of a result are left out (WATCHING). Of modules that only declare (DECLARING), whose values are
in a cell's settings, only the functions and classes that the others call count: adding a method or an operation makes
nothing stale.
"""

import ast
import contextlib
import hashlib
import itertools
import json
import os
import re
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

from sslbench.store import normalized_ast

ROOT = Path(__file__).resolve().parents[2]
LIBRARIES = ("lightly", "timm")
COMPILED = (".c", ".h", ".cpp", ".cu")
# Below sslbench/: a module, or a room and everything in it.
WATCHING = {
    "config",
    "errors",
    "grid",
    "jobs",
    "registry",
    "runtime",
    "store",
    "training.monitor",
    "transforms.cpu.selftest",
}
DECLARING = (".settings", ".spec", ".config.evaluation")  # ends of modules' names
DEPTH = 4  # levels of imports by which two modules of equal text are distinguished


def code_digest(*roots: str) -> str:
    """SHA-256 over ``roots`` and their imports.

    A root is a module's name, or a path below the repository. ``name=module:attribute`` is a choice out of several, as
    a registry makes it: it counts which name stands for which attribute.
    """
    return _digest(tuple(sorted(set(roots))))


def possible_digests(*roots: str) -> set[str]:
    """What code_digest may have said of ``roots`` in an environment that can only look the libraries' versions up."""
    texts = [[f"{library} {found}\n" for found in _versions(library)] for library in LIBRARIES]
    total = _of_sources(roots)
    return {_ended(total, versions) for versions in itertools.product(*texts)}


def module_of(root: str) -> str:
    """A root's module or path."""
    return root.rpartition("=")[2].partition(":")[0]


def closure(*roots: str) -> set[str]:
    """The modules of ``roots`` and every module of ours that they import, at any depth, of which all counts."""
    return _reached(roots)[0]


def _reached(roots: tuple[str, ...]) -> tuple[set[str], set[str]]:
    """The closure, and the modules beside it that only declare."""
    whole: set[str] = set()
    declaring: set[str] = set()
    first = waiting = [module_of(root) for root in roots]
    while waiting:
        name, waiting = waiting[-1], waiting[:-1]
        if name in whole or name in declaring or (name not in first and watches(name)):
            continue
        (declaring if name not in first and declares(name) else whole).add(name)
        waiting = [*waiting, *_module(name).imports]
    return whole, declaring


@cache
def watches(name: str) -> bool:
    """Whether a module changes no bit of a result. What the registry chooses counts as roots."""
    package, *parts = name.split(".")
    heads = {".".join(parts[:stop]) for stop in range(1, len(parts) + 1)}
    return package == "sslbench" and not declares(name) and not heads.isdisjoint(WATCHING)


def declares(name: str) -> bool:
    """Whether all values of a module stand in a cell's settings."""
    return name.startswith("sslbench.") and name.endswith(DECLARING)


@cache
def _digest(roots: tuple[str, ...]) -> str:
    return _ended(_of_sources(roots), [f"{library} {library_version(library)}\n" for library in LIBRARIES])


def _of_sources(roots: tuple[str, ...]) -> "hashlib._Hash":
    whole, declaring = _reached(roots)
    said = [_said(name, DEPTH) for name in whole if not _module(name).empty]
    for root in roots:
        choice, attribute = root.rpartition("=")[0], root.rpartition("=")[2].partition(":")[2]
        said.append(f"{choice}={_said(module_of(root), DEPTH)}:{attribute}")
    said += _declared(whole, declaring)
    return hashlib.sha256("\n".join(sorted(said)).encode() + b"\n")


@cache
def _said(name: str, depth: int) -> str:
    """What a module says with its imports' content, theirs with that of their own, and so on."""
    module = _module(name)
    if not depth:
        return module.digest
    uses = [_content(dotted, name, depth - 1) for dotted in module.uses]
    return _sha256("\n".join([module.digest, *uses, *sorted(_content(d, name, depth - 1) for d in module.loose)]))


def _content(dotted: str, importer: str, depth: int) -> str:
    name, rest = _resolved(dotted, importer)
    return rest if name is None else f"{'' if watches(name) or declares(name) else _said(name, depth)}.{rest}"


def _declared(whole: set[str], declaring: set[str]) -> list[str]:
    """What counts of modules that only declare: functions that ``whole`` calls by name, classes that it instantiates,
    and whatever these need."""
    asked = {name for module in whole for name in _module(module).asks}  # of objects: methods
    made = {_part(dotted, module) for module in whole for dotted in _module(module).calls}
    named = {_part(dotted, module) for module in whole for dotted in _module(module).uses}
    needed: set[tuple[str | None, str]] = set()  # by what is taken
    rest = {(name, i): piece for name in sorted(declaring) for i, piece in enumerate(_pieces(name))}
    said = []

    def counts(module: str, piece: normalized_ast.Piece) -> bool:
        part = module, piece.name
        match piece.kind:
            case "method":
                return piece.name in asked
            case "class":
                return part in made
            case "instance":  # of the settings of something
                return part in needed
        return part in needed or part in named

    while taken := [key for key, piece in rest.items() if counts(key[0], piece)]:
        for key in taken:
            name, piece = key[0], rest.pop(key)
            uses = piece.said.uses
            said.append(_sha256("\n".join([piece.kind, piece.said.digest, *(_content(d, name, DEPTH) for d in uses)])))
            asked.update(piece.said.asks)
            made.update(_part(dotted, name) for dotted in piece.said.calls)
            needed.update(_part(dotted, name) for dotted in uses)
            needed.update((name, other) for other in piece.names)
    return said


def _part(dotted: str, importer: str) -> tuple[str | None, str]:
    name, rest = _resolved(dotted, importer)
    return name, rest.partition(".")[0]


@cache
def _resolved(dotted: str, importer: str) -> tuple[str | None, str]:
    """The module of ours that ``dotted``, as written in ``importer``, names, and the rest of the name; None and the
    whole name for others' modules."""
    bare = dotted.lstrip(".")
    if level := len(dotted) - len(bare):
        package = importer.split(".")
        up = level - (source_file(importer).name == "__init__.py")
        bare = ".".join([*package[: len(package) - up], *filter(None, [bare])])
    parts = bare.split(".")
    if "/" in importer and (beside := str(Path(importer).with_name(f"{parts[0]}.py"))) and source_file(beside):
        return beside, ".".join(parts[1:])
    for stop in range(len(parts), 0, -1) if _is_ours(parts[0]) else ():
        if source_file(name := ".".join(parts[:stop])):
            return name, ".".join(parts[stop:])
    return None, bare


@cache
def _is_ours(package: str) -> bool:
    return (ROOT / package).is_dir() or (ROOT / f"{package}.py").is_file()


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
    """The file of a module, of a package, or of a path below the repository; None where there is none."""
    if "/" in name:
        found = [ROOT / name]
    else:
        path = ROOT.joinpath(*name.split("."))
        found = [path.with_suffix(".py"), path / "__init__.py"]
    return next((path for path in found if path.is_file()), None)


class _Module(NamedTuple):
    digest: str  # of what it says, with C sources beside it
    uses: list[str]
    loose: list[str]
    asks: list[str]
    calls: list[str]
    imports: list[str]  # modules of ours, and their packages
    empty: bool
    sources: str  # SHA-256 of its files as they are


EMPTY = normalized_ast.module(ast.parse("")).said.digest


@cache
def _module(name: str) -> _Module:
    """From one reading: parsing is most of what start-up costs."""
    path = source_file(name)
    if path is None:
        raise FileNotFoundError(f"there is no module {name}")
    content = path.read_bytes()
    key = hashlib.sha256(content).hexdigest()
    if path.suffix != ".py":  # templates count as they are
        return _Module(key, [], [], [], [], [], False, key)
    said, loose, imports, _ = _parsed_once(name, content)
    digest, uses, asks, calls = said
    compiled = [source.read_bytes() for source in compiled_sources(path)]
    empty = digest == EMPTY and not loose and not compiled
    if compiled:
        digest = _sha256(
            "\n".join([digest, *sorted(_sha256(normalized_ast.c(c.decode(errors="replace"))) for c in compiled)])
        )
        key = hashlib.sha256(key.encode() + b"".join(compiled)).hexdigest()
    found = {_resolved(dotted, name)[0] for dotted in imports} - {None, name}
    dotted = [one.split(".") for one in (*found, name) if "/" not in one]
    found |= {".".join(parts[:stop]) for parts in dotted for stop in range(1, len(parts))}
    return _Module(digest, uses, loose, asks, calls, sorted(n for n in found if source_file(n)), empty, key)


def _pieces(name: str) -> list[normalized_ast.Piece]:
    pieces = _parsed_once(name, source_file(name).read_bytes())[-1]
    return [normalized_ast.Piece(*rest, normalized_ast.Said(*said)) for *rest, said in pieces]


def _parsed_once(name: str, content: bytes) -> list:
    """What a module says, and its pieces where it only declares."""
    in_pieces = declares(name)
    key = hashlib.sha256(content).hexdigest() + " in pieces" * in_pieces
    if key not in _parsed:
        tree = ast.parse(content)
        _parsed[key] = [
            *normalized_ast.module(tree),
            [list(piece) for piece in normalized_ast.pieces(tree)] if in_pieces else [],
        ]
        _news.append(key)
    return _parsed[key]


def files_sha256(name: str) -> str:
    """Of a module's files, letter by letter, as they were when last read."""
    return _module(name).sources


def forget() -> None:
    """Read every file anew from here on."""
    for cached in (_digest, _said, _resolved, _is_ours, _module, watches, source_file):
        cached.cache_clear()


# SHA-256 of a source -> what was found in it. Parsing 40 modules takes longer than many a job may, so Snakemake's
# process leaves what it found to its jobs and to the next run.
_parsed: dict[str, list] = {}
_news: list[str] = []
KEPT = "sslbench.parsed.json"


def _edition(parsed: dict[str, list]) -> str:
    """Of the readers and of what is kept: another reader's findings, and damaged ones, are not believed."""
    readers = b"".join(Path(module).read_bytes() for module in (__file__, normalized_ast.__file__))
    return hashlib.sha256(readers + json.dumps(parsed, sort_keys=True).encode()).hexdigest()


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


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
