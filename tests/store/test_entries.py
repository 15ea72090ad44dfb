"""The store: finished files are whole or not there, are found again by content, and are never lost or mixed up."""

import fcntl
import multiprocessing
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from sslbench.errors import UserError
from sslbench.jobs import prune as sslbench_prune
from sslbench.store import entries as store
from sslbench.store.entries import digest, locked, prune

FILES = {"backbone.safetensors": b"\x00weights", "run.json": b"{}\n"}
DATA = {"content_sha256": "c", "split_sha256": "s"}


def publish(root: Path, key: str, log=print) -> None:
    with locked(root, key, log) as entry:
        entry.publish(FILES)


def key_of(letter: str) -> str:
    return letter * 64


def test_digest_depends_on_every_value_and_not_on_the_order_of_keys():
    settings = {"seed": 0, "train": {"epochs": 2, "batch_size": 8}}
    reordered = {"train": {"batch_size": 8, "epochs": 2}, "seed": 0}
    same = digest(settings, "code", DATA)
    assert digest(reordered, "code", DATA) == same and len(same) == 64
    others = {
        digest(settings | {"seed": 1}, "code", DATA),
        digest(settings, "other", DATA),
        digest(settings, "code", DATA | {"split_sha256": "t"}),
        digest(settings, "code", DATA | {"content_sha256": "t"}),
    }
    assert len(others | {same}) == 5


def test_published_files_are_linked_not_copied_and_outlive_their_outputs(tmp_path):
    publish(tmp_path / "store", key_of("a"))
    output = tmp_path / "results" / "cell" / "run.json"
    with locked(tmp_path / "store", key_of("a"), print) as entry:
        assert entry.finished()
        entry.link([output])
        assert output.samefile(entry.done / "run.json")
        entry.link([output])  # again: it is there already
        output.unlink()
        assert entry.finished()
        entry.link([output])
    assert output.read_bytes() == FILES["run.json"]
    assert [path.name for path in output.parent.iterdir()] == ["run.json"], "a temporary name was left behind"


def test_linking_replaces_what_stands_there_and_makes_it_newer_than_its_inputs(tmp_path):
    publish(tmp_path / "store", key_of("a"))
    os.utime(tmp_path / "store" / key_of("a") / "done" / "run.json", (0, 0))
    output = tmp_path / "run.json"
    output.write_text("from other settings")
    before = time.time() - 5
    with locked(tmp_path / "store", key_of("a"), print) as entry:
        entry.link([output])
    assert output.read_bytes() == FILES["run.json"] and output.stat().st_mtime > before


def test_files_are_copied_where_links_are_impossible(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(18, "Invalid cross-device link")

    publish(tmp_path / "store", key_of("a"))
    monkeypatch.setattr(os, "link", refuse)
    with locked(tmp_path / "store", key_of("a"), print) as entry:
        entry.link([tmp_path / "run.json"])
        assert not (tmp_path / "run.json").samefile(entry.done / "run.json")
    assert (tmp_path / "run.json").read_bytes() == FILES["run.json"]


@pytest.mark.parametrize("damage", ["edited", "missing", "listing"])
def test_a_damaged_entry_is_set_aside_with_a_line_and_never_linked(tmp_path, damage):
    publish(tmp_path, key_of("a"))
    done = tmp_path / key_of("a") / "done"
    if damage == "edited":  # as through a hard-linked output
        (done / "run.json").write_bytes(b"[]\n")
    elif damage == "missing":
        (done / "run.json").unlink()
    else:
        (done / "files.json").write_text("not json")
    lines = []
    with locked(tmp_path, key_of("a"), lines.append) as entry:
        assert not entry.finished()
        entry.publish(FILES)
        assert entry.finished()
    assert len(lines) == 1 and "set aside as done.broken-1" in lines[0]
    assert (tmp_path / key_of("a") / "done.broken-1").is_dir()


def test_an_entry_cut_off_while_publishing_is_not_finished(tmp_path, monkeypatch):
    """Every prefix of the writes is tried: the process dies before its n-th flush to disk."""
    syncs = 0
    for survived in range(10):
        key = f"{survived:064x}"
        count = 0

        def fsync(_handle, survived=survived):
            nonlocal count
            if count == survived:
                raise KeyboardInterrupt
            count += 1

        monkeypatch.setattr(os, "fsync", fsync)
        try:
            publish(tmp_path, key)
        except KeyboardInterrupt:
            monkeypatch.undo()
            with locked(tmp_path, key, pytest.fail) as entry:
                finished = entry.finished()
                assert finished == (entry.done / "files.json").is_file()
                if not finished:
                    entry.publish(FILES)
                assert entry.finished()
        else:
            syncs = count
            break
    assert syncs == len(FILES) + 3  # files, their listing, and two folders


def test_a_full_disk_is_one_line_and_keeps_the_checkpoints(tmp_path, monkeypatch):
    def full(_handle):
        raise OSError(28, "No space left on device")

    with locked(tmp_path, key_of("a"), print) as entry:
        entry.state.mkdir()
        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(UserError, match="No space left on device; the last checkpoint is kept"):
            entry.publish(FILES)
        assert entry.state.is_dir() and not entry.done.exists()


def hold(root: str, key: str, ready, release) -> None:
    with locked(Path(root), key, print) as entry:
        ready.set()
        release.wait(20)
        entry.publish(FILES)


@pytest.fixture
def holder(tmp_path):
    """Another process that holds cell aaa... until ``release`` is set, and then publishes it."""
    context = multiprocessing.get_context("fork")
    ready, release = context.Event(), context.Event()
    process = context.Process(target=hold, args=(str(tmp_path), key_of("a"), ready, release))
    process.start()
    assert ready.wait(20)
    yield process, release
    process.kill()
    process.join()


def test_a_second_process_waits_for_the_first_and_then_finds_its_work(tmp_path, holder):
    process, release = holder
    lines, found = [], []

    def second():
        with locked(tmp_path, key_of("a"), lines.append, waiting=lambda: None) as entry:
            found.append(entry.finished())

    waiting = threading.Thread(target=second)
    waiting.start()
    time.sleep(1.2)
    assert not found
    release.set()
    waiting.join(20)
    assert found == [True]
    assert len(lines) == 1 and f"process {process.pid} on" in lines[0]


def test_a_held_cell_can_be_refused_at_once(tmp_path, holder):
    refusal = pytest.raises(UserError, match=f"being trained by process {holder[0].pid} on")
    with refusal, locked(tmp_path, key_of("a"), print):
        pytest.fail("it came in")


def test_waiting_for_a_held_cell_can_be_given_up(tmp_path, holder):
    def give_up():
        raise UserError("stopped")

    with pytest.raises(UserError, match="stopped"), locked(tmp_path, key_of("a"), print, waiting=give_up):
        pytest.fail("it came in")


def test_a_store_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write in the store"), locked(tmp_path / "file", key_of("a"), print):
        pytest.fail("it came in")


def test_an_output_that_cannot_be_written_is_one_line_and_nothing_is_lost(tmp_path):
    publish(tmp_path / "store", key_of("a"))
    (tmp_path / "results").write_text("a file where a folder belongs")
    with locked(tmp_path / "store", key_of("a"), print) as entry:
        with pytest.raises(UserError, match=r"cannot write .*run\.json: .*the finished cell is kept in"):
            entry.link([tmp_path / "results" / "run.json"])
        assert entry.finished()


def test_the_lock_of_a_killed_process_is_free(tmp_path, holder):
    holder[0].kill()
    holder[0].join()
    with locked(tmp_path, key_of("a"), pytest.fail) as entry:
        assert not entry.finished()


def test_prune_removes_only_what_nobody_wants_or_holds(tmp_path, holder):
    for letter in "bcd":
        publish(tmp_path, key_of(letter))
    (tmp_path / "README").write_text("not an entry")
    (tmp_path / key_of("c") / "state").mkdir()
    (tmp_path / key_of("c") / "state" / "old.pt").write_bytes(b"x" * 1000)
    (tmp_path / f".pruned-{key_of('e')}").mkdir()  # of a prune that was killed
    planned = prune(tmp_path, keep={key_of("b")}, dry_run=True)
    assert (tmp_path / key_of("c")).is_dir()
    done = prune(tmp_path, keep={key_of("b")})
    fates = [("a", False, "held"), ("b", True, "used"), ("c", True, None), ("d", True, None)]
    assert [(entry.digest[0], entry.finished, entry.kept) for entry in done] == fates
    assert planned == done and done[2].bytes == done[3].bytes + 1000
    assert sorted(path.name[0] for path in tmp_path.iterdir()) == ["R", "a", "b"]


def test_a_lock_on_a_pruned_folder_is_not_taken_for_the_cells_lock(tmp_path, monkeypatch):
    publish(tmp_path, key_of("a"))
    real, pruned = fcntl.flock, []

    def prune_first(file, flags):
        if not pruned:  # between opening the lock file and locking it, somebody prunes the cell
            pruned.append(True)
            pruned.extend(prune(tmp_path, keep=set()))
        return real(file, flags)

    monkeypatch.setattr(fcntl, "flock", prune_first)
    with locked(tmp_path, key_of("a"), pytest.fail) as entry:
        assert len(pruned) == 2 and not pruned[1].kept and not entry.finished()
        held = (entry.folder / "lock").read_text()
        assert held.startswith(f"process {os.getpid()} on")


def entry_of(root: Path, letter: str, kind: str, days: float) -> None:
    """A finished entry, or one with a checkpoint, whose files are ``days`` old."""
    if kind == "finished":
        publish(root, key_of(letter))
    else:
        with locked(root, key_of(letter), pytest.fail) as entry:
            entry.state.mkdir()
            (entry.state / "step1.pt").write_bytes(b"checkpoint")
    for path in (root / key_of(letter)).rglob("*"):
        os.utime(path, (time.time() - days * 86_400,) * 2)


def test_prune_keeps_recent_checkpoints_and_finished_work_and_no_days_keep_nothing(tmp_path):
    for letter, kind, days in (("a", "finished", 13), ("b", "finished", 15), ("c", "state", 13), ("d", "state", 15)):
        entry_of(tmp_path, letter, kind, days)
    (tmp_path / key_of("e")).mkdir()
    (tmp_path / key_of("e") / "lock").write_text("process 1 on a machine that crashed\n")
    for _ in range(2):  # looking changes nothing
        planned = prune(tmp_path, set(), days=14, dry_run=True)
        assert [entry.kept for entry in planned] == ["recent", None, "recent", None, None]
    assert prune(tmp_path, set(), days=14) == planned
    assert sorted(path.name[0] for path in tmp_path.iterdir()) == ["a", "c"]
    assert [entry.kept for entry in prune(tmp_path, set(), days=0)] == [None, None]
    assert not list(tmp_path.iterdir())


def test_a_cell_linked_again_lately_is_recent(tmp_path):
    entry_of(tmp_path / "store", "a", "finished", 100)
    with locked(tmp_path / "store", key_of("a"), pytest.fail) as entry:
        entry.link([tmp_path / "run.json"])
    (tmp_path / "run.json").unlink()
    assert [entry.kept for entry in prune(tmp_path / "store", set(), days=14)] == ["recent"]


def test_make_prune_says_what_it_keeps_and_why(tmp_path, monkeypatch, capsys):
    store = tmp_path / "results" / ".store"
    for letter, kind, days in (("a", "finished", 1), ("b", "state", 1), ("c", "finished", 40), ("d", "finished", 40)):
        entry_of(store, letter, kind, days)
    run = tmp_path / "results" / "birds" / "simclr" / "baseline" / "seed0" / "run.json"
    run.parent.mkdir(parents=True)
    run.write_text(f'{{"digest": "{key_of("d")}"}}')

    def lines(*arguments: str) -> list[str]:
        monkeypatch.setattr(sys, "argv", ["prune", "--results", str(tmp_path / "results"), *arguments])
        sslbench_prune.main()
        return capsys.readouterr().out.splitlines()

    told = lines("--yes")
    assert [line.split("MB  ")[1] for line in told[:3]] == [
        "finished, kept because recent",
        "unfinished, kept because recent",
        "finished",
    ]
    assert "3 entries" in told[3] and "1 used by a result, 2 recent (younger than 14 days; --days 0" in told[3]
    assert told[4].startswith("sslbench: 1 entries") and told[4].endswith("deleted")
    assert sorted(path.name[0] for path in store.iterdir()) == ["a", "b", "d"]
    lines("--yes", "--days", "0")
    assert [path.name[0] for path in store.iterdir()] == ["d"]


def test_runs_that_a_fine_tuning_was_made_from_are_used(tmp_path, capsys):
    for letter in "abc":
        entry_of(tmp_path / ".store", letter, "finished", 40)
    cell, other = (tmp_path / "birds" / model / "baseline" / "seed0" for model in ("simclr", "byol"))
    for folder, text in ((cell, f'{{"runs": ["{key_of("a")}", "{key_of("b")}"]}}'), (other, '{"entries": []}')):
        folder.mkdir(parents=True)
        (folder / "finetune.json").write_text(text)
    used = sslbench_prune.used_digests(tmp_path)
    assert used == {key_of("a"), key_of("b")}
    assert "byol/baseline/seed0/finetune.json is not a finetune.json of ours" in capsys.readouterr().out
    assert [entry.kept for entry in prune(tmp_path / ".store", used, days=14)] == ["used", "used", None]


def test_a_refused_run_leaves_no_entry_and_others_keep_theirs(tmp_path):
    with pytest.raises(UserError), locked(tmp_path, key_of("a"), pytest.fail):
        raise UserError("batch too large")
    for name in ("state", "done.broken-1"):
        with pytest.raises(UserError), locked(tmp_path, name[0] * 64, pytest.fail) as entry:
            (entry.folder / name).mkdir()
            raise UserError("batch too large")
    assert sorted(path.name[0] for path in tmp_path.iterdir()) == ["d", "s"]


def test_who_waits_for_a_run_that_is_refused_gets_an_entry_that_lasts(tmp_path):
    inside, done = threading.Event(), []

    def second():
        with locked(tmp_path, key_of("a"), lambda _line: inside.set(), waiting=lambda: None) as entry:
            entry.publish(FILES)
            done.append(entry.finished())

    thread = threading.Thread(target=second)
    with pytest.raises(UserError), locked(tmp_path, key_of("a"), pytest.fail):
        thread.start()
        assert inside.wait(20)
        raise UserError("batch too large")
    thread.join(20)
    assert done == [True] and (tmp_path / key_of("a") / "done" / "run.json").is_file()


def test_an_entry_that_goes_between_making_and_locking_it_is_made_again(tmp_path, monkeypatch):
    """The process that was refused removes the entry while another one has just found its folder."""
    real, gone = Path.mkdir, []

    def mkdir(self, *arguments, **options):
        if self.name == key_of("a") and not gone:
            gone.append(self)
            raise FileExistsError(17, "File exists")  # what mkdir says where its second look finds no folder
        real(self, *arguments, **options)

    monkeypatch.setattr(Path, "mkdir", mkdir)
    with locked(tmp_path, key_of("a"), pytest.fail) as entry:
        assert gone and entry.folder.is_dir()


def test_prune_leaves_an_entry_that_changed_hands_while_it_looked(tmp_path, monkeypatch):
    """A refused run removes the entry between prune's opening and locking its lock, and another process takes it."""
    entry_of(tmp_path, "a", "state", 100)
    real, taken = fcntl.flock, []

    def change_hands(file, flags):
        if not taken:
            taken.append(True)
            (tmp_path / key_of("a") / "lock").unlink()
            taken.append((tmp_path / key_of("a") / "lock").open("w"))
            real(taken[1], fcntl.LOCK_EX)
        return real(file, flags)

    monkeypatch.setattr(fcntl, "flock", change_hands)
    assert [entry.kept for entry in prune(tmp_path, set())] == ["held"]
    assert (tmp_path / key_of("a") / "state").is_dir()
    taken[1].close()


def test_a_missing_file_inside_is_the_callers_error(tmp_path):
    with pytest.raises(FileNotFoundError), locked(tmp_path, key_of("a"), pytest.fail):
        (tmp_path / "nothing").read_text()


def test_the_store_needs_no_torch():
    code = "import sys, sslbench.store.entries; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(store.__file__).parents[2]).returncode == 0
