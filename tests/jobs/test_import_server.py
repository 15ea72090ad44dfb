"""Jobs that share imports end as they would alone, whatever is killed, and leave no process behind."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path

import pytest

from tests.project import ROOT

pytestmark = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="imports are shared on Linux only")

# Stands where Snakemake's main process does: starts the jobs that are named on its input, one line each.
RUN = """
import os, subprocess, sys
os.environ["SSLBENCH_SHARE_IMPORTS_OF"] = str(os.getpid())
jobs = {}
for line in sys.stdin:
    name, *words = line.split()
    jobs[name] = subprocess.Popen(["bash", "-c", "exec " + " ".join([sys.executable, *words]) + f" > {name}.out 2> {name}.err"])
    print(jobs[name].pid, flush=True)
    if name == "end":
        break
"""
JOB = """
import os, signal, sys, time
from pathlib import Path
from sslbench.jobs.import_server.client import share_imports
if __name__ == "__main__":
    share_imports()
    from sslbench import edited
    import numpy, random, torch
    def note(number, _):
        print("signal", signal.Signals(number).name, flush=True)
        sys.exit(7)
    kind, me = sys.argv[1], sys.argv[2]
    Path(me + ".pid").write_text(f"{os.getpid()} {os.getppid()}")
    print(edited.VALUE, Path.cwd().name, torch.get_num_threads(), flush=True)
    Path(me + ".drawn").write_text(str([random.random(), numpy.random.rand(), torch.rand(1).item()]))
    if kind == "fail":
        raise RuntimeError("no good")
    if kind == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if kind == "wait":
        signal.signal(signal.SIGUSR1, note)
        signal.signal(signal.SIGTERM, note)
        Path(me + ".ready").touch()
        time.sleep(60)
    sys.exit({"ok": 0, "three": 3}[kind])
"""


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def until(condition, seconds=300):
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)
    return found


class Run:
    """A run of jobs in a folder, with the project's code beside them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        package = folder / "sslbench"
        (package / "jobs" / "import_server").mkdir(parents=True)
        server = [f"jobs/import_server/{name}.py" for name in ("__init__", "client", "server")]
        for name in ("__init__.py", "jobs/__init__.py", *server):
            (package / name).write_bytes((ROOT / "sslbench" / name).read_bytes())
        (package / "edited.py").write_text("VALUE = 'old'\n")
        (folder / "job.py").write_text(JOB)
        self.temporary = Path(tempfile.mkdtemp(prefix="warm"))  # a socket's path has room for 107 characters
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        self.environment |= {"TMPDIR": str(self.temporary), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        self.main = subprocess.Popen(
            [sys.executable, "-c", RUN], cwd=folder, env=self.environment,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.shells = {}

    def start(self, name: str, kind: str, before: str = "") -> None:
        self.main.stdin.write(f"{name} job.py {kind} {name}\n")
        self.main.stdin.flush()
        self.shells[name] = int(self.main.stdout.readline())

    def worker(self, name: str) -> tuple[int, int]:
        """The process that does the work, and its parent."""
        file = self.folder / f"{name}.pid"
        worker, parent = until(lambda: file.exists() and file.read_text()).split()
        return int(worker), int(parent)

    def script(self, name: str) -> int:
        """The process that Snakemake waits for; bash has become it."""
        return self.shells[name]

    def end(self, name: str) -> int | None:
        until(lambda: not alive(self.shells[name]))
        stat = Path(f"/proc/{self.shells[name]}/stat")
        return os.waitstatus_to_exitcode(int(stat.read_text().split()[-1])) if stat.exists() else None

    def out(self, name: str) -> str:
        return (self.folder / f"{name}.out").read_text()

    def err(self, name: str) -> str:
        return (self.folder / f"{name}.err").read_text()


@pytest.fixture
def run(tmp_path):
    made = Run(tmp_path / "r")
    yield made
    known = {pid for name in made.shells if (made.folder / f"{name}.pid").exists() for pid in made.worker(name)}
    made.main.stdin.close()
    made.main.kill()
    made.main.wait()
    for pid in made.shells.values():
        if alive(pid):
            os.kill(pid, signal.SIGKILL)
    # Whatever a test did: with Snakemake and the scripts gone nothing of the run lives on.
    for pid in known - {os.getpid(), made.main.pid}:
        until(lambda pid=pid: not alive(pid))
    shutil.rmtree(made.temporary, ignore_errors=True)


def test_jobs_end_as_they_would_alone_and_share_one_process(run):
    for kind in ("ok", "three", "fail", "die"):
        run.start(kind, kind)
    assert {kind: run.end(kind) for kind in run.shells} == {"ok": 0, "three": 3, "fail": 1, "die": -9}
    parents = {run.worker(kind)[1] for kind in run.shells}
    assert len(parents) == 1
    assert parents != {run.main.pid}
    alone = subprocess.run(
        [sys.executable, "job.py", "ok", "alone"], cwd=run.folder, env=run.environment, capture_output=True, text=True
    )
    assert run.out("ok") == alone.stdout
    assert run.err("ok") == alone.stderr
    drawn = [json.loads((run.folder / f"{kind}.drawn").read_text()) for kind in run.shells]
    assert all(len(set(values)) == 4 for values in zip(*drawn, strict=True))  # no process has another's randomness
    assert run.err("fail").rstrip().endswith("RuntimeError: no good")


def test_edited_code_runs_in_its_new_form(run):
    run.start("before", "ok")
    assert run.end("before") == 0
    (run.folder / "sslbench" / "edited.py").write_text("VALUE = 'edited'\n")
    run.start("after", "ok")
    assert run.end("after") == 0
    assert run.worker("before")[1] == run.worker("after")[1]
    assert (run.out("before").split()[0], run.out("after").split()[0]) == ("old", "edited")


def test_signals_reach_the_work_and_a_killed_script_takes_it_along(run):
    run.start("usr1", "wait")
    run.start("killed", "wait")
    for name in ("usr1", "killed"):
        until((run.folder / f"{name}.ready").exists)
    os.kill(run.script("usr1"), signal.SIGUSR1)
    assert run.end("usr1") == 7
    assert "signal SIGUSR1" in run.out("usr1")
    worker, _ = run.worker("killed")
    os.kill(run.script("killed"), signal.SIGKILL)
    until(lambda: not alive(worker))
    assert "signal SIGTERM" in run.out("killed")  # with time for a checkpoint


def test_a_killed_server_ends_its_jobs_and_later_jobs_import_for_themselves(run):
    run.start("waiting", "wait")
    until((run.folder / "waiting.ready").exists)
    worker, server = run.worker("waiting")
    os.kill(server, signal.SIGKILL)
    assert run.end("waiting") == 1
    assert not alive(worker)
    assert "was killed" in run.err("waiting")
    run.start("later", "ok")
    assert run.end("later") == 0
    assert run.worker("later") == (run.script("later"), run.main.pid)


def test_with_snakemake_gone_running_jobs_finish_and_nothing_stays(run):
    run.start("waiting", "wait")
    until((run.folder / "waiting.ready").exists)
    worker, server = run.worker("waiting")
    run.main.kill()
    run.main.wait()
    time.sleep(0.2)
    assert alive(worker)
    os.kill(run.script("waiting"), signal.SIGTERM)
    until(lambda: not alive(server))
    assert "signal SIGTERM" in run.out("waiting")
    assert list(run.temporary.glob("sslbench-*")) == []


@pytest.mark.parametrize("prefix", ["", "OTHER=1 "], ids=["named by another process", "another environment"])
def test_a_job_that_does_not_match_runs_by_itself(run, prefix):
    run.start("first", "ok")
    assert run.end("first") == 0
    server = run.worker("first")[1]
    variables = {"SSLBENCH_SHARE_IMPORTS_OF": str(run.main.pid)}
    if prefix:
        # Below the main process, but with a variable more.
        script = f'import os, sys; os.environ["OTHER"] = "1"; os.execv(sys.executable, [sys.executable, *{["job.py", "ok", "second"]!r}])'
        (run.folder / "other.py").write_text(script)
        run.main.stdin.write("second other.py\n")
        run.main.stdin.flush()
        run.shells["second"] = int(run.main.stdout.readline())
        assert run.end("second") == 0
    else:
        subprocess.run(
            [sys.executable, "job.py", "ok", "second"], cwd=run.folder, env=run.environment | variables, check=True
        )
    assert run.worker("second")[1] != server


def test_importing_the_scripts_side_loads_nothing_heavy():
    code = "import json, sys, sslbench.jobs.import_server.client; print(json.dumps(sorted(m.partition('.')[0] for m in sys.modules)))"
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], cwd=ROOT, capture_output=True, text=True)
    assert {"torch", "numpy", "pydantic"} & set(json.loads(done.stdout)) == set()
