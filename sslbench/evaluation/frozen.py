"""One row of a pretrained backbone: its weights linked into place, its features, and what they say without labels.

It is judged as every other row is, from its features on. What differs is how it sees images: at the size, mean,
deviation and interpolation of its own weights, cropped as all others are (``resize_ratio``). And a network of tokens
has several features to give: timm's own (the class token, or what attends to all), the mean of the patch tokens, and
both in one; the one is taken whose linear probe is best on the held-out images that choose the probe's penalty.

Features go to disk block by block and are read from there, so that memory does not grow with the images, and a job that
is killed goes on where it was.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from sslbench.data.pack.read import PackedSet, Pictures
from sslbench.data.seen import subsets_of
from sslbench.errors import UserError
from sslbench.evaluation import linear_probe
from sslbench.evaluation import write_result as results
from sslbench.evaluation.collapse import entropy_rank, without_labels
from sslbench.evaluation.embed import BATCH, EXACT, loaded, network
from sslbench.evaluation.features import _NAMES, Features, _hash
from sslbench.evaluation.label_free import SAMPLE, power_law, spectra
from sslbench.evaluation.linear_probe import BLOCK
from sslbench.nn import pooling
from sslbench.nn.random import generator
from sslbench.runtime.files import file_sha256, write_whole
from sslbench.store import checksum
from sslbench.store import entries as store
from sslbench.store.canonical_json import document
from sslbench.training.device import Device, computing, resolved
from sslbench.training.monitor.ledger import Ledger, versions
from sslbench.transforms.cpu import backend
from sslbench.transforms.ops.crop import CenterCrop
from sslbench.transforms.ops.normalize import Normalize
from sslbench.transforms.pipeline import center_view

CHOOSING = 20_000  # training images at most that the choice is made on: more decide nothing, and take memory and hours


def frozen(
    settings: dict[str, Any],
    code: str,
    weights: Path,
    packs: dict[str, Path],
    outputs: dict[str, Path],
    device: str,
    threads: int,
    *,
    views: backend.Mode = "auto",
    log: Callable[[str], None] = print,
) -> None:
    """Write backbone.safetensors, run.json, curve.csv, ledger.json and labelfree.json, and both files of features.

    Args:
        settings: ``cell``, the cell's settings; ``evaluated``, the images that it is judged on; ``resize_ratio`` and
            ``linear`` of the evaluation; ``labelfree``, as labelfree.json holds them.
        code: digest of the code that makes the row.
        weights: weights.json, beside its backbone.safetensors (evaluation/weights.py).
        packs: folders under "own" and "evaluated".
        outputs: paths under "backbone", "run", "curve", "ledger" and "labelfree"; where it is judged, under "train" and
            "test" too.
        device, threads, views: as for embed.

    Raises:
        UserError: damaged weights, or no labelled images where it is to be judged.
    """
    device = resolved(device)
    if not device.startswith("cuda"):
        log(backend.configure(views))
    told, file = json.loads(weights.read_text(encoding="utf-8")), weights.with_name("backbone.safetensors")
    if told["asked"] != settings["cell"]["method"]["options"]:
        raise UserError(
            f"{weights.parent} was fetched for another entry than today's; delete that folder and run again"
        )
    if not file.is_file() or file_sha256(file) != told["backbone_sha256"]:
        raise checksum.refuse(weights.parent, "its weights are not what was fetched")
    own, evaluated = (PackedSet.open(packs[name], verify=True) for name in ("own", "evaluated"))
    cell, split = settings["cell"], settings["cell"]["dataset"]["split"]
    data = {
        "content_sha256": own.manifest["content_sha256"],
        "split_sha256": own.split_sha256(split),
        "weights_sha256": told["sha256"],
    }
    digest = store.digest(cell, code, data)
    with computing(device, threads, EXACT) as place:
        ledger = Ledger(place, threads)
        with ledger.section("setup"):
            model = place.place(loaded(network(told), file)).model
        seen = Seen(model, told, settings["resize_ratio"], place)
        pool, tried = next(iter(seen.pools)), {}
        kept = outputs["run"].with_name(f".features-{_key(digest, settings, evaluated, place)}")
        parts = {}
        if "train" in outputs:
            parts = _labelled(evaluated, settings["evaluated"]["split"])
            parts = {
                name: (rows, seen.embed(evaluated, rows, kept / name)) for name, rows in parts.items() if len(rows)
            }
            ledger.images = sum(len(rows) for rows, _ in parts.values())
            with ledger.section("evaluate"):
                pool, tried = _chosen(seen, parts, evaluated, settings["linear"], log)
        with ledger.section("evaluate"):
            train = torch.from_numpy(own.split(split)["train"]).long().sort().values
            same = parts.get("train") if packs["own"] == packs["evaluated"] else None
            labelfree = _without_labels(seen, own, train, pool, same, kept / "sample")
        for name in ("train", "test") if parts else ():
            origin = _origin(told, evaluated, settings, name, pool)
            has_val = name == "train" and "val" in parts
            val = _whole(seen, evaluated, parts["val"], pool, kept / "val.chosen") if has_val else None
            features, labels, rows = _whole(seen, evaluated, parts[name], pool, kept / f"{name}.chosen")
            origin["non_finite"] = sum(int((~block.isfinite()).any(1).sum()) for block in features.split(BLOCK))
            _write(outputs[name], Features(features, labels, rows, origin, val))
            log(f"{name}: {len(rows)} images, {features.shape[1]} features ({pool})")
        run = {
            "settings": cell,
            "code": code,
            "data": data,
            "digest": digest,
            "versions": versions(place),
            "parameters": told["parameters"],
            "parameters_with_heads": told["parameters"],
            "features": told["features"],
            "pooling": {"chosen": pool, "tried": tried},
            "weights": {key: value for key, value in told.items() if key not in ("asked", "backbone_sha256")},
            "timm_options": told["timm_options"],
            "steps": 0,
            "trivial_loss": None,
            # what the page's environment, which has no timm, needs to judge what the weights have seen
            "imagenet_subsets": subsets_of(evaluated.names[i] for i in parts["test"][0]) if parts else {},
        }
        outputs["run"].parent.mkdir(parents=True, exist_ok=True)
        store.put(file, outputs["backbone"])
        write_whole(outputs["run"], document(run))
        write_whole(outputs["curve"], b"epoch,step,lr,loss,images\n")
        write_whole(outputs["ledger"], document(ledger.document()))
        results.write(outputs["labelfree"], outputs["run"], settings["labelfree"], labelfree)
    for left in outputs["run"].parent.glob(".features-*"):
        shutil.rmtree(left)


class Seen:
    """What a frozen network says of images, seen as its weights were trained to see them.

    Attributes:
        pools: what the features of an image can be, by name: columns of what ``embed`` returns.
    """

    def __init__(self, model: nn.Module, told: dict[str, Any], ratio: float, place: Device) -> None:
        self.model, self.ratio, self.place = model, ratio, place
        self.size, self.bicubic = told["input_size"], told["interpolation"] == "bicubic"
        self.mean, self.std = tuple(told["mean"]), tuple(told["std"])
        self.pools = pooling.columns(model, told["features"])
        self.width = told["features"] * len(pooling.pools(model))

    def images(self, pictures: Pictures) -> Tensor:
        """[n, 3, size, size] float32 on the device, normalised."""
        normalise = {"mean": self.mean, "std": self.std}
        if not self.bicubic:
            return center_view(pictures, self.size, self.ratio, device=self.place.torch, **normalise).images
        boxes = CenterCrop(self.ratio).draw(pictures.heights, pictures.widths)
        resized = torch.empty(len(pictures), 3, self.size, self.size, dtype=torch.uint8)
        for i, slot in enumerate(resized):
            top, left, side = (int(boxes[name][i]) for name in ("top", "left", "height"))
            box = pictures.picture(i)[:, top : top + side, left : left + side]
            slot.copy_(nn.functional.interpolate(box[None], self.size, mode="bicubic", antialias=True)[0])
        return Normalize(**normalise).apply_(resized.to(self.place.torch).float().div_(255), {})

    @torch.no_grad()
    def embed(self, packed: PackedSet, rows: np.ndarray, file: Path) -> np.ndarray:
        """float32 [n, width] of the images ``rows`` [n], mapped from ``file``; what that holds is not made again."""
        file.parent.mkdir(parents=True, exist_ok=True)
        line = 4 * self.width  # bytes
        held = file.stat().st_size // line if file.exists() else 0
        done = held if held == len(rows) else held // BATCH * BATCH
        with file.open("r+b" if file.exists() else "w+b") as opened:
            opened.truncate(done * line)
            opened.seek(done * line)
            for start in range(done, len(rows), BATCH):
                block = torch.from_numpy(rows[start : start + BATCH])
                images = self.images(packed.batch(block)).contiguous(memory_format=self.place.memory_format)
                opened.write(pooling.features(self.model, images).float().cpu().numpy().tobytes())
                opened.flush()
        return np.memmap(file, np.float32, "c", shape=(len(rows), self.width))


def _key(digest: str, settings: dict[str, Any], evaluated: PackedSet, place: Device) -> str:
    """Names what was embedded so far: no other row, device or version may go on from it."""
    more = {"evaluated": settings["evaluated"], "resize_ratio": settings["resize_ratio"], "digest": digest}
    data = {"content_sha256": evaluated.manifest["content_sha256"], "place": str(place.torch.type)}
    return store.digest(more, torch.__version__, data)[:16]


def _labelled(packed: PackedSet, split: str) -> dict[str, np.ndarray]:
    """Positions of the labelled images of each part. Raises UserError where there are none to train or test on."""
    parts = {name: np.sort(rows[packed.labels[rows] >= 0]) for name, rows in packed.split(split).items()}
    for part in ("train", "test"):
        if not len(parts[part]):
            raise UserError(
                f"{packed.manifest['source']}: split {split!r} has no labelled {part} images to evaluate on; name a "
                "labelled dataset under evaluate_on"
            )
    return {name: rows for name, rows in parts.items() if len(rows)}


Part = tuple[np.ndarray, np.ndarray]  # positions in the pack, and what was embedded of them


def _whole(seen: Seen, packed: PackedSet, part: Part, pool: str, file: Path) -> tuple[Tensor, Tensor, Tensor]:
    """Features, mapped from disk, labels and positions of a part, as features.py has them."""
    rows, found = part
    columns = seen.pools[pool]
    if columns != slice(0, seen.width):  # copied block by block to where they stand alone
        alone = np.memmap(file, np.float32, "w+", shape=(len(rows), columns.stop - columns.start))
        for start in range(0, len(rows), BLOCK):
            alone[start : start + BLOCK] = found[start : start + BLOCK, columns]
        found = alone
    return torch.from_numpy(found), torch.from_numpy(packed.labels[rows].astype(np.int64)), torch.from_numpy(rows)


def _write(file: Path, content: Features) -> None:
    """What features.write does, without the file's bytes in memory."""
    tensors = dict(zip(_NAMES, content[:3], strict=True))
    tensors |= {f"val_{name}": tensor for name, tensor in zip(_NAMES, content.val or (), strict=False)}
    origin = json.dumps(content.origin | {checksum.KEY: _hash(content)}, sort_keys=True, ensure_ascii=False)
    beside = file.with_name(f".{file.name}.tmp")
    try:
        safetensors.torch.save_file(tensors, beside, {"sslbench": origin})
        beside.replace(file)
    except (OSError, safetensors.SafetensorError) as error:
        beside.unlink(missing_ok=True)
        raise UserError(f"cannot write {file}: {error}; check its folder and disk, and run again") from error


def _chosen(
    seen: Seen, parts: dict[str, Part], packed: PackedSet, options: dict[str, Any], log: Callable[[str], None]
) -> tuple[str, dict[str, float]]:
    """The pool whose probe is best on the images that choose its penalty, the first of equals, and all by name."""
    first, tried = next(iter(seen.pools)), {}
    if len(seen.pools) == 1:
        return first, tried
    count = len(parts["train"][0])
    some = torch.randperm(count, generator=generator(0, "frozen", "choice"))[:CHOOSING].sort().values.numpy()
    judges = {"train": some, "val": np.arange(len(parts["val"][0]))[:CHOOSING]} if "val" in parts else {"train": some}
    labels = {name: torch.from_numpy(packed.labels[parts[name][0][of]].astype(np.int64)) for name, of in judges.items()}
    for pool, columns in seen.pools.items():
        found = {name: torch.from_numpy(parts[name][1][of, columns]) for name, of in judges.items()}
        if not all(bool(features.isfinite().all()) for features in found.values()):
            return first, {}
        val = (found["val"], labels["val"]) if "val" in found else None
        train = found["train"]
        probe = linear_probe.probe(train, labels["train"], train[:1], len(packed.classes), val=val, **options)
        if not probe.searched:  # one image per class leaves nothing to choose on
            return first, {}
        tried[pool] = max(one["top1"] for one in probe.searched)
        log(f"{pool}: {tried[pool]:.4f} on the held-out images")
    return max(tried, key=tried.__getitem__), tried


def _without_labels(
    seen: Seen, own: PackedSet, train: Tensor, pool: str, same: Part | None, file: Path
) -> dict[str, Any]:
    """What label_free.labelfree measures, but LiDAR: a frozen network was trained on no views that are known here.

    ``same``: the training images as they are embedded, where they are these.
    """
    shuffled = train[torch.randperm(len(train), generator=generator(0, "label-free", "pictures"))]
    sample = shuffled[:SAMPLE].sort().values.numpy()
    if same is not None and np.isin(sample, same[0]).all():
        found = same[1][np.searchsorted(same[0], sample)]
    else:
        found = seen.embed(own, sample, file)
    chosen = torch.from_numpy(np.ascontiguousarray(found[:, seen.pools[pool]]))
    report: dict[str, Any] = dict.fromkeys(("rankme", "alpha", "lidar", "pictures", "views"))
    report |= {"n": len(chosen), "features": chosen.shape[1], "health": without_labels(chosen)}
    if chosen.isfinite().all():
        raw, centred = spectra(chosen)
        report |= {"rankme": entropy_rank(raw), "alpha": power_law(torch.linalg.eigvalsh(centred))}
    return report


def _origin(told: dict[str, Any], packed: PackedSet, settings: dict[str, Any], part: str, pool: str) -> dict[str, Any]:
    split = settings["evaluated"]["split"]
    return {
        "backbone": told["architecture"],
        "classes": packed.classes,
        "content_sha256": packed.manifest["content_sha256"],
        "input_size": told["input_size"],
        "part": part,
        "pooling": pool,
        "resize_ratio": settings["resize_ratio"],
        "source": packed.manifest["source"],
        "split": split,
        "split_sha256": packed.split_sha256(split),
        "weights_sha256": told["sha256"],
    }
