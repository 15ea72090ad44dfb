"""What Kubernetes and AWS Batch share: a job of Snakemake's as a container on a file system that all nodes mount.

Used by profiles/kubernetes/jobs.py and profiles/aws-batch/jobs.py. Python's standard library only: it runs with
whatever python3 the submitting host has.
"""

import json
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path

TRIES = 5  # to learn a job's state; then the next round of Snakemake's asks again
PAUSE = 1.0  # seconds between them
TIMEOUT = 60.0  # seconds for one

# The platform's SIGTERM, at a time limit or when a node is taken away, reaches the container's first process alone.
# That hands it on to its process group, so that a training writes its checkpoint, and waits for the job's end.
FIRST = (
    'trap "trap : TERM; kill -TERM 0" TERM; (trap : TERM; eval "$0") & child=$!; '
    "until wait $child; code=$?; ! kill -0 $child 2>/dev/null; do :; done; exit $code"
)


def properties(script: Path) -> dict:
    """What Snakemake says of a job in its job script: rule or groupid, threads and resources."""
    for line in script.read_text(encoding="utf-8").splitlines():
        if line.startswith("# properties = "):
            return json.loads(line.removeprefix("# properties = "))
    sys.exit(f"sslbench: {script}: not a job script of Snakemake's")


def command(script: Path) -> list[str]:
    """A container's command line. It holds the script's text, since Snakemake deletes the file when it ends."""
    lines = script.read_text(encoding="utf-8").splitlines()
    return ["bash", "-c", FIRST, "\n".join(line for line in lines if not line.startswith("#"))]


def name(job: dict) -> str:
    """Of a job, unique, in what both platforms allow."""
    rule = job.get("rule") or job.get("groupid", "group").split("_")[0]
    return f"sslbench-{rule.replace('_', '-')}-{uuid.uuid4().hex[:12]}"


def call(*words: str, stdin: str | None = None) -> str:
    done = subprocess.run(words, input=stdin, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit(f"sslbench: {words[0]} failed (exit {done.returncode}); its message is above")
    return done.stdout


def state(job: str, read: Callable[[str], str], *words: str) -> str:
    """What ``read`` makes of the program's answer about ``job``: success, failed or running.

    A status command that fails ends Snakemake as a whole, and all its jobs with it. So a job of which nothing can be
    learned, because the network or the platform is away, is taken to be running.
    """
    for number in range(TRIES):
        if number:
            time.sleep(PAUSE)
        try:
            done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=False, timeout=TIMEOUT)
            if done.returncode == 0:
                return read(done.stdout)
        except (OSError, subprocess.TimeoutExpired, ValueError, LookupError, TypeError, AttributeError) as error:
            print(f"sslbench: {words[0]}: {error!r}", file=sys.stderr)
    print(f"sslbench: {words[0]} gives no answer about {job}, {TRIES} times; taken to be running", file=sys.stderr)
    return "running"


def main(submit: Callable[[Path], str], status: Callable[[str], str], cancel: Callable[[str], None]) -> None:
    """``jobs.py submit SCRIPT`` prints an id, ``jobs.py status ID`` its state, ``jobs.py ID...`` cancels."""
    match sys.argv[1:]:
        case ["submit", script]:
            print(submit(Path(script)))
        case ["status", job]:
            print(status(job))
        case jobs:
            failed = 0
            for job in jobs:
                try:
                    cancel(job)
                except SystemExit as error:  # the others are cancelled all the same
                    print(error, file=sys.stderr)
                    failed = 1
            sys.exit(failed)
