"""A small grid on a real Slurm: `make test-slurm`. One of its cells needs more time than its jobs may have."""

import json
import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.tally import survived
from tests.workflow.slurm.grids import OnSlurm, results, same_report
from tests.workflow.tiny_grid import TINY

pytestmark = pytest.mark.slurm

DATASET = TINY["datasets"]["drawn"]
GRID = TINY | {
    "grid": [
        {"datasets": ["drawn"], "models": ["simclr"], "transforms": ["simclr"]},
        {"datasets": ["limited"], "models": ["long"], "transforms": ["simclr"]},
    ],
    "references": {"random": False, "supervised": []},
    "datasets": {"drawn": DATASET, "limited": DATASET},
    "compute": TINY["compute"]
    | {
        "partitions": {"gpu": "gpu", "cpu": "cpu"},
        "jobs": {
            "pack": {"memory_mb": 600, "minutes": 5},
            "leaks": {"memory_mb": 600, "minutes": 5},
            "gallery": {"memory_mb": 800, "minutes": 5},
            "pretrain": {"memory_mb": 900, "minutes": 9, "gpus": 1, "datasets": {"limited": {"minutes": 1}}},
            "embed": {"memory_mb": 850, "minutes": 5, "gpus": 1, "gpu_model": "drawn"},
            "evaluate": {"memory_mb": 700, "minutes": 6},
            "labelfree": {"memory_mb": 850, "minutes": 7, "gpus": 1},
            "look": {"memory_mb": 750, "minutes": 4},
        },
    },
}
LONG = "limited/long/simclr/seed0"
SECONDS = 50.0  # of training, of which a job of one minute has less: Slurm warns it 20 to 50 s after its start
AHEAD = "slurm_extra='--signal=TERM@10'"


def grid(epochs: int) -> dict:
    return GRID | {"models": {"long": {"method": "simclr", "training": {"epochs": epochs}}}}


@pytest.fixture(scope="module")
def run(cluster, tmp_path_factory):
    """The grid on the cluster, and at the same time on this machine without it."""
    folder = tmp_path_factory.mktemp("slurm")
    here, there = OnSlurm(folder / "here", grid(40), cluster), OnSlurm(folder / "there", grid(40), cluster)
    paced = here.snakemake(f"results/{LONG}/run.json")
    assert paced.returncode == 0, paced.stdout + paced.stderr
    ledger = json.loads((here.folder / "results" / LONG / "ledger.json").read_text())
    pictures = len((here.folder / "results" / LONG / "curve.csv").read_text().splitlines()) - 1
    assert pictures == 40
    epochs = max(40, round(40 * SECONDS / ledger["seconds"]["total"]))
    here.overlay(grid(epochs))
    there.overlay(grid(epochs))
    with ThreadPoolExecutor() as threads:
        local = threads.submit(here.snakemake)
        done = there.slurm("--retries", "8", "--default-resources", AHEAD)
    assert local.result().returncode == 0, local.result().stdout + local.result().stderr
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
    return here, there, done


def jobs(run, what: str) -> list[dict[str, str]]:
    return [job for job in run[1].history() if job["what"].startswith(what)]


def test_the_results_are_those_of_a_local_run_byte_for_byte(run):
    here, there, _ = run
    assert len(results(here)) == 2 * 11
    assert results(there) == results(here)


def test_a_job_at_its_time_limit_is_submitted_again_and_goes_on_from_its_checkpoint(run):
    _, there, _ = run
    states = [job["state"] for job in jobs(run, "rule_pretrain_wildcards_limited")]
    assert len(states) > 1 and set(states[:-1]) <= {"FAILED", "TIMEOUT"} and states[-1] == "COMPLETED"
    resumed = json.loads((there.folder / "results" / LONG / "ledger.json").read_text())["resumed"]
    assert resumed and all(part["step"] > 0 for part in resumed)
    # The last job finds the cell in the store where the limit of the one before fell behind its last step
    log = (there.folder / f"logs/pretrain/{LONG}.log").read_text()
    assert re.search(rf"resumed after step {resumed[-1]['step']} of|reused: cell \w+ is in the store", log)
    survived("time limit on Slurm", "train", len(resumed))


def test_each_job_asks_for_what_the_config_gives_its_rule_and_dataset(run):
    asked = {
        re.sub(r"_wildcards_(drawn|limited)?.*", r" \1", job["what"]).strip(): tuple(
            job[key] for key in ("partition", "limit", "memory", "gpus")
        )
        for job in run[1].history()
    }
    assert asked == {
        "rule_pack": ("cpu", "00:05:00", "600M", ""),
        "rule_leaks drawn": ("cpu", "00:05:00", "600M", ""),
        "rule_leaks limited": ("cpu", "00:05:00", "600M", ""),
        "rule_gallery": ("cpu", "00:05:00", "800M", ""),
        "rule_pretrain drawn": ("gpu", "00:09:00", "900M", "gres:gpu:1"),
        "rule_pretrain limited": ("gpu", "00:01:00", "900M", "gres:gpu:1"),
        "rule_probe_embed_evaluate": ("gpu", "00:11:00", "850M", "gres:gpu:drawn:1"),  # one after the other
        "rule_labelfree drawn": ("gpu", "00:07:00", "850M", "gres:gpu:1"),
        "rule_labelfree limited": ("gpu", "00:07:00", "850M", "gres:gpu:1"),
        "rule_look drawn": ("cpu", "00:04:00", "750M", ""),
        "rule_look limited": ("cpu", "00:04:00", "750M", ""),
    }


def test_slurms_logs_stay_for_the_jobs_that_failed_and_hold_our_line(run):
    _, there, _ = run
    logs = list((there.folder / "logs/slurm").rglob("*.log"))
    failed = [job for job in run[1].history() if job["state"] != "COMPLETED"]
    assert {log.stem for log in logs} == {job["id"] for job in failed}
    stopped = [log for log in logs if "sslbench: stopped by SIGTERM after step" in log.read_text()]
    assert stopped


def test_what_was_made_on_the_cluster_is_finished_for_a_local_run(run):
    again = run[1].snakemake("-n")
    assert again.returncode == 0
    assert "Nothing to be done" in again.stdout + again.stderr


def test_the_report_is_that_of_a_local_run_where_the_ledgers_are_the_same(run):
    here, there, _ = run
    one, other = same_report(here, there, "tiny")
    assert "long" in one
    assert one == other
