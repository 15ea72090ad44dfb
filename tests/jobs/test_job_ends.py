"""A job that is stopped, or that finds too little memory, says so in one line, in its log and on stderr."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from sslbench.config.compute import Jobs
from sslbench.jobs.log import _NOT_SUBMITTED, job_log
from tests.project import ROOT
from tests.tally import survived

pytestmark = pytest.mark.fault

# A job with a worker that it forked, which must not speak in its name.
JOB = """
import os, sys, time
from pathlib import Path
from sslbench.jobs.log import job_log
with job_log(sys.argv[1]):
    if os.fork() == 0:
        # Of its own hand: Python forgets a signal that reaches a child before its fork() has returned.
        Path(sys.argv[2]).write_text(str(os.getpid()))
        time.sleep(60)
    try:
        time.sleep(60)
    except Exception:
        pass  # as libraries do
"""


@pytest.mark.parametrize(
    ("log", "line"),
    [
        ("logs/evaluate/a/b.log", "raise compute.jobs.evaluate.minutes or run again"),
        ("logs/fetch/a.log", "run again"),
        ("a.log", "run again"),
    ],
)
def test_a_job_that_is_terminated_says_so(log: str, line: str, tmp_path: Path) -> None:
    command = [sys.executable, "-c", JOB, log, str(tmp_path / "child")]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    job = subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + 30
    while not ((tmp_path / "child").exists() and (tmp_path / "child").read_text()) and time.monotonic() < until:
        time.sleep(0.02)
    os.kill(int((tmp_path / "child").read_text()), signal.SIGTERM)
    time.sleep(0.1)
    assert job.poll() is None
    job.terminate()
    said = job.communicate(timeout=30)[1]
    assert job.returncode == 143
    assert said == f"sslbench: stopped by SIGTERM, of a time limit or a kill; {line}\n"
    assert (tmp_path / log).read_text() == said
    survived("SIGTERM outside training", Path(log).parts[1] if "logs" in log else "workflow")


def test_a_job_leaves_the_signals_as_they_were(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with job_log(tmp_path / "x.log"):
        assert signal.getsignal(signal.SIGTERM) is not before
    assert signal.getsignal(signal.SIGTERM) is before


def test_the_rules_without_a_time_limit_of_their_own_are_those_without_an_entry_in_compute_jobs() -> None:
    rules = {line.split()[1].rstrip(":") for file in (ROOT / "workflow/rules").glob("*.smk")
             for line in file.read_text().splitlines() if line.startswith("rule ")}  # fmt: skip
    logged = {rule for rule in rules if (ROOT / f"workflow/scripts/{rule}.py").exists()}
    assert set(_NOT_SUBMITTED) - {""} == logged - set(Jobs.model_fields)


@pytest.mark.parametrize(
    ("log", "cure"),
    [
        ("logs/pretrain/a.log", "lower training.batch_size, or raise training.accumulate or compute.devices"),
        ("logs/finetune/a.log", "lower evaluation.finetune.batch_size"),
        ("logs/embed/a.log", "nvidia-smi"),
    ],
)
@pytest.mark.parametrize("error", [
    torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB."),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
])  # fmt: skip
def test_a_full_gpu_is_one_line_that_names_what_to_lower(error, log, cure, tmp_path, capfd) -> None:
    with pytest.raises(SystemExit) as ended, job_log(tmp_path / log):
        raise error
    assert ended.value.code == 1
    said = capfd.readouterr().err
    assert said.startswith("sslbench: out of GPU memory: ") and cure in said and said.count("\n") == 1
    assert (tmp_path / log).read_text() == said


def test_any_other_error_of_the_gpu_keeps_its_traceback(tmp_path) -> None:
    with pytest.raises(RuntimeError), job_log(tmp_path / "logs/pretrain/a.log"):
        raise RuntimeError("CUDA error: an illegal memory access was encountered")
    assert "illegal memory access" in (tmp_path / "logs/pretrain/a.log").read_text()


@pytest.mark.parametrize("closed", ["2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_a_job_whose_streams_are_closed_works_and_its_files_take_no_strays(closed: str, tmp_path: Path) -> None:
    job = (
        "import os, sys\nfrom sslbench.jobs.log import job_log\n"
        "with job_log('a.log') as log:\n"
        "    with open('result', 'w') as file:\n"
        "        os.write(2, b'a warning of a library')\n"
        "        print('said', file=sys.stderr)\n"
        "        file.write(f'{sys.stderr.isatty()}')\n"
    )
    command = ["sh", "-c", f'exec "$0" -c "$1" {closed}', sys.executable, job]
    done = subprocess.run(command, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, check=False)
    assert done.returncode == 0
    assert (tmp_path / "result").read_text() == "False" and (tmp_path / "a.log").read_text() == ""
