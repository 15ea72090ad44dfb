"""Before the first job, every method is built once on its backbone; what cannot be is one line that names the model."""

import subprocess
from pathlib import Path

import pytest
import yaml

from sslbench.errors import UserError
from sslbench.grid.expand import load
from sslbench.grid.plan import Plan
from sslbench.grid.preflight import check_targets, require_models
from sslbench.training.trainer import build_method, check_batch

CONFIG = Path(__file__).parents[2] / "config.yaml"


def trained(models: dict, training: dict) -> list:
    raw = yaml.safe_load(CONFIG.read_text()) | {"references": {"random": False, "supervised": []}}
    raw["models"] |= models
    raw["training"] |= training
    raw["grid"] = [{"datasets": ["imagewoof"], "models": list(models), "transforms": ["simclr", "baseline"]}]
    return Plan(load(raw)).cells


def test_a_method_that_its_backbone_cannot_serve_is_named_before_anything_runs() -> None:
    small = {"backbone": "test_resnet", "input_size": 32}
    with pytest.raises(UserError, match=r"config: models\.autoencoder: .*MAE masks the tokens.* test_resnet is none"):
        require_models(trained({"byol": {"method": "byol"}, "autoencoder": {"method": "mae"}}, small))


def test_a_backbone_that_timm_does_not_know_is_named_with_its_nearest() -> None:
    with pytest.raises(UserError, match=r"config: training\.backbone: .*Did you mean 'resnet18'"):
        require_models(trained({"byol": {"method": "byol"}}, {"backbone": "resnet_18"}))
    own = {"byol": {"method": "byol", "training": {"backbone": "resnet_18"}}}
    with pytest.raises(UserError, match=r"config: models\.byol: backbone: .*Did you mean 'resnet18'"):
        require_models(trained(own, {}))


def test_methods_that_can_be_built_pass_and_are_not_built_again(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    vit = {"backbone": "test_vit", "backbone_options": {"patch_size": 4}}
    models = {"simclr": {"method": "simclr", "auxiliary": {"rotation": {"weight": 0.1}}}}
    models |= {"autoencoder": {"method": "mae", "decoder_dim": 64, "decoder_head_dim": 16, "training": vit}}
    cells = trained(models, {"backbone": "test_resnet", "input_size": 32})
    require_models(cells)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("built again"))
    require_models(cells)


@pytest.mark.parametrize(
    ("target", "line"),
    [
        (
            "exports/imagenete/simclr/baseline/seed0/README.md",
            r"no dataset is called 'imagenete'\. Did you mean 'imagen",
        ),
        (
            "results/imagenette/simclrr/baseline/seed0/linear.json",
            r"no model is called 'simclrr'\. Did you mean 'simclr'",
        ),
        ("results/imagenette/simclr/base/seed0/run.json", r"no transform is called 'base'"),
    ],
)
def test_a_target_of_an_unknown_cell_is_named_with_its_nearest(target: str, line: str) -> None:
    plan = Plan(load(yaml.safe_load(CONFIG.read_text())))
    with pytest.raises(UserError, match=line):
        check_targets(plan, ["--cores", "all", target])


def test_targets_of_known_cells_and_of_nothing_of_ours_pass() -> None:
    plan = Plan(load(yaml.safe_load(CONFIG.read_text())))
    names = ("imagenette/random/none", "imagewoof/supervised/baseline", "nabirds/vicregl-0.95/dcl")
    check_targets(plan, [f"results/{name}/seed3/linear.json" for name in names])
    check_targets(
        plan, ["report_now", "results/collected/article/cells.csv", "results/.store/x", "--configfile", "a/b/c/d"]
    )


def check(cells: list, devices: int = 1) -> None:
    settings = cells[0].settings
    check_batch(build_method(settings, 2), settings, 10**9, devices)


def test_a_batch_that_a_method_cannot_learn_from_is_named_before_anything_runs() -> None:
    small = {"backbone": "test_resnet", "input_size": 32, "batch_size": 32}
    moco = {"method": "moco", "queue": 64, "preset": "authors"}
    two_groups = (
        r"config: models\.moco: key_batch_norm is 'shuffle' in groups of 32 pictures, and 32 at a time make no two"
    )
    with pytest.raises(UserError, match=two_groups):
        require_models(trained({"fine": moco | {"statistics_group": 16}, "moco": moco}, small))
    # The others in this process: another costs seconds.
    on_two = r"in groups of 10 pictures, and 32 at a time make no equal groups for 2 devices"
    with pytest.raises(UserError, match=on_two):
        check(trained({"moco": moco | {"statistics_group": 10}}, small), devices=2)
    parts = r"training\.accumulate: simclr needs at least 2 .* 32 in 32 parts leave 1"
    with pytest.raises(UserError, match=parts):
        check(trained({"simclr": {"method": "simclr"}}, small | {"accumulate": 32}))


def test_an_option_that_would_do_nothing_is_refused_where_it_was_set_and_no_default_is() -> None:
    def refusal(entry: dict, **training: object) -> str:
        with pytest.raises(UserError) as caught:
            trained({"mine": entry}, training)
        return str(caught.value)

    short = "config: models.mine.{} on imagewoof: {}"
    held = "is 2, of 2 epoch(s) in all, so it never learns"
    dino, swav = {"method": "dino"}, {"method": "swav", "queue_length": 3840}
    frozen = dino | {"recipe": {"frozen_epochs": {"last_layer": 2}}}
    assert refusal(frozen, epochs=2).startswith(short.format("recipe.frozen_epochs.last_layer", held))
    trained({"mine": frozen}, {"epochs": 3})
    trained({"mine": dino}, {"epochs": 1})  # by default it is held for one
    never = "the queue is never used: queue_start_epoch is 15, of 15 epoch(s) in all"
    assert refusal(swav, epochs=15).startswith(short.format("queue_length", never))
    trained({"mine": swav}, {"epochs": 16})
    trained({"mine": {"method": "swav"}}, {"epochs": 1})
    # 9025 training pictures: 35 steps of 256, and the last one's codes can see those of the 34 before
    most = 34 * 256
    long = swav | {"queue_start_epoch": 0}
    trained({"mine": long | {"queue_length": most}}, {"epochs": 1})
    never = "the queue is never full: 35 steps bring 256 of its 8705 images each"
    told = refusal(long | {"queue_length": most + 1}, epochs=1)
    assert told.startswith(short.format("queue_length", never))


def test_a_method_that_does_not_say_that_several_devices_can_train_it_is_refused_on_them(monkeypatch) -> None:
    from sslbench.methods.simclr import settings
    from tests.methods.method_batches import build

    raw = yaml.safe_load(CONFIG.read_text())
    raw["compute"] |= {"devices": 2}
    load(raw)  # all that are shipped
    monkeypatch.setattr(settings, "FACTS", settings.FACTS.model_copy(update={"several_devices": False}))
    with pytest.raises(
        UserError, match=r"config: compute\.devices is 2, and models\.simclr: SimCLR is not made for several"
    ):
        load(raw)
    method = build("simclr", "test_resnet", 32, {})
    monkeypatch.setattr(type(method), "facts", settings.FACTS)
    asked = {"train": {"batch_size": 8, "accumulate": 1}, "method": {"name": "simclr"}}
    asked["recipe"] = method.options.recipe.model_dump()
    check_batch(method, asked, 100, 1)
    with pytest.raises(UserError, match=r"compute\.devices: SimCLR is not made for several"):
        check_batch(method, asked, 100, 2)
