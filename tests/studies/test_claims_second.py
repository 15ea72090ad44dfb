"""The second article's claims, decided on simulated cells whose truth is known."""

import pytest

from sslbench.grid.report_plan import report_plan
from sslbench.report.wording import Labels
from sslbench.studies.claims import claims
from tests.config.test_config_second_article import planned
from tests.studies.made_up import World


def test_the_second_articles_claims_on_planted_cells() -> None:
    world = World()
    world.report["models"] |= {
        "random": {"method": "random", "options": {}}, "supervised": {"method": "supervised", "options": {}},
        "context": {"method": "contextprediction", "options": {}}, "mocov1": {"method": "moco", "options": {"head": "linear"}},
        "headless": {"method": "simclr", "options": {"head": "none"}}, "student": {"method": "dino", "options": {"publish": "student"}},
        "still": {"method": "byol", "options": {"recipe": {"ema_start": 0.0}}},
    }  # fmt: skip
    accuracy = {"simclr": 0.66, "byol": 0.74, "dino": 0.75, "moco": 0.73, "context": 0.5, "mocov1": 0.6, "headless": 0.55,
                "student": 0.68, "still": 0.5}  # fmt: skip
    for transform, less in (("baseline", 0.0), ("dcl", 0.08)):
        for model, value in accuracy.items():
            world.add(model, transform, value - less, home=False)
    world.add("supervised", "baseline", 0.74, home=False, kind="reference")
    world.add("random", "none", 0.25, home=False, kind="reference", epochs=0, batch_size=0)
    world.add("simclr", "baseline", 0.62, "big", home=False)
    found = world.decide()
    for name in ("supervised", "teachers", "momentum", "teacher-edge", "no-collapse", "simclr-ahead", "projection-head",
                 "augmentation-critical", "mid-level", "better-backbone"):  # fmt: skip
        assert found[name]["verdict"] == "holds", (name, found[name]["evidence"])
    for name in ("moco-large-batch", "crop-and-colour"):
        assert found[name]["verdict"] == "not testable", name
    world.report["cells"][[c["model"] for c in world.report["cells"]].index("dino")]["health"] = {
        "verdict": "collapsed"
    }
    assert world.decide()["no-collapse"]["verdict"] == "contradicted"


def test_a_method_with_a_part_taken_out_is_not_held_against_supervised_training() -> None:
    world = World(n=400)
    world.report["models"] |= {
        "supervised": {"method": "supervised", "options": {}}, "student": {"method": "dino", "options": {"publish": "student"}},
        "headless": {"method": "simclr", "options": {"head": "none"}},
        "still": {"method": "byol", "options": {"recipe": {"ema_start": 0.0}}},
        "mocov1": {"method": "moco", "options": {"head": "linear"}},
    }  # fmt: skip
    for model in ("simclr", "mocov1", "headless", "student", "still"):
        world.add(model, "baseline", 0.7, home=False)
    world.add("supervised", "baseline", 0.7, home=False, kind="reference")
    compared = [c["about"] for c in world.decide()["supervised"]["comparisons"]]
    assert sorted(about.partition(": ")[2] for about in compared) == [
        "mocov1 less supervised",
        "simclr less supervised",
    ]


def test_the_claims_grid_has_what_every_claim_of_the_second_article_compares() -> None:
    plan, world = planned("second-article-claims.yaml"), World(n=400)
    report = report_plan(plan)
    world.report["models"], world.report["transforms"] = report["models"], report["transforms"]
    for cell in plan.cells:
        dataset, model, transform, _ = cell.names
        train = {key: cell.settings["train"][key] for key in ("epochs", "batch_size")}
        world.add(model, transform, 0.5, dataset, kind="reference" if cell.reference else "grid", home=False, **train)
    untested = {v["id"] for v in world.decide().values() if v["verdict"] == "not testable"}
    firsts = {claim.id for claim in claims.CLAIMS if claim.article == claims.FIRST}
    assert untested - firsts == {"crop-and-colour"}  # which is configs/composition.yaml's
    compared = [c["about"] for c in world.decide()["moco-large-batch"]["comparisons"]]
    assert compared == ["imagenette2-160, simclr: MoCo less SimCLR at batch 1,024"]
    named = Labels(report).model
    assert named("simclr-large") == "SimCLR (lightly), batch_size 1024"
    assert named("byol-no-momentum") == "BYOL (lightly, changed), ema_start 0.0"


@pytest.mark.parametrize(("own", "verdict"), [(0.25, "holds"), (0.75, "contradicted"), (None, "not testable")])
def test_context_prediction_is_held_against_the_start_of_its_own_network(own: float | None, verdict: str) -> None:
    """Same backbone, other options: the row of training's own network is not its start."""
    world, patches = World(), {"backbone": "vit", "backbone_options": "patch_size=8"}
    world.report["models"] |= {name: {"method": "random", "options": {}} for name in ("random", "random-vit")}
    world.report["models"]["context"] = {"method": "contextprediction", "options": {"training": {"backbone": "vit"}}}
    world.add("context", "baseline", 0.5, home=False, **patches)
    world.add("random", "none", 1.0 - (own or 0.5), home=False, kind="reference", epochs=0, backbone="vit")
    if own is not None:
        world.add("random-vit", "none", own, home=False, kind="reference", epochs=0, **patches)
    assert world.decide()["mid-level"]["verdict"] == verdict


def test_a_part_taken_out_stands_for_its_method_nowhere_else() -> None:
    world, ruined = World(), {"recipe": {"ema_start": 0.0, "ema_end": None}}
    world.report["models"] |= {
        "dino-still": {"method": "dino", "options": ruined},
        "dino-student": {"method": "dino", "options": {"publish": "student"}},
        "headless": {"method": "simclr", "options": {"head": "none"}},
    }
    for model, value in {"dino": 0.7, "simclr": 0.6, "dino-still": 0.1, "dino-student": 0.1, "headless": 0.95}.items():
        world.add(model, "baseline", value, home=False)
    found = world.decide()["teachers"]["comparisons"][0]
    assert found["effect"] == pytest.approx(0.1, abs=0.03)
    assert found["about"] == "dino less the others"


def test_large_batches_and_pairs_of_operations_are_found_where_the_grid_has_them() -> None:
    world = World()
    world.add("moco", "baseline", 0.7, home=False)
    world.add("simclr", "baseline", 0.6, home=False, batch_size=1024)
    names = ["crop", "color", "sobel"]
    places = [[a if a == b else f"{a}+{b}" for b in names] for a in names]
    world.report["plan"]["composition"] = {"rows": names, "columns": names, "places": places}
    for name in {n for row in places for n in row}:
        world.add("simclr", name, 0.7 if name == "crop+color" else 0.5, "pairs", home=False)
    found = world.decide()
    assert found["moco-large-batch"]["verdict"] == "holds"
    assert found["crop-and-colour"]["verdict"] == "holds"
    assert "batch 1,024" in found["moco-large-batch"]["comparisons"][0]["about"]
