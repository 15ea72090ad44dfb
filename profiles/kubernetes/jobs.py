#!/usr/bin/env python3
"""Snakemake's jobs as Kubernetes Jobs, after job.json beside this file: submit, status, cancel."""

import json
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from containers import call, command, main, name, properties, state

KUBECTL = os.environ.get("KUBECTL", "kubectl")
TEMPLATE = Path(__file__).with_name("job.json")


def manifest(script: Path) -> dict:
    """The template with a name, the script, and what the job asks for."""
    job, filled = properties(script), json.loads(TEMPLATE.read_text(encoding="utf-8"))
    asked = job["resources"]
    amounts = {"cpu": str(job["threads"]), "memory": f"{asked['mem_mb']}M"}
    if asked.get("gpu"):
        amounts["nvidia.com/gpu"] = str(asked["gpu"])
    container = filled["spec"]["template"]["spec"]["containers"][0]
    container |= {"command": command(script), "resources": {"requests": amounts, "limits": amounts}}
    filled["metadata"]["name"] = name(job)
    filled["spec"]["activeDeadlineSeconds"] = 60 * asked["runtime"]
    return filled


def submit(script: Path) -> str:
    filled = manifest(script)
    call(KUBECTL, "create", "--output=name", "--filename=-", stdin=json.dumps(filled))
    return filled["metadata"]["name"]


def status(job: str) -> str:
    return state(job, _state, KUBECTL, "get", "job", job, "--output=json", "--ignore-not-found")


def _state(answer: str) -> str:
    if not answer.strip():  # deleted by somebody, or a day after its end
        return "failed"
    conditions = json.loads(answer).get("status", {}).get("conditions") or []
    ended = {each["type"] for each in conditions if each["status"] == "True"}
    return "success" if "Complete" in ended else "failed" if "Failed" in ended else "running"


def cancel(job: str) -> None:
    call(KUBECTL, "delete", "job", job, "--wait=false", "--ignore-not-found")


if __name__ == "__main__":
    main(submit, status, cancel)
