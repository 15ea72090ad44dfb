"""Imports shared by the jobs of one local Snakemake run: the side of a job's script.

torch, timm and lightly take three seconds of CPU to import, and a grid has hundreds of jobs. So the first job that asks
starts a process that imports them and then waits (server.py). For that job and every later one it forks a child,
which runs the job's script from its top, with the same arguments, folder, environment and standard streams. The script
process hands on the signals that it gets, and ends as the child ended.

- Nothing of sslbench is imported before the fork, so edited code never runs in its old form. A job whose environment,
  interpreter, module path or installed packages differ from the waiting process's is refused.
- A job that is refused or gets no answer imports for itself, as it does on a cluster and outside Linux.
- The child ends when its script process is gone (SIGTERM, and SIGKILL half a minute later) or the waiting process is.
  The waiting process ends with Snakemake's main process, after its last child.
- What is not shared: Snakemake's benchmark files measure the script process, which waits; and Ctrl-Z stops only that.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

RUN = "SSLBENCH_SHARE_IMPORTS_OF"  # environment variable: process id of the Snakemake whose local jobs share
FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
PATIENCE = 120.0  # seconds that a job waits for another process's imports before it makes its own
REFUSED = b"refused"
START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from sslbench.jobs.import_server.server import main; main()"
)


def share_imports() -> None:
    """Go on in a process that has imported torch, where the Snakemake above this one allows it; or else just go on.

    To be called before anything heavy is imported. Like os.fork it returns in the process that does the work, which has
    run the script up to here anew; the one that waits never returns from it.
    """
    status = None
    with contextlib.suppress(OSError, ValueError):  # the job has not begun elsewhere: it begins here
        folder = _folder(os.environ.pop(RUN, ""))
        if folder is not None:
            with _connect(folder) as connection:
                status = _hand_over(connection)
    if status is None:
        return
    if status < 0:  # a signal's number; SIGKILL takes no handler
        with contextlib.suppress(OSError):
            signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    sys.exit(status)


def _folder(run: str) -> Path | None:
    """A private folder for the sockets of the run whose main process has the id ``run``, if that is an ancestor."""
    if not run or not hasattr(os, "pidfd_open"):
        return None
    pid = os.getppid()
    while pid > 1 and pid != int(run):
        pid = int(_stat(pid)[1])
    if pid != int(run):
        return None  # the variable came from elsewhere, e.g. through a scheduler
    folder = Path(tempfile.gettempdir(), f"sslbench-{run}-{_stat(pid)[19]}")  # id and start: one of a kind
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    found = folder.lstat()
    private = stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o077
    return folder if private else None


def _stat(pid: int) -> list[str]:
    """/proc/<pid>/stat after the name: state, parent, and at 19 the start time."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _connect(folder: Path) -> socket.socket:
    """A connection to the run's waiting process, started here if there was none. Raises OSError if that has died."""
    code = b"".join(Path(__file__).with_name(name).read_bytes() for name in ("client.py", "server.py"))
    path = folder / hashlib.sha256(code).hexdigest()[:8]  # both sides speak one version
    lock = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            _start(path)
    finally:
        os.close(lock)
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    connection.connect(str(path))
    return connection


def _start(path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(str(path))
        listener.listen(1024)  # whoever connects from now on waits for the imports
        run = path.parent.name.split("-")[1]
        subprocess.Popen(
            [sys.executable, "-c", START, json.dumps(sys.path), str(listener.fileno()), run],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=[listener.fileno()],
            start_new_session=True,  # Ctrl-C reaches the script process, which hands it on
        )


def _hand_over(connection: socket.socket) -> int | None:
    """The exit status (or minus the signal) of a child that did this job; None or OSError: none has begun it."""
    connection.settimeout(PATIENCE)
    if not connection.recv(1):  # the greeting: everything is imported
        return None
    connection.settimeout(None)
    umask = os.umask(0)
    os.umask(umask)
    request = {"conditions": conditions(), "script": sys.argv, "folder": str(Path.cwd()), "umask": umask}

    def forward(number: int, _: object) -> None:
        with contextlib.suppress(OSError):
            connection.send(bytes([number]))

    before = {number: signal.signal(number, forward) for number in FORWARDED}
    answer = REFUSED
    try:
        signal.pthread_sigmask(signal.SIG_BLOCK, FORWARDED)  # none goes ahead of the request
        try:
            socket.send_fds(connection, [json.dumps(request).encode()], [0, 1, 2])
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, FORWARDED)
        try:
            answer = connection.recv(1024)  # b"" only when the child too has let go of the other end
        except ConnectionError:
            answer = b""
    finally:
        if answer == REFUSED:
            for number, handler in before.items():
                signal.signal(number, handler)
    if answer == REFUSED:
        return None
    if not answer:
        print("sslbench: the process that this job was forked from was killed, and the job with it", file=sys.stderr)
    return int(answer or 1)


def conditions() -> list:
    """What must be equal in the waiting process and in a job for the imports to be the same."""
    packages = [Path(entry) for entry in sys.path if entry.endswith("-packages")]
    changed = [folder.stat().st_mtime_ns for folder in packages if folder.is_dir()]  # by every installation
    environment = sorted(list(item) for item in os.environ.items())
    return [sys.executable, sys.prefix, list(sys.flags), list(sys.path), changed, environment]
