"""From packed pictures to features to verdicts: what the files hold, and that equal work gives equal bytes."""

import json
import subprocess
import sys

import numpy as np
import pyarrow.parquet as pq
import pytest
import safetensors.torch
import timm
import torch
from PIL import Image
from torchvision.transforms.v2 import functional

from sslbench.data.layouts.folder import Settings as FolderSettings
from sslbench.data.pack.read import PackedSet
from sslbench.data.pack.write import pack
from sslbench.data.sources.fetch import fetch
from sslbench.errors import UserError
from sslbench.evaluation.embed import embed
from sslbench.evaluation.evaluate import evaluate
from sslbench.evaluation.features import Features, read, write
from sslbench.stats.paired import wilson
from tests.by_hand import run_of

CLASSES, PER_CLASS, SIZE = 6, 20, 32
EVALUATION = {
    "resize_ratio": 1.0,
    "linear": {"penalties": [1e-3, 1e-2, 1e-1], "holdout": 0.2, "max_iterations": 200},
    "knn": {"k": [5, 200], "temperature": 0.1},
    "confidence": 0.95,
}


def packed_folder(root, random, labelled: bool = True):
    """A pack of tinted noise with upright and lying pictures, read back as any user's folder would be."""
    pictures = root / "pictures"
    for label in range(CLASSES if labelled else 1):
        folder = pictures / f"class{label}" if labelled else pictures
        folder.mkdir(parents=True)
        for i in range(PER_CLASS):
            tint = np.array([40 * label, 255 - 40 * label, 20 * (label % 3)])
            noise = random.normal(0, 60, (40 + i % 5, 48, 3)) + tint
            Image.fromarray(noise.clip(0, 255).astype(np.uint8)).save(folder / f"{i}.png")
    settings = FolderSettings(path=pictures, evaluate_on=None if labelled else "another")
    fetch(settings, root / "folder")
    pack(settings, root / "folder" / "source.json", root / "pack", 40)
    return root / "pack"


@pytest.fixture(scope="module")
def cell(tmp_path_factory):
    """A pack, a cell's settings, and a random backbone's weights."""
    root = tmp_path_factory.mktemp("cell")
    pack_folder = packed_folder(root, np.random.default_rng(0))
    split = FolderSettings().split_name()
    settings = {
        "dataset": {"source": "folder", "split": split, "identity": {}},
        "backbone": {"name": "test_resnet", "options": {}},
        "input_size": SIZE,
    }
    torch.manual_seed(0)
    weights = root / "backbone.safetensors"
    safetensors.torch.save_file(timm.create_model("test_resnet", num_classes=0).state_dict(), weights)
    return root, pack_folder, settings, weights


def features_of(cell, folder, **changes):
    _, pack_folder, settings, weights = cell
    outputs = {part: folder / f"features-{part}.safetensors" for part in ("train", "test")}
    arguments = {"settings": settings, "evaluation": EVALUATION, "backbone_file": weights, "pack": pack_folder}
    embed(**(arguments | changes), outputs=outputs, device="cpu", threads=1, log=lambda line: None)
    return outputs


def judged(features, folder, run=None, curve="epoch,step,lr,loss\n0,1,0.1,4.0\n"):
    (folder / "run.json").write_text(json.dumps(run_of(**(run or {"trivial_loss": None}))))
    (folder / "curve.csv").write_text(curve)
    names = {"linear": "linear.json", "predictions": "predictions.parquet", "knn": "knn.json", "health": "health.json"}
    outputs = {name: folder / file for name, file in names.items()}
    lines = []
    evaluate(features, folder / "run.json", folder / "curve.csv", EVALUATION, outputs, 1, log=lines.append)
    reports = {name: json.loads(outputs[name].read_text()) for name in ("linear", "knn", "health")}
    return reports, pq.read_table(outputs["predictions"]).to_pydict(), outputs, lines


@pytest.fixture(scope="module")
def embedded(cell, tmp_path_factory):
    return features_of(cell, tmp_path_factory.mktemp("features"))


def test_features_are_those_of_timm_on_the_centred_square(cell, embedded):
    _, pack_folder, settings, weights = cell
    packed = PackedSet.open(pack_folder)
    model = timm.create_model("test_resnet", num_classes=0, checkpoint_path=weights).eval()
    for part in ("train", "test"):
        found = read(embedded[part])
        assert found.features.dtype == torch.float32 and found.indices.tolist() == sorted(found.indices.tolist())
        assert found.indices.tolist() == packed.split(settings["dataset"]["split"])[part].tolist()
        assert found.labels.tolist() == packed.labels[found.indices].tolist()
        for row in (0, len(found.indices) // 2, -1):
            pictures = packed.batch(found.indices[[row]])
            picture = pictures.picture(0).contiguous()
            height, width = picture.shape[1:]
            side = min(height, width)
            picture = functional.crop(picture, (height - side) // 2, (width - side) // 2, side, side)
            picture = functional.resize(picture, [SIZE, SIZE], antialias=True).float() / 255
            picture = functional.normalize(picture, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
            with torch.no_grad():
                theirs = model(picture[None])[0]
            assert torch.allclose(found.features[row], theirs, rtol=1e-3, atol=1e-4)


def test_judging_imports_neither_timm_nor_transforms():
    """So that its fingerprint does not move with a backbone or a transform, and its start costs no import of timm."""
    code = (
        "import sys, sslbench.evaluation.evaluate; "
        "sys.exit(any(m.startswith(('timm', 'sslbench.transforms', 'sslbench.nn.backbone')) for m in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_metadata_say_where_features_come_from(cell, embedded):
    packed = PackedSet.open(cell[1])
    origin = read(embedded["test"]).origin
    assert origin["classes"] == packed.classes and origin["content_sha256"] == packed.manifest["content_sha256"]
    assert origin["part"] == "test" and origin["non_finite"] == 0 and origin["input_size"] == SIZE


def test_embedding_and_judging_twice_give_the_same_bytes(cell, embedded, tmp_path):
    again = features_of(cell, tmp_path)
    for part in ("train", "test"):
        assert embedded[part].read_bytes() == again[part].read_bytes()
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        folder.mkdir()
    first, second = (judged(again, folder)[2] for folder in folders)
    for name in first:
        assert first[name].read_bytes() == second[name].read_bytes()
    assert not list(tmp_path.rglob("*.tmp"))


def test_judgement_files_agree_with_each_other(embedded, tmp_path):
    reports, predictions, _, lines = judged(embedded, tmp_path)
    test = read(embedded["test"])
    linear, n = reports["linear"], len(test.labels)
    assert predictions["index"] == test.indices.tolist() and predictions["label"] == test.labels.tolist()
    hits = [t == p for t, p in zip(predictions["label"], predictions["top1"], strict=True)]
    assert linear["right"] == sum(hits) and linear["top1"] == sum(hits) / n and linear["n"] == n == 24
    in_five = [t in {predictions[f"top{k}"][i] for k in range(1, 6)} for i, t in enumerate(predictions["label"])]
    assert linear["top5"] == sum(in_five) / n
    assert linear["interval"] == list(wilson(sum(hits), n)) and linear["converged"] is True
    assert linear["evaluation"] == EVALUATION
    assert linear["penalty"] in EVALUATION["linear"]["penalties"]
    assert linear["top1"] > 0.5  # tinted noise is easy
    assert set(reports["knn"]) >= {"5", "200", "n"} and reports["knn"]["200"]["neighbours"] == 96
    health = reports["health"]
    assert health["verdict"] == "healthy" and health["features"] == test.features.shape[1]
    assert set(health["p_chance"]) == {"linear", "knn 5", "knn 200"} and health["loss_gap"] is None
    assert len(lines) == 1 and "healthy" in lines[0]


def test_the_last_recorded_value_of_the_named_loss_part_is_held_against_the_trivial_one(embedded, tmp_path):
    run = {"trivial_loss": {"part": "variance", "value": 0.99}}
    curve = "epoch,step,loss,variance\n0,1,30,0.99\n1,2,25,0.985\n2,3,24,\n"
    health = judged(embedded, tmp_path, run, curve)[0]["health"]
    assert health["loss"] == {"part": "variance", "value": 0.99, "final": 0.985}
    assert health["loss_gap"] == pytest.approx(-0.005 / 0.99) and health["verdict"] == "suspicious"
    unrecorded = judged(embedded, tmp_path, {"trivial_loss": {"part": "other", "value": 1.0}}, curve)[0]["health"]
    assert unrecorded["loss"]["final"] is None and unrecorded["verdict"] == "healthy"


def test_a_diverged_backbone_is_embedded_and_called_collapsed_without_accuracies(cell, tmp_path):
    weights = safetensors.torch.load_file(cell[3])
    broken = {
        name: torch.full_like(w, float("nan")) if name.endswith("conv1.weight") else w for name, w in weights.items()
    }
    safetensors.torch.save_file(broken, tmp_path / "nan.safetensors")
    features = features_of(cell, tmp_path, backbone_file=tmp_path / "nan.safetensors")
    assert read(features["test"]).origin["non_finite"] == 24
    reports, predictions, _, _ = judged(features, tmp_path)
    assert reports["health"]["verdict"] == "collapsed" and "diverged" in reports["health"]["evidence"][0]
    assert reports["linear"]["top1"] is None and reports["knn"]["5"]["top1"] is None
    assert set(predictions["top1"]) == {-1} and len(predictions["label"]) == 24


def test_five_classes_or_fewer_have_no_top_five(embedded, tmp_path):
    features = {}
    for part, path in embedded.items():
        whole = read(path)
        keep = whole.labels < 4
        features[part] = tmp_path / path.name
        origin = whole.origin | {"classes": whole.origin["classes"][:4]}
        write(features[part], Features(whole.features[keep], whole.labels[keep], whole.indices[keep], origin))
    reports, predictions, _, _ = judged(features, tmp_path)
    assert reports["linear"]["top5"] is None and reports["knn"]["5"]["top5"] is None
    assert set(predictions["top5"]) == {-1} and min(predictions["top4"]) >= 0


def test_features_of_two_datasets_are_not_judged_together(cell, embedded, tmp_path):
    whole = read(embedded["train"])
    moved = whole._replace(origin=whole.origin | {"content_sha256": "0" * 64})
    write(tmp_path / "train", moved)
    with pytest.raises(UserError, match="differ in content_sha256"):
        judged({"train": tmp_path / "train", "test": embedded["test"]}, tmp_path)


def test_damaged_files_end_in_one_line_that_names_them(cell, embedded, tmp_path):
    cut = tmp_path / "features-train.safetensors"
    cut.write_bytes(embedded["train"].read_bytes()[:-100])
    with pytest.raises(UserError, match=r"features-train.safetensors: no features file"):
        read(cut)
    (tmp_path / "cut.safetensors").write_bytes(cell[3].read_bytes()[:1000])
    with pytest.raises(UserError, match=r"cut.safetensors: these weights cannot be loaded"):
        features_of(cell, tmp_path, backbone_file=tmp_path / "cut.safetensors")
    other = cell[2] | {"backbone": {"name": "test_convnext", "options": {}}}
    with pytest.raises(UserError, match="cannot be loaded"):
        features_of(cell, tmp_path, settings=other)


def test_a_dataset_without_labels_is_refused_with_the_key_that_helps(cell, tmp_path):
    unlabelled = packed_folder(tmp_path, np.random.default_rng(1), labelled=False)
    with pytest.raises(UserError, match=r"no labelled train pictures.*evaluate_on"):
        features_of(cell, tmp_path, pack=unlabelled)


def test_another_datasets_pack_and_split_can_be_embedded(cell, tmp_path):
    """evaluate_on: the backbone was trained elsewhere, and its cell's split does not exist here."""
    settings = cell[2] | {"dataset": {"source": "elsewhere", "split": "official", "identity": {}}}
    outputs = features_of(cell, tmp_path, settings=settings, split=cell[2]["dataset"]["split"])
    assert read(outputs["train"]).origin["source"] == "folder"
