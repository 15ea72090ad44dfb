"""The export of a pretrained row: the features that were judged, and a card that says whose weights they are."""

import json
import re
from pathlib import Path

import pytest
import safetensors.torch
import timm
import torch
import yaml

from sslbench.config.weights import Weights
from sslbench.data import weights_licence
from sslbench.data.pack.read import PackedSet
from sslbench.data.seen import judge
from sslbench.evaluation import frozen
from sslbench.evaluation.features import read
from sslbench.evaluation.weights import fetch
from sslbench.export import reference_card
from sslbench.export.export import export, expression
from sslbench.nn import pooling
from sslbench.training.device import computing
from tests.data.data_samples import picture, save
from tests.evaluation.test_frozen import dinov3_like, row
from tests.export.exported_cells import NAMES, OUTPUTS, make_cell
from tests.training.conftest import small_pack  # noqa: F401 - a fixture

BOTH = "class token and mean of patch tokens"
TAG = "test_vit.r160_in1k"


@pytest.mark.parametrize("network", ["test_vit", "test_vit2", "test_vit3", dinov3_like, "test_resnet", "fc_norm"])
def test_the_cards_python_gives_each_of_the_features_that_may_be_judged(network) -> None:
    torch.manual_seed(0)
    own = {"global_pool": "avg", "fc_norm": True} if network == "fc_norm" else {}
    name = "test_vit" if own else network
    model = (name() if callable(name) else timm.create_model(name, num_classes=0, **own)).eval()
    side = model.patch_embed.img_size[0] if hasattr(model, "patch_embed") else 64
    with torch.no_grad():
        for norm in ("fc_norm", "norm"):  # weights other than 1 and 0, or one that is left out would not show
            if isinstance(getattr(model, norm, None), torch.nn.LayerNorm):
                getattr(model, norm).weight.uniform_(0.5, 2)
        images = torch.randn(2, 3, side, side)
        tokens, found = model.forward_features(images), pooling.features(model, images)
        for pool, columns in pooling.columns(model, model.num_features).items():
            code = expression(model, pool) or "model(images)"
            torch.testing.assert_close(eval(code, {**globals(), **locals()}), found[:, columns])


def about(out: Path, **changes: object) -> dict:
    return {"dataset": "parts", "evaluated_on": "parts", "model": "pretrained-mine", "transform": "none", "seed": 0,
            "title": "mine, frozen", "paper": "none", "family": "reference", "folder": str(out), "collapsed": False,
            "exclude_test": False, "command": "snakemake", "trained_on": ["parts train"], "called": ["parts"],
            "split": "official", "drawn": False, "weights": "mine", "seen": None} | changes  # fmt: skip


@pytest.fixture(scope="module")
def judged(small_pack, tmp_path_factory) -> tuple[dict[str, Path], Path]:  # noqa: F811
    """A row's files by name, judged by both of its features, of weights that are called timm's ``TAG``."""
    base = tmp_path_factory.mktemp("reference")
    torch.manual_seed(0)
    safetensors.torch.save_file(timm.create_model("test_vit").state_dict(), base / "vit.safetensors")
    entry = Weights(timm=TAG, path=base / "vit.safetensors", input_size=32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(frozen, "_chosen", lambda *_: (BOTH, {BOTH: 0.5}))
        made = row(entry, small_pack, base)
    figures = make_cell(base / "figures")
    files = {name: figures / NAMES[name] for name in ("linear", "knn", "health")}
    files |= {name: made[name] for name in ("backbone", "run", "ledger")} | {"manifest": small_pack / "manifest.json"}
    return files, made["test"]


def test_an_export_gives_in_timm_and_in_onnx_the_features_that_were_judged(
    judged,
    small_pack,  # noqa: F811
    tmp_path,
    monkeypatch,
) -> None:
    pytest.importorskip("onnx", reason="onnx is not installed: no ONNX file can be written")
    pytest.importorskip("onnxscript", reason="onnxscript is not installed: no ONNX file can be written")
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    files, features = judged
    out = tmp_path / "export"
    export(files, about(out), {name: out / file for name, file in OUTPUTS.items()}, log=lambda line: None)
    told, stored, packed = json.loads(files["run"].read_text())["weights"], read(features), PackedSet.open(small_pack)
    with computing("cpu", 1, frozen.EXACT) as place:
        seen = frozen.Seen(torch.nn.Identity(), told, 1.0, place)
        images = seen.images(packed.batch(stored.indices))
    session = runtime.InferenceSession(out / "model.onnx", providers=["CPUExecutionProvider"])
    found, grid = session.run(["features", "map"], {"images": images.numpy()})
    torch.testing.assert_close(torch.from_numpy(found), stored.features, rtol=1e-3, atol=1e-4)
    assert grid.shape[0] == len(images) and grid.ndim == 4

    save(tmp_path / "picture.jpg", picture(3, 60, 80))
    (code,) = re.findall(r"```python\n(.*?)```", (out / "README.md").read_text(), flags=re.S)
    monkeypatch.chdir(tmp_path)
    scope: dict = {}
    exec(code, scope)
    assert scope["features"].shape == (1, stored.features.shape[1])
    config = timm.data.resolve_model_data_config(scope["model"])
    assert all(list(config[key]) == told[key] for key in ("mean", "std"))
    assert config["interpolation"] == told["interpolation"]
    with torch.no_grad():
        tokens = scope["model"].forward_features(images)
        torch.testing.assert_close(eval(expression(scope["model"], BOTH), scope | locals()), stored.features)

    again = fetch("ours", Weights(path=out), tmp_path, log=lambda line: None)  # as weights of another config
    assert again["seen"] == ["imagenet-1k with labels"] and again["licence"] == told["licence"] == "apache-2.0"
    kept = (tmp_path / "weights" / "ours" / "backbone.safetensors").read_bytes()
    assert kept == files["backbone"].read_bytes() and again["mean"] == told["mean"]


def card(judged, verdict: object, *, tag: str = "", licence: str | None = None, asked: dict | None = None, **changes):
    """Front matter and text of a card."""
    files = {name: json.loads(path.read_text()) for name, path in judged[0].items() if name not in ("backbone", "manifest")}  # fmt: skip
    files["run"]["weights"]["licence"] = licence
    files["run"]["settings"]["method"]["options"] = asked or {}
    made = {"input_size": [3, 32, 32], "crop_pct": 1, "interpolation": "bicubic", "mean": [0.5] * 3, "std": [0.5] * 3}
    said = {"opset": 18, "features": 128, "map": [64, 2, 2], "deviation": None, "code": "x", "tag": tag}
    config = {"architecture": "test_vit", "num_features": 64, "pretrained_cfg": made}
    text = reference_card.write(about(Path("out"), **changes), files, config, said, verdict)
    front, _, body = text.removeprefix("---\n").partition("\n---\n")
    return yaml.safe_load(front), body


@pytest.mark.parametrize(
    ("seen", "level"), [("parts with labels", 1), ("parts without labels", 2), ("parts train without labels", 3)]
)
def test_no_accuracy_is_published_of_weights_that_have_seen_the_test_images(judged, seen, level) -> None:
    from sslbench.data.pretraining_data import declared

    verdict = judge(declared([seen], ["parts"]), {"parts"}, ["a.jpg", "b.jpg"])
    front, body = card(judged, verdict, seen=[seen])
    assert verdict.level == level and ("model-index" in front) == (level == 3)
    assert body.strip().splitlines()[2].startswith("> **Pretrained on test images of parts.**") == (level < 3)
    assert verdict.consequence in body and "| trained on | parts " in body


@pytest.mark.parametrize(
    ("licence", "asked", "front", "says"),
    [
        ("apache-2.0", {"timm": TAG}, {"license": "apache-2.0"}, "You may publish this copy"),
        (
            "cc-by-nc-4.0",
            {"hub": "o/n"},
            {"license": "cc-by-nc-4.0"},
            "forbids commercial use. This copy is for non-co",
        ),
        (
            "dinov3-license",
            {"timm": "vit_small_patch16_dinov3.lvd1689m"},
            {
                "license": "other",
                "license_name": "dinov3-license",
                "license_link": "https://ai.meta.com/resources/models-and-libraries/dinov3-license/",
            },
            "put the licence's text into this folder before you publish it",
        ),
        (None, {}, {}, "read the model card before use. Do not publish this copy before you know."),
    ],
)
def test_the_card_states_the_licence_in_the_hubs_words_and_what_may_be_published(
    judged, licence, asked, front, says
) -> None:
    tag = f"timm/{asked['timm']}" if "timm" in asked else asked.get("hub", "")
    found, body = card(judged, None, tag=tag, licence=licence, asked=asked)
    assert {key: value for key, value in found.items() if key.startswith("license")} == front
    assert found.get("base_model", "") == tag and says in body
    assert re.search(r"sha256 of the file that was read \| [0-9a-f]{64}", body)


def test_every_licence_that_is_known_is_one_of_the_hubs_or_has_a_link() -> None:
    for name in set(weights_licence.LICENCES) - {"permissive"}:
        front = weights_licence.front_matter(name)
        assert front["license"] in weights_licence.HUB or front["license_link"].startswith("https://"), name
