"""Neighbours of a picture: found by cosine, embedded once by content, from the folder alone, mistakes in one line."""

import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sslbench.errors import UserError
from sslbench.export import find_similar
from tests.data.data_samples import picture, save
from tests.export.exported_cells import exported, make_cell


@pytest.fixture(scope="module")
def cell(tmp_path_factory) -> Path:
    return make_cell(tmp_path_factory.mktemp("cell") / "cell")


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Three pictures, each with a near copy, one of them deeper; and one that cannot be read."""
    folder = tmp_path / "mine"
    for seed in range(3):
        pixels = picture(seed, 40, 50)
        save(folder / f"{seed}.png", pixels)
        near = pixels.astype(int) + np.random.default_rng(9).integers(-4, 5, pixels.shape)
        save(folder / ("deep" if seed == 1 else ".") / f"{seed}-near.png", near.clip(0, 255).astype(np.uint8))
    (folder / "broken.jpg").write_bytes(b"not a picture")
    return folder


def run(capsys, *arguments: object) -> tuple[list[str], str]:
    find_similar.main([str(argument) for argument in arguments])
    said = capsys.readouterr()
    return said.out.splitlines(), said.err


def test_the_near_copy_comes_first_and_the_query_is_not_its_own_neighbour(cell, pictures, capsys) -> None:
    for seed, near in ((0, "0-near.png"), (1, "deep/1-near.png"), (2, "2-near.png")):
        lines, errors = run(capsys, cell, "--pictures", pictures, "--query", f"{seed}.png", "--k", 3)
        assert lines[0].split() == ["query", f"{seed}.png"]
        assert len(lines) == 4 and lines[1].split()[2] == near
        cosines = [float(line.split()[1]) for line in lines[1:]]
        assert cosines == sorted(cosines, reverse=True)
        assert "left out: broken.jpg: is no picture that can be read" in errors


def test_cosines_are_those_of_the_evaluations_features(cell, pictures) -> None:
    from sslbench.data.pack.read import Pictures
    from sslbench.evaluation.embed import loaded
    from sslbench.transforms.pipeline import center_view

    embedder = find_similar.open_backbone(cell)
    index = find_similar.embed_folder(embedder, pictures, pictures.parent / "index", lambda line: None)
    backbone = loaded(json.loads((cell / "run.json").read_text())["settings"], cell / "backbone.safetensors")
    read = [find_similar.decoded(pictures / name, embedder) for name in index.names]
    with torch.no_grad():
        features = torch.cat([backbone(center_view(Pictures.from_list([p]), 32).images) for p in read]).double()
    expected = torch.tensor([[float(a @ b / (a.norm() * b.norm())) for b in features] for a in features])
    torch.testing.assert_close(index.features @ index.features.T, expected.float(), rtol=1e-4, atol=1e-5)


def test_an_export_and_its_cell_find_the_same(cell, pictures, tmp_path, capsys, without_onnx) -> None:
    folder = exported(cell, tmp_path / "export")
    assert run(capsys, folder, "--pictures", pictures)[0] == run(capsys, cell, "--pictures", pictures)[0]


def test_a_picture_is_embedded_once_by_its_content(cell, pictures, capsys, monkeypatch) -> None:
    seen = []
    whole = find_similar.Embedder.features
    monkeypatch.setattr(find_similar.Embedder, "features", lambda self, p: (seen.append(len(p)), whole(self, p))[1])
    first, _ = run(capsys, cell, "--pictures", pictures, "--query", "0.png")
    (index,) = pictures.parent.glob("mine.*.neighbours.safetensors")
    assert seen == [6]
    assert run(capsys, cell, "--pictures", pictures, "--query", "0.png")[0] == first
    (pictures / "2.png").rename(pictures / "renamed.png")  # known by its content
    save(pictures / "1.png", picture(77, 40, 50))  # changed
    shutil.copy(pictures / "0.png", pictures / "copy.png")
    lines, errors = run(capsys, cell, "--pictures", pictures, "--query", "0.png", "--k", 7)
    assert seen == [6, 1] and "1 of 8 pictures embedded" in errors
    assert lines[1].split()[1:] == ["+1.000", "copy.png"] and any("renamed.png" in line for line in lines)
    assert index.is_file()


def test_a_link_to_nothing_is_left_out_and_the_other_pictures_are_found(cell, pictures, capsys) -> None:
    (pictures / "gone.png").symlink_to(pictures / "nowhere.png")
    lines, errors = run(capsys, cell, "--pictures", pictures, "--query", "0.png", "--k", 1)
    assert lines[1].split()[2] == "0-near.png"
    assert "left out: gone.png: cannot be read (No such file or directory)" in errors
    lines, errors = run(capsys, cell, "--pictures", pictures, "--query", "0.png", "--k", 1)  # from the index
    assert "left out: gone.png" in errors and "0 of 8 pictures embedded" in errors


def test_a_query_may_lie_elsewhere(cell, pictures, tmp_path, capsys) -> None:
    elsewhere = save(tmp_path / "query.png", picture(2, 40, 50))
    lines, _ = run(capsys, cell, "--pictures", pictures, "--query", elsewhere, "--k", 2)
    assert [line.split()[-1] for line in lines[1:]] == ["2.png", "2-near.png"]


def test_the_page_holds_the_pictures_and_refers_to_nothing(cell, pictures, tmp_path, capsys) -> None:
    import base64
    import re

    (pictures / "0-near.png").rename(pictures / "0 & <near>.png")
    page = tmp_path / "strip.html"
    run(capsys, cell, "--pictures", pictures, "--query", "0.png", "--k", 2, "--html", page)
    text = page.read_text()
    sources = re.findall(r'src="([^"]*)"', text)
    assert len(sources) == 3 and all(s.startswith("data:image/webp;base64,") for s in sources)
    assert Image.open(io.BytesIO(base64.b64decode(sources[0].partition(",")[2]))).size == (50, 40)
    assert "0 &amp; &lt;near&gt;.png" in text and "<near>" not in text and "http" not in text


def test_mistakes_are_one_line(cell, pictures, tmp_path, capsys) -> None:
    other = make_cell(tmp_path / "other", size=48)
    index = tmp_path / "index.safetensors"
    run(capsys, cell, "--pictures", pictures, "--index", index)
    empty = tmp_path / "empty"
    empty.mkdir()
    damaged = tmp_path / "damaged"
    shutil.copytree(cell, damaged)
    (damaged / "backbone.safetensors").write_bytes(b"cut")
    cases = [
        ((empty, "--pictures", pictures), "no backbone here"),
        ((damaged, "--pictures", pictures), "cannot be loaded"),
        ((cell, "--pictures", tmp_path / "none"), "there is no such folder"),
        ((cell, "--pictures", empty), "has no picture that can be read"),
        ((cell, "--pictures", pictures, "--query", "none.png"), "there is no such picture"),
        ((cell, "--pictures", pictures, "--query", "broken.jpg"), "broken.jpg: is no picture that can be read"),
        ((other, "--pictures", pictures, "--index", index), "was made with another backbone"),
        ((cell, "--pictures", pictures, "--index", pictures / "0.png"), "no index of this program"),
        ((cell, "--pictures", pictures, "--k", 0), "at least one neighbour"),
    ]
    for arguments, said in cases:
        with pytest.raises(SystemExit) as ended:
            find_similar.main([str(argument) for argument in arguments])
        errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("sslbench:")]
        assert ended.value.code == 1 and len(errors) == 1 and said in errors[0], (arguments, errors)
    (cell.parent / "export").mkdir(exist_ok=True)
    for name in ("config.json", "model.safetensors"):
        (cell.parent / "export" / name).write_text("{}")
    with pytest.raises(UserError, match="timm cannot load it"):
        find_similar.open_backbone(cell.parent / "export")
