"""What a job asks of a scheduler: the rule's, the dataset's where it differs, and a GPU only where one is used."""

import contextlib

import pytest
import yaml

from sslbench.config.compute import RESOURCES, Compute, Jobs
from sslbench.errors import UserError
from sslbench.grid import cost
from sslbench.grid.expand import load
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
    for rule in ("pack", "gallery", "evaluate", "look", "retrieve", "adapt", "export"):
        found = asked.asked(rule, "any", "cuda")
        assert (found["gpu"], found["gpu_model"], found["slurm_partition"]) == (0, None, "small")


def test_the_two_rules_of_one_job_agree_in_gpus_model_and_partition():
    asked = compute(gpu_model="a100", partitions={"gpu": "big", "cpu": "small"}, jobs={"embed": {"partition": "mine"}})
    embed, evaluate = (asked.asked(rule, "any", "cuda") for rule in ("embed", "evaluate"))
    for name in ("gpu", "gpu_model", "slurm_partition"):
        assert embed[name] == evaluate[name]
    assert embed["slurm_partition"] == "mine"
    assert asked.asked("evaluate", "any", "cuda", local=True)["gpu"] == 0  # it must not wait for this machine's GPU


@pytest.mark.parametrize(
    ("settings", "refused"),
    [
        ({"device": "auto"}, "compute.device is auto, and this host has no GPU.*Set compute.device: cuda"),
        ({"device": "cpu"}, "compute.device is cpu, which has no GPU"),
        ({"device": "cpu", "jobs": {"pretrain": {"gpus": 1}}}, "compute.device is cpu"),
        ({"device": "auto", "jobs": {"pretrain": {"datasets": {"imagenette2-160": {"gpus": 1}}}}}, "is auto"),
        ({"device": "auto", "jobs": {"pretrain": {"gpus": 1}}}, None),
        ({"device": "cuda"}, None),
        ({"device": "auto", "allow_cpu": True}, None),
    ],
)
def test_a_cluster_is_not_sent_trainings_for_cpus_unless_the_config_says_so(settings, refused, monkeypatch):
    monkeypatch.setattr(cost, "gpu_present", lambda: False)
    raw = yaml.safe_load((ROOT / "config.yaml").read_text())
    raw["compute"] |= settings
    names = ["imagenette2-160", "nabirds"]
    with pytest.raises(UserError, match=refused) if refused else contextlib.nullcontext():
        cost.stop_cluster_without_gpu(load(raw), "pretrain", names)


@pytest.mark.parametrize(
    ("settings", "refused"),
    [
        ({"jobs": {"pretrain": {"gpus": 1}}}, r"compute\.jobs\.pretrain\.gpus is 1, and compute\.devices is 4"),
        ({"jobs": {"pretrain": {"datasets": {"nabirds": {"gpus": 2}}}}}, r"pretrain\.datasets\.nabirds\.gpus is 2"),
        ({"device": "cuda", "jobs": {"pretrain": {"gpus": 0}}}, "gpus is 0"),
        ({"jobs": {"pretrain": {"gpus": 0}}}, None),
        ({"jobs": {"pretrain": {"gpus": 4}}}, None),
        ({"device": "cpu", "jobs": {"pretrain": {"gpus": 1}}}, None),
    ],
)
def test_a_cell_on_several_devices_cannot_ask_for_fewer_gpus(settings, refused):
    raw = yaml.safe_load((ROOT / "config.yaml").read_text())
    raw["compute"] |= {"devices": 4, **settings}
    with pytest.raises(UserError, match=refused) if refused else contextlib.nullcontext():
        load(raw)


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
