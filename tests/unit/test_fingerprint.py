"""The code digest changes with meaning, and with nothing else."""

import subprocess
import sys

import pytest

from sslbench import fingerprint, registry

SOURCE = '''
"""A module."""
import os

def total(values: list[int], *, scale=1.0) -> float:
    """Their sum."""
    # scaled
    return scale * sum(v for v in values if v > 0)

class Thing(Base):
    """A thing."""
    name = f"{os.name!r:>{10}} and {'x'}"
    match = lambda self, *a, **k: {**k, "a": [*a]}
'''


@pytest.mark.parametrize(
    "edit",
    [
        lambda s: s.replace("# scaled", "# multiplied by the scale"),
        lambda s: s.replace('"""Their sum."""', '"""The sum of the positive ones."""'),
        lambda s: s.replace('    """A thing."""\n', ""),
        lambda s: s.replace(
            "return scale * sum(v for v in values if v > 0)",
            "return (\n        scale * sum(v for v in values if v > 0)\n    )",
        ),
        lambda s: s.replace("'x'", '"x"').replace('f"{os.name!r:>{10}} and {"x"}"', "f\"{os.name!r:>{10}} and {'x'}\""),
        lambda s: "\n\n" + s + "\n\n",
    ],
    ids=["comment", "docstring", "no docstring", "line breaks", "quotes", "blank lines"],
)
def test_layout_comments_and_docstrings_have_no_meaning(edit):
    assert fingerprint.meaning(edit(SOURCE)) == fingerprint.meaning(SOURCE)


@pytest.mark.parametrize(
    "edit",
    [
        lambda s: s.replace("scale=1.0", "scale=1"),
        lambda s: s.replace("v > 0", "v >= 0"),
        lambda s: s.replace("values if", "values[1:] if"),
        lambda s: s.replace("{10}", "{11}"),
        lambda s: s.replace("Thing(Base)", "Thing"),
        lambda s: s.replace("*, scale", "scale"),
    ],
)
def test_every_other_edit_has_one(edit):
    assert edit(SOURCE) != SOURCE
    assert fingerprint.meaning(edit(SOURCE)) != fingerprint.meaning(SOURCE)


def test_meaning_is_the_same_text_on_every_python():
    # Written out by hand from the language's abstract grammar; a Python that adds a field must not change it.
    assert fingerprint.meaning("def f(x):\n    return f'{x:.2f}'\n") == (
        "Module(body=[FunctionDef(name='f',args=arguments(args=[arg(arg='x')]),body=[Return(value=JoinedStr(values=["
        "FormattedValue(value=Name(id='x'),conversion=-1,format_spec=JoinedStr(values=[Constant(value='.2f')]))]))])])"
    )


@pytest.mark.parametrize("method", registry.METHODS)
def test_a_methods_closure_holds_its_own_model_and_no_other_methods(method):
    modules = fingerprint.closure("sslbench.engine.fit", f"{registry.METHODS[method]}.model")
    others = {f"{package}.model" for name, package in registry.METHODS.items() if name != method}
    assert f"{registry.METHODS[method]}.model" in modules
    assert not modules & others
    assert {"sslbench.engine.stream", "sslbench.randomness", "sslbench.transforms.pipeline"} <= modules


def test_no_closure_holds_what_only_declares():
    roots = [f"{package}.model" for package in registry.METHODS.values()]
    modules = fingerprint.closure("sslbench.engine.fit", *roots)
    declared = {"sslbench.registry", "sslbench.config", "sslbench.cells", "sslbench.transforms.spec"}
    assert not modules & (
        declared | {f"{p}.settings" for p in registry.METHODS.values()} | set(registry.TRANSFORMS.values())
    )


def test_the_closure_is_what_python_really_imports():
    """Against Python's own import system: whatever of ours training imports is covered, or only declares."""
    code = (
        "import sys, sslbench.engine.fit, sslbench.methods.simclr.model, sslbench.transforms.ops.color;"
        "print(*[m for m in sys.modules if m.startswith('sslbench.') and getattr(sys.modules[m], '__file__', None)])"
    )
    printed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=fingerprint.ROOT
    )
    imported = {m for m in printed.stdout.split() if fingerprint.source_file(m) is not None}
    covered = fingerprint.closure(
        "sslbench.engine.fit", "sslbench.methods.simclr.model", "sslbench.transforms.ops.color"
    )
    assert imported - covered == {m for m in imported if fingerprint.LEFT_OUT.fullmatch(m)}


def test_reading_the_configuration_imports_no_torch():
    code = (
        "import sys, yaml; from sslbench.config import load; from sslbench.plan import Plan; import sslbench.cost;"
        "Plan(load(yaml.safe_load(open('config.yaml')))).report(); assert 'torch' not in sys.modules, 'torch was imported'"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=fingerprint.ROOT)


def test_c_sources_count_in_what_uses_them_and_nowhere_else(tmp_path, monkeypatch):
    package = tmp_path / "sslbench" / "compiled"
    package.mkdir(parents=True)
    (package / "load.py").write_text("NAME = 'fast.c'\n")
    (package / "fast.c").write_text("int one(void) { return 1; }\n")
    (tmp_path / "sslbench" / "user.py").write_text("from sslbench.compiled import load\n")
    (tmp_path / "sslbench" / "other.py").write_text("import os\n")
    monkeypatch.setattr(fingerprint, "ROOT", tmp_path)

    def forget() -> None:
        for cached in (fingerprint._digest, fingerprint._module, fingerprint.source_file):
            cached.cache_clear()

    def digests() -> list[str]:
        forget()
        return [fingerprint.code_digest(f"sslbench.{name}") for name in ("user", "other")]

    try:
        monkeypatch.setattr(fingerprint, "library_version", lambda name: "1")
        before = digests()
        (package / "fast.c").write_text("int one(void) { return 2; }\n")
        after = digests()
    finally:
        monkeypatch.undo()
        forget()
    assert before[0] != after[0] and before[1] == after[1]


def test_the_c_source_of_views_counts_in_every_training():
    library = "sslbench.transforms.native.library"
    assert library in fingerprint.closure("sslbench.engine.fit")
    assert "views.c" in {path.name for path in fingerprint.compiled_sources(fingerprint.source_file(library))}
