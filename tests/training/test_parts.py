"""Parts of a method that a recipe treats otherwise: frozen for the first epochs, or at a constant rate."""

import pytest
import torch
from small_cells import STEPS, cell, run

from sslbench.training.trainer import Training


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_a_frozen_part_keeps_its_very_bits_until_its_epochs_are_over(small_pack, tmp_path, monkeypatch, momentum):
    recipe = {"frozen_epochs": {"last_layer": 1}, "momentum": momentum, "weight_decay": 0.1}
    seen, real = [], Training.advance

    def advance(self):
        real(self)
        seen.append((self.method.head.last.weight.detach().clone(), next(self.method.head.layers.parameters()).clone()))

    monkeypatch.setattr(Training, "advance", advance)
    run(cell("dino", recipe=recipe), small_pack, tmp_path)
    first = seen[0][0]
    assert [torch.equal(last, first) for last, _ in seen] == [True] * STEPS + [False] * STEPS
    assert not torch.equal(seen[0][1], seen[1][1])


@pytest.mark.parametrize(("kept", "decays"), [(("predictor",), False), ((), True)])
def test_a_part_at_a_constant_rate_has_the_peak_rate_to_the_end(small_pack, tmp_path, monkeypatch, kept, decays):
    rates, real = [], Training.advance

    def advance(self):
        real(self)
        own = {id(p) for p in self.method.prediction.parameters()}
        found = {True: set(), False: set()}
        for group in self.optimizer.param_groups:
            for p in group["params"]:
                found[id(p) in own].add(group["lr"])
        rates.append(tuple(lr for (lr,) in (found[True], found[False])))

    monkeypatch.setattr(Training, "advance", advance)
    run(cell("simsiam", recipe={"constant_lr": list(kept), "base_lr": 0.1, "scale_lr": False}), small_pack, tmp_path)
    predictor, others = zip(*rates, strict=True)
    assert others[-1] < others[0] == 0.1
    assert (len(set(predictor)) > 1) == decays and predictor[0] == 0.1
