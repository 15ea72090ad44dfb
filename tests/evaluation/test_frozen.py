"""A pretrained backbone's row: images seen as its weights were made for, features as timm's own network gives them."""

import json
import resource
import signal
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import timm
import torch
from PIL import Image
from torch import nn

from sslbench.config.weights import Weights
from sslbench.data.pack.read import PackedSet, Pictures
from sslbench.errors import UserError
from sslbench.evaluation import frozen
from sslbench.evaluation.embed import embed
from sslbench.evaluation.evaluate import evaluate
from sslbench.evaluation.features import read, write
from sslbench.evaluation.label_free import labelfree
from sslbench.evaluation.weights import fetch
from sslbench.export.export import timm_config
from sslbench.nn import pooling
from sslbench.nn.backbone import Backbone
from sslbench.store.canonical_json import document
from sslbench.training.device import computing
from tests import killed
from tests.evaluation.test_embed import EVALUATION

SIZE = 32
FILES = ("backbone", "run", "curve", "ledger", "labelfree", "train", "test")
LABELFREE = {"dataset": {"split": "official"}, "transform": [[], []], "resize_ratio": 1.0, "pictures": 500, "views": 10}


@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
def test_images_are_seen_as_timms_own_transform_makes_them(interpolation):
    random = np.random.default_rng(0)
    pixels = [random.integers(0, 255, (side, side, 3), np.uint8) for side in (48, 60, 32)]
    told = {"input_size": SIZE, "mean": [0.5, 0.4, 0.3], "std": [0.2, 0.3, 0.4], "interpolation": interpolation}
    published = {**told, "input_size": (3, SIZE, SIZE), "crop_pct": 1.0}
    transform = timm.data.create_transform(**published)
    expected = torch.stack([transform(Image.fromarray(one)) for one in pixels])
    with computing("cpu", 1, frozen.EXACT) as place:
        seen = frozen.Seen(nn.Identity(), told | {"features": 1}, 1.0, place)
        images = seen.images(Pictures.from_list([torch.from_numpy(one).permute(2, 0, 1) for one in pixels]))
    levels = (images - expected).abs().amax((0, 2, 3)) * torch.tensor(told["std"]) * 255
    assert levels.max() < 1.01  # both round to whole levels, in another order


def dinov3_like() -> nn.Module:
    """Registers, a class token, and the mean of the others by timm's choice."""
    options = {"embed_dim": 16, "depth": 1, "num_heads": 2, "num_reg_tokens": 4, "global_pool": "avg"}
    return timm.models.Eva(img_size=SIZE, patch_size=8, num_classes=0, use_fc_norm=False, **options)


@pytest.mark.parametrize(
    ("network", "names"),
    [
        ("test_vit", ["class token", "mean of patch tokens"]),
        ("test_vit2", ["mean of patch tokens"]),
        ("test_vit3", ["attention pool", "mean of patch tokens"]),
        (dinov3_like, ["mean of patch tokens", "class token"]),
        ("test_resnet", ["pooled"]),
    ],
)
def test_pools_are_timms_own_and_of_a_network_of_tokens_the_others_too(network, names):
    torch.manual_seed(0)
    model = network() if callable(network) else timm.create_model(network, num_classes=0)
    images = torch.randn(2, 3, *((hasattr(model, "patch_embed") and model.patch_embed.img_size) or (SIZE, SIZE)))
    with torch.no_grad():
        found = pooling.features(model.eval(), images).chunk(len(names), 1)
        torch.testing.assert_close(found[0], model(images))
        if len(names) == 2:
            pool = {"class token": "token", "mean of patch tokens": "avg"}[names[1]]
            tokens, prefix = model.forward_features(images), model.num_prefix_tokens
            other = timm.layers.global_pool_nlc(tokens, pool, num_prefix_tokens=prefix)  # timm's own
            torch.testing.assert_close(found[1], other)
    assert pooling.pools(model) == names


@pytest.fixture(scope="module")
def exported(tmp_path_factory) -> Path:
    """A folder as the export of a cell on test_resnet leaves it."""
    folder = tmp_path_factory.mktemp("export")
    torch.manual_seed(0)
    backbone = Backbone("test_resnet", {"output_stride": 16}, SIZE)
    config = timm_config(backbone, 1.0, {"digest": "d", "code": "c", "data": {}})
    (folder / "config.json").write_bytes(document(config))
    safetensors.torch.save_file(backbone.timm_state(), folder / "model.safetensors")
    return folder


def row(entry: Weights, pack: Path, folder: Path) -> dict[str, Path]:
    """The files of one row of ``entry`` on a pack, below ``folder``."""
    told = fetch("mine", entry, folder, log=lambda line: None)
    settings = {
        "cell": {"dataset": {"split": "official"}, "train": {"epochs": 0}},
        "evaluated": {"split": "official"},
        "resize_ratio": 1.0,
        "linear": EVALUATION["linear"],
        "labelfree": LABELFREE | {"input_size": told["input_size"]},
    }
    settings["cell"]["method"] = {"name": "pretrained", "options": entry.asked}
    outputs = {name: folder / "row" / f"{name}.json" for name in FILES}
    outputs |= {"backbone": folder / "row" / "backbone.safetensors"}
    weights = folder / "weights" / "mine" / "weights.json"
    packs = {"own": pack, "evaluated": pack}
    frozen.frozen(settings, "code", weights, packs, outputs, "cpu", 1, log=lambda line: None)
    return outputs


def test_an_own_export_is_judged_by_the_very_features_of_its_cell(exported, small_pack, tmp_path):
    outputs = row(Weights(path=exported), small_pack, tmp_path)
    assert outputs["backbone"].read_bytes() == (tmp_path / "weights" / "mine" / "backbone.safetensors").read_bytes()
    settings = {
        "backbone": {"name": "test_resnet", "options": {"output_stride": 16}},
        "input_size": SIZE,
        "dataset": {"split": "official"},
    }
    weights = exported / "model.safetensors"
    parts = {part: tmp_path / f"{part}.safetensors" for part in ("train", "test")}
    embed(settings, EVALUATION, weights, small_pack, parts, "cpu", 1, log=lambda line: None)
    for part, file in parts.items():
        assert torch.equal(read(outputs[part]).features, read(file).features)
        assert torch.equal(read(outputs[part]).indices, read(file).indices)
    labelfree(
        settings | LABELFREE,
        weights,
        outputs["run"],
        small_pack,
        tmp_path / "free.json",
        "cpu",
        1,
        log=lambda line: None,
    )
    expected, found = (json.loads(file.read_text()) for file in (tmp_path / "free.json", outputs["labelfree"]))
    same = ("rankme", "alpha", "lidar", "n", "features", "health")
    assert {key: found[key] for key in same} == {key: expected[key] for key in same} and found["rankme"] > 1


@pytest.fixture(scope="module")
def tokens(tmp_path_factory) -> Weights:
    """A random test_vit's weights with its classifier, as the file of a tag of timm's."""
    torch.manual_seed(0)
    file = tmp_path_factory.mktemp("vit") / "vit.safetensors"
    safetensors.torch.save_file(timm.create_model("test_vit").state_dict(), file)
    return Weights(timm="test_vit.r160_in1k", path=file, input_size=SIZE)


def test_the_features_of_a_network_of_tokens_are_chosen_on_the_probes_held_out_images(tokens, small_pack, tmp_path):
    outputs = row(tokens, small_pack, tmp_path)
    chosen = json.loads(outputs["run"].read_text())["pooling"]
    assert set(chosen["tried"]) == {"class token", "mean of patch tokens", "class token and mean of patch tokens"}
    assert chosen["tried"][chosen["chosen"]] == max(chosen["tried"].values())
    for part in ("train", "test"):
        found = read(outputs[part])
        assert found.origin["pooling"] == chosen["chosen"]
        write(tmp_path / part, found)
        assert (tmp_path / part).read_bytes() == outputs[part].read_bytes()  # as every other row's features are written
    judged = {name: tmp_path / f"{name}.json" for name in ("linear", "predictions", "knn", "health")}
    parts = {part: outputs[part] for part in ("train", "test")}
    evaluate(parts, outputs["run"], outputs["curve"], EVALUATION, judged, 1, log=lambda line: None)
    linear = json.loads(judged["linear"].read_text())
    assert linear["holdout_top1"] == chosen["tried"][chosen["chosen"]] and 0 <= linear["top1"] <= 1
    timms = timm.create_model("test_vit", num_classes=0, img_size=SIZE, dynamic_img_size=True)
    loaded = safetensors.torch.load_file(outputs["backbone"])
    assert loaded["pos_embed"].shape == timms.pos_embed.shape  # of 160 px, resampled
    timms.load_state_dict(loaded)


@pytest.fixture(scope="module")
def undisturbed(tokens, small_pack, tmp_path_factory) -> dict[str, bytes]:
    """The bytes of a row's files by name, but its ledger's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(frozen, "BATCH", 16)
        made = row(tokens, small_pack, tmp_path_factory.mktemp("whole"))
    return {name: file.read_bytes() for name, file in made.items() if name != "ledger"}


@pytest.mark.parametrize(
    ("moment", "left"),  # of blocks of 16, 16, 16 and 6 training images, and 6 of the test
    [("before the third block", [16, 6, 6]), ("while the second is written", [16, 16, 6, 6]), ("after the last", [])],
)
def test_an_embedding_that_is_killed_goes_on_and_ends_in_the_same_bytes(
    undisturbed, tokens, small_pack, tmp_path, monkeypatch, moment, left
):
    monkeypatch.setattr(frozen, "BATCH", 16)
    real, blocks = pooling.features, []

    def noted(model, images):
        blocks.append(len(images))
        return real(model, images)

    def dies(model, images):
        if moment == "before the third block" and len(blocks) == 2:
            killed.now()
        if moment == "while the second is written":
            signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            resource.setrlimit(resource.RLIMIT_FSIZE, (16 * 128 * 4 * 3 // 2,) * 2)  # a block and a half
        return noted(model, images)

    def work() -> None:
        pooling.features = dies
        if moment == "after the last":
            frozen._chosen = killed.now
        row(tokens, small_pack, tmp_path)

    assert killed.ended(killed.start(work)) == (signal.SIGXFSZ if "written" in moment else signal.SIGKILL)
    kept = {file: file.stat().st_size for file in (tmp_path / "row").rglob(".features-*/*")}
    assert sum(kept.values()) == {"b": 32, "w": 24, "a": 60}[moment[0]] * 128 * 4
    monkeypatch.setattr(pooling, "features", noted)
    resumed = row(tokens, small_pack, tmp_path)
    assert blocks == left
    assert {name: resumed[name].read_bytes() for name in undisturbed} == undisturbed
    assert not list((tmp_path / "row").glob(".features-*"))


class Pixels(nn.Module):
    """Features as wide as the image, which notes at each block what the process holds that is in no file, in bytes."""

    def __init__(self) -> None:
        super().__init__()
        self.held: list[int] = []

    def forward_features(self, images: torch.Tensor) -> torch.Tensor:
        status = Path("/proc/self/status").read_text()
        self.held.append(1024 * int(status.partition("RssAnon:")[2].split()[0]))
        return images

    def forward_head(self, found: torch.Tensor, pre_logits: bool) -> torch.Tensor:
        return found.flatten(1)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
def test_memory_is_bounded_by_the_block_and_not_by_the_images(small_pack, tmp_path):
    packed, width = PackedSet.open(small_pack), 3 * SIZE * SIZE
    told = {"input_size": SIZE, "mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bilinear", "features": width}
    grown = {}
    with computing("cpu", 1, frozen.EXACT) as place:
        for blocks in (4, 32):
            rows = np.arange(blocks * frozen.BATCH) % len(packed)
            model = Pixels()
            found = frozen.Seen(model, told, 1.0, place).embed(packed, rows, tmp_path / f"{blocks}")
            assert len(model.held) == blocks and found.shape == (len(rows), width)
            grown[blocks] = max(model.held) - model.held[2]  # after which the allocator has what it needs
    block = frozen.BATCH * width * 4
    assert grown[32] - grown[4] < 14 * block  # half of what 28 blocks more hold, once; the allocator keeps some


def test_weights_that_were_edited_or_fetched_for_another_entry_are_not_embedded(exported, small_pack, tmp_path):
    row(Weights(path=exported), small_pack, tmp_path)
    file = tmp_path / "weights" / "mine" / "backbone.safetensors"

    def embedded(**options: object) -> None:
        cell = {"dataset": {"split": "official"}, "method": {"options": options}}
        frozen.frozen({"cell": cell}, "code", file.with_name("weights.json"), {}, {}, "cpu", 1, log=lambda line: None)

    with pytest.raises(UserError, match="mine was fetched for another entry than today's; delete that folder"):
        embedded(input_size=48)
    file.unlink()
    file.write_bytes(b"other")
    with pytest.raises(UserError, match="its weights are not what was fetched"):
        embedded()
    assert not file.exists()
