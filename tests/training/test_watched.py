"""DINO along a run: teacher and student are both evaluated, each by a head of its own on features of its own."""

import csv
import io
import json
from copy import deepcopy

import numpy as np
import pytest
import torch
from small_cells import cell, run

from sslbench.data.pack.read import PackedSet
from sslbench.methods.dino.model import Model
from sslbench.training.online_probe import OnlineProbe, holdout
from sslbench.training.trainer import Training
from sslbench.transforms.pipeline import center_view

COLUMNS = {"online_top1": "backbone", "online_top1_teacher": "teacher_backbone"}


@pytest.fixture
def watched(monkeypatch) -> dict[str, dict[str, list]]:
    """By column: the features that its head should learn from, those that it did, and its accuracy, one by one."""
    found = {kind: {column: [] for column in COLUMNS} for kind in ("expected", "learnt", "accuracy")}
    loss, learn, close = Model.loss, OnlineProbe.learn, Training._close
    columns: dict[int, str] = {}

    def of_both(self, batch):
        for column, name in COLUMNS.items():
            network = deepcopy(getattr(self, name)).train()
            found["expected"][column].append(network(batch.views[0].images).detach())
        return loss(self, batch)

    def learnt(self, features, indices):
        found["learnt"].setdefault(id(self), []).append(features.clone())
        learn(self, features, indices)

    def measured(self, epoch):
        close(self, epoch)
        columns.update({id(probe): column for column, probe in self.probes.items()})
        train = self.pack.split("official")["train"]
        held = holdout(self.pack.labels, train, 0.25, self.seed).tolist()
        for column, name in COLUMNS.items():
            network, head = (deepcopy(m).eval() for m in (getattr(self.method, name), self.probes[column].head))
            with torch.no_grad():
                views = [center_view(self.pack.batch(torch.tensor([i])), 32).images for i in held]
                guesses = [head(network(view)).argmax().item() for view in views]
            found["accuracy"][column].append(np.mean(np.array(guesses) == self.pack.labels[held]))

    monkeypatch.setattr(Model, "loss", of_both)
    monkeypatch.setattr(OnlineProbe, "learn", learnt)
    monkeypatch.setattr(Training, "_close", measured)
    found["columns"] = columns
    return found


def test_dinos_two_columns_are_those_of_its_student_and_of_its_teacher(small_pack, tmp_path, watched):
    settings = cell("dino", epochs=6, recipe={"base_lr": 2.0, "warmup_epochs": 0, "ema_start": 0.9, "ema_end": None})
    files = run(settings, small_pack, tmp_path)
    table = list(csv.DictReader(io.StringIO(files["curve.csv"].decode())))
    assert len(PackedSet.open(small_pack)) == 60 and len(table) == 6
    for column in COLUMNS:
        assert [float(row[column]) for row in table] == watched["accuracy"][column]
    assert watched["accuracy"]["online_top1"] != watched["accuracy"]["online_top1_teacher"]
    learnt = {column: watched["learnt"][key] for key, column in watched["columns"].items()}
    for column in COLUMNS:
        for expected, features in zip(watched["expected"][column], learnt[column], strict=True):
            torch.testing.assert_close(features, expected, rtol=1e-4, atol=1e-5)
    student, teacher = (learnt[column][-1] for column in COLUMNS)
    assert (student - teacher).abs().max() > 0.01


def test_a_constant_that_does_nothing_in_a_short_run_is_noted(small_pack, tmp_path):
    recipe = {"frozen_epochs": {"last_layer": 1}}
    log = io.StringIO()
    files = run(cell("dino", epochs=1, recipe=recipe), small_pack, tmp_path, progress=log)
    note, rest = json.loads(files["ledger.json"])["notes"]
    assert note.startswith("recipe.frozen_epochs.last_layer: is 1, of 1 epoch(s) in all, so it never learns")
    assert note in log.getvalue()
    assert json.loads(run(cell("dino", recipe=recipe), small_pack, tmp_path / "two")["ledger.json"])["notes"] == [rest]
