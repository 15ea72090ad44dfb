"""The document as Snakemake gets it: files that are broken, missing or elsewhere, and targets that nothing is called."""

import shlex
import subprocess
import sys

import pytest
import yaml

from tests.project import Project
from tests.workflow.tiny_grid import TINY, our_line

DRAWN = TINY["datasets"]["drawn"]
NAMED = TINY | {
    "datasets": {"report": DRAWN, "all": DRAWN | {"train_per_class": 8}},
    "grid": [{"datasets": ["report", "all"], "models": ["simclr"], "transforms": ["simclr"]}],
    "training": TINY["training"] | {"batch_size": 8},
}


@pytest.fixture(scope="module")
def copied(tmp_path_factory) -> Project:
    return Project(tmp_path_factory.mktemp("copied") / "project", TINY)


def snakemake(project: Project, words: str, folder: str = ".") -> subprocess.CompletedProcess:
    where = project.folder / folder
    where.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "snakemake", *shlex.split(words)]
    return subprocess.run(command, cwd=where, capture_output=True, text=True, check=False)


def test_a_key_given_twice_in_an_overlay_is_refused_before_anything_is_planned(copied):
    (copied.folder / "twice.yaml").write_text(yaml.safe_dump(TINY) + "training:\n  epochs: 3\n")
    line = our_line(snakemake(copied, "-n --configfile overlay.yaml twice.yaml"))
    assert line.startswith("sslbench: twice.yaml: training is given twice, on lines ")


def test_a_target_of_a_forgotten_overlay_says_where_to_name_it(copied):
    line = our_line(snakemake(copied, "-n drawn"))
    assert line.startswith("sslbench: drawn: no rule, dataset or result is called so.")
    assert "--configfile mine.yaml" in line


def test_from_another_folder_an_overlay_called_config_yaml_is_laid_over_the_projects(copied):
    other = copied.folder.parent / "other"
    other.mkdir()
    (other / "config.yaml").write_text(yaml.safe_dump(TINY))
    done = snakemake(copied, "-n drawn -s ../project/Snakefile --configfile config.yaml", "../other")
    assert done.returncode == 0, done.stderr
    assert "results/drawn/simclr/simclr/seed0/run.json" in done.stdout and "imagenette" not in done.stdout


def test_an_overlay_called_config_yaml_in_a_folder_is_named_in_the_commands_that_are_printed(copied):
    """And datasets that are called like rules are made, by a target of their own."""
    (copied.folder / "mine").mkdir()
    (copied.folder / "mine" / "config.yaml").write_text(yaml.safe_dump(NAMED))
    (copied.folder / "Snakefile.shown").write_text('include: "Snakefile"\nprint(failure_lines(), TARGETS)\n')
    done = snakemake(copied, "-n report -s Snakefile.shown --configfile mine/config.yaml")
    assert done.returncode == 0, done.stderr
    assert "snakemake --cores 1 report_now --configfile mine/config.yaml" in done.stdout
    assert "{'report': 'dataset_report', 'all': 'dataset_all'}" in done.stdout
    assert "rule report:" in done.stdout  # the page, and not the dataset
    assert "sslbench: report is the name of a rule and of a dataset" in done.stderr


def test_a_fault_of_the_projects_own_file_is_named_before_snakemake_reads_it(copied):
    file = copied.folder / "config.yaml"
    before = file.read_text()
    file.write_text(before.replace("\nname: article", "\nname: [article", 1))
    try:
        assert our_line(snakemake(copied, "-n")).startswith("sslbench: config.yaml: line ")
    finally:
        file.write_text(before)
