"""An environment names what its rules' scripts import themselves, and nothing else, in the versions that are tested."""

import ast
import importlib.metadata
import re
import sys
from functools import cache

import pytest
import yaml
from packaging.utils import canonicalize_name

from sslbench import registry
from sslbench.store.code_fingerprint import ROOT, source_file
from tests.workflow.standin_conda import named

MODELS = [f"{package}.model" for package in (registry.METHODS | registry.REFERENCES).values()]
TASKS = [f"{package}.task" for package in registry.PRETEXT.values()]
OPERATIONS = [module.partition(":")[0] for module in registry.OPERATIONS.values()]
SETTINGS = [f"{p}.settings" for p in (registry.METHODS | registry.REFERENCES | registry.PRETEXT).values()]
LOADED = [*SETTINGS, *registry.TRANSFORMS.values(), *registry.DATASETS.values()]
# What a rule reaches by name through the registry.
BY_NAME = {
    "fetch": LOADED,
    "pack": LOADED,
    "pretrain": MODELS + TASKS + OPERATIONS,
    "finetune": MODELS + OPERATIONS,
    "labelfree": OPERATIONS,
    "gallery": OPERATIONS,
}
# Named though no line of ours imports it, because another library loads it by name or must match it.
INDIRECT = {
    "train": {"torchvision": "timm needs it, and only one version fits torch's"},
    "report": {"pyarrow": "pandas reads and writes parquet by it"},
    "export": {"torchvision": "as in train", "onnxscript": "torch writes ONNX by it"},
}
# What a module that the rule shares with others imports inside a function that the rule never calls: it reads no
# parquet. The run with --use-conda (test_conda.py) would show it.
NEVER_CALLED = {"export": {"pyarrow"}}


def rules() -> dict[str, tuple[str, str]]:
    """Rule with a script -> its environment and its script."""
    found = {}
    for file in sorted((ROOT / "workflow" / "rules").glob("*.smk")):
        for body in re.split(r"^rule ", file.read_text(), flags=re.M)[1:]:
            script = re.search(r"scripts/\w+\.py", body.partition("script:")[2])
            if script:
                environment = re.search(r"conda:\s+\"../../envs/(\w+)\.yaml\"", body)
                found[body.partition(":")[0]] = (environment and environment[1], f"workflow/{script[0]}")
    return found


@cache
def statements(module: str) -> frozenset[tuple[str, str | None]]:
    """Every import in a module, wherever it stands: (module, name in it or None)."""
    found = set()
    for node in ast.walk(ast.parse(source_file(module).read_text())):
        if isinstance(node, ast.Import):
            found |= {(alias.name, None) for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: relative imports are not followed"
            found |= {(node.module, alias.name) for alias in node.names}
    return frozenset(found)


def imports_of(rule: str, script: str) -> set[tuple[str, str | None]]:
    """Every import statement that a rule's script can come to, at any depth, but for what Snakemake brings itself."""
    waiting, seen, found = [script, *BY_NAME.get(rule, [])], set(), set()
    found |= {(module, None) for module in waiting[1:]}
    while waiting:
        module = waiting.pop()
        if module in seen or source_file(module) is None:
            continue
        seen.add(module)
        found |= statements(module)
        waiting += [
            part
            for name, what in statements(module)
            for part in (name, f"{name}.{what}")
            if part.startswith("sslbench.")
        ]
    left_out = {"snakemake"} | NEVER_CALLED.get(rule, set())
    return {(module, name) for module, name in found if module.partition(".")[0] not in left_out}


owners = cache(importlib.metadata.packages_distributions)  # module -> distributions; seconds


@cache
def third_party(rule: str, script: str) -> set[str]:
    """The distributions that a rule's imports name."""
    tops = {module.partition(".")[0] for module, _ in imports_of(rule, script)}
    foreign = tops - set(sys.stdlib_module_names) - {"sslbench"}
    return {canonicalize_name(owner) for top in foreign for owner in owners().get(top, [top])}


def document(environment: str) -> dict:
    return yaml.safe_load((ROOT / "envs" / f"{environment}.yaml").read_text())


def unused(environment: str, content: dict) -> set[str]:
    used = set().union(
        *(third_party(rule, script) for rule, (where, script) in rules().items() if where == environment)
    )
    return set(named(content)) - used - INDIRECT.get(environment, {}).keys()


def test_every_rule_with_a_script_names_an_environment():
    assert set(rules()) == {
        "fetch", "pack", "leaks", "exclude", "pretrain", "embed", "evaluate", "gallery", "collect", "report", "report_now",
        "export", "labelfree", "look", "album", "retrieve", "adapt", "finetune", "fetch_weights", "frozen",
        "speed",
    }  # fmt: skip
    assert all(environment for environment, _ in rules().values())


@pytest.mark.parametrize("rule", rules())
def test_an_environment_names_what_a_rule_imports_itself(rule):
    environment, script = rules()[rule]
    assert third_party(rule, script) - set(named(document(environment))) == set()


@pytest.mark.parametrize("environment", ["data", "train", "report", "export"])
def test_an_environment_names_nothing_that_no_rule_imports(environment):
    content = document(environment)
    assert unused(environment, content) == set()
    content["dependencies"].append("scikit-learn")
    assert unused(environment, content) == {"scikit-learn"}


def test_an_environment_is_python_and_pip_of_a_channel_and_the_locks_versions_by_pip():
    lines = [line for line in (ROOT / "requirements.lock").read_text().splitlines() if not line.startswith("#")]
    locked = {canonicalize_name(name): version for name, version in (line.split("==") for line in lines)}
    pythons = set()
    for file in (ROOT / "envs").glob("*.yaml"):
        *channel, rest = yaml.safe_load(file.read_text())["dependencies"]
        pythons.add(channel[0])
        assert channel == [channel[0], "pip"]
        assert channel[0].startswith("python =")
        named = dict(entry.split("==") for entry in rest["pip"])
        assert named == {name: locked.get(canonicalize_name(name)) for name in named}, file.name
    assert len(pythons) == 1
