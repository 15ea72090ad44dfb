"""Rows of pretrained backbones: what each is called, which network it is and its size, all before the weights are here.
No torch.

A row depends on its own weights and dataset alone, so it is the same whatever stands beside it.
"""

import contextlib
import hashlib
import json
import subprocess
import sys
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import NamedTuple

from sslbench.config.weights import Weights
from sslbench.errors import UserError
from sslbench.runtime.files import read_object, user_cache, write_whole
from sslbench.store.canonical_json import canonical

METHOD = "pretrained"
PREFIX = f"{METHOD}-"  # of the rows; no model of the config may be called so
NAMES = ("model.safetensors", "pytorch_model.bin")  # what timm's repositories and folders call their weights
FACTS = "weights.json"  # what is known of fetched weights (evaluation/weights.py)


class Network(NamedTuple):
    """What a row's settings say of its network."""

    name: str  # timm's architecture, or of the hub's weights their repository
    input_size: int  # px, square


def folder(name: str, data: Path) -> Path:
    """Where the weights called ``name`` stand once they are fetched."""
    return data / "weights" / name


def networks(weights: Mapping[str, Weights], data: Path) -> dict[str, Network]:
    """The network of each of ``weights``: as the config says, as what was fetched says, or as its source does.

    Raises UserError where the source cannot be asked, does not know the weights, or they take no square images.
    """
    found: dict[str, Network] = {}
    sizes: dict[str, int | None] = {}
    first: dict[tuple[str, str], str] = {}
    for name, entry in weights.items():
        other = first.setdefault((canonical(entry.asked), str(entry.path and entry.path.resolve())), name)
        if other != name:  # two rows of one backbone would tie, and count twice in the correction for all pairs
            raise UserError(f"config: weights.{other} and weights.{name} are the same weights; name one of them")
        if entry.path is not None and not entry.path.exists():
            raise _nowhere(name, entry.path)
        fetched = read_object(folder(name, data) / FACTS)
        fetched = fetched if fetched.get("asked") == entry.asked else {}
        if not (entry.timm or entry.hub or fetched):
            fetched = facts_of(_config(name, entry), f"config: weights.{name}.path")
        architecture = entry.timm.partition(".")[0] if entry.timm else entry.hub or fetched["architecture"]
        sizes[name] = entry.input_size or fetched.get("input_size")
        found[name] = Network(architecture, sizes[name] or 0)
    needed = {name for name, size in sizes.items() if not size}
    asked = _asked({name: entry for name, entry in weights.items() if name in needed or entry.timm}, needed)
    return {name: network._replace(input_size=network.input_size or asked[name]) for name, network in found.items()}


def facts_of(config: dict, where: str) -> dict:
    """``architecture`` and ``input_size`` (px) of a config.json as timm writes it.

    Raises UserError where it has none, or images are not square or not of 3 channels.
    """
    published = config.get("pretrained_cfg", config)
    architecture, shape = config.get("architecture"), published.get("input_size") or (3, 0, 0)
    if not isinstance(architecture, str) or len(shape) != 3:
        raise UserError(f"{where}: its config.json is not one that timm writes: it names no architecture, or no size")
    if shape[0] != 3 or shape[1] != shape[2]:
        raise UserError(f"{where}: it takes images of {list(shape)}, and sslbench makes square ones of 3 channels")
    return {"architecture": architecture, "input_size": shape[1]}


def config_file(path: Path) -> Path:
    """The config.json of weights at ``path``, a folder or a file."""
    return (path if path.is_dir() else path.parent) / "config.json"


def weights_file(path: Path) -> Path | None:
    """The file of weights at ``path``, a folder or a file; None where there is none."""
    files = [path / name for name in NAMES] if path.is_dir() else [path]
    return next((file for file in files if file.is_file()), None)


def _nowhere(name: str, path: Path) -> UserError:
    return UserError(
        f"config: weights.{name}.path: there is no {path}; name a folder of config.json and weights, or a file"
    )


def _config(name: str, entry: Weights) -> dict:
    """The config.json of weights in a folder, or beside a file."""
    where, file = f"config: weights.{name}.path", config_file(entry.path)
    if not file.is_file():
        raise UserError(f"{where}: there is no {file}, so the network is not known: add timm: with its tag")
    return read_object(file)


# Another process: timm takes seconds to import and hundreds of megabytes to hold.
_ASK = """
import difflib, json, sys
for name, entry in json.load(sys.stdin).items():
    if "timm" in entry:
        import timm
        known, tag = timm.list_pretrained(), entry["timm"]
        if tag not in known:
            sys.exit("\\t".join(["tag", name, *difflib.get_close_matches(tag, known, n=1)]))
        found = {"architecture": tag, "input_size": timm.get_pretrained_cfg(tag).input_size}
    else:
        from huggingface_hub import hf_hub_download
        try:
            found = json.load(open(hf_hub_download(entry["hub"], "config.json", revision=entry.get("revision"))))
        except Exception as error:
            sys.exit("\\t".join(["hub", name, str(getattr(getattr(error, "response", None), "status_code", ""))]))
    print(json.dumps([name, found]))
"""


def _asked(weights: Mapping[str, Weights], needed: Collection[str]) -> dict[str, int]:
    """Input sizes, px, of timm's tags and the hub's repositories, from there, or as they were said once. Of those that
    are not ``needed`` only the tags are asked about, where timm is here."""
    sizes, kept = {}, {}
    for name, entry in weights.items():
        with contextlib.suppress(RuntimeError):  # there is no home folder
            kept[name] = user_cache() / "weights" / hashlib.sha256(canonical(entry.asked).encode()).hexdigest()
            sizes[name] = read_object(kept[name]).get("input_size")
    wanted = {name: entry.asked for name, entry in weights.items() if not sizes.get(name)}
    if not wanted:
        return sizes
    run = subprocess.run(
        [sys.executable, "-c", _ASK], input=json.dumps(wanted), capture_output=True, text=True, check=False
    )
    if run.returncode:
        last = (run.stderr.strip().splitlines() or [""])[-1]
        kind, name, *more = [*last.split("\t"), "", ""]
        if kind == "tag":
            raise unknown_tag(f"config: weights.{name}.timm", weights[name].timm or "", more[0])
        if kind == "hub":
            why = f"the hub answers {more[0]}" if more[0] else "the hub cannot be reached"
            raise UserError(
                f"config: weights.{name}: the config.json of {weights[name].hub} is not to be had for a size ({why}); "
                "write input_size:, or in place of hub: the path: of a folder with its config.json and weights"
            )
        first = next((name for name in wanted if name in needed), None)
        if first is None:
            return sizes
        raise UserError(f"config: weights.{first}: its size cannot be asked for here ({last}): write input_size:")
    for name, config in map(json.loads, run.stdout.splitlines()):
        facts = facts_of(config, f"config: weights.{name}")
        sizes[name] = facts["input_size"]
        if name in kept:
            write_whole(kept[name], json.dumps(facts).encode())
    return sizes


def unreachable(status: int | str | None, file: str, entry: Weights) -> str:
    """Why the hub does not hand out ``file``, by the status of its answer if it gave any, and what to do."""
    why = f"the hub answers {status} for" if status else "the hub cannot be reached for"
    if str(status) in ("401", "403"):
        return f"{why} {file}: no such repository, or log in (hf auth login) and accept its terms there"
    if entry.hub:
        return f"{why} {file}: download config.json and the weights elsewhere, and write path: <their folder> for hub:"
    return f"{why} {file}: download it where there is a network, and add path: <the file> to this entry"


def unknown_tag(where: str, tag: str, near: str) -> UserError:
    """That timm has no weights called ``tag``, with the nearest that it has, "" where none is near."""
    guess = f" Did you mean {near!r}?" if near else ""
    return UserError(f"{where}: timm has no weights called {tag!r}.{guess} All: timm.list_pretrained()")
