"""The code digest of the project's own sources: what it covers, and what it leaves out."""

import shutil
import subprocess
import sys
from collections.abc import Callable

import pytest

from sslbench import registry
from sslbench.store import code_check, code_fingerprint


@pytest.mark.parametrize("method", registry.METHODS)
def test_a_methods_closure_holds_its_own_model_and_no_other_methods(method):
    modules = code_fingerprint.closure("sslbench.training.run", f"{registry.METHODS[method]}.model")
    others = {f"{package}.model" for name, package in registry.METHODS.items() if name != method}
    assert f"{registry.METHODS[method]}.model" in modules
    assert not modules & others
    assert {"sslbench.training.dataloader", "sslbench.nn.random", "sslbench.transforms.pipeline"} <= modules


def test_no_closure_holds_what_only_declares():
    roots = [f"{package}.model" for package in registry.METHODS.values()]
    modules = code_fingerprint.closure("sslbench.training.run", *roots)
    declared = {"sslbench.registry", "sslbench.config.models", "sslbench.grid.cell", "sslbench.transforms.spec"}
    assert not modules & (
        declared | {f"{p}.settings" for p in registry.METHODS.values()} | set(registry.TRANSFORMS.values())
    )


def test_the_closure_is_what_python_really_imports():
    """Against Python's own import system: whatever of ours training imports is covered, only watches or only
    declares.
    """
    roots = ("sslbench.training.run", "sslbench.methods.simclr.model", "sslbench.transforms.ops.color")
    code = f"import sys, {', '.join(roots)}; print(*[m for m in sys.modules if m.partition('.')[0] == 'sslbench'])"
    printed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=code_fingerprint.ROOT
    )
    imported = {m for m in printed.stdout.split() if code_fingerprint.source_file(m) is not None}
    left = imported - code_fingerprint.closure(*roots)
    assert left == {m for m in imported if code_fingerprint.watches(m) or code_fingerprint.declares(m)}


SETTINGS = {"method": {"name": "swav"}, "transform": [[{"op": "horizontal_flip"}], []]}


def test_a_function_of_a_methods_settings_that_training_calls_counts_and_its_presets_do_not(tmp_path, monkeypatch):
    """In a copy of the real sources: SwAV's model asks its settings; what these declare stands in a cell's settings."""
    for part in ("sslbench", "workflow/scripts", "envs"):
        shutil.copytree(
            code_fingerprint.ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__", "templates")
        )
    monkeypatch.setattr(code_fingerprint, "ROOT", tmp_path)
    settings = tmp_path / "sslbench/methods/swav/settings.py"

    def digest_with(edit: Callable[[str], str]) -> str:
        text = settings.read_text()
        settings.write_text(edit(text))
        assert settings.read_text() != text
        code_fingerprint.forget()
        try:
            return code_fingerprint.code_digest(*code_check.roots("pretrain", SETTINGS))
        finally:
            settings.write_text(text)

    try:
        before = digest_with(lambda text: f"{text}\n# a comment\n")
        assert digest_with(lambda text: text.replace("max(8, ", "max(9, ")) != before  # in views()
        assert digest_with(lambda text: text.replace('"0.1; script:33"', '"0.2; script:33"')) == before
    finally:
        monkeypatch.undo()
        code_fingerprint.forget()


def test_reading_the_configuration_imports_no_torch():
    code = (
        "import sys, yaml; from sslbench.grid.expand import load; from sslbench.grid.plan import Plan; from sslbench.grid.report_plan import report_plan; import sslbench.grid.cost;"
        "report_plan(Plan(load(yaml.safe_load(open('config.yaml'))))); assert 'torch' not in sys.modules, 'torch was imported'"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=code_fingerprint.ROOT)


def test_the_c_source_of_views_counts_in_every_training():
    library = "sslbench.transforms.cpu.build"
    assert library in code_fingerprint.closure("sslbench.training.run")
    assert "views.c" in {path.name for path in code_fingerprint.compiled_sources(code_fingerprint.source_file(library))}
