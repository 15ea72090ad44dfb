"""The album: thumbnails once each, within their budget, and neighbours and maps of what is finished and current."""

import base64
import io
import json
import re

import numpy as np
import pytest
from PIL import Image

from sslbench.data.pack.images import PackedImages
from sslbench.errors import UserError
from sslbench.report.images import collect as module
from sslbench.report.images.collect import LARGEST, album
from sslbench.report.images.contact_sheets import COLUMNS, sheets
from sslbench.report.page import render
from tests.report.seen import Seen, write_pack


@pytest.fixture
def seen(tree):
    return Seen(tree, train=60, test=80, classes=10, side=24)


def made(seen) -> dict:
    seen.tree.report()
    album(seen.tree.out / "report.json", seen.tree.results, seen.tree.out / "album.json")
    return json.loads((seen.tree.out / "album.json").read_text())


def pages(seen) -> tuple[str, str]:
    out = seen.tree.out
    render(out / "report.json", None, out / "r.html", out / "r.md", out / "album.json")
    return (out / "r.html").read_text(), (out / "r.md").read_text()


def tile(pack: dict, number: int) -> np.ndarray:
    """A thumbnail's pixels, cut from its sheet."""
    for name in ("large", "small"):
        part = pack[name]
        if number < part["count"]:
            sheet = Image.open(io.BytesIO(base64.b64decode(part["webp_base64"]))).convert("RGB")
            side, x, y = part["tile"], number % part["columns"], number // part["columns"]
            return np.asarray(sheet.crop((x * side, y * side, (x + 1) * side, (y + 1) * side))).astype(float)
        number -= part["count"]
    raise AssertionError(number)


def test_strips_hold_what_look_found_and_right_is_by_label(seen):
    folder = seen.cell("simclr", "baseline", 0.6)
    seen.cell("byol", "baseline", 0.5)
    look = json.loads((folder / "look.json").read_text())
    found = made(seen)["datasets"]["nette"]
    strip = next(strip for strip in found["strips"] if strip["model"] == "simclr")
    assert strip["labels"] == [query["labels"] for query in look["queries"]]
    html, text = pages(seen)
    table = html[html.index('<figure class="strips">') :].split("</figure>")[0]
    row = next(row for row in table.split("<tr>") if "SimCLR with baseline" in row)
    for query, cell in zip(look["queries"], row.split("<td>")[1:], strict=True):
        tones = re.findall(r'class="tile \S+ (right|wrong)"', cell)
        assert tones == ["right" if label == query["label"] else "wrong" for label in query["labels"]]
        names = re.findall(r'aria-label="([^"]+)"', cell)
        assert names == [
            f"class {label}, {'same class' if label == query['label'] else 'another class'}"
            for label in query["labels"]
        ]
        assert f"{tones.count('right')} of {len(tones)}" in cell
    assert "| SimCLR with baseline | " in text


def test_every_picture_is_stored_once_and_is_the_one_it_stands_for(seen):
    folder = seen.cell("simclr", "baseline", 0.6)
    look = json.loads((folder / "look.json").read_text())
    found = made(seen)
    dataset, pack = found["datasets"]["nette"], found["packs"]["nette"]
    numbers = {}
    for query, of in zip(dataset["queries"], look["queries"], strict=True):
        numbers[of["index"]] = query["tile"]
    for tiles, of in zip(dataset["strips"][0]["tiles"], look["queries"], strict=True):
        numbers |= dict(zip(of["neighbours"], tiles, strict=True))
    mapped = dict(zip(look["map"]["indices"], dataset["points"]["tiles"], strict=True))
    assert all(mapped[i] == numbers[i] for i in mapped.keys() & numbers.keys())
    numbers |= mapped
    assert len(set(numbers.values())) == len(numbers) <= pack["large"]["count"] + pack["small"]["count"]
    both = numbers.items()
    for index, number in [*both][:3] + [*both][-3:]:
        side, shown = len(tile(pack, number)), tile(pack, number)
        squares = {i: Image.fromarray(seen.pixels[i][:, 1:25]) for i in (index, *range(10))}
        apart = {
            i: np.abs(np.asarray(s.resize((side, side), Image.Resampling.LANCZOS)) - shown).mean()
            for i, s in squares.items()
        }
        assert min(apart, key=apart.get) == index
    html, _ = pages(seen)
    for part in pack.values():
        assert html.count(part["webp_base64"]) == 1


def test_the_page_stays_offline_and_equal_inputs_give_equal_bytes(seen):
    seen.cell("simclr", "baseline", 0.6)
    first = made(seen)
    before = (seen.tree.out / "album.json").read_bytes(), pages(seen)
    assert made(seen) == first
    assert ((seen.tree.out / "album.json").read_bytes(), pages(seen)) == before
    html = before[1][0]
    style = html[html.index("<style>") : html.index("</style>")]
    assert {target for target in re.findall(r"url\(([^)]{0,5})", style) if not target.startswith("#")} == {"data:"}
    assert all(f'id="{name}"' in html for name in re.findall(r"url\(#([^)]+)\)", style))
    assert html.count('<svg class="map"') == 1


@pytest.mark.parametrize("count", [40, 900])
def test_thumbnails_of_pure_noise_keep_to_the_budget(tmp_path, count):
    random = np.random.default_rng(0)
    few = [random.integers(0, 256, (200, 200, 3), dtype=np.uint8) for _ in range(8)]
    write_pack(tmp_path / "pack", few, np.zeros(8, int), ["0"])
    pack = PackedImages(tmp_path / "pack")
    found = sheets(pack, [i % 8 for i in range(count)], [i % 8 for i in range(300)], LARGEST)
    assert sum(len(part["webp_base64"]) for part in found.values()) <= LARGEST
    for name, number in (("large", count), ("small", 300)):
        part = found[name]
        sheet = Image.open(io.BytesIO(base64.b64decode(part["webp_base64"])))
        assert sheet.size == (COLUMNS * part["tile"], part["rows"] * part["tile"])
        assert part["count"] == number <= COLUMNS * part["rows"]
    again = sheets(pack, [i % 8 for i in range(count)], [i % 8 for i in range(300)], LARGEST)
    assert again == found


def test_plain_pictures_get_the_best_of_the_steps(tmp_path):
    write_pack(tmp_path / "pack", [np.full((50, 70, 3), 90, np.uint8)] * 3, np.zeros(3, int), ["0"])
    found = sheets(PackedImages(tmp_path / "pack"), [0, 2], [1], LARGEST)
    assert (found["large"]["tile"], found["small"]["tile"]) == (64, 44)
    assert np.abs(tile(found, 1) - 90).max() < 3


def test_what_is_not_finished_current_and_looked_at_is_left_out(seen):
    seen.cell("simclr", "baseline", 0.6)
    seen.cell("byol", "baseline", 0.5, looked=False)
    stale = seen.cell("simclr", "simclr", 0.7)
    run = json.loads((stale / "run.json").read_text())
    seen.tree.write(stale / "run.json", run | {"code": "another"})
    older = seen.cell("byol", "simclr", 0.7)
    features = seen.cell("byol", "other", 0.7) / "features-test.safetensors"
    (older / "features-test.safetensors").write_bytes(features.read_bytes())
    assert {(s["model"], s["transform"]) for s in made(seen)["datasets"]["nette"]["strips"]} == {
        ("simclr", "baseline"), ("byol", "other"),
    }  # fmt: skip


def test_features_that_were_deleted_to_save_room_take_nothing_from_the_album(seen):
    folder = seen.cell("simclr", "baseline", 0.6)
    before = made(seen)["datasets"]["nette"]["strips"]
    for file in folder.glob("features-*"):
        file.unlink()
    assert module._look(folder, "ab" * 32)["queries"] and before


def test_without_anything_to_show_the_page_has_no_pictures(seen):
    seen.cell("simclr", "baseline", 0.6, looked=False)
    assert made(seen) == {"datasets": {}, "format": 1, "packs": {}}
    html, _ = pages(seen)
    assert "What the models see" not in html and "figure.maps" not in html


def test_of_many_entries_each_models_best_is_shown_and_the_first_seed_stands_for_it(seen, monkeypatch):
    monkeypatch.setattr(module, "ROWS", 3)
    for model, transform, right in (
        ("simclr", "baseline", 0.9), ("simclr", "simclr", 0.2), ("byol", "baseline", 0.1), ("byol", "simclr", 0.6),
    ):  # fmt: skip
        seen.cell(model, transform, right)
    seen.cell("simclr", "baseline", 0.9, seed=1, looked=False)
    shown = [(s["model"], s["transform"], s["seed"]) for s in made(seen)["datasets"]["nette"]["strips"]]
    assert shown == [("simclr", "baseline", 0), ("byol", "simclr", 0)]


def test_of_many_models_those_of_the_best_rank_are_shown_with_the_references_and_both_captions_say_so(
    seen, monkeypatch
):
    monkeypatch.setattr(module, "ROWS", 3)
    monkeypatch.setattr(module, "MODELS", 2)
    told = "Of 4 entries with pictures, here is the best of each of 2 of 3 models, those of the best rank"
    for model in ("vicreg", "random"):
        seen.tree.model(model, model, "reference" if model == "random" else "non-contrastive")
    for model, transform, right in (
        ("simclr", "baseline", 0.5), ("simclr", "simclr", 0.1), ("byol", "baseline", 0.9), ("vicreg", "baseline", 0.7),
        ("random", "none", 0.1),
    ):  # fmt: skip
        seen.cell(model, transform, right)
    report = seen.tree.report()
    ranks = {"byol": None, "vicreg": 2, "simclr": 1}  # the most accurate is not ranked: collapsed, say
    for entry in report["entries"]:
        entry["dataset_rank"] = ranks.get(entry["name"][1])
    (seen.tree.out / "report.json").write_text(json.dumps(report))
    album(seen.tree.out / "report.json", seen.tree.results, seen.tree.out / "album.json")
    found = json.loads((seen.tree.out / "album.json").read_text())["datasets"]["nette"]
    assert found["cut"] == {"of": 4, "models": 3, "shown": 2}
    for kind in ("strips", "maps"):
        shown = [(one["model"], one["transform"]) for one in found[kind]]
        assert shown == [("simclr", "baseline"), ("vicreg", "baseline"), ("random", "none")]
    seen.tree.report()  # with its own ranks again
    for text in pages(seen):
        assert text.count(told) == 2 and "entries.csv" in text.split(told)[1][:150]
    monkeypatch.setattr(module, "MODELS", 3)
    assert made(seen)["datasets"]["nette"]["cut"] == {"of": 4, "models": 3, "shown": 3}
    html, text = pages(seen)
    assert html.count("Of 4 entries with pictures, here is each model&#39;s best, and the references") == 2
    monkeypatch.setattr(module, "ROWS", 4)
    assert "cut" not in made(seen)["datasets"]["nette"]
    assert not any("entries with pictures" in text for text in pages(seen))


def test_a_damaged_pack_is_one_line(seen):
    seen.cell("simclr", "baseline", 0.6)
    (seen.tree.root / "data/packed/nette/labels.npy").write_bytes(b"")
    with pytest.raises(UserError, match=r"labels\.npy cannot be read"):
        made(seen)
