"""What images published weights were trained on: by the tag of a timm name, or as a config declares it. No torch.

A tag names data sets (``fb_in22k_ft_in1k``), or a method whose data its paper states (``mae``). A tag that is not
understood gives None: unknown. What a teacher, a tokenizer or a filter was trained on counts only if the tag names it.
"""

import contextlib
import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from sslbench import registry


class DataSet(NamedTuple):
    """Images that weights are trained on."""

    title: str
    images: int | None  # about; None where its source gives no number
    source: str  # URL of what describes it
    web: bool = True  # drawn from the web, or unpublished: whether it holds a given image cannot be looked up here
    holds: tuple[str, ...] = ()  # other data sets that it includes whole
    synsets: str | None = None  # of ImageNet's subsets: timm's list of its classes


def _arxiv(number: str) -> str:
    return f"https://arxiv.org/abs/{number}"


def _hub(name: str) -> str:
    return f"https://huggingface.co/datasets/{name}"


DATA_SETS = {
    # ILSVRC 2012's training images come from ImageNet; its validation images were collected for it (section 3.1).
    "imagenet-1k": DataSet("ImageNet-1k", 1_281_167, _arxiv("1409.0575"), web=False, synsets="imagenet"),
    "imagenet-12k": DataSet("ImageNet-12k", None, _hub("timm/imagenet-12k-wds"), web=False, synsets="imagenet12k"),
    # Also called ImageNet-22k.
    "imagenet-21k": DataSet("ImageNet-21k", 14_197_122, _arxiv("1409.0575"), web=False, synsets="imagenet22k"),
    "imagenet-21k-p": DataSet(
        "ImageNet-21K-P", 12_358_688, _arxiv("2104.10972"), web=False, synsets="imagenet21k_miil"
    ),
    # Table 15: ImageNet-22k as it is; crawled images like those of other sets; duplicates of benchmarks removed.
    "lvd-142m": DataSet("LVD-142M", 142_000_000, _arxiv("2304.07193"), holds=("imagenet-21k",)),
    # Section 3.1: public posts on Instagram, and ImageNet-1k and -22k as they are.
    "lvd-1689m": DataSet("LVD-1689M", 1_689_000_000, _arxiv("2508.10104"), holds=("imagenet-1k", "imagenet-21k")),
    "sat-493m": DataSet("SAT-493M (satellite images)", 493_000_000, _arxiv("2508.10104"), web=False),
    "wit-400m": DataSet("OpenAI's unpublished 400 million images", 400_000_000, _arxiv("2103.00020")),
    "laion-400m": DataSet("LAION-400M", 400_000_000, _arxiv("2111.02114")),
    "laion-2b": DataSet("LAION-2B", 2_320_000_000, _arxiv("2210.08402")),
    "laion-aesthetics": DataSet("LAION-Aesthetics", None, "https://laion.ai/blog/laion-aesthetics/"),
    "merged-2b": DataSet("Merged-2B (LAION-2B and COYO)", 2_000_000_000, _arxiv("2303.15389")),
    "merged-30m": DataSet("Merged-30M", 30_000_000, _arxiv("2211.07636"), holds=("imagenet-21k",)),
    "merged-38m": DataSet("Merged-38M", 38_000_000, _arxiv("2303.11331"), holds=("imagenet-21k",)),
    "beit3": DataSet("BEiT-3's images", 35_000_000, _arxiv("2208.10442"), holds=("imagenet-21k",)),
    "datacomp-1b": DataSet("DataComp-1B", 1_400_000_000, _arxiv("2304.14108")),
    "dfn-2b": DataSet("DFN-2B", 2_000_000_000, _arxiv("2309.17425")),
    "dfn-5b": DataSet("DFN-5B", 5_000_000_000, _arxiv("2309.17425")),
    "dfndr-2b": DataSet("DFNDR-2B", 2_000_000_000, _arxiv("2508.20691")),
    "metaclip": DataSet("MetaCLIP's images of Common Crawl", None, _arxiv("2309.16671")),
    "metaclip2": DataSet("MetaCLIP 2's images of the web", None, _arxiv("2507.22062")),
    "webli": DataSet("WebLI", 10_000_000_000, _arxiv("2209.06794")),
    "yfcc100m": DataSet("YFCC100M", 100_000_000, _arxiv("1503.01817")),
    "yfcc15m": DataSet("YFCC15M", 15_000_000, _arxiv("2103.00020")),
    "cc12m": DataSet("CC12M", 12_000_000, _arxiv("2102.08981")),
    "ig-1b": DataSet("Instagram images with hashtags", 940_000_000, _arxiv("1805.00932")),
    "ig-3.6b": DataSet("Instagram images with hashtags", 3_600_000_000, _arxiv("2201.08371")),
    "ig-random-1b": DataSet("random Instagram images", 1_000_000_000, _arxiv("2103.01988")),
    "jft-300m": DataSet("JFT-300M", 300_000_000, _arxiv("1707.02968")),
    # Begun from MAE's weights; the photographs are licensed from their provider.
    "sa-1b": DataSet("SA-1B", 11_000_000, _arxiv("2304.02643"), web=False, holds=("imagenet-1k",)),
    "sa-v": DataSet("SA-1B and SA-V", None, _arxiv("2408.00714"), web=False, holds=("imagenet-1k",)),
    "unpublished": DataSet("unpublished data", None, "https://github.com/huggingface/pytorch-image-models"),
}

# Of a timm name: what stands for data without class labels (captions and hashtags are none) -> the data set. All that
# match count. What matches is left out where classes are looked for.
WITHOUT_LABELS = (
    (r"\.(fb_)?dino$", "imagenet-1k"),  # arXiv 2104.14294
    (r"\.(fc)?mae(_in1k(?=_ft))?(?=$|_ft)", "imagenet-1k"),  # 2111.06377, 2301.00808, 2306.00989
    (r"\.in1k_ijepa$", "imagenet-1k"),  # 2301.08243
    (r"\.in22k_ijepa$", "imagenet-21k"),
    (r"\.mim_in22k", "imagenet-21k"),  # 2303.11331
    (r"^eva_large_.*\.in22k", "imagenet-21k"),  # 2211.07636
    (r"^beit_.*\.in22k", "imagenet-21k"),  # 2106.08254
    (r"^beitv2_.*\.in1k", "imagenet-1k"),  # 2208.06366
    (r"^beit3_.*\.(indomain_)?(pt)?", "beit3"),
    (r"[._]mim_m38m", "merged-38m"),
    (r"\.m30m", "merged-30m"),
    (r"[._]lvd142m", "lvd-142m"),
    (r"[._]lvd1689m", "lvd-1689m"),
    (r"[._]sat493m", "sat-493m"),
    (r"\.openai", "wit-400m"),
    (r"^eva02_(base|large)_patch\d+_clip_|^eva_giant_patch\d+_clip_", "imagenet-21k"),  # begun from EVA: 2303.15389
    (r"[._]laion2b(_plus)?", "laion-2b"),
    (r"[._]laion400m", "laion-400m"),
    (r"^eva_giant_.*\.clip", "laion-400m"),
    (r"[._]laiona(?=_|$)", "laion-aesthetics"),
    (r"[._]merged2b", "merged-2b"),
    (r"[._]datacomp(1b|xl)", "datacomp-1b"),
    (r"\.apple_mclip(_lt)?$", "datacomp-1b"),  # 2311.17049
    (r"[._]dfn2b", "dfn-2b"),
    (r"[._]dfn5b", "dfn-5b"),
    (r"[._]dfndr2b", "dfndr-2b"),
    (r"[._]metaclip_\w+", "metaclip"),
    (r"[._]metaclip2_\w+", "metaclip2"),
    (r"[._]webli(_i18n)?", "webli"),
    (r"[._]yfcc15m", "yfcc15m"),
    (r"\.cc12m", "cc12m"),
    (r"[._]ssl_yfcc100m", "yfcc100m"),  # 1905.00546
    (r"[._]s?wsl_ig1b", "ig-1b"),
    (r"\.swag(_ft|_lc)", "ig-3.6b"),
    (r"\.seer", "ig-random-1b"),
    (r"\.ns_jft", "jft-300m"),  # 1911.04252
    (r"\.bd_ssld_6m", "unpublished"),
    (r"[._]ssld(_stage1_in22k|_stage2_ft)?(?=_)", "imagenet-21k"),  # 2103.05959
    (r"\.sa1b$", "sa-1b"),
    (r"^sam2_", "sa-v"),
)
_CLASSES = {"in1k": "imagenet-1k", "in12k": "imagenet-12k", "in21k": "imagenet-21k", "in22k": "imagenet-21k"}


class Seen(NamedTuple):
    """Data sets that weights were trained on, keys of DATA_SETS or names of the user's; None instead: unknown."""

    labelled: tuple[str, ...] = ()
    unlabelled: tuple[str, ...] = ()
    other_images: tuple[str, ...] = ()  # datasets of the user's whose test images were kept out

    @property
    def names(self) -> tuple[str, ...]:
        return self.unlabelled + self.labelled + self.other_images


def title(name: str) -> str:
    return DATA_SETS[name].title if name in DATA_SETS else name


def of_timm(name: str) -> Seen | None:
    """What weights have seen, by a timm name: ``[timm/]architecture.tag``. None where the tag does not say."""
    rest, unlabelled = name.rpartition("/")[2], []
    for pattern, data_set in WITHOUT_LABELS:
        if re.search(pattern, rest):
            unlabelled.append(data_set)
            rest = re.sub(pattern, ".", rest, count=1)
    tag = rest.partition(".")[2]
    words = re.split(r"[._]", tag.replace("inw21k", "in21k"))
    labelled = [_CLASSES[word] for word in words if word in _CLASSES]
    if "miil" in name:
        labelled = ["imagenet-21k-p" if found == "imagenet-21k" else found for found in labelled]
    before = re.match(r"(.+)_ft_", tag)
    if before and not unlabelled and not any(word in _CLASSES for word in before[1].split("_")):
        unlabelled.append("unpublished")  # fine-tuned, from what the tag does not say
    return Seen(tuple(dict.fromkeys(labelled)), tuple(unlabelled)) if labelled or unlabelled else None


def declared(lines: Iterable[str] | None, datasets: Iterable[str] = ()) -> Seen | None:
    """The same, as ``weights: {name: {seen: [imagenet-1k with labels, parts without labels]}}`` declares it.

    A data set is a key of DATA_SETS, one of the config's ``datasets``, or a name of which nothing is known here.
    ``parts train without labels`` says that the test images of parts were kept out. ``[]`` is nothing at all, None is
    unknown. Raises ValueError where a line cannot be read, or a name is nearly one that is known.
    """
    if lines is None:
        return None
    known = {name.lower(): name for name in (*DATA_SETS, *datasets)}
    seen: dict[str, list[str]] = {"with": [], "without": [], "train": []}
    for line in lines:
        found = re.fullmatch(r"(\S+)( train)? (with|without) labels", str(line).strip().lower())
        if not found:
            raise ValueError(
                f"{str(line)!r} does not say what was seen; write e.g. 'imagenet-1k with labels', 'parts without "
                "labels', or 'parts train without labels' where the test images were kept out"
            )
        name = found[1].replace("imagenet-22k", "imagenet-21k")
        if name not in known and (
            guess := registry.nearest(name, list(DATA_SETS)) or registry.nearest(name, list(known))
        ):
            raise ValueError(f"{str(line)!r}: no data set is called {name!r}.{guess}")
        seen["train" if found[2] and name not in DATA_SETS else found[3]].append(known.get(name, name))
    return Seen(tuple(seen["with"]), tuple(seen["without"]), tuple(seen["train"]))


def lines(seen: Seen | None) -> list[str] | None:
    """What a tag says, as ``seen:`` has it, and an export's config.json."""
    if seen is None:
        return None
    return [f"{name} without labels" for name in seen.unlabelled] + [f"{name} with labels" for name in seen.labelled]


def of_row(weights: Mapping[str, Any], asked: Mapping[str, Any], said: list[str] | None = None) -> Seen | None:
    """What the weights of a pretrained row have seen: as the config declares, as they say themselves, or by their tag.

    Args:
        weights: of its run.json. ``seen`` is there where an export of this project says what it was trained on.
        asked: its entry under ``weights:``, as its settings have it (``method.options``).
        said: the entry's ``seen:``, validated.

    None, unknown, where an export's lines cannot be read.
    """
    stated = weights.get("seen") if said is None else said
    if stated is None:
        return of_timm(timm_name(asked))
    with contextlib.suppress(ValueError):
        return declared(stated, [str(line).partition(" ")[0] for line in stated])
    return None


def held_to(
    known: Seen | None, weights: Mapping[str, Any], called: Iterable[str], split_sha256: str | None
) -> Seen | None:
    """What an export of this project has ``known`` to be seen, by the split that its row is judged on.

    Equal splits keep the same test images out, whatever the dataset is ``called``. Another split under one of these
    names may have trained on them, and another's images may be called so: unknown.
    """
    own, called = weights.get("split_sha256"), tuple(called)
    if known is None or own is None or split_sha256 is None:
        return known
    if own == split_sha256:
        return known._replace(other_images=tuple(dict.fromkeys((*known.other_images, *called))))
    return None if set(called) & set(known.names) else known


def timm_name(asked: Mapping[str, Any]) -> str:
    """What timm calls the weights of an entry under ``weights:``; "" where they are not timm's."""
    owner, _, name = asked.get("hub", "").partition("/")
    return asked.get("timm") or (name if owner == "timm" else "")


def described(seen: Seen | None) -> str:
    """What was seen in a few words, e.g. ``ImageNet-21k without labels, ImageNet-1k with labels``."""
    if seen is None:
        return "unknown"
    parts = [
        f"{title(name)} {how}"
        for names, how in (
            (seen.unlabelled, "without labels"),
            (seen.labelled, "with labels"),
            (seen.other_images, "(training images)"),
        )
        for name in names
    ]
    return ", ".join(parts) or "nothing"
