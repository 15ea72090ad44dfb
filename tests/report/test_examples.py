"""The rendered examples that the README shows."""

import base64
import io
import os
import re
import shutil
import tarfile
from pathlib import Path

import pytest
from PIL import Image

from sslbench.errors import UserError
from sslbench.report import example
from sslbench.report.images.collect import album
from sslbench.report.page import render
from tests.report.seen import Seen

EXAMPLES = Path(__file__).parents[2] / "reports" / "examples"
RENEWED = ("demo",)  # examples that must have their inputs


def test_the_demos_page_is_below_two_megabytes_and_stands_beside_its_screenshot():
    assert 500_000 < (EXAMPLES / "demo" / "report.html").stat().st_size < 2_000_000
    assert (EXAMPLES / "demo.png").stat().st_size > 50_000
    text = (EXAMPLES / "demo" / "report.md").read_text()
    shown = set(re.findall(r"\]\(report-charts/([^)]+)\)", text))
    there = {path.name for path in (EXAMPLES / "demo" / "report-charts").iterdir() if path.suffix in (".svg", ".webp")}
    assert shown == there
    kinds = {name.partition("--")[0] for name in there}
    assert {"cost", "forest", "heat", "transform", "neighbours", "map", "confused"} <= kinds


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def differing(folder: Path, scratch: Path) -> list[str]:
    """Files of an example that its inputs do not render to what they are."""
    shutil.copytree(folder, scratch)
    example.render(scratch)
    there, made = contents(folder), contents(scratch)
    return sorted(name for name in there | made if there.get(name) != made.get(name))


def test_every_committed_page_is_what_its_inputs_render(tmp_path):
    packed = {file.parent.name for file in EXAMPLES.glob(f"*/{example.INPUTS}")}
    assert packed >= set(RENEWED)
    assert {name: differing(EXAMPLES / name, tmp_path / name) for name in packed} == {name: [] for name in packed}


@pytest.fixture
def run(tree, tmp_path):
    """A finished run as Snakemake leaves it: (its collected folder, the page of the rule report)."""
    seen = Seen(tree, train=60, test=80, classes=10, side=24)
    for model, right in (("simclr", 0.7), ("byol", 0.4)):
        seen.cell(model, "simclr", right)
    seen.tree.report()
    album(tree.out / "report.json", tree.results, tree.out / "album.json")
    shot = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(shot, "WEBP")
    view = {"webp_base64": base64.b64encode(shot.getvalue()).decode(), "alt": "red", "width": 8, "height": 8}
    tree.write(tree.out / "gallery.json", {"simclr": view | {"operations": []}})
    page = tmp_path / "reports" / "made-up"
    render(*(tree.out / name for name in ("report.json", "gallery.json")), page / "report.html", page / "report.md",
           tree.out / "album.json")  # fmt: skip
    return tree.out, page


def test_with_its_images_an_example_is_the_runs_page_to_the_byte(run, tmp_path):
    collected, page = run
    folder = tmp_path / "example"
    example.pack(collected, folder, images=True)
    (folder / "report.html").touch()
    example.render(folder)
    made, ours = contents(folder), {example.INPUTS, *example.IMAGES}
    assert {name: made[name] for name in made.keys() - ours} == contents(page)
    assert any(name.endswith(".webp") for name in made)
    assert differing(folder, tmp_path / "same") == []
    with (folder / "report.md").open("a") as file:
        file.write("By hand.")
    assert differing(folder, tmp_path / "changed") == ["report.md"]


def test_without_images_an_example_says_so_and_has_none(run, tmp_path):
    collected, page = run
    folder = tmp_path / "example"
    example.pack(collected, folder, images=True)
    example.render(folder)
    example.pack(collected, folder)
    example.render(folder)
    made = contents(folder)
    assert not [name for name in made if not name.endswith((".md", ".svg", ".tar.xz"))]  # nor HTML where none was
    text = made["report.md"].decode()
    assert text.count(example.WITHOUT) == 1 and ".webp" not in text
    board = (page / "report.md").read_text().split("\n## Leaderboard\n")[1].split("\n## ")[0]
    for row in board.splitlines():
        assert row in text
    assert set(re.findall(r"report-charts/[^)]+", text)) == {name for name in made if name.endswith(".svg")}


def test_equal_runs_pack_to_equal_bytes_of_the_report_alone(run, tmp_path):
    collected, _ = run
    example.pack(collected, tmp_path / "a")
    os.utime(collected / "report.json", (1, 1))
    example.pack(collected, tmp_path / "b")
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    with tarfile.open(tmp_path / "a" / example.INPUTS) as archive:
        assert [(m.name, m.mtime, m.uid, m.uname) for m in archive.getmembers()] == [("report.json", 0, 0, "")]
        assert archive.extractfile("report.json").read() == (collected / "report.json").read_bytes()


def test_what_cannot_be_packed_or_rendered_is_one_line(run, tmp_path, monkeypatch):
    collected, _ = run
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / example.INPUTS).write_bytes(b"no archive")
    with pytest.raises(UserError, match=r"inputs\.tar\.xz: cannot be read .*; pack the run again"):
        example.render(tmp_path / "a")
    monkeypatch.setattr(example, "LARGEST", 100)
    with pytest.raises(UserError, match="bytes packed, and an example may have 100"):
        example.pack(collected, tmp_path / "b")
    (collected / "report.json").unlink()
    with pytest.raises(UserError, match="not there; run the rule collect first"):
        example.pack(collected, tmp_path / "b")
    assert not (tmp_path / "b").exists()
