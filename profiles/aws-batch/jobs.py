#!/usr/bin/env python3
"""Snakemake's jobs on AWS Batch, after job.json beside this file: submit, status, cancel."""

import json
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from containers import call, command, main, name, properties, state

AWS = os.environ.get("AWS", "aws")
TEMPLATE = Path(__file__).with_name("job.json")
LEAST_SECONDS = 60  # of a time limit that AWS Batch takes


def request(script: Path) -> dict:
    """The template with a name, the script, and what the job asks for."""
    job, filled = properties(script), json.loads(TEMPLATE.read_text(encoding="utf-8"))
    asked = job["resources"]
    amounts = {"VCPU": job["threads"], "MEMORY": asked["mem_mb"], "GPU": asked.get("gpu")}
    overrides = {
        "command": command(script),
        "resourceRequirements": [{"type": kind, "value": str(value)} for kind, value in amounts.items() if value],
    }
    limit = {"attemptDurationSeconds": max(LEAST_SECONDS, 60 * asked["runtime"])}
    return filled | {"jobName": name(job), "containerOverrides": overrides, "timeout": limit}


def submit(script: Path) -> str:
    answer = call(AWS, "batch", "submit-job", "--output=json", "--cli-input-json", json.dumps(request(script)))
    return json.loads(answer)["jobId"]


def status(job: str) -> str:
    return state(job, _state, AWS, "batch", "describe-jobs", "--output=json", "--jobs", job)


def _state(answer: str) -> str:
    jobs = json.loads(answer)["jobs"]
    if not jobs:  # forgotten: a week after its end, or deleted
        return "failed"
    return {"SUCCEEDED": "success", "FAILED": "failed"}.get(jobs[0]["status"], "running")


def cancel(job: str) -> None:
    call(AWS, "batch", "terminate-job", "--job-id", job, "--reason", "cancelled by Snakemake")


if __name__ == "__main__":
    main(submit, status, cancel)
