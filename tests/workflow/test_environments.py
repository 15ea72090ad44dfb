"""Each rule's environment holds what its script imports, at any depth, and nothing else."""

import ast
import re
import sys

import pytest
import yaml

from sslbench import registry
from sslbench.fingerprint import ROOT, closure, source_file

# What a rule reaches by name through the registry.
DYNAMIC = {
    "fetch": list(registry.DATASETS.values()),
    "pack": list(registry.DATASETS.values()),
    "pretrain": [f"{p}.model" for p in (registry.METHODS | registry.REFERENCES).values()]
    + [module.partition(":")[0] for module in registry.OPERATIONS.values()],
    "gallery": [module.partition(":")[0] for module in registry.OPERATIONS.values()],
}
DISTRIBUTIONS = {"PIL": "pillow", "pynvml": "nvidia-ml-py", "markupsafe": "jinja2", "yaml": "pyyaml"}
# Loaded by others by name: timm's and lightly's arrays, pandas' parquet engine, and what torch writes ONNX with.
INDIRECT = {"train": {"numpy", "torchvision"}, "report": {"pyarrow"}, "export": {"onnxscript", "torchvision"}}


def rules():
    found = {}
    for file in sorted((ROOT / "workflow" / "rules").glob("*.smk")):
        for body in re.split(r"^rule ", file.read_text(), flags=re.M)[1:]:
            name = body.partition(":")[0]
            environment = re.search(r"envs/(\w+)\.yaml", body)
            script = re.search(r"scripts/\w+\.py", body.partition("script:")[2])
            if script:
                found[name] = (environment.group(1), f"workflow/{script.group()}")
    return found


def third_party(rule: str, script: str) -> set[str]:
    modules = closure(script, *DYNAMIC.get(rule, []))
    # The closure leaves out what only declares; scripts import that too.
    declared = ["sslbench.config", "sslbench.cells", "sslbench.plan", "sslbench.strict"]
    names = set()
    for module in [*modules, *declared]:
        for node in ast.walk(ast.parse(source_file(module).read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                names.add(node.module.partition(".")[0])
    foreign = names - set(sys.stdlib_module_names) - {"sslbench", "snakemake"}
    return {DISTRIBUTIONS.get(name, name) for name in foreign}


def provided(environment: str) -> set[str]:
    document = yaml.safe_load((ROOT / "envs" / f"{environment}.yaml").read_text())
    listed = [d for d in document["dependencies"] if isinstance(d, str)]
    listed += [p for d in document["dependencies"] if isinstance(d, dict) for p in d["pip"]]
    return {re.match(r"[\w-]+", entry).group().replace("pytorch", "torch") for entry in listed} - {"python", "pip"}


def test_every_rule_with_a_script_names_an_environment():
    assert set(rules()) == {
        "fetch", "pack", "pretrain", "embed", "evaluate", "gallery", "collect", "report", "report_now",
        "export", "labelfree", "retrieve", "adapt", "finetune",
    }  # fmt: skip


@pytest.mark.parametrize("rule", rules())
def test_a_rules_environment_holds_what_it_imports(rule):
    environment, script = rules()[rule]
    assert third_party(rule, script) - provided(environment) == set()


@pytest.mark.parametrize("environment", ["data", "train", "report", "export"])
def test_an_environment_holds_nothing_that_no_rule_imports(environment):
    used = set().union(*(third_party(r, s) for r, (e, s) in rules().items() if e == environment))
    assert provided(environment) - used - INDIRECT.get(environment, set()) == set()
