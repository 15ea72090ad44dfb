"""What collect knows of pretrained rows beside their figures: whether they were tested on the same images as the rest,
and what their weights have seen of them.

A pretrained row reads a pack of its own size, in which an image may have another position. So images are matched by
name, and rows of packs that cannot be matched are compared with nothing.
"""

from pathlib import Path

import numpy
import pandas

from sslbench.data import pretraining_data, seen, weights_licence
from sslbench.data.pack.format import Unfit, read_names
from sslbench.runtime.files import read_object


def positions(own: Path, other: Path) -> numpy.ndarray | None:
    """Where in the pack ``other`` each image of the pack ``own`` is: int64 [N], -1 where it is not. None where they are
    one pack; empty where names or classes cannot be matched."""
    if own == other:
        return None
    manifests = [read_object(pack / "manifest.json") for pack in (own, other)]
    try:
        names = [read_names(pack, manifest) for pack, manifest in zip((own, other), manifests, strict=True)]
    except (Unfit, KeyError):
        return numpy.array([], numpy.int64)
    place = {name: at for at, name in enumerate(names[1])}
    if manifests[0].get("classes") != manifests[1].get("classes") or len(place) < len(names[1]):
        return numpy.array([], numpy.int64)
    return numpy.array([place.get(name, -1) for name in names[0]], numpy.int64)


def tested(predictions: Path, pack: Path) -> list[str]:
    """Names of the images that a row was tested on; [] where its pack does not say."""
    try:
        names = read_names(pack, read_object(pack / "manifest.json"))
        return [names[at] for at in pandas.read_parquet(predictions, columns=["index"])["index"]]
    except (Unfit, KeyError, IndexError):
        return []


def weights(run: dict, dataset: dict, said: list[str] | None, images: list[str], count: int) -> dict:
    """What a row's weights have seen of its test images, what follows, and their licence, as plain values.

    ``dataset``: the plan's that it is judged on, with the name of the row's own as ``row``; ``said``: what the config
    declares; ``images``: names of the test images, of which there are ``count``.
    """
    told = run.get("weights") or {}
    asked = ((run.get("settings") or {}).get("method") or {}).get("options") or {}
    data = pretraining_data.of_row(told, asked, said)
    called = sorted(seen.called(dataset["name"], {"kind": dataset["kind"], **(dataset.get("identity") or {})}))
    if said is None and dataset["name"] == dataset.get("row", dataset["name"]):
        data = pretraining_data.held_to(data, told, called, (run.get("data") or {}).get("split_sha256"))
    images = images or [""] * count
    verdict = seen.judge(data, called, images, run.get("imagenet_subsets"), drawn=dataset.get("drawn", False))
    licence = weights_licence.of(told.get("licence"), pretraining_data.timm_name(asked))
    return {
        "has_seen": pretraining_data.described(data),
        "level": int(verdict.level),
        "ranked": verdict.ranked,
        "upper_bound": verdict.upper_bound,
        "explanation": verdict.explanation,
        "consequence": verdict.consequence,
        "licence": {"title": licence.title, "use": str(licence.use), "note": licence.note, "url": licence.url},
    }


def read_speed(file: str | None) -> dict:
    """What the rule ``speed`` measured; {} where it has not."""
    found = read_object(Path(file)) if file else {}
    return {key: found[key] for key in ("device", "threads", "batches") if key in found}
