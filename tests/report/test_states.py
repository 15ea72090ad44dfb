"""What stops a cell is told by the first job whose files are missing, and a stale cell by what it was made with."""

import json
from pathlib import Path

import numpy
import pytest

from sslbench.errors import UserError
from sslbench.jobs.log import job_log
from sslbench.report.collect.cell_results import features_origin
from sslbench.report.collect.job_logs import error_line

HALF = numpy.arange(1000) < 500


def only(report: dict) -> dict:
    (cell,) = report["cells"]
    return cell


def test_a_failed_training_is_shown_although_an_older_evaluation_left_its_log(tree, labels) -> None:
    cell = tree.cell("nette", "simclr", "baseline")
    folder = tree.finish(cell, HALF, labels)
    tree.log(cell, "linear top-1 0.5; healthy\n", rule="evaluate")
    tree.log(cell, "epoch 1\nsslbench: out of room; free some\n")
    (folder / "run.json").unlink()  # as Snakemake does with a failed job's files
    found = only(tree.report())
    assert (found["status"], found["why"]) == ("failed", "not trained: sslbench: out of room; free some")


def test_an_error_of_a_later_job_says_nothing_of_a_training_that_has_not_run(tree, labels) -> None:
    cell = tree.cell("nette", "simclr", "baseline")
    tree.log(cell, "sslbench: an old fault\n", rule="evaluate")
    assert (only(tree.report())["status"], only(tree.report())["log"]) == ("missing", "")


@pytest.mark.parametrize(("rule", "gone"), [("embed", "features-test.safetensors"), ("evaluate", "knn.json")])
def test_each_jobs_own_log_is_asked(tree, labels, rule: str, gone: str) -> None:
    cell = tree.cell("nette", "simclr", "baseline")
    (tree.finish(cell, HALF, labels) / gone).unlink()
    tree.log(cell, "sslbench: this one\n", rule=rule)
    tree.log(cell, "done\n")
    assert only(tree.report())["status"] == "failed"
    assert only(tree.report())["log"] == "sslbench: this one"


def test_features_deleted_to_save_room_leave_a_finished_cell(tree, labels) -> None:
    folder = tree.finish(tree.cell("nette", "simclr", "baseline"), HALF, labels)
    for part in ("train", "test"):
        (folder / f"features-{part}.safetensors").unlink()
    assert only(tree.report())["status"] == "done"


@pytest.mark.parametrize(("rule", "name"), [("fetch", "nabirds@mine"), ("pack", "birds")])
def test_pictures_that_cannot_be_had_fail_the_cells_that_need_them(tree, labels, rule: str, name: str) -> None:
    tree.dataset("birds", "nabirds", 48_562, 555, "official", packed=False)
    tree.plan["datasets"]["birds"]["source_folder"] = "nabirds@mine"
    tree.cell("birds", "simclr", "baseline")
    if rule == "pack":
        place = tree.root / "data" / "sources" / "nabirds@mine"
        place.mkdir(parents=True)
        (place / "source.json").write_text("{}")
    assert only(tree.report())["status"] == "missing"
    tree.log_at(f"{rule}/{name}.log", "sslbench: no such archive\n")
    found = only(tree.report())
    assert found["status"] == "failed" and found["why"].endswith("sslbench: no such archive")
    assert "Not packed here. sslbench: no such archive" in tree.pages()[0]


def test_a_cell_waits_for_the_pictures_that_it_is_judged_on(tree, labels) -> None:
    tree.dataset("birds", "nabirds", 48_562, 555, packed=False)
    cell = tree.cell("nette", "simclr", "baseline")
    folder = tree.finish(cell, HALF, labels)
    cell["evaluated_on"] = "birds"
    for name in ("linear.json", "features-train.safetensors", "features-test.safetensors"):
        (folder / name).unlink()
    tree.log_at("fetch/nabirds.log", "sslbench: ask for it\n")
    assert only(tree.report())["why"] == "trained, not embedded, its pictures are not fetched: sslbench: ask for it"


def test_a_log_that_our_jobs_write_is_read_as_they_mean_it(tmp_path: Path) -> None:
    """UserErrors end in their line, defects in their exception, and words such as Error alone are no failure."""
    path = tmp_path / "a.log"
    with pytest.raises(SystemExit), job_log(path):
        raise UserError("mend this")
    assert error_line(path) == "sslbench: mend this"
    with pytest.raises(KeyError), job_log(path):
        try:
            raise ValueError("first\nmore")
        except ValueError as error:
            raise KeyError("second") from error
    assert error_line(path) == "KeyError: 'second'"
    with job_log(path) as log:
        print("Error rate 0.3, no Exception, not Killed", file=log)
    assert error_line(path) == ""
    assert error_line(tmp_path / "none.log") == ""


def test_markers_that_no_job_writes_mean_nothing(tree) -> None:
    cell = tree.cell("nette", "simclr", "baseline")
    folder = tree.root / cell["folder"]
    folder.mkdir(parents=True)
    (folder / "failed.json").write_text('{"error": "x"}')
    assert only(tree.report())["status"] == "missing"


def test_a_stale_cell_is_shown_under_the_protocol_that_made_it(tree, labels) -> None:
    other = tree.cell("nette", "simclr", "baseline", epochs=10, batch_size=64, backbone="resnet50", precision="bf16")
    tree.finish(other, HALF, labels)
    tree.finish(tree.cell("nette", "simclr", "simclr"), HALF, labels)
    other["expected"] = tree.plan["cells"][1]["expected"]
    report = tree.report()
    found = report["cells"][0]["protocol"]
    assert (found["epochs"], found["batch_size"], found["backbone"], found["precision"]) == (10, 64, "resnet50", "bf16")
    html, text = tree.pages()
    assert "resnet18, 200 epochs" not in html  # no protocol is common to both
    table = text.partition("## Accuracy")[2]
    row = next(line for line in table.splitlines() if line.startswith("| SimCLR"))
    assert [cell.strip() for cell in row.split("|")[3:6]] == ["256", "224", "200"]  # today's, which one cell has
    assert "Made with backbone resnet50, batch size 64, epochs 10, precision bf16." in html
    assert "resnet18 (1 cell)" in html and "resnet50 (1 cell)" in html


def test_a_stale_cell_alone_is_captioned_with_its_own_protocol(tree, labels) -> None:
    cell = tree.cell("nette", "simclr", "baseline", epochs=10)
    tree.finish(cell, HALF, labels)
    cell["expected"] = json.loads(json.dumps(cell["expected"]))
    cell["expected"]["settings"]["train"]["epochs"] = 200
    html, _ = tree.pages()
    assert "resnet18, 10 epochs, batch 256" in html and "200 epochs" not in html
    assert "epochs 10 (published: 200)" in html


def judged(tree, labels) -> None:
    tree.dataset("mine", "folder", 300, 0, "own-or-per-class-80-20-seed0")
    pack = Path(tree.plan["datasets"]["mine"]["pack"])
    manifest = json.loads((pack / "manifest.json").read_text())
    manifest["splits"] = {"official": {"train": 300, "test": 0, "sha256": "cd" * 32}}
    tree.write(pack / "manifest.json", manifest)
    tree.plan["datasets"]["mine"]["kind"] = "folder"
    cell = tree.cell("mine", "simclr", "baseline")
    cell["evaluated_on"] = "nette"
    tree.finish(cell, HALF, labels)


def test_a_dataset_judged_on_anothers_labels_says_so(tree, labels) -> None:
    judged(tree, labels)
    _, text = tree.pages()
    assert only(tree.report())["evaluated_on"] == "nette"
    captions = [line for line in text.splitlines() if line.startswith("**mine")]
    assert len(captions) == 3 and all(line.startswith("**mine, judged on nette: ") for line in captions)
    data = text.partition("## Data")[2].partition("## Provenance")[0]
    assert "Judged on: the labels of nette" in data
    assert "300 without labels" in data and "none, all pictures train" in data
    assert " 0 test" not in data and "own-or" not in text and " 0 classes" not in data
    assert "| mine,nette," in f"| {(tree.out / 'cells.csv').read_text().splitlines()[1]}"


def test_other_pictures_to_be_judged_on_make_a_cell_stale(tree, labels) -> None:
    judged(tree, labels)
    assert only(tree.report())["status"] == "done"
    manifest = Path(tree.plan["datasets"]["nette"]["pack"]) / "manifest.json"
    tree.write(manifest, json.loads(manifest.read_text()) | {"content_sha256": "ef" * 32})
    assert only(tree.report())["changed"] == ["evaluation.data"]
    tree.plan["datasets"]["nette"]["split"] = "per-class-80-20-seed1"
    assert only(tree.report())["changed"] == ["evaluation.data", "evaluation.split"]


def test_a_damaged_features_file_says_nothing_and_stops_nothing(tmp_path: Path) -> None:
    path = tmp_path / "features-test.safetensors"
    for content in (b"", b"\xff" * 64, (2).to_bytes(8, "little") + b"{}", (4).to_bytes(8, "little") + b"null"):
        path.write_bytes(content)
        assert features_origin(path) == {}


@pytest.mark.parametrize(
    ("stored", "shown", "twice"),
    [("official", "own train/test folders", "official"), ("per-class-80-20-seed0", "80/20 per class, seed 0", "own")],
)
def test_a_split_is_shown_as_resolved_and_once(tree, labels, stored: str, shown: str, twice: str) -> None:
    tree.dataset("mine", "folder", 300, 3, stored)
    tree.plan["datasets"]["mine"] |= {"kind": "folder", "split": "own-or-per-class-80-20-seed0"}
    side = {"train_per_class": [60, 70, 70], "test_per_class": [30, 30, 40], "in_both": [], "fault": None}
    classes = [{"class": c, "title": c, "count": 100} for c in "abc"]
    doctor = {"classes": classes, "splits": {stored: {"train": 200, "test": 100, **side, "untested": []}}}
    tree.write(Path(tree.plan["datasets"]["mine"]["pack"]) / "doctor.json", doctor)
    tree.finish(tree.cell("mine", "simclr", "baseline"), HALF, labels)
    text = tree.pages()[1]
    data = text.partition("## Data")[2].partition("## Provenance")[0].partition("### mine")[2]
    data = data.partition("### ")[0]
    assert f"Split used: {shown}" in data and "own-or" not in data and "per-class" not in data
    assert f"Split: {shown}: 200 training, 100 test" in data and f"Split, {shown}: 200 training" in data
    assert data.count("200 training") == 2  # the manifest's line and the doctor's
    assert twice not in data.replace(shown, "")


@pytest.mark.parametrize(("confidence", "points"), [(0.95, "4.4"), (0.99, "5.8")])
def test_what_chance_does_is_told_at_the_plans_confidence(tree, labels, confidence: float, points: str) -> None:
    tree.plan["confidence"] = confidence
    tree.finish(tree.cell("nette", "simclr", "baseline"), HALF, labels)
    text = tree.pages()[1]
    # two-sided normal quantiles 1.960 and 2.576, times sqrt(2 * 0.25 / 1000)
    assert f"differ by up to {points} points in {100 * confidence:g} % of cases" in text


def test_references_get_no_verdict_in_any_table_but_keep_their_health(tree, labels) -> None:
    tree.model("random", "random", "reference", "Random")
    tree.model("supervised", "supervised", "reference", "Supervised")
    tree.finish(tree.cell("nette", "simclr", "baseline"), HALF, labels)
    for model, transform, verdict in (("random", "none", "collapsed"), ("supervised", "baseline", "suspicious")):
        cell = tree.cell("nette", model, transform)
        tree.finish(cell, HALF, labels, verdict=verdict, evidence=("looks bad",))
    text = tree.pages()[1]
    rows = [line for line in text.splitlines() if line.startswith(("| *Random", "| *Supervised"))]
    assert len(rows) == 8  # leaderboard, accuracy, neighbours and health
    assert not any("collapsed" in row or "suspicious" in row for row in rows)
    assert sum("123.4" in row for row in rows) == 2 and "looks bad" not in text


def test_the_target_stands_before_the_configfile(tree, labels) -> None:
    tree.finish(tree.cell("nette", "simclr", "baseline"), HALF, labels)
    target = "results/nette/simclr/baseline/seed0/linear.json"
    assert f"\nsnakemake --cores all {target}\n" in tree.pages()[1]
    tree.plan["command"] = {"prefix": "snakemake --cores all", "suffix": "--configfile configs/demo.yaml"}
    told = f"snakemake --cores all {target} --configfile configs/demo.yaml"
    assert told in tree.pages()[1]
    assert "snakemake --cores all FOLDER/SEED/linear.json --configfile configs/demo.yaml" in tree.pages()[1]
    tree.plan["command"] |= {"suffix": ""}
    assert f"\nsnakemake --cores all {target}\n" in tree.pages()[1]


def test_the_commit_shown_is_the_ledgers(tree, labels) -> None:
    tree.plan |= {"commit": "feedfeedfeed", "clean": True}
    tree.finish(tree.cell("nette", "simclr", "baseline"), HALF, labels)
    html = tree.pages()[0]
    assert "0123456789ab" in html and "feedfeed" not in html
