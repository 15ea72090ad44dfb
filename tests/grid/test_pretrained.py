"""Rows of pretrained backbones: defined under `weights:`, named under `references:`, and the same whatever stands beside."""

import contextlib
import copy
import io
import json
import subprocess
from pathlib import Path

import pytest
import yaml

from sslbench.config.weights import instead
from sslbench.errors import UserError
from sslbench.export.metadata import about
from sslbench.grid import pretrained
from sslbench.grid.expand import load
from sslbench.grid.plan import Plan
from sslbench.grid.preflight import check_targets
from sslbench.grid.report_plan import report_plan
from sslbench.transforms.spec import merge

ROOT = Path(__file__).parents[2]
ARTICLE = yaml.safe_load((ROOT / "config.yaml").read_text())
WEIGHTS = {
    "dino": {"timm": "vit_small_patch14_dinov2.lvd142m", "input_size": 518},
    "lab": {"hub": "owner/name", "input_size": 224, "sha256": "0" * 64},
}


def config(**changes: object) -> dict:
    """Nothing is trained on drawn images, and the weights of ``WEIGHTS`` are judged."""
    base = {
        "grid": [{"datasets": ["drawn"]}],
        "datasets": {"drawn": {"kind": "shapes"}, "other": {"kind": "shapes", "seed": 1}},
        "references": {"pretrained": list(WEIGHTS)},
        "weights": WEIGHTS,
    }
    return merge(copy.deepcopy(ARTICLE), base | changes)


def test_a_block_of_datasets_alone_is_a_whole_run_that_trains_nothing() -> None:
    plan = Plan(load(config()))
    assert [str(cell.folder) for cell in plan.cells] == [
        "results/drawn/pretrained-dino/none/seed0", "results/drawn/pretrained-lab/none/seed0"]  # fmt: skip
    assert not plan.waiting_backbones and not list(plan.trained_pairs(plan.cells)) and plan.gallery() == {}
    cell = plan.cells[0].settings
    assert cell["backbone"]["name"] == "vit_small_patch14_dinov2" and cell["input_size"] == 518
    assert cell["train"]["epochs"] == 0 and cell["method"]["options"] == WEIGHTS["dino"]
    check_targets(plan, ["results/drawn/pretrained-dino/none/seed0/linear.json"])
    with pytest.raises(UserError, match="Did you mean 'pretrained-dino'"):
        check_targets(plan, ["results/drawn/pretrained-din/none/seed0/linear.json"])


def test_an_empty_grid_judges_the_users_own_images_or_all_where_there_are_none(tmp_path) -> None:
    own = {"datasets": {"mine": {"kind": "folder", "path": str(tmp_path)}}}
    for more, names in ((own, {"mine"}), ({}, set(ARTICLE["datasets"]) | {"drawn", "other"})):
        found = load(config() | {"grid": []} | {"datasets": config()["datasets"] | more.get("datasets", {})}).cells()
        assert {cell.dataset.name for cell in found} == names and all(cell.model.weights for cell in found)


def test_a_misspelt_tag_or_place_is_found_ahead_even_where_the_size_is_given(tmp_path) -> None:
    typo = {"timm": "vit_small_patch14_dinov2.lvd142n", "input_size": 224}
    lost = {"timm": "vit_small_patch14_dinov2.lvd142m", "input_size": 224, "path": str(tmp_path / "lost.pth")}
    for entry, line in ((typo, "Did you mean 'vit_small_patch14_dinov2.lvd142m'"), (lost, "there is no .*lost.pth")):
        with pytest.raises(UserError, match=rf"config: weights\.dino\.\w+: .*{line}"):
            load(config(weights={"dino": entry}, references={"pretrained": ["dino"]}))


def test_a_row_its_pack_and_those_of_others_are_the_same_whatever_stands_beside() -> None:
    block = {"datasets": ["drawn"], "models": ["simclr"], "transforms": ["simclr"]}
    alone = Plan(load(config(references={"pretrained": ["dino"]}, training={"batch_size": 64})))
    trained = Plan(load(config(grid=[block], references={"pretrained": []})))
    both = Plan(load(config(grid=[block, {"datasets": ["other"]}], seeds=[0, 1])))

    def rows(plan: Plan) -> dict:
        return {cell.folder: (cell.text, cell.code_roots, cell.dataset.pack) for cell in plan.cells}

    assert rows(alone).items() <= rows(both).items() and rows(trained).items() <= rows(both).items()
    packs = {cell.names[:2]: cell.dataset.pack_size for cell in both.cells}
    assert packs["drawn", "simclr"] == 256 and packs["drawn", "pretrained-dino"] == round(518 * 8 / 7)
    assert both.packs.keys() >= trained.packs.keys()
    assert [name for name in packs if name[1].startswith("pretrained")] == [
        (dataset, f"pretrained-{name}") for dataset in ("drawn", "other") for name in WEIGHTS]  # fmt: skip
    kinds = {(one["dataset"], one["model"]): one["kind"] for one in report_plan(both)["cells"]}
    assert kinds["drawn", "pretrained-lab"] == "reference"  # beside what is trained
    assert kinds["other", "pretrained-lab"] == "grid"  # where nothing is, these are ranked


def test_the_page_holds_a_row_against_its_own_pack(tmp_path) -> None:
    plan = Plan(load(config(references={"pretrained": ["dino"]}, paths={"data": str(tmp_path)})))
    (entry,) = report_plan(plan)["cells"]
    assert entry["packs"] == [str(tmp_path / "packed" / plan.cells[0].dataset.pack)] * 2


def test_the_card_is_told_what_weights_have_seen_and_what_others_call_the_test_images() -> None:
    sets = {"drawn": {"kind": "torchvision", "name": "STL10"}}
    plan = Plan(
        load(config(datasets=sets, weights=WEIGHTS | {"lab": WEIGHTS["lab"] | {"seen": ["drawn with labels"]}}))
    )
    told = [about(cell, "exports/x", [], plan.config.weights) for cell in plan.cells]
    assert [(one["weights"], one["seen"]) for one in told] == [("dino", None), ("lab", ["drawn with labels"])]
    assert told[0]["called"] == ["STL10", "drawn"] and told[0]["trained_on"] == ["STL10 train", "drawn train"]


def test_what_weights_have_seen_reaches_the_page_and_no_result_depends_on_it() -> None:
    said = [None, [], ["imagenet-1k with labels", "drawn train without labels"]]
    plans = [
        Plan(load(config(weights={"dino": WEIGHTS["dino"] | {"seen": seen}, "lab": WEIGHTS["lab"]}))) for seen in said
    ]
    assert (
        len({plan.cells[0].text for plan in plans})
        == len({str(plan.config.weights["dino"].asked) for plan in plans})
        == 1
    )
    assert [report_plan(plan)["cells"][0].get("seen") for plan in plans] == said


def test_a_pack_that_the_user_asked_for_serves_where_it_suffices() -> None:
    sets = {"drawn": {"kind": "shapes", "pack_size": 300}}
    packs = {cell.model.weights: cell.dataset.pack_size for cell in Plan(load(config(datasets=sets))).cells}
    assert packs == {"dino": 592, "lab": 300}


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"grid": [{"datasets": ["drawn"], "models": ["simclr"]}]}, r"config: grid\[0\]\.transforms names none"),
        ({"references": {"pretrained": []}}, r"config: grid names no models, and references\.pretrained no weights"),
        (
            {"weights": dict.fromkeys(WEIGHTS, WEIGHTS["dino"])},
            r"config: weights\.dino and weights\.lab are the same weights; name one",
        ),
        ({"references": {"pretrained": ["dinp"]}}, r"config: references\.pretrained: .*'dinp'\. Did you mean 'dino'"),
        ({"references": {"pretrained": ["dino", "dino"]}}, r"config: references\.pretrained: .*names weights twice"),
        ({"models": {"pretrained-x": {"method": "simclr"}}}, r"models\.pretrained-x is the name of a reference row"),
        ({"weights": {"a": {"tim": "x.y"}}}, r"config: weights\.a\.tim: there is no such key\. Did you mean 'timm'"),
        ({"weights": {"a": {}}}, r"config: weights\.a: .*give one of timm, path and hub"),
        ({"weights": {"a": {"timm": "x.y", "hub": "o/n"}}}, r"config: weights\.a: .*give one of timm, path and hub"),
        ({"weights": {"a": {"timm": "resnet50"}}}, r"weights\.a\.timm: .*name its weights too, as resnet50\.<tag>"),
        ({"weights": {"a": {"hub": "name"}}}, r"config: weights\.a\.hub: .*as owner/name"),
        ({"weights": {"a": {"hub": "o/n", "sha256": "12"}}}, r"config: weights\.a\.sha256: .*64 hexadecimal digits"),
        (
            {"weights": {"a": {"timm": "x.y", "seen": ["imagnet-1k with labels"]}}},
            r"^config: weights\.a\.seen: 'imagnet-1k with labels': no .*'imagnet-1k'\. Did you mean 'imagenet-1k'\?$",
        ),
        (
            {"weights": {"a": {"timm": "x.y", "seen": ["drawm train with labels"]}}},
            r"^config: weights\.a\.seen: 'drawm train with labels': no .*'drawm'\. Did you mean 'drawn'\?$",
        ),
        (
            {"weights": {"a": {"timm": "x.y", "seen": ["all"]}}},
            r"config: weights\.a\.seen: 'all' does not say what was",
        ),
    ],
)
def test_what_cannot_be_is_one_line_that_names_the_key(changes: dict, line: str) -> None:
    with pytest.raises(UserError, match=line):
        load(config(**changes))


def test_a_tag_as_backbone_is_refused_with_the_lines_that_judge_it() -> None:
    written = "weights: {resnet50: {timm: resnet50.a1_in1k}} and references: {pretrained: [resnet50]}"
    with pytest.raises(UserError) as caught:
        load(config(training={"backbone": "timm/resnet50.a1_in1k"}))
    assert str(caught.value).endswith(written)
    first, second = written.split(" and ")
    judged = yaml.safe_load(first) | yaml.safe_load(second)
    cells = Plan(
        load(
            config(
                weights={"resnet50": judged["weights"]["resnet50"] | {"input_size": 224}},
                references=judged["references"],
            )
        )
    ).cells
    assert [cell.model.training.backbone for cell in cells] == ["resnet50"]
    assert instead("hf-hub:some/one.x").startswith("weights: {some-one: {hub: some/one.x}}")
    assert instead("local-dir:/my/weights").startswith("weights: {my-weights: {path: /my/weights}}")


def test_the_size_is_the_entrys_or_the_fetched_ones_or_that_of_its_config(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    own = tmp_path / "own"
    own.mkdir()
    shape = {"architecture": "test_vit", "pretrained_cfg": {"input_size": [3, 96, 96]}}
    (own / "config.json").write_text(json.dumps(shape))
    weights = load(config(weights=WEIGHTS | {"own": {"path": str(own)}})).weights

    def size(name: str) -> tuple:
        return tuple(pretrained.networks({name: weights[name]}, tmp_path)[name])

    assert size("dino") == ("vit_small_patch14_dinov2", 518) and size("own") == ("test_vit", 96)
    home = pretrained.folder("own", tmp_path)
    home.mkdir(parents=True)
    (home / "weights.json").write_text(json.dumps({"asked": {}, "architecture": "test_vit", "input_size": 64}))
    assert size("own") == ("test_vit", 64)  # as it was fetched, also where the folder is gone
    (home / "weights.json").unlink()
    (own / "config.json").unlink()
    with pytest.raises(UserError, match=r"config: weights\.own\.path: there is no .*config\.json.*add timm:"):
        size("own")


def in_this_process(command: list[str], input: str, **_: object) -> subprocess.CompletedProcess:
    """What another Python would print: importing timm once more costs seconds."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stdin", io.StringIO(input))
        try:
            exec(command[-1], {})
        except SystemExit as error:
            return subprocess.CompletedProcess(command, 1, printed.getvalue(), str(error.code))
    return subprocess.CompletedProcess(command, 0, printed.getvalue(), "")


def test_timm_is_asked_once_for_the_size_of_a_tag_and_names_the_nearest(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(pretrained.subprocess, "run", in_this_process)

    def network(tag: str) -> tuple:
        entry = load(config(weights=WEIGHTS | {"a": {"timm": tag}})).weights["a"]
        return tuple(pretrained.networks({"a": entry}, tmp_path)["a"])

    with pytest.raises(UserError, match=r"weights\.a\.timm: timm has no .*Did you mean 'resnet50\.a1_in1k'"):
        network("resnet50.a1_ink")
    assert network("test_vit.r160_in1k") == ("test_vit", 160)
    monkeypatch.setattr(pretrained.subprocess, "run", lambda *_, **__: pytest.fail("asked again"))
    assert network("test_vit.r160_in1k") == ("test_vit", 160)


def test_the_hub_is_asked_once_for_the_size_of_a_repository(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(pretrained.subprocess, "run", in_this_process)
    weights = load(config(weights=WEIGHTS | {"a": {"hub": "owner/name", "revision": "v2"}})).weights
    asked = []

    def hands_out(repository: str, file: str, revision: str) -> str:
        asked.append((repository, file, revision))
        return str(tmp_path / "config.json")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", hands_out)
    with pytest.raises(
        UserError, match=r"weights\.a: the config\.json of owner/name is not to be had.*write input_size:"
    ):
        pretrained.networks({"a": weights["a"]}, tmp_path)
    for shape, size in (([1, 96, 96], None), ([3, 96, 96], 96)):
        told = {"architecture": "test_vit", "pretrained_cfg": {"input_size": shape}}
        (tmp_path / "config.json").write_text(json.dumps(told))
        if size is None:
            with pytest.raises(UserError, match=r"weights\.a: it takes images of \[1, 96, 96\]"):
                pretrained.networks({"a": weights["a"]}, tmp_path)
        else:
            assert tuple(pretrained.networks({"a": weights["a"]}, tmp_path)["a"]) == ("owner/name", size)
    pretrained.networks({"a": weights["a"]}, tmp_path)
    assert asked == [("owner/name", "config.json", "v2")] * 3
