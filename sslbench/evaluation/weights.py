"""Fetching pretrained weights: a tag of timm's, a repository of the hub, or the user's own folder or file.

They come through timm's names and huggingface_hub (HF_ENDPOINT, HF_HOME, its cache and its log-in), are resumed where
they were cut, and believed after their SHA-256. Only tensors are read of them: safetensors, or torch's files as
weights_only; no code of theirs runs. What is written, by timm's names and for ``num_classes=0``, is
``backbone.safetensors``, and last ``weights.json``, which says what they are and how they see images.
"""

import dataclasses
import hashlib
import json
import logging
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import safetensors.torch
import timm
import torch
from huggingface_hub import get_hf_file_metadata, hf_hub_url, try_to_load_from_cache
from huggingface_hub.errors import EntryNotFoundError
from huggingface_hub.file_download import http_get
from huggingface_hub.utils import build_hf_headers
from timm.models import PretrainedCfg
from torch import nn

from sslbench.config.weights import Weights
from sslbench.errors import UserError, about, raise_if_passing
from sslbench.grid import pretrained
from sslbench.nn.backbone import Backbone
from sslbench.runtime.files import alone, file_sha256, one_line, read_object, write_json, write_whole

OF_THE_SIZE = {"img_size", "dynamic_img_size", "dynamic_img_pad", "strict_img_size"}  # options that Backbone sets
logging.getLogger("timm.models._builder").setLevel(logging.ERROR)  # keys that do not fit are told in one line here
INTERPOLATIONS = ("bilinear", "bicubic")


def fetch(name: str, entry: Weights, data: Path, log: Callable[[str], None] = print) -> dict[str, Any]:
    """Make weights.json and backbone.safetensors of the weights called ``name`` in their folder below ``data``.

    weights.json holds ``asked`` (what the entry's weights depend on), ``architecture``, ``options`` (of
    timm.create_model), ``input_size`` (px), ``mean`` and ``std`` (of channels in [0, 1]), ``interpolation``,
    ``parameters``, ``features``, ``licence`` where timm knows it, ``seen`` where an export of this project says what it
    was trained on, ``source``, ``sha256`` and ``size`` (bytes) of the file that was read, and ``backbone_sha256``.

    Raises:
        UserError: they cannot be had, are not those of ``sha256``, or do not fit their network.
    """
    home = pretrained.folder(name, data)
    with one_line(home, f"fetching weights.{name}"), alone(home, log), about(f"weights.{name}"):
        config, file, source = _found(entry, home, log)
        sha256 = file_sha256(file)
        if entry.sha256 not in (None, sha256):
            raise UserError(
                f"the sha256 of {file} is {sha256}, not {entry.sha256}: get the file anew, or correct sha256"
            )
        architecture, options, published = _read_config(config)
        size = entry.input_size or pretrained.facts_of(config, source)["input_size"]
        if published["interpolation"] not in INTERPOLATIONS:
            raise UserError(
                f"they resize images by {published['interpolation']}; sslbench has {', '.join(INTERPOLATIONS)}"
            )
        backbone = _loaded(architecture, options, published, file, size, log)
        content = safetensors.torch.save(backbone.timm_state(), {"model": architecture})
        write_whole(home / "backbone.safetensors", content)
        facts = {
            "asked": entry.asked,
            "architecture": architecture,
            "options": options,
            "input_size": size,
            **{key: list(published[key]) for key in ("mean", "std")},
            "interpolation": published["interpolation"],
            "parameters": sum(p.numel() for p in backbone.parameters()),
            "features": backbone.num_features,
            "timm_options": backbone.timm_options,
            "licence": published.get("license"),
            **_stated(config),
            "source": source,
            "sha256": sha256,
            "size": file.stat().st_size,
            "backbone_sha256": hashlib.sha256(content).hexdigest(),
        }
        write_json(home / pretrained.FACTS, facts)
        log(f"weights.{name}: {architecture}, {facts['parameters'] / 1e6:.1f} M parameters, sha256 {sha256}")
    return facts


def _found(entry: Weights, home: Path, say: Callable[[str], None]) -> tuple[dict, Path, str]:
    """What timm calls the config, the file of weights, and where they are from."""
    tag = _of_tag(entry.timm) if entry.timm else None
    if entry.path is not None:
        file = pretrained.weights_file(entry.path)
        if file is None:
            raise UserError(f"path: {entry.path} is neither a file nor a folder with {' or '.join(pretrained.NAMES)}")
        config = tag or _json(pretrained.config_file(entry.path))
        return config, file, "path"
    if tag is not None:
        if not tag.get("hf_hub_id"):
            raise UserError(
                f"timm has {entry.timm} at {tag.get('url')} alone: download it, and add path: with the file"
            )
        repository, _, revision = tag["hf_hub_id"].partition("@")
        names = [tag["hf_hub_filename"]] if tag.get("hf_hub_filename") else list(pretrained.NAMES)
        return tag, _from_hub(repository, revision or None, names, entry, home, say), f"hub: {repository}"
    config = _json(_from_hub(entry.hub, entry.revision, ["config.json"], entry, home, say))
    return config, _from_hub(entry.hub, entry.revision, list(pretrained.NAMES), entry, home, say), f"hub: {entry.hub}"


def _of_tag(tag: str) -> dict:
    """What timm knows of a tag. Raises UserError with the nearest where it has none."""
    known = timm.list_pretrained()
    if tag not in known:
        raise pretrained.unknown_tag("timm", tag, "".join(get_close_matches(tag, known, n=1)))
    return timm.get_pretrained_cfg(tag).to_dict() | {"architecture": tag.partition(".")[0]}


def _from_hub(
    repository: str, revision: str | None, names: list[str], entry: Weights, home: Path, say: Callable[[str], None]
) -> Path:
    """The first of ``names`` that the repository has: from huggingface_hub's cache, from ``home``, or downloaded."""
    for name in names:
        cached = try_to_load_from_cache(repository, name, revision=revision)
        if isinstance(cached, str) and _whole(Path(cached)):
            return Path(cached)
    for name in names:
        url = hf_hub_url(repository, name, revision=revision, endpoint=_endpoint())
        try:
            return _download(url, home / name, say)
        except EntryNotFoundError:
            continue
        except UserError:
            raise
        except Exception as error:  # httpx's, huggingface_hub's, urllib3's
            if getattr(error, "errno", None):
                raise  # of the disk
            why = pretrained.unreachable(getattr(getattr(error, "response", None), "status_code", None), url, entry)
            kept, told = home / name, read_object(home / pretrained.FACTS)
            same = told.get("asked") == entry.asked and kept.is_file()
            if same and (name == "config.json" or file_sha256(kept) == told.get("sha256")):
                say(f"{kept} was fetched before; now {why}")
                return kept
            raise UserError(why) from error
    raise UserError(
        f"{repository} on the hub has no {' or '.join(names)}: check its name, or give path: a file of yours"
    )


def _endpoint() -> str | None:
    """The hub's address where it is not the usual one."""
    return os.environ.get("HF_ENDPOINT", "").rstrip("/") or None


def _whole(cached: Path) -> bool:
    """Whether a file of huggingface_hub's cache, which names large ones by their SHA-256, is what it is called."""
    name = cached.resolve().name
    return not re.fullmatch(r"[0-9a-f]{64}", name) or file_sha256(cached) == name


def _download(url: str, target: Path, say: Callable[[str], None]) -> Path:
    """``target``, downloaded where another version or none is there, and compared with the hub's SHA-256 of it."""
    offered, headers = get_hf_file_metadata(url), build_hf_headers()
    version = offered.etag or ""
    sha256 = version if re.fullmatch(r"[0-9a-f]{64}", version) else None  # of large files it is the version's name
    if sha256 and target.is_file() and file_sha256(target) == sha256:
        return target
    if urlsplit(offered.location).netloc != urlsplit(url).netloc:
        headers.pop("authorization", None)  # which is for the hub alone
    part = target.with_name(f"{target.name}.{hashlib.sha256(version.encode()).hexdigest()[:12]}.part")
    say(f"{url}: {(offered.size or 0) / 1e6:.0f} MB")
    with part.open("ab") as file:
        try:
            http_get(offered.location, file, resume_size=file.tell(), headers=headers, expected_size=offered.size)
        except OSError as error:
            if error.errno:
                raise
            raise UserError(f"{url} did not come whole; what came is kept: run again") from error
    if sha256 and (found := file_sha256(part)) != sha256:
        part.replace(target.with_name(f"{target.name}.rejected"))
        raise UserError(
            f"{url}: its sha256 is {found}, and the hub says {sha256}: it is set aside as {target.name}.rejected; run "
            "again, or name a good copy here as path:"
        )
    part.replace(target)
    return target


def _json(file: Path) -> dict:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{file} cannot be read ({error}); it has to be a config.json as timm writes it") from error
    return found


def _read_config(config: dict) -> tuple[str, dict, dict]:
    """Architecture, options and pretrained_cfg of a config.json, or of what timm knows of a tag, which is one too."""
    published = dict(config.get("pretrained_cfg", config))
    if "num_classes" in config:
        published["num_classes"] = config["num_classes"]
    known = {field.name for field in dataclasses.fields(PretrainedCfg)}
    places = {"url", "file", "state_dict", "hf_hub_id", "hf_hub_filename", "source", "custom_load"}
    published = {key: value for key, value in published.items() if key in known - places}
    defaults = PretrainedCfg().to_dict()
    published |= {key: defaults[key] for key in ("mean", "std", "interpolation") if not published.get(key)}
    if not isinstance(config.get("architecture"), str):
        raise UserError("config.json names no architecture: it is not one that timm writes")
    options = {key: value for key, value in config.get("model_args", {}).items() if key not in OF_THE_SIZE}
    return config["architecture"].partition(".")[0], options, published


def _stated(config: dict) -> dict:
    """``seen`` and ``split_sha256``, where an export of this project says what it was trained on."""
    own = config.get("sslbench")
    own = own if isinstance(own, dict) and isinstance(own.get("seen"), list) else {}
    split = own["data"].get("split_sha256") if isinstance(own.get("data"), dict) else None
    return ({"seen": own["seen"]} if own else {}) | ({"split_sha256": split} if isinstance(split, str) else {})


def _loaded(
    architecture: str, options: dict, published: dict, file: Path, size: int, say: Callable[[str], None]
) -> Backbone:
    """The backbone at ``size`` px with the file's weights, every one of its own accounted for."""
    try:
        state = timm.models.load_state_dict(str(file), weights_only=True)
    except Exception as error:  # safetensors', pickle's, torch's
        raise_if_passing(error)
        reason = str(error).partition("\n")[0]
        raise UserError(
            f"{file} holds no weights that can be read as tensors alone ({reason}); give another"
        ) from error
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        backbone = Backbone(architecture, options, size)
        patch = getattr(getattr(backbone.model, "patch_embed", None), "patch_size", None)
        if patch and size % patch[0]:
            below = size // patch[0] * patch[0]
            raise UserError(
                f"input_size: {size} is no multiple of the patches of {patch[0]} px of timm's {architecture}; write "
                f"{below} or {below + patch[0]}"
            )
        try:
            with _keys() as found:  # timm's way from a file's keys and position embeddings to a network's
                model = timm.create_model(
                    architecture,
                    pretrained=True,
                    pretrained_cfg=published | {"state_dict": state},
                    num_classes=0,
                    **backbone.timm_options,
                )
        except Exception as error:  # whatever timm raises: its networks fail in many ways
            reason = str(error).partition("\n")[0]
            raise UserError(f"{file} does not fit timm's {architecture} ({reason})") from error
    missing, unexpected = found[-1] if found else (["all"], [])
    if missing:
        raise UserError(
            f"{file} is not of timm's {architecture}: it lacks {len(missing)} of its weights, as {missing[0]}; "
            "name the right tag or file"
        )
    if unexpected:
        say(f"{file.name}: {len(unexpected)} tensors are not the backbone's (as {unexpected[0]}) and are left out")
    backbone.model.load_state_dict(model.state_dict())
    return backbone.eval()


@contextmanager
def _keys() -> Iterator[list[tuple[list[str], list[str]]]]:
    """Missing and unexpected keys of each load_state_dict in the body, in order: timm only logs them."""
    load, found = nn.Module.load_state_dict, []

    def noting(self: nn.Module, *arguments: Any, **options: Any) -> Any:
        result = load(self, *arguments, **options)
        found.append((list(result.missing_keys), list(result.unexpected_keys)))
        return result

    nn.Module.load_state_dict = noting
    try:
        yield found
    finally:
        nn.Module.load_state_dict = load
