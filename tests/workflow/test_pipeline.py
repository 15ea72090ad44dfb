"""The whole pipeline on a small grid, and what it says where something is wrong."""

import json
import re
import zipfile

import pandas as pd
import pytest
import timm
import torch
from safetensors.torch import load_file

from sslbench.transforms.spec import merge
from tests.workflow.tiny_grid import TINY, our_line

CELL = "results/drawn/{model}/{transform}/seed0"


def cells(project):
    names = [(m, t) for m in ("simclr", "vicregl-0.50") for t in ("simclr", "dcl")]
    names += [("random", "none"), ("supervised", "simclr")]
    return [project.folder / CELL.format(model=m, transform=t) for m, t in names]


def test_every_cell_leaves_its_files(finished):
    expected = {
        "backbone.safetensors", "run.json", "ledger.json", "curve.csv", "features-train.safetensors",
        "features-test.safetensors", "linear.json", "predictions.parquet", "knn.json", "health.json", "labelfree.json", "look.json",
    }  # fmt: skip
    for cell in cells(finished):
        assert {path.name for path in cell.iterdir()} == expected


def test_the_report_names_every_model_and_transform_first_its_note(finished):
    page = (finished.folder / "reports/tiny/report.html").read_text()
    text = (finished.folder / "reports/tiny/report.md").read_text()
    for name in ("simclr", "vicregl-0.50", "random", "supervised", "dcl"):
        assert name in page
        assert name in text
    assert text.index("A test.") < text.index("SimCLR")


def test_a_second_run_runs_nothing(finished):
    again = finished.run(TINY)
    assert again.returncode == 0
    assert "Nothing to be done" in again.stdout + again.stderr


def test_timm_loads_the_backbone(finished):
    file = cells(finished)[0] / "backbone.safetensors"
    model = timm.create_model("test_resnet", num_classes=0, checkpoint_path=str(file), output_stride=16)
    stored = load_file(file)
    assert all(torch.equal(stored[name], value) for name, value in model.state_dict().items())


def test_the_accuracy_is_what_the_stored_predictions_say(finished):
    for cell in cells(finished):
        predictions = pd.read_parquet(cell / "predictions.parquet")
        linear = json.loads((cell / "linear.json").read_text())
        assert linear["top1"] == pytest.approx((predictions["top1"] == predictions["label"]).mean())
        top5 = predictions[[f"top{i}" for i in range(1, 6)]].eq(predictions["label"], axis=0).any(axis=1).mean()
        assert linear["top5"] == pytest.approx(top5)
        assert linear["n"] == len(predictions)


def test_snakemakes_own_report_holds_every_curve_and_the_page_with_captions_and_needs_no_network(finished, monkeypatch):
    pytest.importorskip("pygments", reason="Snakemake's report highlights code with it")
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # where nobody answers
    for name in ("snakemake.html", "snakemake.zip"):
        done = finished.run(TINY, "--report", name)
        assert done.returncode == 0, done.stderr[-3000:]
    page = (finished.folder / "snakemake.html").read_text()
    flat = " ".join(page.replace("\\n", " ").split())
    assert not re.search(r"""\b(?:src|href)=["']?(?:https?:)?//""", page)
    assert "Which self-supervised method and which image transform work best" in flat
    assert "The learning curve of vicregl-0.50 with the transform dcl on drawn, seed 0" in flat
    with zipfile.ZipFile(finished.folder / "snakemake.zip") as archive:
        held = {name: archive.read(name) for name in archive.namelist()}
    for cell in cells(finished):
        assert (cell / "curve.csv").read_bytes() in held.values()
        assert (cell / "linear.json").read_bytes() in held.values()
    assert (finished.folder / "reports/tiny/report.html").read_bytes() in held.values()
    assert (finished.folder / "results/collected/tiny/cells.csv").read_bytes() in held.values()


def test_going_back_to_yesterdays_settings_trains_nothing(finished):
    target = CELL.format(model="simclr", transform="simclr") + "/run.json"
    before = (finished.folder / target).read_bytes()
    changed = merge(TINY, {"models": {"simclr": {"method": "simclr", "temperature": 0.3}}})
    assert finished.run(changed, target).returncode == 0
    assert (finished.folder / target).read_bytes() != before
    assert finished.run(TINY, target).returncode == 0
    assert (finished.folder / target).read_bytes() == before
    log = finished.folder / "logs/pretrain/drawn/simclr/simclr/seed0.log"
    assert "reused" in log.read_text()
    assert finished.run(TINY).returncode == 0  # for the tests that come after


def test_report_now_renders_what_is_there_and_says_what_is_missing(finished):
    more = merge(TINY, {"seeds": [0, 1]})
    done = finished.run(more, "report_now")
    assert done.returncode == 0, done.stderr[-3000:]
    page = (finished.folder / "reports/tiny/now.html").read_text()
    assert "missing" in page
    assert not (finished.folder / "results/drawn/simclr/simclr/seed1").exists()


def test_without_a_gpu_the_grid_prints_its_cost_and_stops(project):
    done = project.run(merge(TINY, {"compute": {"allow_cpu": False}}))
    line = our_line(done)
    assert re.search(r"no GPU here\. 5 cells to pretrain; about .* h .*GB of disk", line)
    assert "make demo" in line
    assert "compute.allow_cpu: true" in line
    assert not (project.folder / "results").exists()


def test_a_grid_that_trains_nothing_plans_no_pretraining_and_asks_for_no_gpu(project):
    weights = {"a": {"timm": "test_vit.r160_in1k", "input_size": 32}, "b": {"hub": "owner/name", "input_size": 32}}
    frozen = {"grid": [{"datasets": ["drawn"]}], "weights": weights, "references": {"pretrained": ["a", "b"]}}
    done = project.run(merge(TINY, frozen | {"compute": {"allow_cpu": False}}), "-n", "all", "weights")
    planned = dict(re.findall(r"^(\w+) +(\d+)$", done.stdout + done.stderr, re.M))
    assert done.returncode == 0 and "sslbench: " not in done.stdout + done.stderr
    assert planned.keys() & {"pretrain", "embed", "labelfree"} == set()
    assert [
        planned[job] for job in ("fetch", "pack", "fetch_weights", "weights", "frozen", "speed", "evaluate")
    ] == list("1121222")


def test_nabirds_by_name_without_its_archive_says_how_to_get_it(project):
    overlay = merge(TINY, {"grid": [{"datasets": ["drawn", "nabirds"], "models": ["simclr"], "transforms": ["dcl"]}]})
    line = our_line(project.run(overlay, "nabirds"))
    assert "dl.allaboutbirds.org/nabirds" in line
    assert line.startswith("sslbench: datasets.nabirds: ")
    assert "archive:" in line
    assert our_line(project.run(overlay, "results/nabirds/simclr/dcl/seed0/linear.json")) == line
    assert not (project.folder / "data" / "packed").exists()


def test_a_batch_larger_than_the_dataset_is_one_line(project):
    line = our_line(
        project.run(merge(TINY, {"training": {"batch_size": 4096}}), "results/drawn/simclr/dcl/seed0/run.json")
    )
    assert "training.batch_size is 4096" in line
    assert "160" in line  # how many there are
    assert not list((project.folder / "results/drawn/simclr/dcl/seed0").glob("*"))


def test_a_typo_in_the_config_is_one_line_before_anything_runs(project):
    line = our_line(project.run(merge(TINY, {"training": {"epoch": 3}})))
    assert line == (
        "sslbench: config: training.epoch: there is no such key. Did you mean 'epochs'? Known: preset, backbone, "
        "backbone_options, input_size, batch_size, epochs, accumulate, precision, channels_last, compile, deterministic, "
        "holdout, measure_every"
    )


def test_a_failed_run_says_so_last_and_keeps_what_is_finished(finished):
    # Two more cells, one of which diverges.
    overlay = merge(TINY, {"models": {"simclr-hot": {"method": "simclr", "recipe": {"base_lr": 1e30}}}})
    overlay["grid"] = [{"datasets": ["drawn"], "models": ["simclr", "simclr-hot"], "transforms": ["simclr"]}]
    done = finished.run(overlay)
    assert "diverged" in our_line(done)
    assert (
        "snakemake --cores 1 report_now --configfile overlay.yaml"
        in done.stderr[done.stderr.index("Some jobs failed") :]
    )
    assert cells(finished)[0].exists()
    now = finished.run(overlay, "report_now")
    assert now.returncode == 0
    assert "failed" in (finished.folder / "reports/tiny/now.html").read_text()
