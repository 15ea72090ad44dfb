"""Train one cell and publish it through the store, whatever interrupts it."""

import contextlib
import csv
import io
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import safetensors.torch

from sslbench.data.pack.read import PackedSet
from sslbench.errors import UserError
from sslbench.store import code_check
from sslbench.store.canonical_json import document
from sslbench.store.entries import Entry, digest, locked
from sslbench.training import checkpoint
from sslbench.training.data_placement import place
from sslbench.training.device import computing, resolved
from sslbench.training.monitor.ledger import Ledger, versions
from sslbench.training.monitor.progress import Progress
from sslbench.training.monitor.tensorboard import Board
from sslbench.training.process_group import process_group
from sslbench.training.trainer import Training, check_shares
from sslbench.transforms.cpu import backend
from sslbench.transforms.gpu import crop_and_operations

if TYPE_CHECKING:
    from lightning_fabric import Fabric

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)  # USR1: what Slurm can send ahead of a time limit


class Interrupted(UserError):
    """A signal ended the run; its checkpoint is written."""


def fit(
    settings: dict,
    code: str,
    pack: Path,
    outputs: dict[str, Path],
    *,
    state_root: Path,
    device: str = "cpu",
    devices: int = 1,
    threads: int = 1,
    checkpoint_minutes: float = 5.0,
    placement: str = "auto",
    views: backend.Mode = "auto",
    tensorboard: Path | None = None,
    progress: TextIO | None = None,
) -> None:
    """Make the ``outputs`` of the cell that ``settings`` describe: trained now, resumed, or linked from the store.

    Args:
        settings: the cell's canonical settings (sslbench/grid/cell.py).
        code: digest of the code that trains it.
        pack: folder of the packed set.
        outputs: paths whose file names are backbone.safetensors, curve.csv, run.json or ledger.json; keys are free.
        state_root: folder of the store.
        device: ``cpu``, ``cuda``, ``cuda:<n>``, or ``auto``, which is cuda where there is a GPU.
        devices: how many of them share each batch, one process on each; on a CPU, how many processes.
        threads: of torch's operations on the CPU, in each process. More or fewer may change the last bits of a result,
            and so may devices.
        checkpoint_minutes: between two checkpoints; 0 makes one after every step.
        placement: where the pixels live: ``auto``, ``device``, ``pinned`` or ``mapped`` (data_placement.py).
        views: how they are made on a CPU: ``auto``, ``native`` or ``eager`` (transforms/cpu/backend.py).
        tensorboard: folder of this cell's curve for TensorBoard (tensorboard.py); None: none is written.
        progress: where lines go, by default stderr. A bar is drawn on stderr where that is a terminal.

    Raises:
        Interrupted: SIGTERM, SIGINT or SIGUSR1 came. A checkpoint was written; the same call goes on from it.
        UserError: a batch larger than the training set, no such device, a diverged loss, no room on the disk, a death
            among the processes.
    """
    device = resolved(device)
    if settings["train"]["epochs"] < 1 and settings["method"]["name"] != "random":
        raise UserError("training.epochs is 0: only the random reference is not trained; give at least 1")
    packed = PackedSet.open(pack)
    split = packed.split_sha256(settings["dataset"]["split"])
    data = {"content_sha256": packed.manifest["content_sha256"], "split_sha256": split}
    key = digest(settings, code, data)
    shown = Progress(
        f"{settings['method']['name']} on {settings['dataset']['source']} seed {settings['seed']}", progress
    )
    with stop_signals() as stop, locked(state_root, key, shown.say, lambda: give_up(stop)) as entry:
        if entry.finished():
            shown.say(f"reused: cell {key[:12]} is in the store")
        else:
            world = devices if settings["train"]["epochs"] > 0 else 1
            check_shares(settings["train"], world)
            job = {"settings": settings, "pack": str(pack), "device": device, "threads": threads}
            job |= {"placement": placement, "views": views, "sources": code_check.taken()}
            with computing(device, threads, settings["train"], world=world) as where:
                ledger = Ledger(where, threads)
                with contextlib.ExitStack() as until_trained:
                    with ledger.section("setup"):
                        packed = PackedSet.open(pack, verify=True)  # what is published under its hash comes from it
                        shown.say(place(packed, where, placement))
                        if not where.cuda:
                            shown.say(backend.configure(views))
                        fabric = until_trained.enter_context(process_group(job, world, where.cuda, shown.say))
                        training = Training(settings, packed, where, ledger)
                        until_trained.enter_context(contextlib.closing(training))
                        code_check.still_there()
                        resume(training, entry, shown, fabric)
                    board = Board(tensorboard, shown.say) if tensorboard else None
                    run(training, entry, shown, stop, checkpoint_minutes * 60, board)
                if where.cuda:
                    shown.say(crop_and_operations.report())
                identity = {"settings": settings, "code": code, "data": data, "digest": key}
                with ledger.section("publish"):
                    code_check.still_there(late=True)
                    files = finished_files(training, identity)
                entry.publish(files | {"ledger.json": document(ledger.document())})
        entry.link([Path(path) for path in outputs.values()])


def give_up(stop: list[int]) -> None:
    if stop:
        raise Interrupted(
            f"stopped by {signal.Signals(stop[0]).name} while waiting for the process that holds this cell"
        )


def resume(training: Training, entry: Entry, shown: Progress, fabric: "Fabric | None" = None) -> None:
    """Go on from the newest checkpoint, if there is one, in all processes; whatever their number was before."""
    state = checkpoint.newest(entry.state, shown.say)
    if fabric is not None:
        fabric.broadcast(state and state["training"])
    if state is not None:
        training.load(state["training"])
        training.ledger.resume(state["ledger"], training.step)
        shown.say(f"resumed after step {training.step} of {training.total_steps}")


def run(
    training: Training,
    entry: Entry,
    shown: Progress,
    stop: list[int],
    checkpoint_seconds: float,
    board: Board | None = None,
) -> None:
    """Train to the end, with a checkpoint every ``checkpoint_seconds`` and when a signal came."""
    for note in training.ledger.notes:
        shown.say(note)
    epochs, batch_size = training.train["epochs"], training.train["batch_size"]
    shown.start(training.step, max(1, training.total_steps), max(1, epochs), batch_size)
    saved_at = time.monotonic()
    try:
        while training.step < training.total_steps:
            training.advance()
            if board:
                board.follow(training.rows)
            finished = training.step == training.total_steps
            if finished or shown.due():
                closed = training.step % training.steps_per_epoch == 0
                shown.show(training.step, training.rows[-1]["loss"] if closed else training.mean_loss())
            if finished:
                break
            if stop or time.monotonic() - saved_at >= checkpoint_seconds:
                kept = save(training, entry, shown)
                saved_at = time.monotonic()
                if stop:
                    name = signal.Signals(stop[0]).name
                    after = f"stopped by {name} after step {training.step} of {training.total_steps}"
                    raise Interrupted(f"{after}; {kept}; the same command goes on from the last checkpoint")
    finally:
        shown.clear()


def save(training: Training, entry: Entry, shown: Progress) -> str:
    """Write a checkpoint; a full disk costs this checkpoint, not the run."""
    with training.ledger.section("checkpoint"):
        state = {"training": training.state(), "ledger": training.ledger.state()}
        try:
            checkpoint.save(entry.state, training.step, state)
        except OSError as error:
            shown.say(f"cannot write a checkpoint ({error}); going on, the one before it is kept")
            return "this state could not be written"
    return "checkpoint written"


def finished_files(training: Training, identity: dict) -> dict[str, bytes]:
    """The files of a finished cell that are equal, byte for byte, for identical runs."""
    method, train = training.method, training.train
    backbone = method.evaluated
    run = identity | {
        "versions": versions(training.device),
        "parameters": sum(p.numel() for p in backbone.parameters()),
        "parameters_with_heads": sum(p.numel() for p in method.parameters()),
        "features": backbone.num_features,
        "timm_options": backbone.timm_options,
        "steps": training.total_steps,
        "trivial_loss": method.trivial_loss(train["batch_size"] // train["accumulate"])
        if training.total_steps
        else None,
    }
    # One entry: safetensors writes several in an order that changes from run to run.
    weights = safetensors.torch.save(backbone.timm_state(), {"model": backbone.name})
    return {"backbone.safetensors": weights, "curve.csv": curve(training), "run.json": document(run)}


def curve(training: Training) -> bytes:
    """One row per epoch; an empty field is a value that was not measured. Numbers round-trip exactly."""
    text = io.StringIO()
    columns = list(training.rows[0]) if training.rows else ["epoch", "step", "lr", "loss", "images"]
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(training.rows)
    return text.getvalue().encode()


@contextlib.contextmanager
def stop_signals() -> Iterator[list[int]]:
    """A list that fills with the signals that ask the run to stop. They are only noted: a step is never cut short.

    Nothing is caught outside the main thread, where Python allows no handlers.
    """
    came: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield came
        return
    before = {number: signal.signal(number, lambda number, _: came.append(number)) for number in SIGNALS}
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
