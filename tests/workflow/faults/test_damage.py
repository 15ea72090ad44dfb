"""A damaged file is found by its hash, set aside under a name that says so, and made anew by that or the next run."""

import json
import os
import pickle
from pathlib import Path

import pytest
import torch

from sslbench.training import checkpoint
from tests.tally import survived
from tests.workflow.faults.conftest import Undisturbed
from tests.workflow.faults.stages import STAGES, Nursery

pytestmark = pytest.mark.fault

WAYS = ("truncated", "flipped")
PACK = (
    "pixels.bin", "offsets.npy", "heights.npy", "widths.npy", "labels.npy", "digests.npy", "names.json",
    "splits/official-train.npy", "splits/official-test.npy", "doctor.json", "manifest.json",
)  # fmt: skip
STORE = ("backbone.safetensors", "curve.csv", "run.json", "ledger.json", "files.json")


def damage(path: Path, way: str) -> None:
    """In place, so that what is linked to it is damaged, too. One bit in the middle, the second half, or all."""
    size = path.stat().st_size
    if way == "emptied":
        path.write_text("{}")
        return
    if way == "truncated":
        os.truncate(path, size // 2)
        return
    with path.open("r+b") as file:
        file.seek(size // 2)
        byte = file.read(1)[0]
        file.seek(size // 2)
        file.write(bytes([byte ^ 1]))


def remade(undisturbed: Undisturbed, nursery: Nursery, aside: Path, stages: tuple[str, ...] = STAGES) -> None:
    """The next run: every stage whose files are missing, and those after it; what was set aside is still there."""
    missing = [s for s in stages if not all((nursery.folder / file).exists() for file in nursery.jobs.files[s])]
    for stage in stages[stages.index(missing[0]) :] if missing else ():
        nursery.must(stage)
        if stage == "pretrain":
            undisturbed.same_ledger(nursery)
    assert aside.exists(), "it was deleted"
    if aside.is_dir():
        aside.rename(nursery.folder / "was-set-aside")
    else:
        aside.unlink()
    undisturbed.same(nursery.folder)


def refuses(nursery: Nursery, stage: str, *words: str) -> str:
    """The stage ends in one line that says what is damaged and that it is made anew."""
    assert nursery.run(stage) == 1
    line = nursery.message()
    for word in (*words, "set aside as", "the next run makes it anew"):
        assert word in line, line
    assert line in nursery.log(stage)
    return line


def check_pack(undisturbed: Undisturbed, folder: Path, name: str, way: str) -> None:
    nursery = undisturbed.again(folder)
    pack = nursery.folder / nursery.jobs.pack
    damage(pack / name, way)
    refuses(nursery, "embed", nursery.jobs.pack.name)
    assert not pack.exists()
    remade(undisturbed, nursery, pack.with_name(f"{pack.name}.broken-1"))
    survived(f"{way} file", "pack")


def check_store(undisturbed: Undisturbed, folder: Path, name: str, way: str) -> None:
    """The cell's outputs are gone, and the store, which has them, is damaged."""
    nursery = undisturbed.again(folder)
    (done,) = nursery.folder.glob("results/.store/*/done")
    damage(done / name, way)
    nursery.must("pretrain")
    assert "set aside as done.broken-1, the cell is trained anew" in nursery.log("pretrain")
    remade(undisturbed, nursery, done.with_name("done.broken-1"))
    survived(f"{way} file", "store")


READERS = {
    "backbone.safetensors": "embed", "run.json": "evaluate", "curve.csv": "evaluate", "ledger.json": "collect",
    "features-train.safetensors": "evaluate", "features-test.safetensors": "evaluate", "linear.json": "collect",
    "knn.json": "collect", "health.json": "collect", "predictions.parquet": "collect", "labelfree.json": "collect",
}  # fmt: skip


def check_result(undisturbed: Undisturbed, folder: Path, name: str, way: str) -> None:
    """A file that a finished cell shows: the first job that reads it says so."""
    nursery = undisturbed.again(folder)
    file = nursery.folder / nursery.jobs.folder / name
    damage(file, way)
    refuses(nursery, READERS[name], f"{name}: ")
    assert not file.exists()
    remade(undisturbed, nursery, file.with_name(f"{name}.broken-1"))
    for stored in nursery.folder.glob("results/.store/*/done.broken-*"):
        assert name in STORE, stored
    survived(f"{way} file", "results")


EVERY = [
    *((check_pack, name) for name in PACK),
    *((check_store, name) for name in STORE),
    *((check_result, name) for name in READERS),
]
FEW = [
    (check_pack, "labels.npy", "flipped"),
    (check_pack, "manifest.json", "truncated"),
    (check_store, "backbone.safetensors", "flipped"),
    (check_result, "run.json", "flipped"),
    (check_result, "features-test.safetensors", "flipped"),
    (check_result, "linear.json", "truncated"),
    (check_result, "labelfree.json", "emptied"),
    (check_result, "run.json", "emptied"),
]


@pytest.mark.parametrize(("check", "name", "way"), FEW)
def test_a_damaged_file_is_set_aside_and_made_anew(undisturbed, tmp_path, check, name, way):
    check(undisturbed, tmp_path / "damaged", name, way)


@pytest.mark.long
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("check", "name"), EVERY)
def test_any_damaged_file_is_set_aside_and_made_anew(undisturbed, tmp_path, check, name, way):
    check(undisturbed, tmp_path / "damaged", name, way)


@pytest.mark.parametrize("stage", ["pretrain", "embed", "evaluate", "labelfree"])
def test_a_job_makes_nothing_under_the_digest_of_other_sources(undisturbed, tmp_path, stage):
    """They were edited after Snakemake took the digest, or the digest is of what stood there in between."""
    nursery = undisturbed.again(tmp_path / "edited")
    said = nursery.jobs.said[stage]["params"]
    code, said["code"] = said["code"], "0" * 64
    try:
        assert nursery.run(stage) == 1
    finally:
        said["code"] = code
    assert "the code" in nursery.message() and "run the same command again" in nursery.message()
    assert not any((nursery.folder / file).exists() for file in nursery.jobs.files[stage])
    survived("sources edited while a run goes on", stage)


@pytest.fixture
def interrupted(undisturbed, tmp_path) -> tuple[Nursery, Path]:
    """A training that was killed late, and the folder of its checkpoints."""
    nursery = undisturbed.again(tmp_path / "interrupted")
    (entry,) = nursery.folder.glob("results/.store/*")
    for path in (entry / "done").iterdir():
        path.unlink()
    (entry / "done").rmdir()
    last = max(i for i, call in enumerate(undisturbed.calls["pretrain"], 1) if "writing.tmp" in call)
    assert nursery.run("pretrain", fault={"kill_at": last}) < 0
    assert len(list((entry / "state").glob("step*.pt"))) >= checkpoint.KEEP
    return nursery, entry / "state"


@pytest.mark.parametrize("way", WAYS)
def test_a_damaged_checkpoint_gives_way_to_the_one_before_it(undisturbed, interrupted, way):
    nursery, state = interrupted
    newest = max(state.glob("step*.pt"))
    damage(newest, way)
    nursery.must("pretrain")
    log = nursery.log("pretrain")
    assert f"{newest.name}: its content does not match its hash; set aside as {newest.name}.broken-1" in log
    assert "resumed after step" in log
    undisturbed.same(nursery.folder)
    survived(f"{way} file", "checkpoint")


class Bomb:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


def test_a_checkpoint_from_elsewhere_runs_no_code_and_training_starts_anew(undisturbed, interrupted, tmp_path):
    """Its name carries the right hash, so that only the reader stands between its code and the machine."""
    nursery, state = interrupted
    step = max(path.name for path in state.glob("step*.pt")).partition("-")[0]
    mark = tmp_path / "it-ran"
    foreign = {"pickled": Bomb(mark)}
    (tmp_path / "plain").write_bytes(pickle.dumps(foreign))
    torch.save({"training": {"step": 5}, **foreign}, tmp_path / "torch")
    torch.save([1, 2, 3], tmp_path / "other")
    for path in state.iterdir():
        path.unlink()
    for number, name in enumerate(("plain", "torch", "other")):
        content = (tmp_path / name).read_bytes()
        hashed = checkpoint.file_sha256(tmp_path / name)[:16]
        (state / f"{step[:-1]}{number}-{hashed}.pt").write_bytes(content)
    nursery.must("pretrain")
    assert not mark.exists()
    log = nursery.log("pretrain")
    assert log.count("set aside as") == 3 and "no whole checkpoint is left; training starts anew" in log
    undisturbed.same(nursery.folder)
    survived("checkpoint with code in it", "train", 3)


def test_the_seal_of_a_json_result_covers_every_value(undisturbed):
    """Independently of the code that seals: no changed number, key or nesting passes."""
    from sslbench.store.checksum import holds

    linear = json.loads((undisturbed.folder / undisturbed.nursery.jobs.folder / "linear.json").read_text())
    assert holds(linear)
    for key, value in linear.items():
        if key != "seal":
            assert not holds(linear | {key: [value]}), key
            assert not holds({k: v for k, v in linear.items() if k != key}), key
