"""A finished grid on a user's own folder: what a change there re-runs."""

import os
import random
import shutil
from pathlib import Path

import pytest

from sslbench.data.sources.fetch import fetch
from tests.data.data_samples import make_folder, settings_of
from tests.workflow.staleness.conftest import finish
from tests.workflow.staleness.small_grid import Finished

GRID = {
    "name": "own",
    "grid": [{"datasets": ["mine"], "models": ["simclr"], "transforms": ["simclr"]}],
    "datasets": {"mine": {"kind": "folder", "path": "pets", "pack_size": 32}},
    "references": {"random": False, "supervised": []},
    "training": {"batch_size": 4},
    "compute": {"allow_cpu": True, "device": "cpu"},
}
PICTURE = "pets/cat/0 of cat.png"


@pytest.fixture(scope="module")
def own(tmp_path_factory) -> Finished:
    """A finished grid whose source was really fetched."""
    project = Finished(tmp_path_factory.mktemp("own") / "project", GRID)
    make_folder(project.folder)

    def fetched(output: Path) -> None:
        if output.name == "source.json":
            with pytest.MonkeyPatch.context() as patch:
                patch.chdir(project.folder)
                fetch(settings_of("folder", path="pets"), output.parent.relative_to(project.folder))

    finish(project, fetched)
    return project


def test_a_touch_and_litter_re_run_nothing_and_a_changed_image_re_runs_all(own):
    picture = own.folder / PICTURE
    original = picture.read_bytes()
    (own.folder / "pets" / ".DS_Store").touch()
    for path in (own.folder / "pets").rglob("*.png"):
        os.utime(path)
    assert picture.stat().st_mtime > (own.folder / "reports/own/report.html").stat().st_mtime
    assert own.would_run() == {}
    assert own.would_run("--workflow-profile", "none") == {}  # with Snakemake's own defaults
    status = picture.stat()
    picture.write_bytes(original[:-1] + b"x")
    os.utime(picture, ns=(status.st_atime_ns, status.st_mtime_ns))
    jobs = own.would_run()
    assert jobs["fetch"] == jobs["pack"] == jobs["pretrain"] == jobs["report"] == 1
    picture.write_bytes(original)


def test_a_copied_clone_with_its_own_folder_and_scrambled_times_re_runs_nothing(own, tmp_path):
    copy = Finished(tmp_path / "clone")
    shutil.copytree(own.folder, copy.folder, copy_function=shutil.copyfile)
    moments = random.Random(0)
    for path in copy.folder.rglob("*"):
        if ".snakemake" not in path.parts:
            os.utime(path, (moments.randrange(10**9, 17 * 10**8),) * 2)
    assert copy.would_run() == {}


def test_images_that_changed_are_noticed_without_snakemakes_records(own, tmp_path):
    copy = Finished(tmp_path / "clone")
    shutil.copytree(own.folder, copy.folder, ignore=shutil.ignore_patterns(".snakemake"))
    assert "fetch" not in copy.would_run()
    picture = copy.folder / PICTURE
    picture.write_bytes(picture.read_bytes()[:-1] + b"x")
    done = copy.snakemake("-n")
    assert "1 source that .snakemake has no record of made anew; changed since: the images" in done.stderr
    assert copy.would_run()["fetch"] == 1
