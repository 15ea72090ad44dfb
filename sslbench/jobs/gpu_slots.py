"""A graphics card of its own for every job on this machine.

Snakemake counts GPUs (``--resources gpu=4``) but hands out none: left alone, four jobs would share the first card. So a
job locks a free card among those that it may see, and shows CUDA that one alone. CUDA reads its environment when it
starts, which in torch is the first call that needs it, not the import.

The lock is the kernel's, on one file per card in a folder that all of a user's runs on a machine share, whatever
project or Snakemake they belong to. It ends with the process that holds it, however that ends. Cards are known by their
UUID, so it does not matter how each run numbers them.
"""

import contextlib
import fcntl
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, TextIO

from sslbench.config.models import Compute
from sslbench.errors import UserError
from sslbench.jobs.log import job_log

VISIBLE = "CUDA_VISIBLE_DEVICES"
FOLDER = "SSLBENCH_GPU_LOCKS"  # environment variable: another folder for the locks, on a local disk
PAUSE = 0.5  # seconds between two looks at taken cards
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)

_held: set[int] = set()  # file descriptors of locks


class Card(NamedTuple):
    """A card, or a part of one (MIG) that CUDA treats as a card. ``number`` is nvidia-smi's."""

    uuid: str
    name: str = ""
    number: int | None = None


@contextlib.contextmanager
def gpu_job(snakemake, *, several: bool = False) -> Iterator[tuple[TextIO, Compute]]:
    """A script's log and its ``compute`` settings, with as many cards held as Snakemake counts for the job.

    ``compute.device`` is the name that torch knows them by; what fails in the body is told in the log. ``several``: the
    job computes on ``compute.devices`` of them, also where Snakemake has cut its count to the run's limit.
    """
    compute = Compute(**snakemake.config.get("compute", {}))
    count = max(compute.devices if several else 1, snakemake.resources.get("gpu", 1))
    with job_log(snakemake.log[0]) as log, gpu(compute.device, log, count) as device:
        yield log, compute.model_copy(update={"device": device})


@contextlib.contextmanager
def gpu(device: str, log: TextIO, count: int = 1) -> Iterator[str]:
    """Hold ``count`` cards that no other job holds, and show CUDA no others; wait where too few are free.

    To be entered before CUDA starts in this process. Nothing is held for the device ``cpu``, nor where no card is seen.

    Args:
        device: ``cpu``, ``cuda``, ``auto``, or ``cuda:<n>``: the n-th of the visible cards, and no other.
        log: where lines go that say what was taken and what is waited for.
        count: how many cards the job computes on.

    Yields:
        the name that the device has from now on. The cards are ``cuda:0`` to ``cuda:<count - 1>``.

    Raises:
        UserError: ``count`` cards will never be free, or a signal came while waiting.
    """
    kind, _, number = device.partition(":")
    seen = [] if kind == "cpu" else visible()
    if number:
        seen = seen[int(number) : int(number) + 1]
    if not seen:  # what is wrong with a device that is not there, torch's side says (training/device.py)
        yield device
        return
    if count > len(seen):
        raise UserError(
            f"a job is to have {count} GPUs, but device {device!r} has {len(seen)} here: lower compute.devices, "
            "or compute.jobs.<rule>.gpus"
        )
    before = os.environ.get(VISIBLE)
    with _taken(seen, count, log) as cards:
        print("computes on " + " and ".join(_title(card) for card in cards), file=log)
        os.environ[VISIBLE] = ",".join(card.uuid for card in cards)
        try:
            yield kind
        finally:
            if before is None:
                os.environ.pop(VISIBLE, None)
            else:
                os.environ[VISIBLE] = before


def visible() -> list[Card]:
    """The cards that CUDA would see in this process, with what CUDA_VISIBLE_DEVICES says. Does not start CUDA.

    Numbers in that variable are taken for nvidia-smi's, as torch takes them. Each part of a divided card counts.
    """
    machine = _machine()
    parts = [card for whole in machine for card in whole[1:] or whole]
    wanted = os.environ.get(VISIBLE)
    if wanted is None:
        return parts
    found: list[Card] = []
    for word in wanted.replace(" ", "").split(","):
        if not machine and word and not word.startswith("-"):  # no driver to ask: the name itself
            named = [Card(word)]
        elif word.isdigit():
            named = next((whole[1:] or whole for whole in machine if whole[0].number == int(word)), [])
        else:
            listed = [card for whole in machine for card in whole]
            named = [card for card in listed if card.uuid.startswith(word) and word.startswith(("GPU-", "MIG-"))]
            named = named if len(named) == 1 else []
        if not named:
            break  # CUDA, too, stops at the first that it does not know
        if set(named) & set(found):
            return []  # and shows nothing where a card is named twice
        found += named
    return found


def _machine() -> list[list[Card]]:
    """Every card with its parts behind it, in nvidia-smi's order."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return _from_driver(Path("/proc/driver/nvidia/gpus"))
    text = subprocess.run([program, "-L"], capture_output=True, text=True, check=False).stdout
    found: list[list[Card]] = []
    for line in text.splitlines():
        if card := re.match(r"GPU (\d+): (.*) \(UUID: (\S+)\)", line):
            found.append([Card(card[3], card[2], int(card[1]))])
        elif (part := re.match(r"\s+(MIG .*?)\s*(?:Device.*)?\(UUID: (\S+)\)", line)) and found:
            found[-1].append(Card(part[2], f"{found[-1][0].name} {part[1]}", found[-1][0].number))
    return found


def _from_driver(folder: Path) -> list[list[Card]]:
    found = []
    for number, file in enumerate(sorted(folder.glob("*/information"))):  # named by their place on the bus
        facts = dict(re.findall(r"^(.+?):[ \t]*(.*?)[ \t]*$", file.read_text(encoding="utf-8"), re.M))
        found.append([Card(facts["GPU UUID"], facts.get("Model", ""), number)])
    return found


@contextlib.contextmanager
def _taken(seen: list[Card], count: int, log: TextIO) -> Iterator[list[Card]]:
    """Hold ``count`` of the cards ``seen``.

    A job that wants several gathers them one by one, so that jobs that want one cannot starve it. Only one job at a
    time may gather, so that no two wait for each other.
    """
    with contextlib.ExitStack() as locks:
        folder = locks.enter_context(_folder())
        cards: list[Card] = []
        with contextlib.ExitStack() as turn, _stoppable():
            gathering, told = count == 1, False
            while True:
                gathering = gathering or _lock(folder / "gathering", turn)
                for card in seen if gathering else []:
                    if len(cards) < count and card not in cards and _lock(_file(folder, card), locks):
                        cards.append(card)
                if len(cards) == count:
                    break
                if not told:
                    _tell(folder, seen, count, log)
                    told = True
                time.sleep(PAUSE)
        yield cards


def _lock(path: Path, until: contextlib.ExitStack) -> bool:
    """Lock the file, if nobody has, and leave it locked ``until``."""
    try:
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise _no_place(path, error) from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not os.path.samestat(os.fstat(file), path.stat()):  # deleted, and perhaps made anew, in between
            raise BlockingIOError
    except (BlockingIOError, FileNotFoundError):
        os.close(file)
        return False
    except OSError as error:
        os.close(file)
        raise _no_place(path, error) from error
    with contextlib.suppress(OSError):  # a full disk
        os.truncate(file, 0)
        os.write(file, f"{os.getpid()}\n".encode())  # for whoever waits and wonders
    until.callback(_release, file)
    _held.add(file)
    return True


def _release(file: int) -> None:
    _held.discard(file)
    os.close(file)


def _let_go() -> None:
    """A forked child has its parent's locks; one that outlived it would hold them on."""
    for file in _held:
        os.close(file)
    _held.clear()


os.register_at_fork(after_in_child=_let_go)


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    """The folder of the locks, private to this user. /tmp whatever TMPDIR says, since that may differ between runs."""
    named = os.environ.get(FOLDER)
    temporary = Path("/tmp") if Path("/tmp").is_dir() else Path(tempfile.gettempdir())
    folder = Path(named) if named else temporary / f"sslbench-gpus-{os.geteuid()}"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.lstat()
    except OSError as error:
        raise _no_place(folder, error) from error
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise UserError(f"{folder}: locks of GPUs cannot lie here, since others may write to it; set {FOLDER}")
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise _no_place(folder, error) from error
    try:
        with contextlib.suppress(OSError):  # a disk without locks: that of a card, which counts, will say so
            fcntl.flock(handle, fcntl.LOCK_SH)  # systemd-tmpfiles clears out no folder that is locked
        yield folder
    finally:
        os.close(handle)


def _no_place(path: Path, error: OSError) -> UserError:
    return UserError(
        f"{path}: locks of GPUs cannot lie here ({error.strerror}); name a folder on a local disk in {FOLDER}"
    )


def _file(folder: Path, card: Card) -> Path:
    return folder / card.uuid.replace("/", "_")


@contextlib.contextmanager
def _stoppable() -> Iterator[None]:
    """A signal ends the wait with a line of ours."""

    def stop(number: int, _: object) -> None:
        raise UserError(f"stopped by {signal.Signals(number).name} while waiting for a GPU")

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, stop) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _tell(folder: Path, seen: list[Card], count: int, log: TextIO) -> None:
    holders = set()
    for card in seen:
        with contextlib.suppress(OSError):
            holders.update(re.findall(r"\d+", _file(folder, card).read_text(encoding="utf-8")))
    holders -= {str(os.getpid())}
    which = _title(seen[0]) if len(seen) == 1 else f"{count} of {len(seen)} GPUs"
    line = f"waits for {which}: taken by other jobs (processes {', '.join(sorted(holders, key=int)) or 'unknown'})"
    print(line, file=log)
    print(f"sslbench: a job {line}", file=sys.stderr, flush=True)


def _title(card: Card) -> str:
    return f"GPU {'' if card.number is None else f'{card.number}, '}{card.name or 'unknown'} ({card.uuid})"
