"""Packs of JPEGs: the same interface and the same pictures as JPEG allows, decoded when they are asked for."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sslbench.data.pack import jpeg as jpegs
from sslbench.data.pack.decode import decode
from sslbench.data.pack.read import PackedSet
from sslbench.errors import UserError
from sslbench.grid import cell, cost
from sslbench.training.data_placement import place
from sslbench.training.device import Device
from tests.data.data_samples import files_of, packed, settings_of

CPU = torch.device("cpu")


def smooth(seed: int, height: int, width: int) -> np.ndarray:
    """A picture that JPEG does not spoil: a few low frequencies."""
    low = np.random.default_rng(seed).integers(0, 256, (3, 3, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(low).resize((width, height), Image.Resampling.BICUBIC))


def jpeg(pixels: np.ndarray, **options: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=90, **options)
    return file.getvalue()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for c, name in enumerate(("cat", "dog")):
        (tmp_path / "pets" / name).mkdir(parents=True)
        for i in range(10):
            content = jpeg(smooth(10 * c + i, 30 + 5 * i, 40))
            (tmp_path / "pets" / name / f"{i}.jpg").write_bytes(content)
    return tmp_path / "pets"


@pytest.fixture
def pack(root: Path, tmp_path: Path) -> Path:
    return packed(settings_of("folder", path=root, encoding="jpeg"), tmp_path, pack_size=40)


def test_a_small_baseline_jpeg_is_kept_and_all_else_encoded_anew() -> None:
    plain = jpeg(smooth(0, 30, 40))
    turned = Image.Exif()
    turned[0x0112] = 6
    png = io.BytesIO()
    Image.fromarray(smooth(0, 30, 40)).save(png, "PNG")
    assert decode(plain, 30, "jpeg").pixels.tobytes() == plain
    for content, size, shape in (
        (plain, 20, (20, 27)),
        (jpeg(smooth(0, 30, 40), progressive=True), 30, (30, 40)),
        (jpeg(smooth(0, 30, 40), exif=turned), 30, (40, 30)),
        (jpeg(smooth(0, 30, 40)[:, :, 0]), 30, (30, 40)),
        (png.getvalue(), 30, (30, 40)),
    ):
        made, pixels = decode(content, size, "jpeg"), decode(content, size).pixels
        with Image.open(io.BytesIO(made.pixels.tobytes())) as image:
            assert (image.format, image.mode, image.info.get("progressive")) == ("JPEG", "RGB", None)
            assert np.abs(np.asarray(image).astype(int) - pixels).mean() < 4
        assert made.shape == pixels.shape[:2] == shape and made.pixels.tobytes() != content


def test_a_cut_jpeg_is_unreadable_though_it_would_be_kept() -> None:
    with pytest.raises(OSError, match="truncated"):
        decode(jpeg(smooth(0, 200, 200))[:-800], 200, "jpeg")


def test_a_batch_is_what_pillow_and_torchvision_decode_from_the_same_bytes(pack: Path) -> None:
    from torchvision.io import decode_jpeg

    opened = PackedSet.open(pack, verify=True)
    indices = torch.tensor([13, 0, 13, 5])
    batch = opened.batch(indices)
    offsets, content = np.load(pack / "offsets.npy"), (pack / "pixels.bin").read_bytes()
    lengths = np.load(pack / "lengths.npy")
    for i, index in enumerate(indices.tolist()):
        one = content[offsets[index] : offsets[index] + lengths[index]]
        picture = batch.picture(i)
        assert np.array_equal(picture.permute(1, 2, 0).numpy(), np.asarray(Image.open(io.BytesIO(one))))
        theirs = decode_jpeg(torch.frombuffer(bytearray(one), dtype=torch.uint8))
        assert (picture.int() - theirs.int()).abs().max() <= 1
        assert picture.shape[1:] == (opened.heights[index], opened.widths[index])
    assert (batch.max_height, batch.max_width) == (opened.manifest["max_height"], opened.manifest["max_width"])


def test_all_but_the_pixels_is_as_in_a_pack_of_pixels(root: Path, pack: Path, tmp_path: Path) -> None:
    pixels = packed(settings_of("folder", path=root), tmp_path, pack_size=40, name="pixels")
    there, here = files_of(pixels), files_of(pack)
    apart = {name for name in here.keys() | there.keys() if here.get(name) != there.get(name)}
    assert apart == {"pixels.bin", "offsets.npy", "lengths.npy", "manifest.json"}
    one, other = (json.loads(files["manifest.json"]) for files in (there, here))
    assert {key for key in one | other if one.get(key) != other.get(key)} == {
        "bytes", "content_sha256", "encoding", "seal", "source"
    }  # fmt: skip
    assert other["encoding"] == "jpeg" and other["bytes"] < one["bytes"] / 3


def test_jobs_and_threads_change_nothing(root: Path, pack: Path, tmp_path: Path) -> None:
    again = packed(settings_of("folder", path=root, encoding="jpeg"), tmp_path / "2", 40, jobs=2)
    assert files_of(again) == files_of(pack)
    opened, indices, threads = PackedSet.open(pack), torch.arange(20), torch.get_num_threads()
    found = []
    try:
        for number in (1, 3):
            torch.set_num_threads(number)
            found.append(opened.batch(indices).buffer)
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(*found)


@pytest.mark.parametrize("file", ["pixels.bin", "lengths.npy"])
def test_damage_sets_the_pack_aside(pack: Path, file: str) -> None:
    content = bytearray((pack / file).read_bytes())
    content[-8] ^= 1
    (pack / file).write_bytes(content)
    with pytest.raises(UserError, match=r"set aside as .*made\.broken-1"):
        PackedSet.open(pack, verify=True)
    assert not pack.exists()


def test_jpegs_stay_in_their_file_whatever_is_asked_for(pack: Path) -> None:
    device = Device("cpu", {"precision": "fp32", "channels_last": True})
    opened = PackedSet.open(pack)
    assert "JPEGs, decoded by the batch on the CPU" in place(opened, device)
    for wanted in ("device", "pinned"):
        with pytest.raises(UserError, match="packed as JPEGs"):
            place(opened, device, wanted)


def test_the_encoding_names_pack_and_cell_and_pixels_change_neither() -> None:
    pixels, jpeg = settings_of("imagenette"), settings_of("imagenette", encoding="jpeg")
    names = cell.pack_names({"a": (pixels, 160), "b": (jpeg, 160)})
    assert names["a"][0] == names["b"][0] and names["b"][1] == names["a"][1] + "-jpeg"
    datasets = [cell.Dataset("x", "imagenette", settings, 160, *names["a"]) for settings in (pixels, jpeg)]
    read = [dataset.read for dataset in datasets]
    assert read[1]["identity"] == read[0]["identity"] | {"encoding": "jpeg"}
    archive = pixels.downloads()[0].size
    assert (cost.disk_bytes(datasets[0]) - archive) == pytest.approx(3 * (cost.disk_bytes(datasets[1]) - archive))


def test_a_decoder_that_is_not_there_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert jpegs.usable(CPU)
    assert jpegs.usable(torch.device("cuda")) == torch.cuda.is_available()
