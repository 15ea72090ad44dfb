"""Names that would clash with ours, and paths: each is read, or answered in one line with its key."""

import re
from pathlib import Path

import pytest
import yaml

from sslbench.errors import UserError
from sslbench.grid import expand, preflight
from sslbench.grid.expand import load
from sslbench.grid.plan import Plan

ROOT = Path(__file__).parents[2]
SMALL = yaml.safe_load((ROOT / "config.yaml").read_text()) | {
    "grid": [{"datasets": ["mine"], "models": ["byol"], "transforms": ["dcl"]}],
    "training": {"batch_size": 8},
    "datasets": {"mine": {"kind": "folder"}},
    "compute": {},
}


def with_dataset(**entry) -> dict:
    return SMALL | {"datasets": {"mine": {"kind": "folder"} | entry}}


def read(**entry) -> Path:
    settings = load(with_dataset(**entry)).all_datasets["mine"].settings
    return settings.path or settings.archive


def test_a_home_folder_and_variables_are_expanded_in_every_path(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PLACE", "/data/of mine")
    assert read(path="~/x") == tmp_path / "x"
    assert read(archive="~/x.tgz") == tmp_path / "x.tgz"
    assert read(path="$HOME/x") == read(path="${HOME}/x") == tmp_path / "x"
    assert read(path="$PLACE/a$PLACE") == Path("/data/of mine/a/data/of mine")
    paths = load(with_dataset() | {"paths": {"data": "~/d", "results": "$PLACE", "reports": "${PLACE}/r"}}).paths
    assert (paths.data, paths.results, paths.reports) == (
        tmp_path / "d",
        Path("/data/of mine"),
        Path("/data/of mine/r"),
    )


def test_a_file_whose_name_holds_a_dollar_and_a_tilde_within_a_name_are_left(tmp_path, monkeypatch):
    monkeypatch.delenv("b", raising=False)
    (tmp_path / "a$b").mkdir()
    assert read(path=str(tmp_path / "a$b")) == tmp_path / "a$b"
    for name in ("x~", "a/~/b", "cost5$", "$5", "a$$"):
        assert read(path=f"/{name}") == Path(f"/{name}")


WRONG_PATHS = {
    "an unset variable": ("$SSLBENCH_UNSET/x", "the environment variable SSLBENCH_UNSET is not set"),
    "an unset variable in braces": ("${SSLBENCH_UNSET}", "the environment variable SSLBENCH_UNSET is not set"),
    "a user that nobody is": ("~nobody-of-that-name/x", "no home folder of that user"),
    "a URL": ("https://example.org/x.tgz", "it is a URL"),
    "a bucket": ("s3://bucket/x", "it is a URL"),
    "a URL of a file": ("file:///data/x", "it is a URL"),
    "nothing": ("", "it is empty"),
    "a blank": ("  ", "it is empty"),
    "a null byte": ("/a\0b", "null byte"),
    "a number": (3, "give the path"),
    "a list": (["/data"], "give the path"),
}


@pytest.mark.parametrize("case", WRONG_PATHS)
def test_what_is_no_path_of_this_machine_says_so_under_its_key(case):
    value, told = WRONG_PATHS[case]
    for key in ("archive", "path"):
        with pytest.raises(UserError, match=rf"config: datasets\.mine\.{key}: .*{re.escape(told)}"):
            load(with_dataset(**{key: value}))
    with pytest.raises(UserError, match=rf"config: paths\.data: .*{re.escape(told)}"):
        load(SMALL | {"paths": {"data": value}})


def test_a_folder_where_a_file_is_meant_and_the_other_way_round_name_the_other_key(tmp_path):
    file = tmp_path / "x.tgz"
    file.touch()
    aside = {"paths": {"data": str(tmp_path / "data")}}
    for key, value, told in (
        ("archive", tmp_path, "is a folder, and a file belongs here; give a folder as path:"),
        ("path", file, "is a file, and a folder belongs here; give a file as archive:"),
        ("archive", tmp_path / "none", "there is no file"),
        ("path", tmp_path / "none", "there is no folder"),
    ):
        with pytest.raises(UserError, match=rf"datasets\.mine\.{key}: .*{told}"):
            Plan(load(with_dataset(**{key: str(value)}) | aside))
    with pytest.raises(UserError, match=r"paths\.results: .* it is a file"):
        load(SMALL | {"paths": {"results": str(file)}})
    with pytest.raises(UserError, match=r"paths\.reports: .* wildcard"):
        load(SMALL | {"paths": {"reports": "a{b}"}})


def test_names_that_are_ours_are_refused_and_odd_ones_are_not():
    with pytest.raises(UserError, match=r"config: transforms\.none is .* choose another name"):
        load(SMALL | {"transforms": SMALL["transforms"] | {"none": {"kind": "simclr"}}})
    with pytest.raises(UserError, match=r"config: datasets\.collected is .* choose another name"):
        load(SMALL | {"datasets": SMALL["datasets"] | {"collected": {"kind": "folder"}}})
    for name in ("..", "../x", "a/b", ".hidden", "a b", "-x", "x" * 101, "é", "a\n"):
        with pytest.raises(UserError, match=r"config: datasets\..* is not allowed: (begin with|give at most)"):
            load(SMALL | {"datasets": {name: {"kind": "folder"}}})
    for name in ("seed0", "a..b", "none", "report", "all", "3", "data.tar", "x" * 100):
        plan = Plan(
            load(
                with_dataset()
                | {"datasets": {name: {"kind": "shapes"}}, "grid": [SMALL["grid"][0] | {"datasets": [name]}]}
            )
        )
        assert {cell.folder.parts[:2] for cell in plan.cells} == {("results", name)}


def test_names_equal_up_to_case_are_refused_where_the_disk_makes_them_one(monkeypatch):
    both = with_dataset() | {"transforms": SMALL["transforms"] | {"Dcl": {"kind": "dcl"}}}
    load(both)
    real = Path.exists
    monkeypatch.setattr(Path, "exists", lambda path, **more: path.name == "EXPAND.PY" or real(path, **more))
    with pytest.raises(UserError, match=r"transforms\.dcl and transforms\.Dcl are one folder on this disk"):
        load(both)
    assert real(Path(expand.__file__))


def test_a_word_that_nothing_is_called_says_where_an_overlay_belongs():
    targets = {"parts": "parts", "report": "dataset_report"}
    made = {"all", "report", "parts", "dataset_report"}.__contains__
    assert preflight.require_targets(targets, ["all", "parts"], made) == []
    (line,) = preflight.require_targets(targets, ["report"], made)
    assert "the dataset is dataset_report" in line
    for word, told in (
        ("part", "Did you mean 'parts'?"),
        ("results/x", "name it after the target: --configfile mine.yaml"),
        ("mine.yaml", "a config file is named after --configfile"),
        ("config.yaml", "a config file is named after --configfile"),
    ):
        with pytest.raises(UserError, match=re.escape(told)):
            preflight.require_targets(targets, [word], made)
