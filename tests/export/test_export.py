"""An export loads in timm and in onnxruntime, answers as the cell does, and its card says only what was measured."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
import yaml
from PIL import Image
from safetensors.torch import load_file

from sslbench.data.pack.read import Pictures
from sslbench.errors import UserError
from sslbench.export import model_card
from sslbench.export.export import export
from sslbench.nn.backbone import Backbone
from sslbench.store.code_fingerprint import ROOT
from sslbench.transforms.pipeline import center_view
from tests.data.data_samples import picture, save
from tests.export.exported_cells import NAMES, OUTPUTS, about_of, exported, make_cell

onnx = pytest.importorskip("onnx", reason="onnx is not installed: no ONNX file can be written")
pytest.importorskip("onnxscript", reason="onnxscript is not installed: no ONNX file can be written")


@pytest.fixture(scope="module", params=[("test_resnet", 32), ("test_vit", 48)], ids=["convolutional", "transformer"])
def made(request, tmp_path_factory) -> tuple[Backbone, Path]:
    """A cell's backbone as it was trained, and its export."""
    name, size = request.param
    base = tmp_path_factory.mktemp(name)
    cell = make_cell(base / "cell", name, size, ratio=1.25)
    torch.manual_seed(1)
    backbone = Backbone(name, {}, size)
    backbone.model.load_state_dict(load_file(cell / "backbone.safetensors"))
    return backbone.eval(), exported(cell, base / "export")


def test_timm_loads_the_folder_and_answers_as_the_cell_does(made) -> None:
    backbone, folder = made
    model = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    images = torch.randn(3, 3, backbone.input_size, backbone.input_size)
    with torch.no_grad():
        assert torch.equal(model(images), backbone(images))
        assert model.num_classes == 0 and model.num_features == backbone.num_features
        with_head = timm.create_model(f"local-dir:{folder}", pretrained=True, num_classes=7).eval()
        assert with_head(images).shape == (3, 7)
        assert torch.equal(with_head.forward_features(images), model.forward_features(images))


def test_timm_cuts_a_convolutional_export_open_and_folds_its_first_layer(made) -> None:
    backbone, folder = made
    if backbone.name != "test_resnet":
        pytest.skip("said of convolutional networks only")
    images = torch.randn(2, 3, 32, 32)
    stages = timm.create_model(f"local-dir:{folder}", pretrained=True, features_only=True).eval()
    with torch.no_grad():
        torch.testing.assert_close(stages(images)[-1], backbone.maps(images)[1])
        grey = timm.create_model(f"local-dir:{folder}", pretrained=True, in_chans=1).eval()
        torch.testing.assert_close(
            grey(images[:, :1]), backbone(images[:, :1].expand(-1, 3, -1, -1)), rtol=1e-3, atol=1e-4
        )


def test_timms_transform_sees_a_picture_as_the_evaluation_does(made, tmp_path: Path) -> None:
    backbone, folder = made
    smooth = Image.fromarray(picture(0, 5, 7)).resize((140, 100), Image.Resampling.BICUBIC)
    smooth.save(tmp_path / "a.png")
    data = timm.data.resolve_model_data_config(timm.create_model(f"local-dir:{folder}", pretrained=True))
    theirs = timm.data.create_transform(**data)(Image.open(tmp_path / "a.png").convert("RGB"))
    pictures = Pictures.from_list([torch.tensor(np.asarray(smooth)).permute(2, 0, 1)])
    ours, elsewhere = (center_view(pictures, backbone.input_size, ratio).images[0] for ratio in (1.25, 1.0))
    # Theirs rounds to bytes, and to whole pixels before it crops.
    assert (theirs - ours).abs().mean() < 0.06
    assert (theirs - elsewhere).abs().mean() > 0.2


def test_onnx_gives_features_and_map_for_any_batch_and_tells_nothing_of_this_machine(made) -> None:
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    backbone, folder = made
    session = runtime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    for n in (1, 5):
        images = torch.randn(n, 3, backbone.input_size, backbone.input_size)
        features, grid = session.run(["features", "map"], {"images": images.numpy()})
        with torch.no_grad():
            pooled, spatial = backbone.maps(images)
        torch.testing.assert_close(torch.from_numpy(features), pooled, rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(torch.from_numpy(grid), spatial, rtol=1e-3, atol=1e-4)
    content = (folder / "model.onnx").read_bytes()
    assert str(ROOT).encode() not in content
    assert b"site-packages" not in content and b".py" not in content


def test_an_onnx_file_that_answers_otherwise_is_refused(made, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    from sslbench.export.onnx import Both, deviation

    backbone, folder = made
    assert deviation(Both(backbone), folder / "model.onnx") < 1e-4
    other = Backbone(backbone.name, {}, backbone.input_size).eval()  # of other weights
    with pytest.raises(UserError, match="deviates"):
        deviation(Both(other), folder / "model.onnx")


def test_the_hub_reads_the_cards_figures_with_their_n_and_interval(made) -> None:
    hub = pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed")
    _, folder = made
    card = hub.ModelCard.load(folder / "README.md")
    assert (card.data.library_name, card.data.datasets) == ("timm", None)
    assert card.data.pipeline_tag == "image-feature-extraction"
    results = {r.metric_name: r for r in card.data.eval_results}
    probe = results["linear probe, top-1 accuracy, %"]
    assert (probe.metric_value, probe.dataset_name) == (75.0, "nette")
    assert probe.metric_args == {"n": 3925, "confidence": 0.95, "interval": [73.6, 76.3]}
    assert set(results) == {
        "linear probe, top-1 accuracy, %", "linear probe, top-5 accuracy, %", "20 nearest neighbours, top-1 accuracy, %",
        "20 nearest neighbours, top-5 accuracy, %", "200 nearest neighbours, top-1 accuracy, %",
    }  # fmt: skip


def test_the_cards_lines_of_python_run_as_they_stand(made, tmp_path: Path, monkeypatch) -> None:
    backbone, folder = made
    text = (folder / "README.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", text, flags=re.S)
    assert len([line for line in code.splitlines() if line and "import" not in line]) <= 5
    save(tmp_path / "picture.jpg", picture(3, 60, 80))
    monkeypatch.chdir(tmp_path)
    scope: dict = {}
    exec(code, scope)
    assert scope["features"].shape == (1, backbone.num_features)
    for said in (
        "d1" * 32,
        "0123abcd",
        "3,925 test pictures",
        "200 epochs, 256 pictures a step",
        "Chen et al. 2020",
        "random_resized_crop (scale [0.08, 1.0]), normalize |",
        "optimizer sgd, base_lr 0.06 |",
    ):
        assert said in text, said


def test_a_card_of_one_epoch_says_one_epoch(tmp_path: Path, without_onnx: None) -> None:
    cell = make_cell(tmp_path / "cell")
    run = json.loads((cell / "run.json").read_text())
    run["settings"]["train"]["epochs"] = 1
    (cell / "run.json").write_text(json.dumps(run))
    text = (exported(cell, tmp_path / "out") / "README.md").read_text()
    assert "| 1 epoch, 256 pictures a step |" in text


@pytest.mark.parametrize(
    ("epochs", "family", "leaked", "seen"),
    [
        (200, "contrastive", 0, ["nette train without labels"]),
        (200, "contrastive", 5, ["nette train without labels", "nette without labels"]),
        (200, "reference", 0, ["nette train with labels"]),
        (0, "reference", 0, []),
    ],
)
def test_an_export_says_what_it_was_trained_on(tmp_path, without_onnx, epochs, family, leaked, seen) -> None:
    cell = make_cell(tmp_path / "cell")
    run = json.loads((cell / "run.json").read_text())
    run["settings"]["train"]["epochs"] = epochs
    counts = {"found": leaked, "pretraining": 500, "test": 50, "identical": leaked, "copies": leaked}
    pair = {"test": "a.jpg", "train": "b.jpg", "identical": True, "alike": 1.0}
    for name, content in (("run", run), ("leaks", counts | {"pairs": [pair]})):
        (cell / f"{name}.json").write_text(json.dumps(content))
    files = {key: cell / name for key, name in (NAMES | {"leaks": "leaks.json"}).items()}
    out = tmp_path / "out"
    export(files, about_of(out) | {"family": family}, {key: out / name for key, name in OUTPUTS.items()}, log=str)
    assert json.loads((out / "config.json").read_text())["sslbench"]["seen"] == seen


def test_a_collapsed_cell_is_exported_on_request_alone_and_says_so_first(tmp_path: Path, without_onnx: None) -> None:
    cell = make_cell(tmp_path / "cell", verdict="collapsed")
    with pytest.raises(UserError, match=r"has collapsed \(all one point\).*ask for .*-collapsed"):
        exported(cell, tmp_path / "seed0")
    assert not (tmp_path / "seed0").exists()
    text = (exported(cell, tmp_path / "seed0-collapsed", collapsed=True) / "README.md").read_text()
    front, _, body = text.removeprefix("---\n").partition("\n---\n")
    assert "collapsed" in yaml.safe_load(front)["tags"]
    assert body.strip().splitlines()[2].startswith("> **Collapsed.**")
    healthy = make_cell(tmp_path / "healthy")
    with pytest.raises(UserError, match=r"has not collapsed; ask for .*/seed0$"):
        exported(healthy, tmp_path / "seed0-collapsed", collapsed=True)


def test_without_figures_the_card_has_none(tmp_path: Path, without_onnx: None) -> None:
    cell = make_cell(tmp_path / "cell", verdict="suspicious")
    for name in ("linear.json", "knn.json"):
        report = json.loads((cell / name).read_text())
        for scores in (report, *(v for v in report.values() if isinstance(v, dict) and "top1" in v)):
            scores.update(dict.fromkeys(scores.keys() & {"top1", "top5", "interval", "interval5"}))
        (cell / name).write_text(json.dumps(report))
    text = (exported(cell, tmp_path / "out") / "README.md").read_text()
    assert "model-index" not in text
    assert "accuracy, %" not in text
    assert "> **Suspicious.**" in text


def test_the_card_warns_of_test_images_that_it_was_pretrained_on_unless_they_were_left_out(tmp_path: Path) -> None:
    cell = make_cell(tmp_path / "cell")
    files = {key: json.loads((cell / name).read_text()) for key, name in NAMES.items() if key != "backbone"}
    pair = {"test": "a.jpg", "train": "b.jpg", "identical": True, "alike": 1.0}
    counts = {"pretraining": 500, "test": 50, "found": 5, "identical": 5, "copies": 6}
    files["leaks"] = counts | {"pairs": [pair] * 5}
    config = {"architecture": "x", "num_features": 9, "pretrained_cfg": {"input_size": [3, 32, 32]}}
    onnx = {"opset": 18, "features": 9, "map": [9, 1, 1], "deviation": None}
    text = model_card.write(about := about_of(tmp_path), files, config, onnx)
    assert (
        "Of nette, 5 of 50 test images (10 %) are also among the 500 pretraining images (5 byte for byte), e.g. "
        in text
    )
    assert text.count("test_images_in_pretraining: 5") == 5  # of every accuracy
    less = model_card.write(about | {"exclude_test": True}, files, config, onnx)
    assert "also among" not in less and "test_images_in_pretraining" not in less
    assert "- 6 images that show the same as test images were left out of pretraining." in less
