"""``python -m sslbench.export.find_similar BACKBONE --pictures FOLDER``: the pictures most like one of them.

BACKBONE is a folder: an export (config.json, model.safetensors) or a finished cell (run.json, backbone.safetensors).
Every picture is embedded once: features are kept in an index file beside the folder, by the pictures' content, so a
renamed picture is known and a changed one is embedded anew.
"""

import argparse
import base64
import hashlib
import html
import io
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import safetensors
import safetensors.torch
import timm
import torch
from PIL import Image
from torch import Tensor

from sslbench.data.layouts.tree import pictures_below
from sslbench.data.pack.decode import decode_file
from sslbench.data.pack.read import Pictures
from sslbench.errors import UserError
from sslbench.evaluation.embed import loaded
from sslbench.runtime.text import visible
from sslbench.transforms.pipeline import center_view
from sslbench.transforms.spec import Normalize

BATCH = 32  # pictures a forward pass
ROOM = 8 / 7  # shortest side as decoded over the input size, as packs have it
THUMBNAIL = 160  # px, longest side on the HTML page


@dataclass(frozen=True)
class Embedder:
    """A backbone with its preprocessing."""

    model: torch.nn.Module  # timm's
    size: int  # px
    ratio: float  # shortest side before the centred crop over ``size``
    mean: tuple[float, ...]
    std: tuple[float, ...]
    digest: str  # of weights and preprocessing

    @torch.no_grad()
    def features(self, pictures: list[Tensor]) -> Tensor:
        """Unit vectors [n, F] of uint8 pictures [3, h, w]; a picture without features gives zeros."""
        images = center_view(Pictures.from_list(pictures), self.size, self.ratio, mean=self.mean, std=self.std).images
        found = self.model.forward_head(self.model.forward_features(images), pre_logits=True)
        return torch.nn.functional.normalize(found.float(), dim=1)


class Index(NamedTuple):
    """A folder, embedded."""

    names: list[str]  # paths below the folder
    keys: list[str]  # of their content
    features: Tensor  # [n, F], unit vectors
    unread: dict[str, str]  # path -> why it could not be read


class Neighbour(NamedTuple):
    name: str
    cosine: float


def open_backbone(folder: Path) -> Embedder:
    """The network in an export or in a finished cell's folder. Raises UserError where it is neither."""
    folder = Path(folder)
    exported, cell = folder / "config.json", folder / "run.json"
    if exported.is_file() and (folder / "model.safetensors").is_file():
        return _exported(folder, _json(exported))
    if cell.is_file() and (folder / "backbone.safetensors").is_file():
        run, weights = _json(cell), folder / "backbone.safetensors"
        linear = _json(folder / "linear.json") if (folder / "linear.json").is_file() else {}
        ratio = (linear.get("evaluation") or {}).get("resize_ratio", 1.0)
        backbone = loaded(run["settings"], weights)
        usual = Normalize()
        view = (backbone.input_size, ratio, usual.mean, usual.std)
        return Embedder(backbone.model, *view, _digest(weights, view))
    raise UserError(
        f"{folder}: no backbone here; name an export (config.json and model.safetensors) or a finished cell's folder "
        "(run.json and backbone.safetensors)"
    )


def _exported(folder: Path, config: dict) -> Embedder:
    try:
        made = config["pretrained_cfg"]
        view = made["input_size"][-1], 1 / made.get("crop_pct", 1), tuple(made["mean"]), tuple(made["std"])
        model = timm.create_model(f"local-dir:{folder}", pretrained=True, num_classes=0)
    except Exception as error:  # timm says in many ways that a folder is not what it should be
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise UserError(f"{folder}: timm cannot load it ({reason}); export it anew") from error
    return Embedder(model.eval(), *view, _digest(folder / "model.safetensors", view))


def embed_folder(embedder: Embedder, folder: Path, file: Path, tell: Callable[[str], None]) -> Index:
    """The features of all pictures below ``folder``; those that ``file`` does not hold yet are added to it.

    Raises UserError where there is no picture that can be read, or the file is another backbone's.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: there is no such folder; name one with pictures")
    paths = {name: folder / name for name in pictures_below(folder)}
    contents: dict[str, str] = {}
    unread: dict[str, str] = {}  # by content
    lost: dict[str, str] = {}  # by name: there is no content
    for name, path in paths.items():
        try:
            contents[name] = _content(path)
        except OSError as error:
            lost[name] = f"cannot be read ({error.strerror})"
    known = _read(file, embedder)
    waiting = list({key: name for name, key in contents.items() if key not in known}.items())
    new: dict[str, Tensor] = {}
    for block in _blocks(waiting, BATCH):
        read = {key: decoded(paths[name], embedder) for key, name in block}
        unread |= {key: why for key, why in read.items() if isinstance(why, str)}
        pictures = {key: picture for key, picture in read.items() if not isinstance(picture, str)}
        if pictures:
            new |= dict(zip(pictures, embedder.features(list(pictures.values())), strict=True))
    if new:
        _write(file, embedder, known | new)
    tell(f"{len(new)} of {len(paths)} pictures embedded, the others known from {file.name}")
    known |= new
    good = {name: key for name, key in contents.items() if key in known}
    if not good:
        raise UserError(f"{folder}: has no picture that can be read; add some, or name another folder")
    features = torch.stack([known[key] for key in good.values()])
    lost |= {name: unread[key] for name, key in contents.items() if key in unread}
    return Index(list(good), list(good.values()), features, lost)


def nearest(index: Index, feature: Tensor, k: int, without: str | None = None) -> list[Neighbour]:
    """The ``k`` pictures of largest cosine with ``feature`` [F], the largest first, one of that name left out."""
    cosines = index.features @ feature
    order = cosines.argsort(descending=True, stable=True).tolist()
    ranked = (Neighbour(index.names[i], float(cosines[i])) for i in order if index.names[i] != without)
    return [neighbour for neighbour, _ in zip(ranked, range(k), strict=False)]


def decoded(path: Path, embedder: Embedder) -> Tensor | str:
    """One picture, uint8 [3, h, w], upright and no larger than is needed; or why there is none."""
    size = round(embedder.size * max(ROOM, embedder.ratio))
    found = decode_file(path, size)
    return found if isinstance(found, str) else torch.tensor(found.pixels).permute(2, 0, 1)


def strip(folder: Path, query: Path, found: list[Neighbour]) -> str:
    """One HTML page that refers to nothing outside: the query, then its neighbours with their cosines."""
    figures = [(str(query), "the query", query), *((n.name, f"{n.cosine:.3f}", folder / n.name) for n in found)]
    figures = [(visible(name), told, path) for name, told, path in figures]
    items = "\n".join(
        f'<figure><img src="data:image/webp;base64,{_thumbnail(path)}" alt="{html.escape(name)}">'
        f"<figcaption>{html.escape(told)}<br>{html.escape(name)}</figcaption></figure>"
        for name, told, path in figures
    )
    style = (
        "body{font:14px system-ui;margin:2rem}div{display:flex;flex-wrap:wrap;gap:1rem}"
        "figure{margin:0;width:160px;overflow-wrap:anywhere}figure:first-child img{outline:3px solid #36c}"
    )
    head = (
        f'<meta charset="utf-8"><title>Neighbours of {html.escape(visible(query.name))}</title><style>{style}</style>'
    )
    return f"<!doctype html>\n<html lang=en>{head}\n<div>\n{items}\n</div>\n</html>\n"


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m sslbench.export.find_similar", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("backbone", type=Path, help="folder of an export, or of a finished cell")
    parser.add_argument("--pictures", type=Path, required=True, help="folder of pictures, at any depth")
    parser.add_argument("--query", type=Path, help="the picture to find neighbours of (default: the folder's first)")
    parser.add_argument("--k", type=int, default=8, help="how many (default 8)")
    parser.add_argument("--index", type=Path, help="file of the features (default: beside the folder)")
    parser.add_argument("--html", type=Path, help="also write the pictures side by side to this page")
    options = parser.parse_args(arguments)
    try:
        with torch.no_grad():
            _run(options)
    except UserError as error:
        print(f"sslbench: {error}", file=sys.stderr)
        sys.exit(1)


def _run(options: argparse.Namespace) -> None:
    if options.k < 1:
        raise UserError(f"--k {options.k}: at least one neighbour is to be found")
    embedder, folder = open_backbone(options.backbone), options.pictures
    beside = folder.absolute().parent / f"{folder.absolute().name}.{embedder.digest[:12]}.neighbours.safetensors"
    index = embed_folder(embedder, folder, options.index or beside, lambda line: print(line, file=sys.stderr))
    for name, why in index.unread.items():
        print(f"left out: {visible(name)}: {why}", file=sys.stderr)
    query, name, feature = _query(embedder, index, folder, options.query)
    found = nearest(index, feature, options.k, name)
    print(f"query   {visible(str(name or query))}")
    for rank, neighbour in enumerate(found, start=1):
        print(f"{rank:>3}  {neighbour.cosine:+.3f}  {visible(neighbour.name)}")
    if options.html:
        try:
            options.html.write_text(strip(folder, query, found), encoding="utf-8")
        except OSError as error:
            raise UserError(f"--html {options.html}: cannot be written ({error.strerror})") from error


def _query(embedder: Embedder, index: Index, folder: Path, asked: Path | None) -> tuple[Path, str | None, Tensor]:
    """The query's path, its name in the index where it stands there, and its feature."""
    if asked is None:
        return folder / index.names[0], index.names[0], index.features[0]
    path = asked if asked.is_file() else folder / asked
    if not path.is_file():
        raise UserError(f"--query {asked}: there is no such picture, neither here nor in {folder}")
    for name, feature in zip(index.names, index.features, strict=True):
        if (folder / name).samefile(path):
            return path, name, feature
    picture = decoded(path, embedder)
    if isinstance(picture, str):
        raise UserError(f"--query {asked}: {picture}; name another picture")
    return path, None, embedder.features([picture])[0]


def _read(file: Path, embedder: Embedder) -> dict[str, Tensor]:
    """Features by content, {} where there is no file."""
    if not file.exists():
        return {}
    try:
        with safetensors.safe_open(file, framework="pt") as stored:
            about = json.loads(stored.metadata()["sslbench"])
            features = stored.get_tensor("features")
        owner, keys = about["backbone"], about["keys"]
    except (OSError, safetensors.SafetensorError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{file}: no index of this program; delete it, or name another --index") from error
    if owner != embedder.digest:
        raise UserError(f"{file}: was made with another backbone; delete it, or name another --index")
    return dict(zip(keys, features, strict=True))


def _write(file: Path, embedder: Embedder, features: dict[str, Tensor]) -> None:
    about = {"sslbench": json.dumps({"backbone": embedder.digest, "keys": list(features)})}
    beside = file.with_name(f".{file.name}.tmp")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        beside.write_bytes(safetensors.torch.save({"features": torch.stack(list(features.values()))}, about))
        beside.replace(file)
    except OSError as error:
        raise UserError(f"{file}: cannot be written ({error.strerror}); name another file as --index") from error


def _blocks(items: list, count: int) -> Iterator[list]:
    return (items[start : start + count] for start in range(0, len(items), count))


def _content(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def _digest(weights: Path, view: tuple) -> str:
    with weights.open("rb") as file:
        total = hashlib.file_digest(file, "sha256")
    total.update(json.dumps(view).encode())
    return total.hexdigest()


def _thumbnail(path: Path) -> str:
    found = decode_file(path, THUMBNAIL)
    if isinstance(found, str):
        raise UserError(f"{path}: {found}; it was there a moment ago, so run again")
    image = Image.fromarray(found.pixels)
    image.thumbnail((THUMBNAIL, THUMBNAIL))
    file = io.BytesIO()
    image.save(file, "WEBP", quality=80)
    return base64.b64encode(file.getvalue()).decode()


def _json(path: Path) -> dict:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read ({error}); make or export it anew") from error


if __name__ == "__main__":
    main()
