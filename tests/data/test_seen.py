"""What weights have seen, and their licence, against timm's own records and the names in ImageNette's archive."""

import tarfile
from collections.abc import Iterator
from importlib.metadata import version
from itertools import chain
from typing import Any

import pytest

from sslbench.data import pretraining_data, seen, weights_licence
from sslbench.data.pretraining_data import DATA_SETS, Seen, declared, described, of_timm
from sslbench.data.seen import Level, judge
from sslbench.data.sources.torchvision_files import SETS
from sslbench.data.weights_licence import Use
from tests.data.data_samples import real

TRAIN, VAL = "n01440764_10026.JPEG", "ILSVRC2012_val_00000293.JPEG"


@pytest.fixture(scope="module")
def published() -> dict[str, Any]:
    """timm's record of every set of weights that it has, by name."""
    import timm

    return {name: timm.models.get_pretrained_cfg(name) for name in timm.list_pretrained()}


@pytest.fixture(scope="module")
def imagenette() -> list[str]:
    with tarfile.open(real("imagenette2-160.tgz")) as archive:
        return [member.name for member in archive if member.isfile() and member.name.endswith(".JPEG")]


def test_a_network_of_imagenet_has_seen_all_of_imagenettes_test_images_but_134(imagenette: list[str]) -> None:
    test = [name for name in imagenette if "/val/" in name]
    found = judge(of_timm("resnet50.a1_in1k"), {"imagenette"}, test)
    assert found.images == {Level.WITH_LABELS: 3_791, Level.SAME_SOURCE: 134} and found.level is Level.WITH_LABELS
    assert found.explanation == "3,791 of 3,925 test images are in ImageNet-1k, seen with labels."
    assert not found.ranked and not found.upper_bound
    unlabelled = judge(of_timm("vit_small_patch14_dinov2.lvd142m"), {"imagenette"}, test)
    assert unlabelled.images == {Level.UNLABELLED: 3_791, Level.SAME_SOURCE: 134} and not unlabelled.ranked
    assert unlabelled.explanation == "3,791 of 3,925 test images are in LVD-142M, seen without labels."


def test_it_has_seen_none_of_version_1s_500_and_is_an_upper_bound(imagenette: list[str]) -> None:
    test = [name for name in imagenette if "ILSVRC2012_val_" in name]  # how version 1 chose them
    found = judge(of_timm("resnet50.a1_in1k"), {"imagenette"}, test)
    assert found.images == {Level.SAME_SOURCE: 500} and found.ranked and found.upper_bound
    assert found.consequence.startswith("An upper bound")


@pytest.mark.parametrize(
    ("weights", "dataset", "image", "level"),
    [
        ("convnext_tiny.fb_in22k_ft_in1k", "imagewoof", TRAIN, Level.WITH_LABELS),
        ("convnext_tiny.fb_in22k", "imagewoof", "n02089973_1.JPEG", Level.WITH_LABELS),
        ("mixer_b16_224.miil_in21k", "imagewoof", "n02089973_1.JPEG", Level.NOTHING_KNOWN),  # too small for 21K-P
        ("resnet50.a1_in1k", "folder", TRAIN, Level.WITH_LABELS),  # whoever made the folder, the image is ImageNet's
        ("resnet50.a1_in1k", "folder", "n02084071_1.JPEG", Level.NOTHING_KNOWN),  # dog: not of the thousand classes
        ("convnext_tiny.fb_in22k", "folder", "n02084071_1.JPEG", Level.WITH_LABELS),
        ("vit_base_patch16_224.mae", "imagenet", TRAIN, Level.UNLABELLED),
        ("vit_base_patch16_224.mae", "imagenet", VAL, Level.SAME_SOURCE),
        ("vit_small_patch16_dinov3.lvd1689m", "imagenette", TRAIN, Level.UNLABELLED),
        ("vit_small_patch16_dinov3.lvd1689m", "folder", "cat.jpg", Level.UNKNOWN),
        ("vit_base_patch16_clip_224.openai", "imagenette", TRAIN, Level.UNKNOWN),
        ("vit_base_patch16_clip_224.openai_ft_in1k", "imagenette", TRAIN, Level.WITH_LABELS),
        ("vit_base_patch16_siglip_224.webli", "nabirds", "images/0295/00a1.jpg", Level.UNKNOWN),
        ("resnet50.a1_in1k", "nabirds", "images/0295/00a1.jpg", Level.NOTHING_KNOWN),
        ("resnet50.a1_in1k", "STL10", "test/00001.ppm", Level.SAME_SOURCE),
        ("convnext_tiny.fb_in22k", "STL10", "test/00001.ppm", Level.WITH_LABELS),
        ("vit_small_patch14_dinov2.lvd142m", "STL10", "test/00001.ppm", Level.UNLABELLED),
        ("vit_small_patch14_dinov2.lvd142m", "Food101", "1.jpg", Level.SAME_SOURCE),
        ("vit_small_patch14_dinov2.lvd142m", "table", "1.jpg", Level.UNKNOWN),
        ("vit_base_patch16_clip_224.openai", "shapes", "1.png", Level.NOTHING_KNOWN),
        ("vit_pe_core_base_patch16_224.fb", "folder", "1.jpg", Level.UNKNOWN),
        ("vit_pe_core_base_patch16_224.fb", "shapes", "1.png", Level.NOTHING_KNOWN),
        ("timm/beit_base_patch16_224.in22k_ft_in22k", "imagenette", TRAIN, Level.WITH_LABELS),
        ("somewhat.new", "imagenette", TRAIN, Level.UNKNOWN),
        ("somewhat.huge_ft_in1k", "folder", "1.jpg", Level.UNKNOWN),
    ],
)
def test_levels(weights: str, dataset: str, image: str, level: Level) -> None:
    found = judge(of_timm(weights), {dataset}, [f"val/some/{image}"], drawn=dataset == "shapes")
    assert found.level is level and found.images == {level: 1}
    assert found.explanation.endswith(".") and found.ranked == (level > 2)
    assert set(seen.CONSEQUENCES) == set(Level)


def test_a_classifier_was_trained_last_on_the_data_set_that_has_its_number_of_classes(published: dict) -> None:
    """timm's record of the head is independent of the tag."""
    sizes = {1000: "imagenet-1k", 11_821: "imagenet-12k", 11_221: "imagenet-21k-p"}
    sizes |= dict.fromkeys((19_168, 21_841, 21_842, 21_843), "imagenet-21k")
    last = {name: found.labelled[-1:] for name in published if (found := of_timm(name))}
    wrong = {
        name: (record.num_classes, last.get(name))
        for name, record in published.items()
        if last.get(name, ()) != ((sizes[record.num_classes],) if record.num_classes in sizes else ())
        and (record.num_classes or not last.get(name))  # 0: its head was left out
    }
    assert sorted(wrong) == ["resmlp_12_224.fb_dino", "resmlp_24_224.fb_dino"]  # DINO has no labels: a head of no use


def test_timms_lists_of_classes_have_the_published_lengths() -> None:
    found = {name: len(seen._classes(data.synsets)) for name, data in DATA_SETS.items() if data.synsets}
    assert found == {"imagenet-1k": 1000, "imagenet-12k": 11_821, "imagenet-21k": 21_841, "imagenet-21k-p": 11_221}


def test_the_licence_by_a_name_is_that_of_timms_record_or_unknown(published: dict) -> None:
    pairs = {
        name: (weights_licence.of(None, name).use, weights_licence.of(record.license or "unknown").use)
        for name, record in published.items()
    }
    assert {name: pair for name, pair in pairs.items() if pair[0] not in (Use.UNKNOWN, pair[1])} == {}
    undecided = [
        name for name, (by_name, by_timm) in pairs.items() if by_name is Use.UNKNOWN and by_timm is not by_name
    ]
    assert all(of_timm(name) is None for name in undecided) and len(undecided) < 100, version("timm")


@pytest.mark.parametrize(
    ("licence", "name", "note"),
    [
        (None, "vit_base_patch16_224.mae", "CC BY-NC 4.0 forbids commercial use."),
        (None, "resnet50.a1_in1k", "Apache-2.0, MIT or BSD is permissive: keep its notice."),
        ("dinov3-license", "", "DINOv3 License sets conditions of its own; read it before use."),
        ("a-new-one", "", "a-new-one: read the model card before use."),
        (None, "", "Licence unknown: read the model card before use."),
    ],
)
def test_the_note_on_a_licence(licence: str | None, name: str, note: str) -> None:
    assert weights_licence.of(licence, name).note == note


def test_what_a_config_declares_is_judged_as_a_tag_is() -> None:
    assert declared(["imagenet-22k without labels", "ImageNet-1k with labels"]) == Seen(
        ("imagenet-1k",), ("imagenet-21k",)
    )
    assert described(of_timm("beit_base_patch16_224.in22k_ft_in22k_in1k")) == (
        "ImageNet-21k without labels, ImageNet-21k with labels, ImageNet-1k with labels"
    )
    own = declared(["Parts without labels"], ["Parts"])
    assert judge(own, {"folder", "Parts"}, ["a.jpg", "b.jpg"]).images == {Level.UNLABELLED: 2}
    assert judge(own, {"folder", "others"}, ["a.jpg"]).level is Level.NOTHING_KNOWN
    kept_out = declared(["Parts train without labels"], ["Parts"])
    assert judge(kept_out, {"folder", "Parts"}, ["a.jpg"]).level is Level.SAME_SOURCE
    assert judge(declared([]), {"folder"}, ["a.jpg"]).level is Level.NOTHING_KNOWN
    assert judge(declared(None), {"folder"}, ["a.jpg"]).level is Level.UNKNOWN


def test_an_exports_word_is_held_to_the_split_that_it_was_trained_on() -> None:
    """Under one name: its own split keeps the test images out, another may not; equal splits do under any name."""
    known, export = declared(["mine train without labels"], ["mine"]), {"split_sha256": "a"}
    for called, split, level in (
        ("mine", "a", Level.SAME_SOURCE),
        ("mine", "b", Level.UNKNOWN),
        ("parts", "a", Level.SAME_SOURCE),
        ("parts", "b", Level.NOTHING_KNOWN),
        ("mine", None, Level.SAME_SOURCE),
    ):
        assert judge(pretraining_data.held_to(known, export, [called], split), [called], ["a"]).level is level
    assert pretraining_data.held_to(None, export, ["mine"], "a") is None


def test_of_a_row_the_config_has_the_first_word_then_an_export_then_the_tag() -> None:
    tag, export = {"timm": "resnet50.a1_in1k"}, {"seen": ["shapez train without labels"]}
    of_row = pretraining_data.of_row
    assert of_row({}, tag) == of_row({}, {"hub": "timm/resnet50.a1_in1k"}) == of_timm("resnet50.a1_in1k")
    assert of_row({}, {"hub": "me/resnet50.a1_in1k"}) is of_row({}, {}) is None
    assert of_row(export, tag) == Seen(other_images=("shapez",))
    assert of_row(export, tag, []) == Seen()
    both = of_timm("beit_base_patch16_224.in22k_ft_in22k")
    assert declared(pretraining_data.lines(both)) == both


@pytest.mark.parametrize(
    ("line", "says"),
    [("imagenet-1k", "write e.g."), ("imagnet-1k with labels", "Did you mean 'imagenet-1k'?"), (3, "write e.g.")],
)
def test_a_line_that_cannot_be_read_is_refused(line: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        declared([line])


def test_the_tables_name_only_what_exists() -> None:
    def used() -> Iterator[str]:
        yield from chain.from_iterable(data.holds for data in DATA_SETS.values())
        yield from chain.from_iterable([*seen._SAME_SOURCE.values(), *seen._INCLUDED_IN.values()])
        yield from (data_set for _, data_set in pretraining_data.WITHOUT_LABELS)

    assert set(used()) <= set(DATA_SETS)
    assert {name for name in {**seen._SAME_SOURCE, **seen._INCLUDED_IN} if name[0].isupper()} <= set(SETS)


def test_every_rule_on_tags_matches_weights_that_timm_has(published: dict) -> None:
    used = {data_set for name in published if (found := of_timm(name)) for data_set in found.names}
    assert used == set(DATA_SETS)
