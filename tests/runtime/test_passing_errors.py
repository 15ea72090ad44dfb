"""What a disk, a limit or a full memory refuses for the moment costs no finished work; what was lost or unsealed
does.
"""

import errno
import fcntl
import json
import os
import stat
import threading
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import safetensors.torch
import torch

from sslbench.data.pack import format as packformat
from sslbench.data.pack.decode import decode_file
from sslbench.data.pack.read import PackedSet
from sslbench.data.sources.fetch import read_source
from sslbench.errors import UserError
from sslbench.evaluation import features
from sslbench.jobs import snakemake_lock
from sslbench.jobs.log import job_log
from sslbench.report.collect.quarantine import set_aside_damaged
from sslbench.report.page import render
from sslbench.runtime import files
from sslbench.store import checksum
from sslbench.store import entries as store
from sslbench.training import checkpoint
from tests.data.data_samples import make_folder, packed, settings_of

PASSING = [OSError(code, os.strerror(code)) for code in (errno.ESTALE, errno.EIO, errno.EMFILE, errno.EACCES)]
PASSING.append(MemoryError())


@pytest.fixture(params=PASSING, ids=lambda error: error.strerror if isinstance(error, OSError) else "memory")
def refusing(request, monkeypatch):
    """Make the attribute ``name`` of ``owner`` raise, for paths that end as said."""

    def refuse(owner: object, name: str, ending: str = "") -> None:
        real = getattr(owner, name)

        def refused(path, *arguments, **options):
            if str(path).endswith(ending):
                raise request.param
            return real(path, *arguments, **options)

        monkeypatch.setattr(owner, name, refused)

    refuse.kind = type(request.param)
    return refuse


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    return packed(settings_of("folder", path=make_folder(folder)), folder)


def untouched(folder: Path) -> bool:
    return not list(folder.rglob("*.broken-*")) and not list(folder.parent.glob("*.broken-*"))


@pytest.mark.parametrize("call", [(checkpoint, "file_sha256"), (torch, "load")], ids=["hash", "load"])
def test_a_checkpoint_is_kept(tmp_path, refusing, call):
    checkpoint.save(tmp_path, 1, {"step": 1})
    refusing(*call)
    with pytest.raises(refusing.kind):
        checkpoint.newest(tmp_path, pytest.fail)
    assert untouched(tmp_path)


def test_a_finished_cell_is_kept(tmp_path, refusing):
    with store.locked(tmp_path, "a" * 64, print) as entry:
        entry.publish({"run.json": b"{}"})
        refusing(store, "file_sha256")
        with pytest.raises(refusing.kind):
            entry.finished()
    assert untouched(tmp_path)


@pytest.mark.parametrize(
    ("call", "ending"),
    [("open", "labels.npy"), ("stat", "pixels.bin"), ("read_bytes", "names.json"), ("open", "official-test.npy")],
)
def test_a_pack_is_kept(made, refusing, call, ending):
    if ending.startswith("official") and not (made / "splits" / ending).exists():
        ending = next((made / "splits").iterdir()).name
    refusing(Path, call, ending)
    with pytest.raises(refusing.kind):
        PackedSet.open(made, verify=True)
    assert untouched(made)


def test_features_are_kept(tmp_path, refusing):
    file = written_features(tmp_path)
    refusing(features.safetensors, "safe_open")
    with pytest.raises(refusing.kind):
        features.read(file)
    assert untouched(tmp_path)


@pytest.mark.parametrize("name", ["linear.json", "predictions.parquet"])
def test_a_result_is_kept(tmp_path, refusing, name):
    (tmp_path / name).write_bytes(b"")
    refusing(Path, "read_text" if name.endswith("json") else "read_bytes")
    with pytest.raises(refusing.kind):
        checksum.fault(tmp_path / name)


def written_features(folder: Path) -> Path:
    rows = torch.arange(3)
    features.write(
        folder / "features-test.safetensors", features.Features(torch.zeros(3, 2), rows, rows + 1, {"of": "it"})
    )
    return folder / "features-test.safetensors"


@pytest.mark.parametrize("content", [b"", b"\0" * 8, b"\xff" * 100], ids=["empty", "short", "noise"])
def test_features_that_are_none_are_set_aside(tmp_path, content):
    file = written_features(tmp_path)
    file.write_bytes(content)
    with pytest.raises(UserError, match="set aside as"):
        features.read(file)


def test_a_header_that_asks_for_any_memory_is_damage(tmp_path):
    pack = packed(settings_of("folder", path=make_folder(tmp_path)), tmp_path)
    with (pack / "labels.npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<i8", "fortran_order": False, "shape": (10**14,)})
    with pytest.raises(UserError, match=r"set aside as made\.broken-1"):
        PackedSet.open(pack)


def test_a_file_that_is_gone_is_no_unreadable_picture_but_a_link_to_nothing_is_one(tmp_path):
    with pytest.raises(FileNotFoundError):
        decode_file(tmp_path / "gone.png", 8)
    (tmp_path / "link.png").symlink_to(tmp_path / "nowhere.png")
    assert decode_file(tmp_path / "link.png", 8) == "no such file or directory"


def without_seal(value: dict) -> dict:
    return {key: item for key, item in value.items() if key != checksum.KEY}


def test_what_lost_its_seal_is_not_believed(tmp_path):
    for number, value in enumerate(({}, without_seal(checksum.sealed({"top1": 0.5})), {"top1": 0.99})):
        (tmp_path / f"{number}.json").write_text(json.dumps(value))
        assert checksum.fault(tmp_path / f"{number}.json") == "is not what its seal says"
    pq.write_table(pa.table({"top1": [1, 2]}), tmp_path / "predictions.parquet")
    assert checksum.fault(tmp_path / "predictions.parquet") == "is not what its seal says"
    file = written_features(tmp_path)
    tensors = safetensors.torch.load_file(file)
    safetensors.torch.save_file(tensors, file, {"sslbench": json.dumps({"of": "it"})})
    with pytest.raises(UserError, match="is not what its seal says; it is set aside"):
        features.read(file)
    for text in ("{}", '{"settings": {}, "code": "c"}', "[]"):
        (tmp_path / "run.json").write_text(text)
        assert store.fault(tmp_path / "run.json")


@pytest.mark.parametrize("name", ["doctor.json", "manifest.json"])
def test_findings_of_a_pack_that_are_not_its_own_reach_no_report(tmp_path, name):
    pack = packed(settings_of("folder", path=make_folder(tmp_path)), tmp_path)
    plan = {"cells": [], "datasets": {"one": {"pack": str(pack)}, "two": {"pack": str(pack)}}}
    assert set_aside_damaged(plan, tmp_path) == []
    (pack / name).write_text("{}")
    (line,) = set_aside_damaged(plan, tmp_path)
    assert f"{name}: " in line and "the next run makes it anew" in line and not (pack / name).exists()


@pytest.mark.parametrize(("name", "content"), [("labels.npy", b"x"), ("manifest.json", b"{")])
def test_two_jobs_that_find_one_damaged_pack_both_say_so(tmp_path, monkeypatch, name, content):
    pack = packed(settings_of("folder", path=make_folder(tmp_path)), tmp_path)
    (pack / name).write_bytes(content)
    real = files.set_aside
    monkeypatch.setattr(checksum, "set_aside", lambda path: (real(path), real(path)))  # another is faster
    with pytest.raises(UserError, match="it is set aside, and the next run makes it anew"):
        PackedSet.open(pack)


def test_work_in_a_folder_is_kept_apart_where_only_files_open_for_writing_can_be_locked(tmp_path, monkeypatch):
    real, order, inside = fcntl.flock, [], threading.Event()

    def as_on_nfs(file, how) -> None:
        handle = file if isinstance(file, int) else file.fileno()
        if stat.S_ISREG(os.fstat(handle).st_mode) and fcntl.fcntl(handle, fcntl.F_GETFL) & (os.O_WRONLY | os.O_RDWR):
            real(handle, how)

    def first() -> None:
        with files.alone(tmp_path / "work", pytest.fail):
            inside.set()
            assert told.wait(20)
            order.append("first is done")

    told = threading.Event()
    monkeypatch.setattr(files.fcntl, "flock", as_on_nfs)
    one = threading.Thread(target=first)
    one.start()
    assert inside.wait(20)
    timer = threading.Timer(2, told.set)  # where nobody waits
    timer.start()
    with files.alone(tmp_path / "work", lambda _: told.set()) as waited:
        order.append("second begins")
    timer.cancel()
    one.join()
    assert waited and order == ["first is done", "second begins"]
    assert [path.name for path in tmp_path.iterdir()] == ["work"]


@pytest.mark.parametrize("text", ['{"file": "x"}', "[]", '{"file": "x", "kind": "folder"}'])
def test_a_source_that_says_too_little_is_one_line(tmp_path, text):
    (tmp_path / "source.json").write_text(text)
    with pytest.raises(UserError, match="delete it and run again to fetch anew"):
        read_source(tmp_path / "source.json")


def test_a_report_that_says_nothing_is_one_line(tmp_path):
    (tmp_path / "report.json").write_text("{}")
    with pytest.raises(UserError, match="delete it and run again"):
        render(tmp_path / "report.json", None, tmp_path / "a.html", tmp_path / "a.md")


@pytest.mark.parametrize("name", ["ETIMEDOUT", "ENOTCONN", "EREMOTEIO", "ENOLCK", "ENAMETOOLONG"])
def test_what_a_network_disk_says_is_one_line(tmp_path, capsys, name):
    code = getattr(errno, name)
    with pytest.raises(SystemExit), job_log(tmp_path / "log"):
        raise OSError(code, os.strerror(code), "a file")
    assert capsys.readouterr().err.startswith(f"sslbench: a file: {os.strerror(code)}; ")


def test_too_little_memory_is_one_line(tmp_path, capsys):
    with pytest.raises(SystemExit), job_log(tmp_path / "log"):
        raise MemoryError
    assert capsys.readouterr().err.startswith("sslbench: ")


def test_a_fault_of_the_device_is_no_full_disk(tmp_path, monkeypatch):
    checkpoint.save(tmp_path, 1, {"w": torch.zeros(2)})

    def fault(_):
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr(torch.Tensor, "cpu", fault)
    with pytest.raises(RuntimeError, match="illegal memory access"):
        checkpoint.save(tmp_path, 2, {"w": torch.zeros(2)})
    assert len(list(tmp_path.iterdir())) == 1


def locked_by(folder: Path, kernel: str) -> Path:
    """The lock of a run that was killed, under a kernel of that name."""
    (folder / "locks").mkdir(parents=True)
    (folder / snakemake_lock.FLOCK).write_text(f"{kernel}\n")
    (folder / "locks" / "0.input.lock").write_text("")
    return folder / "locks" / "0.input.lock"


@pytest.mark.parametrize("same", [True, False])
def test_a_lock_is_removed_only_where_the_kernel_that_says_its_run_is_dead_ran_it(tmp_path, monkeypatch, same):
    """Two machines may share a host name and a disk whose flocks each keeps for itself."""
    monkeypatch.setattr(snakemake_lock, "_held", [])
    lock = locked_by(tmp_path / "s", snakemake_lock.kernel() if same else "another")
    monkeypatch.setattr(snakemake_lock.platform, "node", lambda: "another")
    assert bool(snakemake_lock.hold(tmp_path / "s")) == same and lock.exists() != same


def test_two_runs_that_start_at_once_both_hold_the_lock(tmp_path, monkeypatch):
    """From exclusive to shared is no single step: who came in between would leave the first without its lock."""
    real, second = fcntl.flock, []

    def flock(file, how) -> None:
        if how == fcntl.LOCK_SH:
            real(file, fcntl.LOCK_UN)  # as the kernel does first
            with (tmp_path / "sslbench.starting").open("a") as turn:
                try:
                    real(turn, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    second.append("came in between")
                except BlockingIOError:
                    second.append("waits")
        real(file, how)

    monkeypatch.setattr(snakemake_lock, "_held", [])
    monkeypatch.setattr(snakemake_lock.fcntl, "flock", flock)
    snakemake_lock.hold(tmp_path)
    assert second == ["waits"]
    with (tmp_path / snakemake_lock.FLOCK).open("a") as other, pytest.raises(BlockingIOError):
        real(other, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_magic_of_every_index_file_is_the_one_that_is_read(made):
    """numpy may write newer headers some day: packs must then say so here, and not to their readers."""
    for file in made.rglob("*.npy"):
        with file.open("rb") as opened:
            assert np.lib.format.read_magic(opened) == (1, 0), file
    assert packformat.read_manifest(made)
