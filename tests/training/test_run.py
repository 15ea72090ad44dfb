"""One cell through the store: reuse, foreign and damaged state, refusals, and what its files hold."""

import csv
import io
import json
import re
import signal
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import timm
import torch
from safetensors import safe_open
from small_cells import EQUAL, FILES, STEPS, cell, processes, run, send

from sslbench.data.pack.read import PackedSet
from sslbench.errors import UserError
from sslbench.training import optimizers
from sslbench.training.device import computing
from sslbench.training.monitor.ledger import Ledger
from sslbench.training.online_probe import holdout
from sslbench.training.run import Interrupted
from sslbench.training.trainer import Training


@pytest.fixture
def no_training(monkeypatch):
    def advance(_self):
        pytest.fail("it trained")

    return lambda: monkeypatch.setattr(Training, "advance", advance)


def rows(files: dict[str, bytes]) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(files["curve.csv"].decode())))


def test_a_finished_cell_is_linked_again_without_training(small_pack, tmp_path, no_training):
    first = run(cell("simclr"), small_pack, tmp_path)
    for name in FILES:
        (tmp_path / "cell" / name).unlink()
    no_training()
    assert run(cell("simclr"), small_pack, tmp_path) == first
    assert not list(tmp_path.glob(".store/*/state")), "training state of a finished cell was kept"


def test_an_output_edited_in_place_is_noticed_and_made_anew(small_pack, tmp_path):
    first = run(cell("simclr"), small_pack, tmp_path)
    with (tmp_path / "cell" / "curve.csv").open("ab") as file:  # through the hard link, into the store
        file.write(b"9,9,9\n")
    log = io.StringIO()
    again = run(cell("simclr"), small_pack, tmp_path, progress=log)
    assert {n: again[n] for n in EQUAL} == {n: first[n] for n in EQUAL}
    assert "set aside as done.broken-1" in log.getvalue()


@pytest.mark.parametrize("change", ["settings", "code"])
def test_changed_settings_or_code_do_not_resume_foreign_state(change, small_pack, tmp_path, after_step):
    after_step(2, send(signal.SIGTERM))
    with pytest.raises(Interrupted):
        run(cell("simclr"), small_pack, tmp_path)
    log = io.StringIO()
    if change == "settings":
        run(cell("simclr", recipe={"base_lr": 0.5}), small_pack, tmp_path, progress=log)
    else:
        run(cell("simclr"), small_pack, tmp_path, code="other", progress=log)
    assert "resumed" not in log.getvalue()
    assert len(list(tmp_path.glob(".store/*"))) == 2 and len(list(tmp_path.glob(".store/*/state/*.pt"))) == 1


@pytest.mark.parametrize("damaged", [1, 2])
def test_damaged_checkpoints_are_set_aside_and_the_result_is_the_same(damaged, small_pack, tmp_path, after_step):
    straight = run(cell("byol"), small_pack, tmp_path / "straight")
    after_step(4, send(signal.SIGUSR1))
    with pytest.raises(Interrupted, match="SIGUSR1"):
        run(cell("byol"), small_pack, tmp_path, checkpoint_minutes=0)
    checkpoints = sorted(tmp_path.glob(".store/*/state/*.pt"), reverse=True)
    assert len(checkpoints) == 2
    for path in checkpoints[:damaged]:
        path.write_bytes(path.read_bytes()[:-100])
    log = io.StringIO()
    again = run(cell("byol"), small_pack, tmp_path, progress=log)
    assert {n: again[n] for n in EQUAL} == {n: straight[n] for n in EQUAL}
    assert log.getvalue().count("set aside as") == damaged
    assert ("resumed after step 3 of 6" in log.getvalue()) == (damaged == 1)


def fit_and_log(results: Path, pack: Path, number: int) -> None:
    torch.set_num_threads(1)
    with (results / f"{number}.log").open("w") as log:
        run(cell("simclr"), pack, results, progress=log)


def test_of_two_processes_on_one_cell_one_trains_and_both_finish(small_pack, tmp_path):
    started = [processes().Process(target=fit_and_log, args=(tmp_path, small_pack, n)) for n in range(2)]
    for process in started:
        process.start()
    for process in started:
        process.join(300)
    assert [process.exitcode for process in started] == [0, 0]
    logs = sorted((tmp_path / f"{n}.log").read_text() for n in range(2))
    assert ["reused" in log for log in logs].count(True) == 1
    assert "epoch 2/2" in "".join(logs)


def test_a_full_disk_costs_a_checkpoint_and_not_the_run(small_pack, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("sslbench.training.checkpoint.save", full)
    log = io.StringIO()
    run(cell("simclr"), small_pack, tmp_path, checkpoint_minutes=0, progress=log)
    assert log.getvalue().count("cannot write a checkpoint") == 5


def test_a_batch_larger_than_the_training_set_is_refused_in_one_line(small_pack, tmp_path):
    with pytest.raises(UserError) as refusal:
        run(cell("simclr", batch_size=64), small_pack, tmp_path)
    assert str(refusal.value) == (
        "training.batch_size is 64, but the dataset (source 'folder', split 'official') has 54 training pictures; "
        "choose a batch of at most 54"
    )
    assert not (tmp_path / "cell").exists()


@pytest.mark.parametrize(
    ("settings", "options", "message"),
    [
        (cell("simclr", epochs=0), {}, "training.epochs is 0"),
        (cell("simclr", accumulate=3), {}, "training.accumulate: 3 part.* do not divide the batch of 16"),
        (cell("simclr", accumulate=16), {}, "training.accumulate: simclr needs at least 2 pictures at a time"),
        (cell("byol", recipe={"ema_start": None}), {}, "recipe.ema_start is missing"),
        (cell("simclr"), {"device": "tpu"}, "device is 'tpu'"),
        (cell("simclr", batch_size=64), {}, "training.batch_size is 64"),
        (cell("simclr") | {"backbone": {"name": "resnet81", "options": {}}}, {}, "resnet81"),
        (
            cell("simclr") | {"dataset": {"source": "folder", "split": "none", "identity": {}}},
            {},
            "split 'none' is unknown",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_trained_is_refused_in_one_line(settings, options, message, small_pack, tmp_path):
    with pytest.raises(UserError, match=message):
        run(settings, small_pack, tmp_path, **options)
    assert not list(tmp_path.glob(".store/*")), "an empty entry was left in the store"


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_gpu_that_is_not_there_is_refused_in_one_line(small_pack, tmp_path):
    with pytest.raises(UserError, match="torch finds no GPU here; set device: cpu"):
        run(cell("simclr"), small_pack, tmp_path, device="cuda")


def test_a_diverged_loss_ends_the_run_and_names_epoch_step_and_rate(small_pack, tmp_path, after_step):
    settings = cell("simclr", recipe={"base_lr": 1e30, "warmup_epochs": 0})
    with pytest.raises(
        UserError, match=r"simclr diverged: its loss is (nan|inf) in epoch \d, by step \d of 6 \(learning rate"
    ):
        run(settings, small_pack, tmp_path, checkpoint_minutes=0)
    assert not (tmp_path / "cell").exists()
    for path in tmp_path.glob(".store/*/state/*.pt"):
        sums = torch.load(path, weights_only=True)["training"]["sums"]
        assert sums is None or sums.isfinite().all()


def test_damaged_pictures_are_not_trained_on(small_pack, tmp_path):
    copied = tmp_path / "pack"
    copied.mkdir()
    for path in small_pack.rglob("*"):
        if path.is_file():
            (copied / path.relative_to(small_pack)).parent.mkdir(exist_ok=True)
            (copied / path.relative_to(small_pack)).write_bytes(path.read_bytes())
    pixels = bytearray((copied / "pixels.bin").read_bytes())
    pixels[1000] ^= 1
    (copied / "pixels.bin").write_bytes(pixels)
    with pytest.raises(UserError, match=r"content hash .* set aside"):
        run(cell("simclr"), copied, tmp_path)


def test_timm_loads_the_published_backbone(small_pack, tmp_path):
    run(cell("barlowtwins"), small_pack, tmp_path)
    path = tmp_path / "cell" / "backbone.safetensors"
    loaded = timm.create_model("test_resnet", num_classes=0, checkpoint_path=str(path)).eval()
    with safe_open(path, "pt") as file:
        assert file.metadata() == {"model": "test_resnet"}
        for name, value in loaded.state_dict().items():
            assert torch.equal(value, file.get_tensor(name))
    assert loaded.state_dict()["bn1.num_batches_tracked"] == 2 * 2 * STEPS  # two views a step


def test_the_random_reference_is_the_start_of_every_method(small_pack, tmp_path):
    files = run(cell("random"), small_pack, tmp_path)
    loaded = timm.create_model(
        "test_resnet", num_classes=0, checkpoint_path=str(tmp_path / "cell" / "backbone.safetensors")
    )
    packed = PackedSet.open(small_pack)
    settings = cell("byol")
    with computing("cpu", 1, settings["train"]) as device:
        start = Training(settings, packed, device, Ledger(device, 1)).method.backbone.timm_state()
    assert all(torch.equal(start[name], value) for name, value in loaded.state_dict().items())
    assert files["curve.csv"].count(b"\n") == 1 and json.loads(files["run.json"])["steps"] == 0


def test_the_curve_has_the_schedules_rate_and_the_mean_of_each_part(small_pack, tmp_path, monkeypatch):
    settings = cell("vicreg", epochs=3, recipe={"schedule": "step", "cosine_ends": "after"})
    seen = []
    real = Training._add

    def note(self, losses):
        seen.append({name: value.item() for name, value in losses.items()})
        real(self, losses)

    monkeypatch.setattr(Training, "_add", note)
    table = rows(run(settings, small_pack, tmp_path))
    assert [int(row["step"]) for row in table] == [3, 6, 9] and [int(r["images"]) for r in table] == [48, 96, 144]
    recipe, total = settings["recipe"], 9
    warm = optimizers.warmup_steps(recipe, STEPS, total)
    for epoch, row in enumerate(table):
        last = int(row["step"]) - 1
        factor = optimizers.lr_factor(last, total, warm, recipe["end_lr_factor"])
        assert float(row["lr"]) == recipe["base_lr"] * 16 / 256 * factor
        for name in ("loss", "variance", "covariance"):
            assert float(row[name]) == pytest.approx(
                np.mean([p[name] for p in seen[epoch * 3 : epoch * 3 + 3]]), rel=1e-6
            )


def test_the_ledger_accounts_for_the_time_and_nothing_else_differs(small_pack, tmp_path):
    files = run(cell("simclr"), small_pack, tmp_path, threads=2)
    ledger = json.loads(files["ledger.json"])
    seconds = ledger["seconds"]
    assert {"total", "setup", "data", "augment", "step", "evaluate", "publish", "other"} <= set(seconds)
    assert sum(seconds.values()) == pytest.approx(2 * seconds["total"], abs=0.01)
    assert ledger["images_per_second"] > 0 and ledger["views_per_second"] == pytest.approx(
        2 * ledger["images_per_second"], rel=0.01
    )
    assert ledger["peak_memory"]["rss_bytes"] > 1e8 and ledger["energy_joules"] is None
    run_json = json.loads(files["run.json"])
    assert run_json["settings"] == cell("simclr") and run_json["code"] == "code" and run_json["versions"]["torch"]
    assert run_json["versions"]["threads"] == "2"  # which decides the last bits
    assert run_json["digest"] == next((tmp_path / ".store").iterdir()).name


def test_without_a_compiler_it_trains_eagerly_and_says_so(small_pack, tmp_path, monkeypatch):
    monkeypatch.setattr("sslbench.training.device.shutil.which", lambda _name: None)  # of views too
    eager = run(cell("simclr"), small_pack, tmp_path / "eager")
    log = io.StringIO()
    files = run(cell("simclr", compile=True), small_pack, tmp_path / "compile", progress=log)
    assert files["backbone.safetensors"] == eager["backbone.safetensors"]
    rest, note = json.loads(files["ledger.json"])["notes"]
    assert rest in log.getvalue() and re.match(r"\d+ of \d+ training images .* fill no batch of \d+;", rest)
    assert note in log.getvalue() and "no C++ compiler" in note


def test_a_run_gone_on_with_by_other_versions_says_so_and_keeps_the_earlier_ones(
    small_pack, tmp_path, after_step, monkeypatch
):
    before = run(cell("simclr"), small_pack, tmp_path / "straight")
    with monkeypatch.context() as earlier:
        old = SimpleNamespace(__version__="2.11.0", cuda=torch.cuda, get_num_threads=torch.get_num_threads)
        earlier.setattr("sslbench.training.monitor.ledger.torch", old)
        after_step(2, send(signal.SIGTERM))
        with pytest.raises(Interrupted):
            run(cell("simclr"), small_pack, tmp_path)
    log = io.StringIO()
    files = run(cell("simclr"), small_pack, tmp_path, progress=log)
    ledger = json.loads(files["ledger.json"])
    (resumed,) = ledger["resumed"]
    assert resumed["versions_before"]["torch"] == "2.11.0"
    assert resumed["versions"] == ledger["versions"] == json.loads(before["run.json"])["versions"]
    rest, note = ledger["notes"]
    assert note in log.getvalue() and f"torch 2.11.0 before and {torch.__version__} after" in note
    assert json.loads(before["ledger.json"])["notes"] == [rest]


def weights(results: Path) -> bytes:
    return (results / "cell" / "backbone.safetensors").read_bytes()


def test_the_online_probe_changes_no_bit_of_the_weights(small_pack, tmp_path):
    run(cell("byol", holdout=0.25), small_pack, tmp_path / "with")
    run(cell("byol", holdout=0.0), small_pack, tmp_path / "without")
    assert weights(tmp_path / "with") == weights(tmp_path / "without")


def probe_after(settings: dict, packed: PackedSet) -> Training:
    with computing("cpu", 1, settings["train"]) as device:
        training = Training(settings, packed, device, Ledger(device, 1))
        while training.step < training.total_steps:
            training.advance()
    return training


def test_labels_of_held_out_pictures_never_reach_the_online_head(small_pack):
    """Other labels on the held-out pictures: the same head. Other labels on one of the others: another head."""
    settings = cell("simclr")
    packed = PackedSet.open(small_pack)
    held = holdout(packed.labels, packed.split("official")["train"], 0.25, 0)
    plain = probe_after(settings, packed)
    measured = plain.rows[-1]["online_top1"]

    original = packed.labels.copy()
    real = holdout

    def same_pictures(_labels, train, share, seed):
        return real(original, train, share, seed)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sslbench.training.trainer.holdout", same_pictures)
        packed.labels[held] = (packed.labels[held] + 1) % 3
        flipped = probe_after(settings, packed)
        packed.labels[:] = original
        others = np.setdiff1d(packed.split("official")["train"], held)
        packed.labels[others] = (packed.labels[others] + 1) % 3
        moved = probe_after(settings, packed)

    def head(training: Training) -> torch.Tensor:
        return training.probes["online_top1"].head[1].weight

    assert torch.equal(head(plain), head(flipped)) and not torch.equal(head(plain), head(moved))
    assert flipped.rows[-1]["online_top1"] != measured or measured == 0


def test_a_share_of_every_class_is_held_out_and_unlabelled_pictures_are_not():
    labels = np.array([0] * 40 + [1] * 20 + [2] * 2 + [3] + [-1] * 10)
    train = np.arange(len(labels))
    held = holdout(labels, train, 0.1, seed=0)
    assert {int(c): int((labels[held] == c).sum()) for c in np.unique(labels[held])} == {0: 4, 1: 2, 2: 1}
    assert np.array_equal(held, holdout(labels, train, 0.1, seed=0))
    assert not np.array_equal(np.sort(held), np.sort(holdout(labels, train, 0.1, seed=1)))
    assert len(holdout(labels, train, 0.0, seed=0)) == 0


def test_the_online_probe_learns_what_the_features_tell():
    """Ten separable classes far from the origin and of uneven scale: the head finds them within 150 steps of 64."""
    from sslbench.training.online_probe import OnlineProbe

    drawn = torch.Generator().manual_seed(0)
    centres = torch.randn(10, 32, generator=drawn)
    labels = np.arange(2000) % 10
    scale = torch.logspace(-2, 2, 32)
    features = (centres[labels] + 0.7 * torch.randn(2000, 32, generator=drawn)) * scale + 50 * scale
    held = np.arange(1500, 2000)
    with computing("cpu", 1, cell("simclr")["train"]) as device:
        probe = OnlineProbe(32, 10, labels, held, device)
        lookup = torch.nn.Identity()
        before = probe.measure(lookup, lambda indices: features[indices])
        for step in range(150):
            indices = torch.randint(1500, (64,), generator=torch.Generator().manual_seed(step))
            probe.learn(features[indices], indices)
        after = probe.measure(lookup, lambda indices: features[indices])
    assert before == pytest.approx(0.1) and after > 0.95


def test_a_method_that_reads_labels_has_no_online_accuracy(small_pack, tmp_path):
    table = rows(run(cell("supervised"), small_pack, tmp_path))
    assert "online_top1" not in table[0] and "top1" in table[0]


def test_measuring_leaves_batch_statistics_and_modes_as_they_were(small_pack):
    settings = cell("byol")
    packed = PackedSet.open(small_pack)
    with computing("cpu", 1, settings["train"]) as device:
        training = Training(settings, packed, device, Ledger(device, 1))
        training.advance()
        training.method.momentum_backbone.eval()  # a mode that a blanket .train() would lose
        before = {name: value.clone() for name, value in training.method.state_dict().items()}
        modes = [module.training for module in training.method.modules()]
        random_state = torch.get_rng_state()
        training.probes["online_top1"].measure(training.method.backbone, training._held_out_images)
    assert all(torch.equal(before[name], value) for name, value in training.method.state_dict().items())
    assert modes == [module.training for module in training.method.modules()]
    assert torch.equal(random_state, torch.get_rng_state())
