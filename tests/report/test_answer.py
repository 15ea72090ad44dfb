"""What the top of the page says of entries beside their references."""

import re

import numpy
import pytest

from tests.report.conftest import right_for

LABELS = numpy.arange(1000) % 10


@pytest.mark.parametrize(("right", "backbone", "said"), [(300, "resnet18", True), (390, "resnet18", False),
                                                         (300, "resnet50", False)])  # fmt: skip
def test_an_entry_is_called_worse_than_untrained_only_beyond_its_interval_and_on_the_same_network(
    tree, right, backbone, said
):
    """1,000 pictures: the untrained network has 400 right, and 95 % intervals are about 3 points to either side."""
    tree.model("random", "random", "reference", title="Random initialisation")
    tree.finish(tree.cell("nette", "random", "none", epochs=0), right_for(1000, 400), LABELS)
    tree.finish(tree.cell("nette", "simclr", "baseline"), right_for(1000, 600), LABELS)
    tree.finish(tree.cell("nette", "byol", "baseline", backbone=backbone), right_for(1000, right), LABELS)
    _, text = tree.pages()
    assert ("Worse than the same network untrained, though not collapsed: BYOL with baseline." in text) == said


@pytest.mark.parametrize(("low", "said"), [("resnet18", "SimCLR"), ("vit", "BYOL"), ("vit of other patches", "")])
def test_an_entry_is_held_against_the_start_of_its_own_network(tree, low, said):
    """Both have 500 right. Untrained, one of three networks has 600, the others 100."""
    networks = {"resnet18": {}, "vit": {"patch_size": 16}, "vit of other patches": {"patch_size": 8}}
    for network, options in networks.items():
        name = f"random-{len(tree.plan['models'])}"
        tree.model(name, "random", "reference", title=f"Random initialisation of {network}")
        start = tree.cell("nette", name, "none", epochs=0, backbone=network.split()[0])
        start["expected"]["settings"]["backbone"]["options"] = options
        tree.finish(start, right_for(1000, 600 if network == low else 100), LABELS)
    for model, network in (("simclr", "resnet18"), ("byol", "vit")):
        cell = tree.cell("nette", model, "baseline", backbone=network)
        cell["expected"]["settings"]["backbone"]["options"] = networks[network]
        tree.finish(cell, right_for(1000, 500), LABELS)
    _, text = tree.pages()
    found = re.search("Worse than the same network untrained, though not collapsed: (.*) with baseline", text)
    assert (found[1] if found else "") == said
    assert f"random initialisation of {low} 0.600" in text


def test_with_several_seeds_the_page_says_what_the_luck_of_training_and_of_pictures_make(tree):
    """Accuracies .50, .56 and .62 of 1,000 pictures: 6 points between seeds, of which the pictures' choice explains
    sqrt(.56 * .44 / 1000) = 1.6 points at most, and nothing here, as each seed adds to the same pictures."""
    for seed, right in enumerate((500, 560, 620)):
        tree.finish(tree.cell("nette", "simclr", "baseline", seed), right_for(1000, right), LABELS)
    _, text = tree.pages()
    found = re.search(r"by ([\d.]+) points from seed to seed, and by ([\d.]+) points with the choice", text)
    assert 5.5 < float(found[1]) <= 6.0 and 1.4 < float(found[2]) < 1.7


@pytest.mark.parametrize(("networks", "said"), [(("resnet18", "resnet50"), False), (("resnet18", "resnet18"), True)])
def test_an_entry_of_two_networks_is_below_its_start_only_if_each_starts_are_known(tree, networks, said):
    tree.model("random", "random", "reference", title="Random initialisation")
    tree.finish(tree.cell("nette", "random", "none", epochs=0), right_for(1000, 500), LABELS)
    tree.finish(tree.cell("nette", "simclr", "baseline"), right_for(1000, 600), LABELS)
    for seed, network in enumerate(networks):
        tree.finish(tree.cell("nette", "byol", "baseline", seed, backbone=network), right_for(1000, 300 + seed), LABELS)
    assert ("Worse than the same network untrained" in tree.pages()[1]) == said
