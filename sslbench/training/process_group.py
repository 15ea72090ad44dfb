"""The processes that train one cell together, one per device, on one machine.

The process that was asked for the cell is rank 0: it holds the lock, heeds signals, and alone writes and speaks. It
starts the others (worker.py), which compute and end with it, however it ends. Lightning's Fabric joins them to a group.
A checkpoint takes rank 0 alone, since between two steps all of them hold the same state.
"""

import contextlib
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from typing import TYPE_CHECKING

from torch import Tensor, cat, distributed

from sslbench.errors import UserError

if TYPE_CHECKING:
    from lightning_fabric import Fabric

TIMEOUT = timedelta(hours=1)  # one process waits so long for another: longer than any checkpoint takes
LONGEST_START = 600.0  # seconds that the others may take to start: a network disk can need minutes
GRACE = 20.0  # seconds after another's death in which this process should have noticed by itself
READY = "ready\n"
START = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from sslbench.training.worker import main; main()"
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)  # rank 0 answers those that come to all
BUCKET = 1 << 24  # gradients averaged at a time


class Others:
    """The processes of ranks 1 and up, from their start to their end.

    Each gets ``job`` with its ``rank`` as one line of JSON on its standard input, and lives while that stays open.
    """

    def __init__(self, job: dict, world: int, say: Callable[[str], None]) -> None:
        self.world, self.say = world, say
        self.ending = threading.Event()
        self.processes: list[subprocess.Popen] = []
        self.words = [tempfile.TemporaryFile("w+", errors="replace") for _ in range(1, world)]  # noqa: SIM115
        try:
            for rank, words in enumerate(self.words, start=1):
                command = [sys.executable, "-c", START, json.dumps(sys.path)]
                pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": words}
                with _held_back(SIGNALS):
                    self.processes.append(subprocess.Popen(command, text=True, **pipes))
                with contextlib.suppress(BrokenPipeError):
                    self.processes[-1].stdin.write(json.dumps(job | {"rank": rank}) + "\n")
                    self.processes[-1].stdin.flush()
            self._wait_until_ready()
        except BaseException:
            self.end(0)
            raise
        threading.Thread(target=self._watch, name="other-devices", daemon=True).start()

    def _wait_until_ready(self) -> None:
        late = threading.Event()

        def give_up() -> None:
            late.set()
            for process in self.processes:
                process.kill()  # which ends the reading below

        clock = threading.Timer(LONGEST_START, give_up)
        clock.daemon = True
        clock.start()
        try:
            ready = all(READY in process.stdout for process in self.processes)  # waits for each
        finally:
            clock.cancel()
        if late.is_set():
            raise UserError(
                f"the processes of the other devices did not start within {LONGEST_START / 60:g} minutes; see whether "
                "the disk that Python lies on answers, and run again"
            )
        if not ready:
            raise UserError(self.fate(GRACE) or "the processes of the other devices did not start")

    def fate(self, patience: float = 0.0) -> str | None:
        """A line on the first of them that died, if one has, or does within ``patience`` seconds."""
        until = time.monotonic() + patience
        while True:
            for rank, process in enumerate(self.processes, start=1):
                if (status := process.poll()) is not None:
                    how = f"was killed by {signal.Signals(-status).name}" if status < 0 else self._last_words(rank)
                    return (
                        f"the process of device {rank} (of {self.world}, from 0) {how}; the last checkpoint is kept, "
                        "and the same command goes on from it"
                    )
            if time.monotonic() >= until:
                return None
            time.sleep(0.05)

    def _last_words(self, rank: int) -> str:
        words = self.words[rank - 1]
        words.seek(0)
        lines = [line.strip() for line in words if line.strip()]
        return f"ended: {lines[-1]}" if lines else "ended without a word"

    def _watch(self) -> None:
        """In a thread: end this process where it waits in vain for one that has died, which NCCL would do for long."""
        while not self.ending.wait(0.5):
            if (line := self.fate()) and not self.ending.wait(GRACE):
                self.say(line)
                print(f"sslbench: {line}", file=sys.stderr, flush=True)
                for process in self.processes:
                    process.kill()
                os._exit(1)

    def end(self, patience: float = 10.0) -> None:
        """Let them end, and kill those that have not after ``patience`` seconds."""
        self.ending.set()
        until = time.monotonic() + patience
        for process in self.processes:
            if not patience:
                process.kill()
            with contextlib.suppress(OSError):
                process.stdin.close()
        for process in self.processes:
            try:
                process.wait(max(0.0, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            process.stdout.close()
        for words in self.words:
            words.close()


@contextlib.contextmanager
def process_group(job: dict, world: int, cuda: bool, say: Callable[[str], None]) -> "Iterator[Fabric | None]":
    """Start the other processes of ``world`` and join them, as rank 0; None where there are no others.

    Raises:
        UserError: one of them died.
    """
    if world == 1:
        yield None
        return
    meeting = _meeting(world)
    others = Others(job | {"world": world, "port": meeting.port}, world, say)
    try:
        with joined(0, world, cuda, meeting.port) as fabric:
            yield fabric
            others.end()
    except UserError:
        raise
    except Exception as error:  # of many kinds where the connection to a process is lost
        if line := others.fate(patience=5.0):
            raise UserError(line) from error
        raise
    finally:
        others.end(0)


@contextlib.contextmanager
def joined(rank: int, world: int, cuda: bool, port: int) -> "Iterator[Fabric]":
    """Be ``rank`` of ``world`` processes of this machine that meet at ``port``."""
    from lightning_fabric import Fabric
    from lightning_fabric.plugins.environments import LightningEnvironment
    from lightning_fabric.strategies import DDPStrategy

    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    place = {"LOCAL_RANK": str(rank), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    if not cuda and any(name == "lo" for _, name in socket.if_nameindex()):
        place["GLOO_SOCKET_IFNAME"] = "lo"  # whatever the host's name leads to
    before = {name: os.environ.get(name) for name in place}
    os.environ.update(place)
    try:
        backend = "nccl" if cuda else "gloo"
        strategy = DDPStrategy(
            cluster_environment=LightningEnvironment(), process_group_backend=backend, timeout=TIMEOUT
        )
        with warnings.catch_warnings(action="ignore"):  # Fabric's, on what could be computed on instead
            fabric = Fabric(accelerator="cuda" if cuda else "cpu", devices=world, strategy=strategy)
            fabric.launch()
        yield fabric
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
        if distributed.is_initialized():
            distributed.destroy_process_group()


def average_gradients(parameters: Iterable[Tensor]) -> None:
    """Every parameter's gradient becomes its mean over all processes (nn/distributed.py says why the mean)."""
    waiting: dict = {}
    for gradient in [p.grad for p in parameters if p.grad is not None]:
        bucket = waiting.setdefault(gradient.dtype, [])
        bucket.append(gradient)
        if sum(g.numel() for g in bucket) >= BUCKET:
            _average(waiting.pop(gradient.dtype))
    for bucket in waiting.values():
        _average(bucket)


def _average(gradients: list[Tensor]) -> None:
    flat = cat([gradient.reshape(-1) for gradient in gradients])
    distributed.all_reduce(flat)
    flat /= distributed.get_world_size()
    for gradient, mean in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(mean.view(gradient.shape))


@contextlib.contextmanager
def _held_back(numbers: Iterable[signal.Signals]) -> Iterator[None]:
    """Processes that are started within never get these signals, not even while they start."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _meeting(world: int) -> distributed.TCPStore:
    """Where the processes meet, open from now on at a port that nobody else can take; rank 0 joins the same one."""
    return distributed.TCPStore(
        "127.0.0.1", 0, world, is_master=True, timeout=TIMEOUT, wait_for_workers=False, multi_tenant=True
    )
