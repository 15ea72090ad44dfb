"""What every registered dataset kind promises. A new kind needs a tiny specimen in tests/data/data_samples.py."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sslbench import registry
from sslbench.data.pack.read import PackedSet
from sslbench.data.spec import DatasetSettings
from tests.data.data_samples import TINY, files_of, packed

KINDS = sorted(registry.DATASETS)


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


def test_every_kind_has_a_specimen() -> None:
    assert sorted(TINY) == KINDS


def test_no_kind_imports_torch() -> None:
    beside = ["sslbench.data.sources.fetch", "sslbench.data.pack.write", "sslbench.data.weights_licence"]
    used = "import sslbench.data.seen; sslbench.data.seen._classes('imagenet')"  # a list that timm has
    modules = ", ".join([*registry.DATASETS.values(), *beside])
    code = f"import sys, {modules}; {used}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2]).returncode == 0


def test_settings_have_defaults_and_a_source_that_is_one_plain_folder_name(kind: str) -> None:
    settings = registry.load(registry.DATASETS[kind]).Settings()
    assert isinstance(settings, DatasetSettings)
    assert re.fullmatch(r"[A-Za-z0-9._-]+", settings.source())


def test_identity_is_plain_and_knows_no_paths(kind: str, tmp_path: Path) -> None:
    settings = TINY[kind](tmp_path)
    moved = settings.model_copy(update={"archive": Path("/elsewhere/x.tgz"), "path": None})
    assert json.loads(json.dumps(settings.identity())) == moved.identity()
    assert str(tmp_path) not in json.dumps(settings.identity())
    assert settings.identity()["kind"] == kind


def test_a_pack_opens_verifies_and_holds_the_split_its_settings_name(kind: str, tmp_path: Path) -> None:
    settings = TINY[kind](tmp_path)
    opened = PackedSet.open(packed(settings, tmp_path), verify=True)
    split = opened.split(settings.split_name())
    both = np.concatenate([split["train"], split["test"]])
    assert sorted(both) == list(range(len(opened)))
    assert set(opened.labels[split["test"]]) == set(range(len(opened.classes)))
    assert set(opened.labels[split["train"]]) == set(range(len(opened.classes)))
    assert opened.names == sorted(opened.names)


def test_packs_are_equal_byte_for_byte_whatever_the_jobs(kind: str, tmp_path: Path) -> None:
    settings = TINY[kind](tmp_path)
    first = files_of(packed(settings, tmp_path / "one", name="x"))
    second = files_of(packed(settings, tmp_path / "two", name="x", jobs=2))
    assert first == second
    assert "manifest.json" in first
