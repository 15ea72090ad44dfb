"""Three folders: val chooses the probe's penalty, and neither a backbone nor a probe is fitted on it."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from timm import create_model

from sslbench.data.pack.read import PackedSet
from sslbench.errors import UserError
from sslbench.evaluation import adapters, linear_probe
from sslbench.evaluation.features import Features, read, write
from sslbench.evaluation.linear_probe import probe
from tests.data.data_samples import packed, settings_of
from tests.evaluation.test_embed import EVALUATION, features_of, judged
from tests.evaluation.test_linear_probe import PENALTIES, pictures
from tests.training.small_cells import cell, run


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    """A pack of 3 classes: 12 training, 4 val and 4 test images each."""
    root, random = tmp_path_factory.mktemp("three"), np.random.default_rng(0)
    for part, count in (("Train", 12), ("valid", 4), ("Test", 4)):
        for label in range(3):
            for i in range(count):
                (root / "p" / part / f"class{label}").mkdir(parents=True, exist_ok=True)
                pixels = random.normal(0, 60, (40, 40, 3)) + 120 * (np.arange(3) == label)
                Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(
                    root / "p" / part / f"class{label}" / f"{i}.png"
                )
    return packed(settings_of("folder", path=root / "p"), root, pack_size=36)


def test_pretraining_sees_no_image_of_val_or_test(three, tmp_path, monkeypatch):
    seen, real = set(), PackedSet.batch
    monkeypatch.setattr(PackedSet, "batch", lambda self, rows: (seen.update(rows.tolist()), real(self, rows))[1])
    run(cell("simclr", epochs=1, batch_size=12), three, tmp_path)
    split = PackedSet.open(three).split("official")
    assert seen == set(split["train"].tolist()) and {len(split[part]) for part in ("val", "test")} == {12}


def test_val_is_embedded_beside_training_and_said_to_have_chosen(three, tmp_path):
    torch.manual_seed(0)
    save_file(create_model("test_resnet", num_classes=0).state_dict(), tmp_path / "backbone.safetensors")
    settings = {
        "dataset": {"source": "folder", "split": settings_of("folder").split_name(), "identity": {}},
        "backbone": {"name": "test_resnet", "options": {}},
        "input_size": 32,
    }
    files = features_of((None, three, settings, tmp_path / "backbone.safetensors"), tmp_path)
    train, test, split = read(files["train"]), read(files["test"]), PackedSet.open(three).split("official")
    found = {"train": train.indices, "val": train.val[2], "test": test.indices}
    assert {part: rows.tolist() for part, rows in found.items()} == {
        part: rows.tolist() for part, rows in split.items()
    }
    assert test.val is None
    reports, _, _, lines = judged(files, tmp_path)
    linear = reports["linear"]
    assert (linear["chosen_on"], linear["n_val"], linear["n_train"], linear["n"]) == ("val", 12, 36, 12)
    assert any("12 val images" in line for line in lines)
    assert linear["penalty"] == probe(*train[:2], test.features, 3, val=train.val[:2], **EVALUATION["linear"]).penalty
    write(files["train"], train._replace(val=None))
    plain = judged(files, tmp_path)[0]["linear"]
    assert "chosen_on" not in json.dumps(plain) and "n_val" not in plain


def test_a_changed_val_feature_is_noticed(tmp_path):
    rows = torch.arange(3)
    of = Features(torch.zeros(3, 2), rows, rows + 1, {"of": "it"}, (torch.ones(3, 2), rows + 2, rows + 3))
    write(tmp_path / "f", of)
    assert torch.equal(read(tmp_path / "f").val[0], of.val[0])
    content = bytearray((tmp_path / "f").read_bytes())
    place = content.index(torch.ones(3, 2).numpy().tobytes())
    content[place] ^= 1
    (tmp_path / "f").write_bytes(content)
    with pytest.raises(UserError, match="seal"):
        read(tmp_path / "f")


def test_the_penalty_is_the_best_on_val_and_the_fit_is_of_all_training_images():
    features, labels = pictures(400, 200, 4)
    parts = [slice(0, 150), slice(150, 250), slice(250, 400)]
    (x, y), val, (test, _) = ((features[part], labels[part]) for part in parts)
    found = probe(x, y, test, 4, penalties=PENALTIES, val=val)
    scores = {}
    for penalty in (entry["penalty"] for entry in found.searched):  # one by one, nothing held out: fitted on all of x
        alone = probe(x, y, val[0], 4, penalties=[penalty], val=val)
        scores[penalty] = float((alone.ranking[:, 0] == val[1]).double().mean())
    assert {e["penalty"]: e["top1"] for e in found.searched} == pytest.approx(scores, abs=0.02)
    assert scores[found.penalty] >= max(scores.values()) - 0.02
    at_it = probe(x, y, test, 4, penalties=[found.penalty], val=val)
    assert (
        torch.equal(at_it.ranking, found.ranking) or (at_it.ranking[:, 0] == found.ranking[:, 0]).double().mean() > 0.98
    )
    opposite = probe(x, y, test, 4, penalties=PENALTIES, val=(val[0], (val[1] + 1) % 4))
    assert opposite.searched != found.searched  # val's labels choose
    assert linear_probe.probe(x, y, test, 4, penalties=PENALTIES).searched != found.searched


def test_few_labels_are_judged_with_the_penalty_that_val_chooses():
    features, labels = pictures(300, 20, 3)
    origin = {"classes": ["a", "b", "c"]}
    val = (features[100:200], labels[100:200], torch.arange(100))
    train = Features(features[:100], labels[:100], torch.arange(100), origin, val)
    test = Features(features[200:], labels[200:], torch.arange(100), origin)
    settings = {"shares": [1.0], "draws": 1, "confidence": 0.95, "linear": {"penalties": PENALTIES}}
    settings["hidden"] = {"hidden": 4, "base_lr": 0.01, "weight_decay": 0.0, "batch_size": 50, "steps": 2}
    entry, _ = adapters.judge(train, test, settings, lambda line: None)
    expected = probe(*train[:2], test.features, 3, penalties=PENALTIES, val=val[:2]).ranking[:, 0]
    assert entry["right"] == [int((expected == test.labels).sum())]
