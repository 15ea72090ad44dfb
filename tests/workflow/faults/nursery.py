"""A process that has imported torch and forks the jobs of the fault tests from itself: a kill costs no start.

``python -m tests.workflow.faults.nursery`` reads one JSON line per job from stdin, runs the workflow's own script in a
forked child with a ``snakemake`` object as Snakemake would give it, and answers with the child's id, then with how it
ended. The child can be made to fail at a given file-system call (``fault``), which makes a kill repeatable.
"""

import errno
import json
import os
import resource
import runpy
import signal
import sys
from pathlib import Path
from types import SimpleNamespace

EVENTS = ("open", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.link", "os.utime", "fsync", "synced")


def main() -> None:
    import safetensors.torch  # noqa: F401
    import torch

    import sslbench.data.leaks
    import sslbench.evaluation.embed
    import sslbench.evaluation.evaluate
    import sslbench.evaluation.label_free
    import sslbench.evaluation.neighbours_and_map
    import sslbench.evaluation.speed
    import sslbench.report.collect.collect
    import sslbench.report.images.collect
    import sslbench.report.page
    import sslbench.training.run
    import sslbench.transforms.preview  # noqa: F401

    torch.set_num_threads(1)
    print("ready", flush=True)
    for line in sys.stdin:
        job = json.loads(line)
        pid = os.fork()
        if pid == 0:
            child(job)
        print(pid, flush=True)
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def child(job: dict) -> None:
    """Run the job and leave. Its standard error goes to ``job["stderr"]``, its calls to ``job["calls"]`` if given."""
    code = 70
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell ignores it for what runs in the background
    try:
        os.setpgid(0, 0)
        os.chdir(job["folder"])
        for stream, path in ((0, os.devnull), (1, os.devnull), (2, job["stderr"])):
            os.dup2(os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o666), stream)
        arm(job.get("fault") or {}, job.get("calls"))
        namespace = {"snakemake": as_snakemake(job["snakemake"])}
        runpy.run_path(job["script"], init_globals=namespace, run_name="__main__")
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        import traceback

        traceback.print_exc()
        code = 1
    finally:
        os._exit(code)


class Named(list):
    """A list, or a dict of names, read as Snakemake's own: by position, by name, as an attribute."""

    def __init__(self, value: dict | list) -> None:
        super().__init__(value.values() if isinstance(value, dict) else value)
        self._names = value if isinstance(value, dict) else {}

    def __getattr__(self, name: str) -> object:
        try:
            return self.__dict__["_names"][name]
        except KeyError:
            raise AttributeError(name) from None

    def __getitem__(self, key: int | str) -> object:
        return self._names[key] if isinstance(key, str) else super().__getitem__(key)

    def items(self):
        return self._names.items()

    def get(self, name: str, default: object = None) -> object:
        return self._names.get(name, default)


def as_snakemake(said: dict) -> SimpleNamespace:
    names = ("input", "output", "params", "wildcards", "resources", "log")
    return SimpleNamespace(
        **{name: Named(said.get(name, {})) for name in names}, config=said["config"], threads=said["threads"]
    )


def arm(fault: dict, calls: str | None) -> None:
    """Prepare what is to go wrong.

    ``kill_at``: SIGKILL before the n-th file-system call in this folder (1 is the first). ``kill_at_byte``: the kernel
    ends the process when a file would grow beyond n bytes. ``full_at``: that call and all that write after it answer
    that the disk is full. ``nobody``: run without root's rights. ``calls``: count them into this file.
    """
    here, seen = str(Path.cwd()), [0]

    def inside(path: object) -> bool:
        name = os.fsdecode(path) if isinstance(path, str | bytes | os.PathLike) else ""
        return bool(name) and (not name.startswith("/") or name.startswith(here + "/"))

    def step(event: str, path: object) -> None:
        seen[0] += 1
        if calls:
            os.write(tally, f"{event} {path}\n".encode(errors="replace"))
        if seen[0] == fault.get("kill_at"):
            os.kill(os.getpid(), signal.SIGKILL)
        if fault.get("full_at") and seen[0] >= fault["full_at"] and event not in ("os.remove", "os.rmdir"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), os.fsdecode(path) if event != "fsync" else None)

    def hook(event: str, args: tuple) -> None:
        if event not in EVENTS or not args or not inside(args[0]):
            return
        if event == "open" and not (args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)):
            return  # reading changes nothing
        step(event, args[0])

    real = os.fsync

    def fsync(handle: int) -> None:
        step("fsync", "")
        real(handle)
        step("synced", "")

    if calls:
        tally = os.open(calls, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    if "kill_at_byte" in fault:
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (fault["kill_at_byte"],) * 2)
    if "most_bytes" in fault:  # the disk is full for whoever writes more: EFBIG, as a limit on file sizes
        resource.setrlimit(resource.RLIMIT_FSIZE, (fault["most_bytes"],) * 2)
    if fault.get("nobody"):
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
    if calls or "kill_at" in fault or "full_at" in fault:
        os.fsync = fsync
        sys.addaudithook(hook)


if __name__ == "__main__":
    main()
