"""Opening a pack: no copies, cheap checks always, the hash on demand, and damaged packs out of the way."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from sslbench.data.pack import format as packformat
from sslbench.data.pack.read import PackedSet, Pictures
from sslbench.errors import UserError
from sslbench.store.checksum import sealed
from sslbench.transforms.ops.crop import RandomResizedCrop
from sslbench.transforms.ops.resize import by_matrix_products, picture_by_picture
from sslbench.transforms.pipeline import ViewMaker
from sslbench.transforms.spec import RandomResizedCrop as RandomResizedCropSettings
from tests.data.data_samples import make_folder, packed, picture, save, settings_of


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    root = make_folder(tmp_path)
    save(root / "cat" / "wide.png", picture(5, 9, 31))
    return packed(settings_of("folder", path=root), tmp_path, pack_size=9)


def test_a_picture_is_a_channels_last_view_of_the_one_buffer(pack: Path) -> None:
    opened = PackedSet.open(pack)
    batch = opened.batch(torch.tensor([3, 0, 3]))
    first, again = batch.picture(0), batch.picture(2)
    assert first.data_ptr() == again.data_ptr() == batch.buffer.data_ptr() + int(batch.offsets[0])
    assert first.stride() == (1, first.shape[2] * 3, 3) and first.dtype == torch.uint8
    assert batch.buffer.data_ptr() == opened.batch(torch.tensor([1])).buffer.data_ptr()


def test_a_batch_keeps_the_order_asked_for_and_the_sets_largest_sides(pack: Path) -> None:
    opened = PackedSet.open(pack)
    wide = opened.names.index("cat/wide.png")
    batch = opened.batch(torch.tensor([wide, 0]))
    assert batch.picture(0).shape == (3, 9, 31) and len(batch) == 2 and batch.device.type == "cpu"
    assert (batch.heights.tolist(), batch.widths.tolist()) == ([9, 11], [31, 9])
    small = opened.batch(torch.tensor([0]))
    assert (small.max_height, small.max_width) == (batch.max_height, batch.max_width) == (11, 31)
    for tensor in (batch.offsets, batch.heights, batch.widths, opened.heights, opened.widths):
        assert tensor.dtype == torch.int64


def test_pictures_from_a_list_are_those_pictures() -> None:
    listed = [torch.from_numpy(picture(i, 5 + i, 7)).permute(2, 0, 1) for i in range(3)]
    made = Pictures.from_list([listed[0], listed[1].contiguous(), listed[2]])
    assert all(torch.equal(made.picture(i), listed[i]) for i in range(3))
    assert (made.max_height, made.max_width, len(made)) == (7, 7, 3)


def test_moving_to_the_device_it_is_on_copies_nothing(pack: Path) -> None:
    opened = PackedSet.open(pack)
    before = opened.batch(torch.tensor([0])).buffer.data_ptr()
    assert opened.to("cpu") is opened and opened.batch(torch.tensor([0])).buffer.data_ptr() == before


def test_gathered_pictures_are_the_same_in_a_buffer_that_holds_no_others(pack: Path) -> None:
    batch = PackedSet.open(pack).batch(torch.tensor([14, 3, 0, 3]))
    mine = batch.gathered()
    assert all(torch.equal(mine.picture(i), batch.picture(i)) for i in range(4))
    assert len(mine.buffer) == sum(batch.picture(i).numel() for i in range(4)) < len(batch.buffer)
    assert (mine.max_height, mine.max_width) == (batch.max_height, batch.max_width)
    assert batch.to(torch.device("cpu")) is batch


@pytest.mark.parametrize("way", [by_matrix_products, picture_by_picture])
def test_crops_of_gathered_pictures_are_bit_equal_to_crops_from_the_whole_set(pack: Path, way: Callable) -> None:
    """So the accelerator's way makes the same views whether the set fits on the card or is sent there by the batch."""
    batch = PackedSet.open(pack).batch(torch.tensor([14, 3, 0, 3, 9]))
    boxes = RandomResizedCrop((0.3, 1.0), (3 / 4, 4 / 3)).draw(
        batch.heights, batch.widths, torch.Generator().manual_seed(0)
    )
    assert torch.equal(way(batch.gathered(), boxes, 12), way(batch, boxes, 12))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_views_on_a_gpu_are_bit_equal_wherever_the_pack_lies(pack: Path) -> None:
    maker, views = ViewMaker([RandomResizedCropSettings().model_dump()], 16), []
    for packed_set in (PackedSet.open(pack), PackedSet.open(pack).to("cuda")):
        pictures = packed_set.batch(torch.tensor([2, 7, 14])).to(torch.device("cuda"))
        views.append(maker.make(pictures, torch.Generator().manual_seed(0)).images)
    assert views[0].device.type == "cuda" and torch.equal(*views)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_the_whole_buffer_moves_to_the_gpu_once(pack: Path) -> None:
    here, there = PackedSet.open(pack), PackedSet.open(pack).to("cuda")
    indices = torch.tensor([2, 7])
    first, second = there.batch(indices), there.batch(indices)
    assert first.buffer.data_ptr() == second.buffer.data_ptr() and first.device.type == "cuda"
    assert first.offsets.device.type == "cpu"
    assert all(torch.equal(first.picture(i).cpu(), here.batch(indices).picture(i)) for i in range(2))


def flip(file: Path, at: int) -> None:
    content = bytearray(file.read_bytes())
    content[at] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize("file", ["pixels.bin", "labels.npy", "splits/per-class-80-20-seed0-test.npy"])
def test_a_flipped_bit_is_found_when_verifying_and_the_pack_set_aside(pack: Path, file: str) -> None:
    flip(pack / file, -8 if file != "pixels.bin" else 100)
    PackedSet.open(pack)
    with pytest.raises(UserError, match=r"set aside as .*made\.broken-1, and the next run makes it anew"):
        PackedSet.open(pack, verify=True)
    assert not pack.exists() and (pack.parent / "made.broken-1" / "manifest.json").exists()


def test_hashes_are_taken_once_and_again_when_a_file_is_another(pack: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken, real = [], packformat.content_sha256
    monkeypatch.setattr(packformat, "content_sha256", lambda *rest: taken.append(1) or real(*rest))
    for _ in range(3):
        PackedSet.open(pack, verify=True)
    assert len(taken) == 1
    copied = pack.with_name("copied")
    shutil.copytree(pack, copied)  # with the note that the original was verified
    PackedSet.open(copied, verify=True)
    assert len(taken) == 2


def test_damage_after_verifying_is_found_even_with_the_old_modification_time(pack: Path) -> None:
    PackedSet.open(pack, verify=True)
    before = (pack / "pixels.bin").stat()
    flip(pack / "pixels.bin", 100)
    os.utime(pack / "pixels.bin", ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(UserError, match="content hash"):
        PackedSet.open(pack, verify=True)


def test_a_pack_that_cannot_be_written_to_is_verified_all_the_same(pack: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, _value: object) -> None:
        raise PermissionError(13, "read only", str(path))

    monkeypatch.setattr(packformat, "write_json", refuse)
    PackedSet.open(pack, verify=True)
    flip(pack / "pixels.bin", 100)
    with pytest.raises(UserError, match="content hash"):
        PackedSet.open(pack, verify=True)


def test_a_cut_file_is_found_always_and_broken_packs_are_counted_up(pack: Path) -> None:
    (pack.parent / "made.broken-1").mkdir()
    with (pack / "pixels.bin").open("r+b") as file:
        file.truncate(1000)
    with pytest.raises(UserError, match=r"pixels.bin has 1,000 bytes, not .*broken-2"):
        PackedSet.open(pack)


@pytest.mark.parametrize("name", ["offsets.npy", "names.json", "splits/per-class-80-20-seed0-train.npy"])
def test_a_missing_file_is_found_always(pack: Path, name: str) -> None:
    (pack / name).unlink()
    with pytest.raises(UserError, match="broken-1"):
        PackedSet.open(pack)


def test_a_changed_name_is_found_always_since_derived_splits_hang_on_names(pack: Path) -> None:
    names = (pack / "names.json").read_text()
    (pack / "names.json").write_text(names.replace("wide", "tall"))
    with pytest.raises(UserError, match=r"names\.json is not the one of its hash"):
        PackedSet.open(pack)


def test_contradicting_shapes_are_found_always(pack: Path) -> None:
    heights = np.load(pack / "heights.npy")
    heights[0] += 1
    np.save(pack / "heights.npy", heights)
    with pytest.raises(UserError, match="contradict"):
        PackedSet.open(pack)


def test_no_pack_and_another_format_are_left_where_they_are(pack: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no pack here"):
        PackedSet.open(tmp_path / "nowhere")
    manifest = json.loads((pack / "manifest.json").read_text())
    del manifest["seal"]
    (pack / "manifest.json").write_text(json.dumps(sealed(manifest | {"format": 99})))
    with pytest.raises(UserError, match="format 99"):
        PackedSet.open(pack)
    assert pack.exists()
