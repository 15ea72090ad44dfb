"""profiles/kubernetes and profiles/aws-batch, with programs in place of kubectl and aws that run jobs on this
machine.
"""

import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.project import ROOT
from tests.workflow.staleness.small_grid import CELLS, GRID, REFERENCES, Finished

PROFILES = ["kubernetes", "aws-batch"]
SCRIPT = "#!/bin/sh\n# properties = {properties}\n{text}\n"
ASKED = {"mem_mb": 16000, "runtime": 240, "gpu": 1, "slurm_partition": "gpu"}

# Both know a job by the folder it leaves here: its request, its output and, at its end, its exit code.
STAND_IN = """#!{python}
import json, os, subprocess, sys
words, here = sys.argv[1:], {here!r}
def run(name, request, command):
    os.makedirs(f"{{here}}/{{name}}")
    json.dump(request, open(f"{{here}}/{{name}}/request.json", "w"))
    if os.fork() == 0:
        os.setsid()  # a container's first process leads its group
        quiet = open(f"{{here}}/{{name}}/output", "w")
        code = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=quiet, stderr=quiet).returncode
        open(f"{{here}}/{{name}}/code.part", "w").write(str(code))
        os.rename(f"{{here}}/{{name}}/code.part", f"{{here}}/{{name}}/code")
        os._exit(0)
def ended(name):
    path = f"{{here}}/{{name}}/code"
    return open(path).read() == "0" if os.path.exists(path) else None
if words[0] == "create":
    request = json.load(sys.stdin)
    run(request["metadata"]["name"], request, request["spec"]["template"]["spec"]["containers"][0]["command"])
elif words[0] == "get":
    state = ended(words[2])
    kinds = [] if state is None else ["Complete" if state else "Failed"]
    print(json.dumps({{"status": {{"conditions": [{{"type": kind, "status": "True"}} for kind in kinds]}}}}))
elif words[1] == "submit-job":
    request = json.loads(words[-1])
    run(request["jobName"], request, request["containerOverrides"]["command"])
    print(json.dumps({{"jobId": request["jobName"]}}))
elif words[1] == "describe-jobs":
    states = {{None: "RUNNING", True: "SUCCEEDED", False: "FAILED"}}
    print(json.dumps({{"jobs": [{{"status": states[ended(words[-1])]}}]}}))
"""

WORKFLOW = """
rule all:
    default_target: True
    input: "one.txt", "two.txt"
rule one:
    output: "one.txt"
    threads: 1
    resources: mem_mb=100, runtime=3, gpu=1
    shell: "test -e tried || {{ touch tried; exit 3; }}; echo one > {output}"
rule two:
    input: "one.txt"
    output: "two.txt"
    threads: 2
    resources: mem_mb=200, runtime=4
    shell: "cat {input} > {output}; echo two >> {output}"
"""


def jobs_module(profile: str):
    """The profile's jobs.py, imported."""
    spec = importlib.util.spec_from_file_location(f"jobs_{profile[:3]}", ROOT / "profiles" / profile / "jobs.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def script(tmp_path) -> Path:
    path = tmp_path / "snakejob.sh"
    asked = {"type": "single", "rule": "pretrain", "threads": 8, "resources": ASKED}
    path.write_text(SCRIPT.format(properties=json.dumps(asked), text="echo done"))
    return path


def test_a_kubernetes_job_asks_for_what_the_rule_asks(script):
    request = jobs_module("kubernetes").manifest(script)
    container = request["spec"]["template"]["spec"]["containers"][0]
    assert container["resources"]["limits"] == {"cpu": "8", "memory": "16000M", "nvidia.com/gpu": "1"}
    assert container["resources"]["requests"] == container["resources"]["limits"]
    assert request["spec"]["activeDeadlineSeconds"] == 240 * 60
    assert request["metadata"]["name"].startswith("sslbench-pretrain-")
    assert request["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] >= 60


def test_an_aws_batch_job_asks_for_what_the_rule_asks(script):
    request = jobs_module("aws-batch").request(script)
    assert {each["type"]: each["value"] for each in request["containerOverrides"]["resourceRequirements"]} == {
        "VCPU": "8", "MEMORY": "16000", "GPU": "1",
    }  # fmt: skip
    assert request["timeout"] == {"attemptDurationSeconds": 240 * 60}


def test_the_containers_first_process_hands_sigterm_on_and_waits_for_the_job(tmp_path):
    """As a platform ends a container: SIGTERM to that process alone."""
    training = "import signal, time, pathlib, sys\nsignal.signal(signal.SIGTERM, lambda *_: (time.sleep(1), pathlib.Path('checkpoint').touch(), sys.exit(7)))\npathlib.Path('started').touch()\ntime.sleep(60)"
    (tmp_path / "training.py").write_text(training)
    path = tmp_path / "job.sh"
    path.write_text(SCRIPT.format(properties="{}", text=f"cd {tmp_path} && {sys.executable} training.py || exit 5"))
    command = jobs_module("kubernetes").command(path)
    process = subprocess.Popen(command, start_new_session=True)
    deadline = time.monotonic() + 60
    while not (tmp_path / "started").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGTERM)
    assert process.wait(timeout=60) == 5
    assert (tmp_path / "checkpoint").exists()


# Fails in a way until asked as often as a file beside it says, then answers.
FLAKY = """#!{python}
import pathlib, sys
left = pathlib.Path(__file__ + ".left")
count = int(left.read_text())
left.write_text(str(count - 1))
if count > 0:
    print({junk!r})
    sys.exit("Unable to connect to the server: net/http: TLS handshake timeout" if {fails} else 0)
print({answer!r})
"""
ANSWERS = {
    ("kubernetes", "success"): '{"status": {"conditions": [{"type": "Complete", "status": "True"}]}}',
    ("kubernetes", "failed"): "",  # kubectl get --ignore-not-found of a job that is gone
    ("aws-batch", "success"): '{"jobs": [{"status": "SUCCEEDED"}]}',
    ("aws-batch", "failed"): '{"jobs": []}',
}


@pytest.mark.parametrize("fails", [True, False], ids=["fails", "prints something else"])
@pytest.mark.parametrize(("profile", "state"), ANSWERS)
def test_a_state_that_cannot_be_learned_does_not_end_the_run(profile, state, fails, tmp_path, monkeypatch, capfd):
    """Snakemake ends with all its jobs where a status command fails."""
    jobs = jobs_module(profile)
    program = tmp_path / "program"
    answer = ANSWERS[profile, state]
    program.write_text(FLAKY.format(python=sys.executable, junk="<html>", fails=fails, answer=answer))
    program.chmod(0o755)
    left = tmp_path / "program.left"
    monkeypatch.setattr(jobs, "KUBECTL" if profile == "kubernetes" else "AWS", str(program))
    monkeypatch.setattr(sys.modules["containers"], "PAUSE", 0.0)
    tries = sys.modules["containers"].TRIES
    left.write_text(str(tries - 1))
    assert jobs.status("job-1") == state
    left.write_text("1000")
    assert jobs.status("job-1") == "running"
    assert left.read_text() == str(1000 - tries)
    assert "no answer about job-1, 5 times; taken to be running" in capfd.readouterr().err


def test_one_job_that_cannot_be_cancelled_leaves_no_other_running(monkeypatch):
    jobs = jobs_module("kubernetes")
    cancelled = []

    def cancel(job: str) -> None:
        cancelled.append(job)
        if job == "a":
            sys.exit("sslbench: kubectl failed")

    monkeypatch.setattr(sys, "argv", ["jobs.py", "a", "b"])
    with pytest.raises(SystemExit) as ended:
        jobs.main(None, None, cancel)
    assert (cancelled, ended.value.code) == (["a", "b"], 1)


@pytest.mark.parametrize("profile", PROFILES)
def test_a_workflow_runs_as_jobs_of_the_platform_and_a_failed_one_again(profile, tmp_path):
    pytest.importorskip(
        "snakemake_executor_plugin_cluster_generic", reason="no snakemake-executor-plugin-cluster-generic"
    )
    here = tmp_path / "jobs"
    here.mkdir()
    program = tmp_path / "stand-in"
    program.write_text(STAND_IN.format(python=sys.executable, here=str(here)))
    program.chmod(0o755)
    project = tmp_path / "project"
    project.mkdir()
    (project / "Snakefile").write_text(WORKFLOW)
    (project / "profiles").symlink_to(ROOT / "profiles")
    settings = [
        "--workflow-profile",
        f"profiles/{profile}",
        "--latency-wait",
        "2",
        "--seconds-between-status-checks",
        "1",
    ]
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", *settings],
        cwd=project,
        env=os.environ | {"KUBECTL": str(program), "AWS": str(program)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (project / "two.txt").read_text() == "one\ntwo\n"
    codes = sorted((path.name.split("-")[1], (path / "code").read_text()) for path in here.iterdir())
    assert codes == [("one", "0"), ("one", "1"), ("two", "0")]


@pytest.fixture(scope="module")
def planned(tmp_path_factory) -> tuple[Finished, Counter]:
    """A grid of which nothing is made, and what a local run of it would do."""
    project = Finished(tmp_path_factory.mktemp("planned") / "project", GRID)
    return project, project.would_run()


def test_the_random_reference_asks_for_one_of_several_devices(planned):
    settings = ["--cores", "8", "--resources", "gpu=4", "--config", "compute={device: cuda, devices: 2, threads: 3}"]
    done = planned[0].snakemake("-n", *settings)
    assert done.returncode == 0, done.stdout + done.stderr
    jobs = re.findall(
        r"^rule pretrain:.*?model=(\w+).*?threads: (\d+).*?gpu=(\d+)", done.stdout + done.stderr, re.S | re.M
    )
    asked = Counter((model == "random", threads, gpus) for model, threads, gpus in jobs)
    assert asked == {(False, "6", "2"): CELLS + REFERENCES - 2, (True, "3", "1"): 2}


def test_a_cluster_run_that_would_train_on_cpus_by_mistake_is_refused(planned, monkeypatch):
    """As where --config replaces the profile's `compute={device: cuda}`."""
    pytest.importorskip(
        "snakemake_executor_plugin_cluster_generic", reason="no snakemake-executor-plugin-cluster-generic"
    )
    project = planned[0]
    settings = ["--workflow-profile", "profiles/kubernetes", "--config", "compute={device: cpu, allow_cpu: false}"]
    monkeypatch.setenv("KUBECTL", "false")
    done = project.snakemake(*settings)
    assert done.returncode != 0
    assert "sslbench: compute.device is cpu, which has no GPU: the cluster's jobs would" in done.stdout + done.stderr
    assert "--config compute=" in done.stdout + done.stderr


@pytest.mark.parametrize("profile", ["slurm", *PROFILES])
def test_a_dry_run_with_the_profile_plans_what_a_local_one_does(profile, planned):
    plugin = "slurm" if profile == "slurm" else "cluster_generic"
    pytest.importorskip(f"snakemake_executor_plugin_{plugin}", reason=f"no executor plugin {plugin}")
    project, local = planned
    assert local["pretrain"] == CELLS + REFERENCES
    assert project.would_run("--workflow-profile", f"profiles/{profile}") == local
