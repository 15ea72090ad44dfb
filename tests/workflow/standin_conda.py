"""A conda of our own, for --use-conda without a download: it answers what Snakemake asks of conda, and nothing else.

An environment is a virtual environment whose packages are links into the one that the tests run in: those that the
file names and what they declare that they need, file by file where a folder is shared. So what nobody names is not
there. Versions are not compared: the tests also run where they are others than the files pin.
"""

import json
import os
import re
import subprocess
import sys
from collections import defaultdict
from importlib.metadata import PackageNotFoundError, distribution, distributions
from pathlib import Path, PurePosixPath

import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

CALLS = "calls.jsonl"
ACTIVATE = 'export CONDA_PREFIX="$1" PATH="$1/bin:$PATH"\n'
# In each environment. Snakemake gives a script its own packages behind the environment's. Where somebody watches, those
# that Snakemake itself does without are hidden, and each process says at its end which others it took.
WITNESS = """
import atexit, json, os, sys
from importlib.machinery import PathFinder

class Hiding(PathFinder):
    names = {hidden}

    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name in cls.names else super().find_spec(name, path, target)

def tell():
    files = {{name: getattr(module, "__file__", None) or "" for name, module in list(sys.modules.items())}}
    foreign = {{n.partition(".")[0] for n, file in files.items() if "site-packages" in file and not file.startswith(sys.prefix)}}
    with open(os.environ["STANDIN_WITNESS"], "a") as file:
        print(json.dumps({{"prefix": sys.prefix, "script": sys.argv[0], "foreign": sorted(foreign)}}), file=file)

if "STANDIN_WITNESS" in os.environ:
    sys.meta_path[:] = [Hiding if finder is PathFinder else finder for finder in sys.meta_path]
    atexit.register(tell)
"""


def install(folder: Path) -> Path:
    """Put an executable ``conda`` into ``folder``, to be set in front of PATH."""
    (folder / "base" / "bin").mkdir(parents=True)
    (folder / "base" / "bin" / "activate").write_text(ACTIVATE)
    program = folder / "conda"
    program.write_text(f"#!/bin/sh\nexec '{sys.executable}' '{__file__}' '{folder}' \"$@\"\n")
    program.chmod(0o755)
    return folder


def named(document: dict) -> list[str]:
    """Distributions that an environment file names, less python and pip; ValueError where an entry cannot be read."""
    found, conda = [], []
    for entry in document["dependencies"]:
        if isinstance(entry, dict):
            found += [Requirement(text).name for text in entry["pip"]]
        else:
            conda.append(entry)
    for entry in conda:
        match = re.fullmatch(r"([a-z0-9][\w.-]*)( ==?\d+(\.\d+)*)?", entry)
        if not match:
            raise ValueError(f"not a package of conda: {entry!r}")
        found.append(match[1])
    names = [str(canonicalize_name(name)) for name in found]
    if "python" not in names:
        raise ValueError("no python: Snakemake would use its own without a word")
    if ("pip" in names) != any(isinstance(entry, dict) for entry in document["dependencies"]):
        raise ValueError("pip is to be named where there is a pip: section, and only there")
    return [name for name in names if name not in ("python", "pip")]


def with_needs(names: list[str]) -> set[str]:
    """``names`` and what their distributions declare that they need, at any depth."""
    found, waiting = set(), [(Requirement(name), "the file") for name in names]
    while waiting:
        wanted, by = waiting.pop()
        name = canonicalize_name(wanted.name)
        if (name, *sorted(wanted.extras)) in found:
            continue
        found.add((name, *sorted(wanted.extras)))
        try:
            needs = distribution(name).requires or []
        except PackageNotFoundError:
            sys.exit(f"PackagesNotFoundError: {name} (wanted by {by})")
        for need in map(Requirement, needs):
            if need.marker is None or any(need.marker.evaluate({"extra": e}) for e in ("", *wanted.extras)):
                waiting.append((need, name))
    return {name for name, *_ in found}


def link(chosen: set[str], into: Path) -> None:
    """Link what belongs to the ``chosen`` distributions alone; a folder that others share is gone through."""
    brought = chosen | with_needs(["snakemake"])
    owners, inside, roots = defaultdict(set), defaultdict(set), {}
    for found in distributions():
        name = canonicalize_name(found.metadata["Name"] or "")  # none where one is being installed just now
        for line in (found.read_text("RECORD") or "").splitlines():
            path = PurePosixPath(line.split(",")[0].strip('"'))
            if path.is_absolute() or ".." in path.parts or "__pycache__" in path.parts or path.suffix == ".pth":
                continue
            for part in (path, *path.parents):
                owners[part].add(name)
                inside[part.parent].add(part)
            roots.setdefault(path.parts[0], Path(str(found.locate_file(""))))
    waiting = [path for path in inside[PurePosixPath(".")] if len(path.parts) == 1]
    while waiting:
        path = waiting.pop()
        origin = roots[path.parts[0]] / path
        if owners[path] <= chosen:
            (into / path).symlink_to(origin)
        elif owners[path] & chosen:
            (into / path).mkdir()
            waiting += inside[path]
    tops = {path for path in inside[PurePosixPath(".")] if path.suffix in ("", ".py") and not owners[path] & brought}
    (into / "sitecustomize.py").write_text(WITNESS.format(hidden={path.stem for path in tops}))


def create(file: Path, prefix: Path) -> None:
    document = yaml.safe_load(file.read_text())
    if not document.get("channels"):
        raise ValueError("no channels")
    chosen = with_needs(named(document))
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", prefix], check=True)
    (prefix / "conda-meta").mkdir()
    link(chosen, next(prefix.glob("lib/python*/site-packages")))


def answer(folder: Path, call: list[str]) -> str:
    match call:
        case ["info", "--json"]:
            return json.dumps({"conda_prefix": str(folder / "base"), "platform": "linux-64"})
        case ["--version"]:
            return "conda 25.9.0"
        case ["config", "--get", "channel_priority", "--json"]:
            return json.dumps({"get": {"channel_priority": "strict"}})
        case ["env", "create", "--quiet", "--no-default-packages", "--file", file, "--prefix", prefix]:
            create(Path(file), Path(prefix))
            return ""
        case ["clean", "-y", "--tarballs"]:
            return ""
    raise ValueError(f"Snakemake never asked this before: conda {' '.join(call)}")


if __name__ == "__main__":
    home, *arguments = sys.argv[1:]
    with (Path(home) / CALLS).open("a") as calls:
        print(json.dumps(arguments), file=calls)
    sys.path.remove(os.path.dirname(os.path.abspath(__file__)))  # noqa: PTH100, PTH120
    print(answer(Path(home), arguments))
