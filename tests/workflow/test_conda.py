"""Every rule runs in its own conda environment: what its script imports, at any depth, is in there, and no more."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.project import ROOT, Project
from tests.workflow import standin_conda
from tests.workflow.test_environments import imports_of, owners, rules
from tests.workflow.tiny_grid import TINY

ENVIRONMENTS = ["data", "export", "report", "train"]
# What each must not have, though the tests' own environment has it.
ABSENT = {
    "data": {"torch", "torchvision", "pandas", "jinja2", "snakemake", "pytest", "yaml", "timm"},
    "report": {"torch", "timm", "lightly", "safetensors", "snakemake", "pytest", "onnx"},
    "train": {"pandas", "snakemake", "pytest", "onnx", "sklearn", "onnxruntime"},
    "export": {"lightly", "pandas", "scipy", "pyarrow", "snakemake", "pytest", "sklearn"},
}
EXPORT = "exports/drawn/simclr/simclr/seed0/README.md"
# One model of the tiny grid, through every rule.
EVERY_RULE = TINY | {
    "grid": [
        {
            "datasets": ["drawn"],
            "models": ["simclr"],
            "transforms": ["simclr"],
            "downstream": ["retrieve", "adapt", "finetune"],
        }
    ],
    "references": {"random": True, "supervised": []},
}


# Run by an environment's own interpreter: what of these statements fails there, and which of these modules there are.
PROBE = """
import importlib, importlib.metadata, importlib.util, json, sys
sys.path.insert(0, sys.argv[1])
asked = json.load(sys.stdin)
failed = {}
for module, name in asked["imports"]:
    try:
        loaded = importlib.import_module(module)
        if name and not hasattr(loaded, name):
            importlib.import_module(f"{module}.{name}")
    except ImportError as error:
        failed[f"{module} {name or ''}".strip()] = str(error)
there = [name for name in asked["modules"] if importlib.util.find_spec(name)]
distributions = sorted({d.metadata["Name"] for d in importlib.metadata.distributions()} - {None})
print(json.dumps({"failed": failed, "there": there, "distributions": distributions, "prefix": sys.prefix}))
"""


def probe(prefix: Path, project: Path, imports: set, modules: set) -> dict:
    """What the environment at ``prefix`` says, in isolated mode, with nothing of ours but the project's folder."""
    done = subprocess.run(
        [prefix / "bin" / "python", "-I", "-c", PROBE, project],
        input=json.dumps({"imports": sorted(imports, key=str), "modules": sorted(modules)}),
        capture_output=True, text=True, check=False, env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def conda(tmp_path_factory) -> Path:
    return standin_conda.install(tmp_path_factory.mktemp("conda"))


@pytest.fixture(scope="module")
def built(conda, tmp_path_factory) -> tuple[Project, dict[str, Path]]:
    """A project whose environments Snakemake has had made, and where each is."""
    project = Project(tmp_path_factory.mktemp("project") / "a project", TINY)
    done = project.snakemake("--use-conda", "--conda-create-envs-only", "all", EXPORT, path=conda)
    assert done.returncode == 0, done.stdout + done.stderr
    contents = {name: (ROOT / "envs" / f"{name}.yaml").read_bytes() for name in ENVIRONMENTS}
    found = {}
    for line in (conda / standin_conda.CALLS).read_text().splitlines():
        match json.loads(line):
            case ["env", "create", *_, "--file", file, "--prefix", prefix]:
                name = next(n for n, text in contents.items() if text == Path(file).read_bytes())
                found[name] = Path(prefix)
    return project, found


def test_snakemake_makes_every_environment_there_is(built):
    assert set(built[1]) == {file.stem for file in (ROOT / "envs").glob("*.yaml")} == set(ENVIRONMENTS)


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_an_environments_own_interpreter_imports_all_that_its_rules_scripts_import(built, environment):
    project, prefixes = built
    imports = set().union(
        *(imports_of(rule, script) for rule, (where, script) in rules().items() if where == environment)
    )
    host = {name for name in owners() if name.isidentifier()}
    said = probe(prefixes[environment], project.folder, imports, host)
    assert said["prefix"] == str(prefixes[environment])
    assert said["failed"] == {}
    # Nothing but the linked distributions is there, so the imports above could have failed.
    assert {name for name in said["there"] if not set(owners()[name]) & set(said["distributions"])} == set()
    assert ABSENT[environment] & set(said["there"]) == set()
    assert set(standin_conda.named(yaml.safe_load((ROOT / "envs" / f"{environment}.yaml").read_text()))) <= {
        standin_conda.canonicalize_name(name) for name in said["distributions"]
    }


def test_what_a_file_does_not_name_is_missed(built, tmp_path):
    text = (ROOT / "envs" / "data.yaml").read_text()
    (tmp_path / "less.yaml").write_text("".join(line for line in text.splitlines(True) if "pillow" not in line))
    standin_conda.create(tmp_path / "less.yaml", tmp_path / "less")
    rule_script = rules()["pack"][1]
    said = probe(tmp_path / "less", built[0].folder, imports_of("pack", rule_script), {"PIL", "numpy"})
    assert said["there"] == ["numpy"]
    assert "PIL" in " ".join(said["failed"].values())
    assert any(statement.startswith("PIL") for statement in said["failed"])


@pytest.mark.long
def test_every_rule_runs_with_use_conda_and_takes_nothing_from_elsewhere(conda, tmp_path, monkeypatch):
    witness, locks = tmp_path / "witness.jsonl", tmp_path / "locks"
    monkeypatch.setenv("STANDIN_WITNESS", str(witness))
    monkeypatch.setenv("SSLBENCH_GPU_LOCKS", str(locks))
    project = Project(tmp_path / "a project", EVERY_RULE)
    done = project.snakemake("--use-conda", "all", EXPORT, path=conda)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
    assert (project.folder / "reports/tiny/report.html").stat().st_size > 10_000
    assert not locks.exists()  # a CPU is not locked
    seen = [json.loads(line) for line in witness.read_text().splitlines()]
    assert len({entry["prefix"] for entry in seen}) == len(ENVIRONMENTS)
    foreign = {name: set() for name in rules() if name != "report_now"}
    for entry in seen:
        script = re.search(r"\.(\w+)\.py$", entry["script"])
        if script:  # not the process that shares its imports
            foreign[script[1]] |= set(entry["foreign"])
    assert all("snakemake" in taken for taken in foreign.values())
    for rule, taken in foreign.items():
        # Nor is anything that Snakemake brings what a rule's own imports mean.
        assert taken & {module.partition(".")[0] for module, _ in imports_of(rule, rules()[rule][1])} == set(), rule
    # Without --use-conda nothing of it is stale.
    assert "Nothing to be done" in project.snakemake("-n", "all", EXPORT).stdout


def test_the_imports_of_a_script_are_found_at_any_depth():
    """Against the statements of one script, read by hand."""
    found = imports_of("report", "workflow/scripts/report.py")
    assert {("pathlib", "Path"), ("sslbench.jobs.log", "job_log"), ("sslbench.report.page", "render")} <= found
    assert any(module == "jinja2" for module, _ in found)
