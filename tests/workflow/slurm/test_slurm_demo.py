"""The demonstration's grid on a real Slurm, against a local run: `make test-slurm LONG=1`."""

import json

import pytest
import yaml

from tests.project import ROOT
from tests.tally import survived
from tests.workflow.slurm.grids import OnSlurm, results, same_report

pytestmark = pytest.mark.slurm

# One more cell, which needs minutes and has one; without the warning ahead, so that Slurm itself ends its job.
UNWARNED = "slurm_extra='--nice=0'"
MORE = {"datasets": ["limited"], "models": ["long"], "transforms": ["simclr"]}
JOBS = {
    "pack": {"memory_mb": 1000, "minutes": 10},
    "leaks": {"memory_mb": 1000, "minutes": 10},
    "gallery": {"memory_mb": 1000, "minutes": 10},
    "pretrain": {"memory_mb": 1200, "minutes": 30, "gpus": 1, "datasets": {"limited": {"minutes": 1}}},
    "embed": {"memory_mb": 1000, "minutes": 10, "gpus": 1},
    "evaluate": {"memory_mb": 1000, "minutes": 10},
    "labelfree": {"memory_mb": 1000, "minutes": 10, "gpus": 1},
    "look": {"memory_mb": 1000, "minutes": 10},
}


def demo() -> dict:
    settings = yaml.safe_load((ROOT / "configs/demo.yaml").read_text())
    simclr = settings["models"]["simclr"]
    settings["grid"].append(MORE)
    settings["datasets"]["limited"] = settings["datasets"]["shapes"]
    settings["models"]["long"] = {"method": "simclr", **simclr, "training": {"epochs": 200}}
    settings["compute"] |= {"jobs": JOBS, "partitions": {"gpu": "gpu", "cpu": "cpu"}, "checkpoint_minutes": 0.1}
    return settings


@pytest.mark.long
def test_the_demonstration_ends_in_the_same_report_as_a_local_run(cluster, tmp_path):
    here, there = OnSlurm(tmp_path / "here", demo(), cluster), OnSlurm(tmp_path / "there", demo(), cluster)
    local = here.snakemake()
    assert local.returncode == 0, local.stdout[-3000:] + local.stderr[-6000:]
    done = there.slurm("--retries", "20", "--default-resources", UNWARNED)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
    assert results(there) == results(here)
    long = [job for job in there.history() if job["what"].startswith("rule_pretrain_wildcards_limited_long")]
    assert "TIMEOUT" in {job["state"] for job in long}
    resumed = json.loads((there.folder / "results/limited/long/simclr/seed0/ledger.json").read_text())["resumed"]
    assert resumed
    one, other = same_report(here, there, "demo")
    assert one == other
    survived("time limit on Slurm", "train", len(resumed))
