"""No two jobs of a machine hold one card at a time, whoever dies, waits, or numbers the cards in another way."""

import contextlib
import io
import json
import os
import runpy
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from sslbench.config.compute import Compute
from sslbench.errors import UserError
from sslbench.jobs import gpu_slots
from sslbench.training.monitor.ledger import Ledger
from tests.project import ROOT
from tests.tally import survived

UUIDS = ["GPU-aa10", "GPU-aa20", "GPU-bb30"]
LISTING = "".join(f"GPU {n}: Some Card (UUID: {uuid})\n" for n, uuid in enumerate(UUIDS))
DIVIDED = """GPU 0: Big Card (UUID: GPU-aa10)
  MIG 1g.5gb      Device  0: (UUID: MIG-c1)
  MIG 1g.5gb      Device  1: (UUID: MIG-c2)
GPU 1: Big Card (UUID: GPU-aa20)
"""
JOBS = 24

# Forks jobs that each take cards several times, and mark what they hold by files that only one process can make.
CROWD = """
import contextlib, io, os, random, sys, time
from pathlib import Path
from sslbench.jobs import gpu_slots as slots

slots.PAUSE, marks, apart = 0.002, Path(sys.argv[1]), sys.argv[2] == "apart"

def job(number):
    random.seed(number)
    shown = [None, "2,1,0", "GPU-bb,GPU-aa1", "1"][number % 4]
    if shown is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = shown
    if apart:
        os.environ["SSLBENCH_GPU_LOCKS"] += f"-{number}"
    for _ in range(4):
        with slots.gpu("cuda", io.StringIO(), 2 if number % 8 in (0, 5) else 1):
            held = os.environ["CUDA_VISIBLE_DEVICES"].split(",")
            for card in held:
                os.close(os.open(marks / card, os.O_CREAT | os.O_EXCL))
            time.sleep(random.random() * 0.02)
            for card in held:
                (marks / card).unlink()
    os.write(1, " ".join([str(number), *held, "\\n"]).encode())  # in one piece: many write here

children = []
for number in range(int(sys.argv[3])):
    pid = os.fork()
    if pid == 0:
        with contextlib.redirect_stderr(io.StringIO()):
            try:
                job(number)
            except FileExistsError:
                os._exit(9)
        os._exit(0)
    children.append(pid)
print("codes", *[os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children])
"""
# One job: says what it holds, then waits. With a child of its own that outlives it.
JOB = """
import os, sys, time
from sslbench.jobs import gpu_slots as slots
from sslbench.jobs.log import job_log
with job_log(sys.argv[2]) as log, slots.gpu(sys.argv[1], log) as device:
    if os.fork() == 0:
        os.close(1)
        time.sleep(20)
    print(device, os.environ["CUDA_VISIBLE_DEVICES"], flush=True)
    time.sleep(60)
"""


TRAINED, RANDOM = (json.dumps({"train": {"epochs": epochs}}) for epochs in (1, 0))


class Files(dict):
    """A job's, whatever it asks for."""

    def __getattr__(self, name):
        return self[name]

    def __getitem__(self, name):
        return "a/b/c/d/e/f"


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Three cards that are not there, by the one program that lists them."""
    program = tmp_path / "bin" / "nvidia-smi"
    program.parent.mkdir()
    (tmp_path / "listing").write_text(LISTING)
    program.write_text(f"#!/bin/sh\n[ $1 = -L ] && cat '{tmp_path}/listing'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setenv(gpu_slots.FOLDER, str(tmp_path / "locks"))
    monkeypatch.delenv(gpu_slots.VISIBLE, raising=False)
    return tmp_path


@pytest.fixture
def start(machine):
    """Starts jobs that hold a card until they are killed."""
    jobs = []

    def begin(device: str = "cuda", **variables: str) -> subprocess.Popen:
        command = [sys.executable, "-c", JOB, device, str(machine / f"{len(jobs)}.log")]
        pipes = dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        jobs.append(subprocess.Popen(command, cwd=ROOT, env=os.environ | variables, start_new_session=True, **pipes))
        return jobs[-1]

    yield begin
    for job in jobs:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(job.pid, signal.SIGKILL)
        job.communicate()


def crowd(machine: Path, how: str) -> list[str]:
    marks = machine / "marks"
    marks.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", CROWD, str(marks), how, str(JOBS)], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_many_jobs_never_hold_one_card_at_a_time(machine):
    *lines, codes = crowd(machine, "together")
    assert codes.split()[1:] == ["0"] * JOBS
    held = {int(line.split()[0]): line.split()[1:] for line in lines}
    assert {len(cards) for number, cards in held.items() if number % 8 in (0, 5)} == {2}
    assert {tuple(cards) for number, cards in held.items() if number % 4 == 3} == {("GPU-aa20",)}
    assert {card for cards in held.values() for card in cards} == set(UUIDS)
    survived("jobs that want one card", "slots", JOBS * 4)


def test_without_common_locks_they_do(machine):
    *_, codes = crowd(machine, "apart")
    assert "9" in codes.split()


@pytest.mark.parametrize("device", ["cuda", "auto", "cuda:1"])
def test_a_killed_holder_frees_its_card_for_the_one_that_waits(start, machine, device):
    holders = [start(), start(), start()]
    held = {job: job.stdout.readline().split()[1] for job in holders}
    assert sorted(held.values()) == sorted(UUIDS)
    waiting = start(device)
    said = waiting.stderr.readline()
    assert said.startswith("sslbench: a job waits for ") and said.endswith(")\n")
    wanted = [job for job in holders if device != "cuda:1" or held[job] == "GPU-aa20"]
    assert all(str(job.pid) in said for job in wanted)
    begin = time.monotonic()
    os.kill(wanted[-1].pid, signal.SIGKILL)  # its own child lives on, and does not keep the card
    assert waiting.stdout.readline().split() == [device.partition(":")[0], held[wanted[-1]]]
    assert time.monotonic() - begin < 4 * gpu_slots.PAUSE + 1
    lines = (machine / "3.log").read_text().splitlines()
    assert [line.split()[0] for line in lines] == ["waits", "computes"]
    assert held[wanted[-1]] in lines[1]
    survived("SIGKILL of a job that holds a card", "slots")


@pytest.mark.parametrize("number", gpu_slots.SIGNALS)
def test_a_signal_ends_the_wait_with_one_line(start, machine, number):
    start("cuda:0").stdout.readline()
    waiting = start("cuda:0")
    waiting.stderr.readline()
    waiting.send_signal(number)
    assert waiting.communicate()[1] == f"sslbench: stopped by {number.name} while waiting for a GPU\n"
    assert waiting.returncode == 1
    survived(f"{number.name} while waiting for a GPU", "slots")


@pytest.mark.parametrize(
    "shown",
    ["0", "2,0", " 1 , 2", "1,7,2", "1,-1,2", "-1", "", "NoDevFiles", "1,1", "GPU-bb30,GPU-aa10", "GPU-b,GPU-aa2",
     "GPU-aa", "GPU-aa10,GPU-aa", "GPU-x,GPU-aa10", "GPU-aa10,GPU-aa1"],
)  # fmt: skip
def test_the_cards_seen_are_those_that_torch_would_see(machine, monkeypatch, shown):
    monkeypatch.setenv(gpu_slots.VISIBLE, shown)
    theirs = torch.cuda._parse_visible_devices()
    if theirs and isinstance(theirs[0], str):
        theirs = torch.cuda._transform_uuid_to_ordinals(theirs, UUIDS)
    beyond = next((place for place, number in enumerate(theirs) if number >= len(UUIDS)), len(theirs))
    assert [card.number for card in gpu_slots.visible()] == theirs[:beyond]


@pytest.mark.parametrize(
    ("shown", "uuids"),
    [(None, ["MIG-c1", "MIG-c2", "GPU-aa20"]), ("MIG-c2", ["MIG-c2"]), ("0", ["MIG-c1", "MIG-c2"]), ("1", ["GPU-aa20"])],
)  # fmt: skip
def test_the_parts_of_a_divided_card_are_cards(machine, monkeypatch, shown, uuids):
    (machine / "listing").write_text(DIVIDED)
    if shown:
        monkeypatch.setenv(gpu_slots.VISIBLE, shown)
    assert [card.uuid for card in gpu_slots.visible()] == uuids


def test_without_nvidia_smi_the_drivers_files_are_read(tmp_path):
    for place, uuid in (("0000:81:00.0", "GPU-2"), ("0000:01:00.0", "GPU-1")):
        (tmp_path / place).mkdir()
        (tmp_path / place / "information").write_text(
            f"Model: \t\t A Card\nIRQ:   1\nGPU UUID: \t {uuid}\nGPU Excluded:\t No\n"
        )
    assert gpu_slots._from_driver(tmp_path) == [
        [gpu_slots.Card("GPU-1", "A Card", 0)],
        [gpu_slots.Card("GPU-2", "A Card", 1)],
    ]


def test_where_nothing_lists_cards_the_names_given_are_locked_and_no_name_locks_nothing(machine, monkeypatch):
    (machine / "listing").write_text("")
    with gpu_slots.gpu("cuda", io.StringIO()) as device:
        assert device == "cuda"
        assert gpu_slots.VISIBLE not in os.environ
    monkeypatch.setenv(gpu_slots.VISIBLE, "3,5")
    with gpu_slots.gpu("cuda", io.StringIO()), gpu_slots.gpu("cpu", io.StringIO()):
        assert os.environ[gpu_slots.VISIBLE] == "3"
    assert os.environ[gpu_slots.VISIBLE] == "3,5"


def test_more_cards_than_there_are_is_said_at_once(machine):
    with (
        pytest.raises(UserError, match=r"to have 4 GPUs, but device 'cuda' has 3"),
        gpu_slots.gpu("cuda", io.StringIO(), 4),
    ):
        pass


def test_locks_that_others_could_write_are_refused(machine):
    (machine / "locks").mkdir()
    (machine / "locks").chmod(0o777)
    with pytest.raises(UserError, match=gpu_slots.FOLDER), gpu_slots.gpu("cuda", io.StringIO()):
        pass


@pytest.mark.parametrize(
    ("script", "function"),
    [("pretrain", "training.run.fit"), ("embed", "evaluation.embed.embed"), ("labelfree", "evaluation.label_free.labelfree"),
     ("finetune", "evaluation.finetune.finetune")],
)  # fmt: skip
def test_a_rules_script_holds_the_card_while_it_computes_and_none_for_a_cpu(machine, monkeypatch, script, function):
    seen = []

    def work(*_, device, **__):
        seen.append((device, os.environ.get(gpu_slots.VISIBLE), len(gpu_slots._held)))

    monkeypatch.setattr(f"sslbench.{function}", work)
    monkeypatch.setattr(
        "sslbench.store.code_check.as_planned", lambda *_: contextlib.nullcontext()
    )  # of settings that are none
    for device, gpus in (("cpu", 0), ("auto", 1), ("cuda:2", 1), ("cuda", 2)):
        snakemake = SimpleNamespace(
            config={"compute": {"device": device}}, log=[machine / "x.log"], resources={"gpu": gpus},
            input=Files(), output=Files(), params=SimpleNamespace(settings=TRAINED, code="", training=""),
        )  # fmt: skip
        runpy.run_path(str(ROOT / "workflow" / "scripts" / f"{script}.py"), {"snakemake": snakemake}, "__main__")
        if device == "cpu":
            assert not (machine / "locks").exists()
    assert seen == [
        ("cpu", None, 0), ("auto", "GPU-aa10", 1), ("cuda", "GPU-bb30", 1), ("cuda", "GPU-aa10,GPU-aa20", 2),
    ]  # fmt: skip
    assert gpu_slots._held == set()


@pytest.mark.parametrize(("several", "count"), [(True, 2), (False, 1)])
def test_a_cell_on_two_devices_has_two_cards_whatever_snakemake_cut_its_count_to(machine, several, count):
    snakemake = SimpleNamespace(config={"compute": {"devices": 2}}, log=[machine / "x.log"], resources={"gpu": 1})
    with gpu_slots.gpu_job(snakemake, several=several):
        assert os.environ[gpu_slots.VISIBLE] == ",".join(UUIDS[:count])


@pytest.mark.parametrize(("settings", "count"), [(TRAINED, 2), (RANDOM, 1)])
def test_the_random_reference_takes_one_card_where_cells_are_trained_on_two(machine, monkeypatch, settings, count):
    seen = []
    monkeypatch.setattr("sslbench.training.run.fit", lambda *_, **__: seen.append(os.environ[gpu_slots.VISIBLE]))
    monkeypatch.setattr(
        "sslbench.store.code_check.as_planned", lambda *_: contextlib.nullcontext()
    )  # of settings that are none
    snakemake = SimpleNamespace(
        config={"compute": {"devices": 2}}, log=[machine / "x.log"], resources={"gpu": 1},
        input=Files(), output=Files(), params=SimpleNamespace(settings=settings, code=""),
    )  # fmt: skip
    runpy.run_path(str(ROOT / "workflow/scripts/pretrain.py"), {"snakemake": snakemake}, "__main__")
    assert seen == [",".join(UUIDS[:count])]


def test_the_ledger_names_the_cards_that_a_job_holds(machine):
    ledger, without = (Ledger(SimpleNamespace(cuda=cuda, energy_joules=lambda: None), 1) for cuda in (True, False))
    with gpu_slots.gpu("cuda", io.StringIO(), 2):
        assert ledger.cards() == UUIDS[:2]
        assert without.cards() is None


def test_a_device_is_named_by_its_number_or_not_at_all():
    assert Compute(device="cuda:1").device == "cuda:1"
    for wrong in ("cuda:", "cuda:-1", "cuda:x", "gpu", "cpu:0"):
        with pytest.raises(ValueError, match="cuda:<number>"):
            Compute(device=wrong)


# What of a driver CUDA's runtime needs until it asks for devices: there are none.
DRIVER = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
int cuInit(unsigned flags) {
    FILE *file = fopen(getenv("SEEN"), "a");
    fprintf(file, "%s\n", getenv("CUDA_VISIBLE_DEVICES"));
    return fclose(file) ? 999 : 100;
}
int cuDriverGetVersion(int *version) { *version = 99000; return 0; }
int cuGetProcAddress_v2(const char *name, void **found, int version, unsigned long flags, int *status) {
    *found = dlsym(dlopen("libcuda.so.1", RTLD_LAZY), name);
    return *found ? 0 : 500;
}
int cuGetProcAddress(const char *name, void **found, int version, unsigned long flags) {
    return cuGetProcAddress_v2(name, found, version, flags, 0);
}
"""


@pytest.mark.skipif(not torch.version.cuda or not shutil.which("gcc"), reason="needs a torch with CUDA, and gcc")
def test_the_shared_imports_leave_cuda_alone_so_that_a_fork_can_still_choose_its_card(tmp_path):
    (tmp_path / "driver.c").write_text(DRIVER)
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", "libcuda.so.1", "driver.c", "-ldl"], cwd=tmp_path, check=True)
    code = (
        "import importlib, os\n"
        "from sslbench.jobs.import_server.server import LIBRARIES, can_fork\n"
        "for name in LIBRARIES: importlib.import_module(name)\n"
        "print(can_fork(), os.path.exists(os.environ['SEEN']))\n"
        "os.environ['CUDA_VISIBLE_DEVICES'] = 'GPU-bb30'\n"
        "import torch; torch.cuda.is_available()\n"
    )
    variables = {"LD_LIBRARY_PATH": str(tmp_path), "SEEN": str(tmp_path / "seen"), gpu_slots.VISIBLE: "all"}
    variables |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False, env=os.environ | variables
    )
    assert done.stdout.split() == ["True", "False"], done.stderr
    assert (tmp_path / "seen").read_text().split() == ["GPU-bb30"]
