"""TensorBoard's own reader against curve.csv: after a straight run, a stopped one and a killed one."""

import csv
import io
import signal

import pytest
from small_cells import EQUAL, STEPS, Crash, cell, crash, run, send

from sslbench.store.code_fingerprint import closure
from sslbench.training.monitor import tensorboard
from sslbench.training.run import Interrupted

event_accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
EPOCHS = 3
SETTINGS = cell("byol", epochs=EPOCHS, measure_every=2)


def seen(folder) -> dict[str, list[tuple[int, float]]]:
    """Tag -> (step, value) of everything that TensorBoard shows of ``folder``."""
    found = event_accumulator.EventAccumulator(str(folder), size_guidance={"scalars": 0})
    found.Reload()
    return {tag: [(point.step, point.value) for point in found.Scalars(tag)] for tag in found.Tags()["scalars"]}


def measured(curve: bytes) -> dict[str, list[tuple[int, float]]]:
    """The same of a curve.csv."""
    rows = list(csv.DictReader(io.StringIO(curve.decode())))
    tags = [name for name in rows[0] if name not in ("epoch", "step", "images")]
    return {tag: [(int(r["step"]), pytest.approx(float(r[tag]), rel=1e-6)) for r in rows if r[tag]] for tag in tags}


@pytest.fixture(scope="module")
def straight(small_pack, tmp_path_factory):
    """A run without TensorBoard."""
    return run(SETTINGS, small_pack, tmp_path_factory.mktemp("straight"))


def test_all_of_a_curve_is_there_and_no_bit_of_the_result_changes(small_pack, tmp_path, straight):
    files = run(SETTINGS, small_pack, tmp_path, tensorboard=tmp_path / "board")
    assert {name: files[name] for name in EQUAL} == {name: straight[name] for name in EQUAL}
    found = seen(tmp_path / "board")
    assert found == measured(files["curve.csv"])
    assert {"loss", "lr", "ema", "online_top1"} <= found.keys()
    assert [step for step, _ in found["loss"]] == [STEPS, 2 * STEPS, 3 * STEPS]
    assert [step for step, _ in found["online_top1"]] == [2 * STEPS, 3 * STEPS]


@pytest.mark.parametrize(
    ("step", "action", "checkpoint_minutes", "from_the_start"),
    [
        (STEPS + 1, send(signal.SIGTERM), 5, False),  # one epoch is written and kept
        (2 * STEPS + 1, crash, 60, True),  # two epochs are written, and none is kept
        (2 * STEPS, crash, 0, False),  # the second epoch ends, is not written, and is made again
    ],
)
def test_no_epoch_is_lost_or_stands_twice_after_a_stop(
    step, action, checkpoint_minutes, from_the_start, small_pack, tmp_path, straight, after_step
):
    board, log = tmp_path / "board", io.StringIO()
    after_step(step, action)
    with pytest.raises((Interrupted, Crash)):
        run(SETTINGS, small_pack, tmp_path, tensorboard=board, checkpoint_minutes=checkpoint_minutes)
    assert seen(board).get("loss", [])
    run(SETTINGS, small_pack, tmp_path, tensorboard=board, progress=log)
    assert ("resumed" not in log.getvalue()) == from_the_start
    assert seen(board) == measured(straight["curve.csv"])


def test_turned_on_halfway_it_has_the_epochs_before_too(small_pack, tmp_path, straight, after_step):
    after_step(STEPS + 1, send(signal.SIGTERM))
    with pytest.raises(Interrupted):
        run(SETTINGS, small_pack, tmp_path)
    run(SETTINGS, small_pack, tmp_path, tensorboard=tmp_path / "board")
    assert seen(tmp_path / "board") == measured(straight["curve.csv"])


def test_a_reader_that_holds_the_run_before_drops_it(tmp_path):
    """The START record tells an open TensorBoard to begin anew."""
    rows = [{"epoch": i, "step": 10 * i, "loss": 1.0 / i} for i in (1, 2, 3)]
    tensorboard.Board(tmp_path, print).follow(rows)
    reader = event_accumulator.EventAccumulator(str(tmp_path))
    reader.Reload()
    tensorboard.Board(tmp_path, print).follow(rows[:1])
    reader.Reload()
    assert [point.step for point in reader.Scalars("loss")] == [10]


def test_curves_of_finished_cells_are_converted(tmp_path, straight):
    folder = tmp_path / "results/drawn/byol/simclr/seed0"
    folder.mkdir(parents=True)
    (folder / "curve.csv").write_bytes(straight["curve.csv"])
    assert tensorboard.convert(tmp_path / "results", tmp_path / "board") == 1
    assert seen(tmp_path / "board/drawn/byol/simclr/seed0") == measured(straight["curve.csv"])


def test_a_disk_that_refuses_costs_the_curves_and_not_the_run(small_pack, tmp_path, straight):
    (tmp_path / "board").write_text("a file where the folder would be")
    log = io.StringIO()
    files = run(SETTINGS, small_pack, tmp_path, tensorboard=tmp_path / "board", progress=log)
    assert files["curve.csv"] == straight["curve.csv"]
    assert log.getvalue().count("cannot write TensorBoard's curves") == 1


def test_writing_curves_is_no_part_of_the_code_that_a_result_depends_on():
    assert "sslbench.training.run" in closure("sslbench.training.run")
    assert "sslbench.training.monitor.tensorboard" not in closure("sslbench.training.run")
