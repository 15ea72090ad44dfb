"""What a job asks of a scheduler: the rule's, the dataset's where it differs, and a GPU only where one is used."""

import pytest
import yaml

from sslbench.compute import RESOURCES, Compute, Jobs
from sslbench.config import load
from sslbench.errors import UserError
from tests.project import ROOT


def compute(**settings) -> Compute:
    return Compute.model_validate(settings)


def test_a_dataset_overrides_its_rule_and_the_rest_stays():
    asked = compute(jobs={"pretrain": {"minutes": 90, "datasets": {"big": {"minutes": 900, "gpus": 4}}}})
    small, big = (asked.asked("pretrain", dataset, "cuda") for dataset in ("small", "big"))
    assert (small["runtime"], small["gpu"]) == (90, 1)
    assert (big["runtime"], big["gpu"]) == (900, 4)
    assert small["mem_mb"] == big["mem_mb"] == Jobs().pretrain.memory_mb


def test_a_rule_named_in_part_keeps_its_own_defaults():
    assert compute(jobs={"pretrain": {"minutes": 5}}).jobs.pretrain.memory_mb == Jobs().pretrain.memory_mb != 4000


@pytest.mark.parametrize(("device", "gpus"), [("cuda", 1), ("cpu", 0)])
def test_rules_that_compute_ask_for_a_gpu_where_the_device_is_one(device, gpus):
    asked = compute(grouped=False, gpu_model="a100", partitions={"gpu": "big", "cpu": "small"})
    for rule in ("pretrain", "embed", "labelfree", "finetune"):
        found = asked.asked(rule, "any", device)
        assert found["gpu"] == gpus
        assert found["gpu_model"] == ("a100" if gpus else None)
        assert found["slurm_partition"] == ("big" if gpus else "small")


def test_the_others_never_do():
    asked = compute(grouped=False, gpu_model="a100", partitions={"gpu": "big", "cpu": "small"})
    for rule in ("pack", "gallery", "evaluate", "retrieve", "adapt", "export"):
        found = asked.asked(rule, "any", "cuda")
        assert (found["gpu"], found["gpu_model"], found["slurm_partition"]) == (0, None, "small")


def test_the_two_rules_of_one_job_agree_in_gpus_model_and_partition():
    asked = compute(gpu_model="a100", partitions={"gpu": "big", "cpu": "small"}, jobs={"embed": {"partition": "mine"}})
    embed, evaluate = (asked.asked(rule, "any", "cuda") for rule in ("embed", "evaluate"))
    for name in ("gpu", "gpu_model", "slurm_partition"):
        assert embed[name] == evaluate[name]
    assert embed["slurm_partition"] == "mine"
    assert asked.asked("evaluate", "any", "cuda", local=True)["gpu"] == 0  # it must not wait for this machine's GPU


def test_nothing_is_asked_of_slurm_that_the_config_does_not_name():
    found = compute().asked("pretrain", "any", "cpu")
    assert tuple(found) == RESOURCES
    assert [found[name] for name in ("gpu_model", "slurm_partition", "slurm_account")] == [None] * 3


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"jobs": {"pretrian": {}}}, ["compute.jobs.pretrian", "Did you mean", "pretrain"]),
        ({"jobs": {"pack": {"minutes": 0}}}, ["compute.jobs.pack.minutes", "0"]),
        ({"jobs": {"pack": {"gpus": "two"}}}, ["compute.jobs.pack.gpus", "'two'", "'auto'"]),
        (
            {"jobs": {"pack": {"datasets": {"imagnette": {}}}}},
            ["compute.jobs.pack.datasets", "imagnette", "imagenette"],
        ),
        ({"account": "me; rm -r ~"}, ["compute.account"]),
    ],
)
def test_a_mistake_is_named_by_its_key(change, names):
    raw = yaml.safe_load((ROOT / "config.yaml").read_text())
    raw["compute"] |= change
    with pytest.raises(UserError) as error:
        load(raw)
    for name in names:
        assert name in str(error.value)
