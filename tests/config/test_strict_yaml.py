"""What YAML drops, changes or cannot read in a config file is one line with file and line number."""

import json
import re
from pathlib import Path

import pytest
import yaml

from sslbench.config.strict_yaml import check
from sslbench.errors import UserError

ROOT = Path(__file__).parents[2]

TWICE = {
    "a section": ("training:\n  epochs: 3\nname: x\ntraining:\n  batch_size: 8\n", "training is given twice, on lines 1 and 4"),
    "a key of a section": ("training:\n  epochs: 3\n  epochs: 4\n", r"training\.epochs is given twice, on lines 2 and 3"),
    "on one line": ("a: {b: 1, b: 2}", r"a\.b is given twice, on lines 1 and 1"),
    "in quotes": ("name: x\n'name': y\n", "name is given twice, on lines 1 and 2"),
    "within a list": ("grid:\n- models: [a]\n  models: [b]\n", r"grid\[0\]\.models is given twice, on lines 2 and 3"),
    "in JSON": ('{\n\t"name": "x",\n\t"name": "y"\n}', "name is given twice, on lines 2 and 3"),
    "behind an anchor": ("a: &x {b: 1}\nc: *x\nd:\n  <<: *x\n  e: 1\n  e: 2\n", r"d\.e is given twice, on lines 5 and 6"),
}  # fmt: skip
CHANGED = {
    "seeds: [010]": r"seeds\[0\]: 010 is 8 to YAML",
    "seeds: [1, 1_000]": r"seeds\[1\]: 1_000 is 1000 to YAML",
    "seeds: [0o10]": "0o10 is text to YAML",
    "seeds: [08]": "08 is text to YAML",
    "seeds: [-010]": "-010 is -8 to YAML",
    "seeds: [0b11]": "0b11 is 3 to YAML",
    "a: 1:30": "a: 1:30 is 90 to YAML",
    "a: 190:20:30.15": "is 685230.15 to YAML",
    "a: 1_0.5": "a: 1_0.5 is 10.5 to YAML",
    "name: 2024-01-02": "name: 2024-01-02 is a date to YAML",
    "name: 2024-13-45": "name: 2024-13-45 is a date to YAML",
    "datasets: {no: {}}": "the key no is False to YAML; put it in quotes",
    "On: 1": "the key On is True to YAML",
}
SOUND = [
    "seeds: [0, 10, -3, +4, 0x1F]\nlr: [0.1, 1e-3, 1.5e-3, .5, 3., 1.0e+5]\nname: 'yes'\nallow: yes\nnote: \"010\"\n",
    "a: &x {b: 1}\nc: *x\nd: {<<: *x, b: 2}\n",
    "path: ~/x\nempty:\nnothing: ~\nversion: 1.2.3\nat: 12h\nip: 10.0.0.1\nhash: 0a1b\n",
    "",
    "# nothing\n",
    "name: !!str 010\n",
    "\ufeffname: x\n",
    '{"seeds": [1], "lr": 1e5,\n\t"name": "010"}',
    "a: |\n  010\n  a: 1\n  a: 2\n",
]
BROKEN = {
    "name: x\n\ttitle: y\n": "line 2, column 1: is not YAML: a tab",
    "name: x\n  bad: : y\n": "line 2, column 6: is not YAML",
    "name: [a, b\n": "line 2, column 1: is not YAML",
    "name: *nowhere\n": "line 1, column 7: is not YAML",
    "- a\n- b\n": "has no keys at its top",
    "just words\n": "has no keys at its top",
    "a: 1\n---\nb: 2\n": "line 2",
    "a: \x07\n": "is not YAML",
}  # fmt: skip


def line_of(tmp_path: Path, content: str | bytes) -> str:
    file = tmp_path / "mine.yaml"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UserError) as caught:
        check([file])
    line = str(caught.value)
    assert line.startswith(f"{file}: ") and "\n" not in line
    return line


@pytest.mark.parametrize("case", TWICE)
def test_a_key_given_twice_is_refused_with_both_lines(tmp_path, case):
    content, told = TWICE[case]
    line = line_of(tmp_path, content)
    assert re.search(told, line), line
    assert len(yaml.safe_load(content.replace("\t", " "))) >= 1  # the reader itself says nothing


@pytest.mark.parametrize("content", CHANGED)
def test_a_scalar_that_yaml_changes_is_refused_with_its_line(tmp_path, content):
    line = line_of(tmp_path, f"title: x\n{content}\n")
    assert "line 2: " in line and re.search(CHANGED[content], line), line


@pytest.mark.parametrize("content", SOUND)
def test_what_every_reader_takes_alike_is_let_through(tmp_path, content):
    (tmp_path / "mine.yaml").write_text(content)
    check([tmp_path / "mine.yaml"])


@pytest.mark.parametrize("content", BROKEN)
def test_what_is_no_yaml_names_file_and_line(tmp_path, content):
    assert BROKEN[content] in line_of(tmp_path, content)


def test_a_missing_file_and_one_that_is_no_text_are_named(tmp_path):
    with pytest.raises(UserError, match=r"nowhere\.yaml: there is no such config file"):
        check([tmp_path / "nowhere.yaml"])
    with pytest.raises(UserError, match="cannot be read"):
        check([tmp_path])
    assert "not UTF-8" in line_of(tmp_path, b"name: \xff\xfe\n")


def test_the_projects_own_files_are_let_through():
    files = [ROOT / "config.yaml", *(ROOT / "configs").glob("*.yaml")]
    check(files)
    assert len(files) > 5


def test_anchors_that_stand_for_billions_or_for_themselves_take_no_time(tmp_path):
    levels = "".join(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]\n" for n in range(1, 30))
    (tmp_path / "mine.yaml").write_text(f"l0: &l0 [1]\n{levels}self: &s [*s]\n")
    check([tmp_path / "mine.yaml"])


def test_json_and_yaml_of_one_document_are_judged_alike(tmp_path):
    document = yaml.safe_load((ROOT / "config.yaml").read_text())
    for indent in (None, 1, "\t"):
        (tmp_path / "mine.json").write_text(json.dumps(document, indent=indent))
        check([tmp_path / "mine.json"])
