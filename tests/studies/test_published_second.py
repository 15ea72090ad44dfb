"""The second article's figures as printed and as their sources have them, and the article's families in the tables."""

import os
import re
from pathlib import Path

import pytest

from sslbench import registry
from sslbench.errors import UserError
from sslbench.methods.spec import MethodFacts
from sslbench.studies import article_families, ledgers
from tests.report.conftest import right_for
from tests.report.test_page import Read

SHARED = Path(os.environ.get("SSLBENCH_REAL_DATA", "/nowhere")).parent


@pytest.fixture(scope="module")
def second() -> list[ledgers.Milestone]:
    return ledgers.read_second()


def test_its_methods_are_registered_and_their_figures_are_the_sources(second) -> None:
    # What each paper (for Context Prediction: Kolesnikov et al. 2019) has for this network, by hand.
    assert {(m.method, m.value, m.parameters) for m in second} == {
        ("contextprediction", 0.514, 94), ("moco", 0.654, 94), ("simclr", 0.693, 24), ("dino", 0.753, 23),
    }  # fmt: skip
    assert all(m.method in registry.METHODS for m in second)
    assert all(m.title == registry.load(f"{registry.METHODS[m.method]}.settings").FACTS.title for m in second)


def test_the_one_wrong_pair_is_marked_and_no_other(second) -> None:
    assert [m.method for m in second if not m.right] == ["simclr"]
    for m in second:
        digits = float(m.printed_top1.rstrip("%"))
        size = float(m.printed_parameters.rstrip("M"))
        # The article rounds 94 million to 100, and percents to whole ones.
        agrees = abs(100 * m.value - digits) < 0.5 and abs(m.parameters - size) < 10
        assert agrees == m.right, m.method


def test_what_is_printed_is_what_the_article_prints(second) -> None:
    article = SHARED / "seeds" / "article-state-of-ssl.txt"
    if not article.is_file():
        pytest.skip("the article is not here")
    printed = re.findall(r"^Top 1 accuracy on ImageNet-1K: ([\d.]+%) @ (\d+M) params", article.read_text(), flags=re.M)
    assert printed == [(m.printed_top1, m.printed_parameters) for m in second]


def test_a_damaged_ledger_is_one_line(tmp_path: Path) -> None:
    broken = tmp_path / "second.csv"
    broken.write_text(ledgers.SECOND.read_text().replace(",0.654,", ",much,"))
    with pytest.raises(UserError, match="line 3"):
        ledgers.read_second(broken)


def test_a_grid_with_its_methods_shows_them_beside_ours_and_says_that_they_cannot_be_compared(tree, labels) -> None:
    tree.model("moco", "moco", title="MoCo")
    tree.finish(tree.cell("nette", "simclr", "baseline"), right_for(1000, 712), labels)
    tree.finish(tree.cell("nette", "simclr", "simclr"), right_for(1000, 655), labels)
    tree.finish(tree.cell("nette", "moco", "baseline"), right_for(1000, 999), labels, verdict="collapsed")
    tree.finish(tree.cell("nette", "byol", "baseline"), right_for(1000, 500), labels)
    html, text = tree.pages()
    _, *rows = Read(html).table("The second article")
    assert [row[0] for row in rows] == ["MoCo 2020", "SimCLR 2020"]
    moco, simclr = rows
    assert simclr[1:4] == ["contrastive", "69% @ 100M 2 not its source's pair", "0.693 ResNet-50, 24 M"]
    assert simclr[4].startswith("0.712 (") and simclr[4].endswith("nette, SimCLR with baseline, resnet18, 11.0 M")
    assert "0.655" not in simclr[4]
    assert moco[3] == "0.654 ResNet-50 of twice the width, 94 M"
    assert moco[4] == "–"  # collapsed
    for page in (html, text):
        assert "Not comparable with ours" in page and "other data and size" in page
        assert "74.2" in page  # what the source has at the printed size


def test_a_grid_without_its_methods_has_no_such_table(tree, labels) -> None:
    del tree.plan["models"]["simclr"]
    tree.finish(tree.cell("nette", "byol", "baseline"), right_for(1000, 712), labels)
    assert "The second article" not in tree.pages()[0]


def test_every_declared_family_has_a_place_in_the_articles_list_or_is_said_to_have_none() -> None:
    declared = MethodFacts.model_json_schema()["properties"]["family"]["enum"]
    assert set(article_families._OURS) == set(declared)
    assert set(article_families._OURS.values()) - {None} <= set(article_families.ARTICLE)


def test_the_families_are_the_articles() -> None:
    article = SHARED / "seeds" / "article-ssl-benchmark.txt"
    if not article.is_file():
        pytest.skip("the article is not here")
    section = article.read_text().split("SSL techniques include")[1].split("Our primary focus")[0]
    heads = [line.lower() for line in re.findall(r"^\d\. (.{40})", section, flags=re.M)]
    assert len(heads) == len(article_families.ARTICLE)
    assert all(head.startswith(name) for head, name in zip(heads, article_families.ARTICLE, strict=True))


def test_every_table_of_models_has_the_family_and_the_missing_ones_are_named_with_the_reason(tree, labels) -> None:
    tree.model("swav", "swav", "clustering", "SwAV")
    tree.model("lorot", "lorot", "pretext", "LoRot")
    tree.model("both", "simclr", title="SimCLR with LoRot")
    tree.model("random", "random", "reference", "Random")
    for model in ("simclr", "swav", "lorot", "both"):
        options = tree.plan["models"][model]["options"]
        tree.finish(tree.cell("nette", model, "baseline"), right_for(1000, 700), labels)
        if model == "both":
            options["auxiliary"] = {"lorot": {"weight": 0.1}}
    tree.finish(tree.cell("nette", "random", "none", epochs=0), right_for(1000, 222), labels)
    html, text = tree.pages()
    expected = {
        "SimCLR": "contrastive",
        "SwAV": "non-contrastive clustering",
        "LoRot": "pretext task",
        "SimCLR with LoRot": "multitask contrastive with lorot",
        "Random": "reference",
    }
    for words in ("Top-1 accuracy of a linear probe", "weighted nearest neighbours", "health of the features",
                  "beside the published figures"):  # fmt: skip
        head, *rows = Read(html).table(words)
        assert head[:2] == ["Model", "Family"], words
        named = [row for row in rows if not row[0].startswith("Best published")]
        found = {re.sub(r" (simclr|swav|both|lorot)$", "", row[0]): row[1] for row in named}
        assert found == {model: expected[model] for model in found} and len(found) >= 4, words
    line = next(line for line in text.splitlines() if line.startswith("Families of the first article without"))
    assert "autoencoder (MAE is not in this grid)" in line
    assert "generative model (GANs and VAEs" in line and "predictive coding (it predicts" in line
    assert "multitask" not in line and " contrastive (" not in line and "non-contrastive (" not in line
