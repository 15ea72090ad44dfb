"""A cell is exported by the path of its folder; a collapsed one by that path and no other."""

import json

import pytest
import torch

pytest.importorskip("onnx", reason="onnx is not installed: no ONNX file can be written")
pytest.importorskip("onnxscript", reason="onnxscript is not installed: no ONNX file can be written")


def test_a_cell_is_exported_by_its_path_and_a_collapsed_one_only_as_such(finished):
    import timm

    cell = finished.folder / "results/drawn/simclr/simclr/seed0"
    collapsed = json.loads((cell / "health.json").read_text())["verdict"] == "collapsed"
    right, wrong = (f"exports/drawn/simclr/simclr/seed0{mark}" for mark in (("-collapsed", "") if collapsed else ("", "-collapsed")))  # fmt: skip
    done = finished.snakemake(f"{right}/README.md")
    assert done.returncode == 0, done.stderr[-3000:]
    folder = finished.folder / right
    assert {path.name for path in folder.iterdir()} == {"model.safetensors", "config.json", "model.onnx", "README.md"}
    assert (folder / "model.safetensors").read_bytes() == (cell / "backbone.safetensors").read_bytes()
    model = timm.create_model(f"local-dir:{folder}", pretrained=True)
    assert model.eval()(torch.zeros(1, 3, 32, 32)).shape == (1, model.num_features)
    card = (folder / "README.md").read_text()
    assert f"snakemake --cores all {right}/README.md --configfile overlay.yaml" in card
    assert "Nothing to be done" in finished.snakemake(f"{right}/README.md").stderr
    refused = finished.snakemake(f"{wrong}/README.md")
    assert refused.returncode != 0
    lines = [line for line in refused.stderr.splitlines() if line.strip().startswith("sslbench:")]
    assert len(set(lines)) == 1 and f"ask for {right}" in lines[0]
