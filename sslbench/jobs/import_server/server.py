"""The process that has imported torch and forks the jobs of one local Snakemake run (client.py tells the whole story).

A fork cannot use CUDA that was started before it, and loses threads. This process has neither, or it serves nobody;
OpenBLAS alone has threads from the start, and takes them down and up around a fork itself.
"""

import contextlib
import ctypes
import importlib
import json
import os
import runpy
import selectors
import signal
import socket
import sys
import time
from pathlib import Path

from sslbench.jobs.import_server.client import REFUSED, conditions

LIBRARIES = (
    "snakemake.script",
    "torch",
    "timm",
    "safetensors.torch",
    "lightly.loss",
    "lightly.models.modules.heads",
    "lightly.models.utils",
    "scipy.optimize",
    "scipy.stats",
    "pydantic",
)
GRACE = 30.0  # seconds that a child whose script process is gone has for its checkpoint
PR_SET_PDEATHSIG = 1


def main() -> None:
    """Wait for jobs; in each child, run its script as Python would."""
    listener, run = socket.socket(fileno=int(sys.argv[2])), int(sys.argv[3])
    begun = conditions()  # before the imports, which may set variables
    for name in LIBRARIES:
        with contextlib.suppress(ImportError):  # a job that needs it says so
            importlib.import_module(name)
    if can_fork():
        server = Server(listener, run, begun)
        script = server.serve()
        if script:
            sys.argv = script
            runpy.run_path(script[0], run_name="__main__")


def can_fork() -> bool:
    """Whether a child, made to see this, finds CUDA untouched and leaves this process with one thread."""
    pid = os.fork()
    if pid == 0:
        os._exit(sys.modules["torch"].cuda._is_in_bad_fork())
    unspoilt = os.waitpid(pid, 0)[1] == 0
    return unspoilt and len(list(Path("/proc/self/task").iterdir())) == 1


class Server:
    """Greets script processes, forks a child for each that asks, and tells it how the child ended."""

    def __init__(self, listener: socket.socket, run: int, conditions: list) -> None:
        self.listener, self.path = listener, Path(listener.getsockname())
        self.conditions = conditions
        self.jobs: dict[socket.socket, int] = {}  # connection -> its child's pidfd
        self.overdue: dict[int, float] = {}  # pidfd -> when it is killed
        self.selector = selectors.PollSelector()  # holds nothing that a child would share
        self.watch(listener, self.greet)
        self.watch(os.pidfd_open(run), self.retire)

    def watch(self, what: socket.socket | int, handler) -> None:
        self.selector.register(what, selectors.EVENT_READ, handler)

    def serve(self) -> list[str] | None:
        """None when the run is over; in every child, the arguments of the script to run."""
        while self.path is not None or self.jobs or self.overdue:
            # One at a time: an answer may close what another event is about.
            for key, _ in self.selector.select(1.0 if self.overdue else None)[:1]:
                if script := key.data(key.fileobj):
                    return script
            for child, until in self.overdue.items():
                if time.monotonic() > until:
                    signal.pidfd_send_signal(child, signal.SIGKILL)
        return None

    def greet(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            connection, _ = listener.accept()
            self.watch(connection, self.answer)
            connection.send(b"+")

    def retire(self, run: int) -> None:
        """Snakemake is gone. Jobs that run may finish, as they would without this process."""
        self.selector.unregister(run)
        self.selector.unregister(self.listener)
        self.listener.close()
        with contextlib.suppress(OSError):
            self.path.unlink()
            self.path.parent.rmdir()
        self.path = None

    def answer(self, connection: socket.socket) -> list[str] | None:
        """A job asks, hands on a signal, or is gone."""
        child = self.jobs.get(connection)
        try:
            message, streams, _, _ = socket.recv_fds(connection, 1 << 20, 3)
        except OSError:  # it is gone, or there are no more file descriptors
            message, streams = b"", []
        if message and child is None:
            try:
                return self.fork(connection, json.loads(message), streams)
            except (OSError, ValueError):  # no child, or no request: the job does its work itself
                self.refuse(connection)
            finally:
                for stream in streams:
                    os.close(stream)
            return None
        if message:
            signal.pidfd_send_signal(child, message[0])
            return None
        if child is None:
            self.refuse(connection)
        else:
            self.forget(connection)
            signal.pidfd_send_signal(child, signal.SIGTERM)
            self.overdue[child] = time.monotonic() + GRACE
        return None

    def fork(self, connection: socket.socket, request: dict, streams: list[int]) -> list[str] | None:
        """A child for ``request``; its script is returned there, and None here. OSError: there is no child."""
        if request["conditions"] != self.conditions:
            self.refuse(connection)
            return None
        here = os.getpid()
        pid = os.fork()
        if pid == 0:
            self.become(connection, request, streams, here)
            return request["script"]
        try:
            child = os.pidfd_open(pid)
        except OSError:  # nobody could watch over it
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise
        self.jobs[connection] = child
        self.watch(child, self.ended)
        return None

    def refuse(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            connection.send(REFUSED)
        self.forget(connection)

    def become(self, connection: socket.socket, request: dict, streams: list[int], parent: int) -> None:
        """Make this child what the script process is."""
        os.dup(connection.fileno())  # open until the process is gone, so that its end tells the script process
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            os._exit(1)
        for key in list(self.selector.get_map().values()):
            if isinstance(key.fileobj, int):
                os.close(key.fileobj)
            else:
                key.fileobj.close()
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
        sys.stdout.reconfigure(line_buffering=os.isatty(1))
        os.chdir(request["folder"])
        os.umask(request["umask"])
        sys.modules["numpy"].random.seed()  # every process has its own; the module random sees to it itself
        sys.modules["torch"].default_generator.seed()

    def ended(self, child: int) -> None:
        """Tell the job that waits, if it still does."""
        end = os.waitid(os.P_PIDFD, child, os.WEXITED)
        status = end.si_status if end.si_code == os.CLD_EXITED else -end.si_status
        self.selector.unregister(child)
        os.close(child)
        self.overdue.pop(child, None)
        for connection in [connection for connection, its in self.jobs.items() if its == child]:
            with contextlib.suppress(OSError):
                connection.send(str(status).encode())
            self.forget(connection)

    def forget(self, connection: socket.socket) -> None:
        self.selector.unregister(connection)
        self.jobs.pop(connection, None)
        connection.close()
