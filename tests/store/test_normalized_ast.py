"""What a source says, and what counts of the modules it imports: what it means, not where it is or how it is laid out."""

import ast
import re
import shutil
from collections.abc import Callable

import pytest

from sslbench.store import code_fingerprint, normalized_ast

SOURCE = '''
"""A module."""
import os
import sys

def total(values: list[int], *, scale=1.0) -> float:
    """Their sum."""
    # scaled
    count: int = 0
    return scale * sum(v for v in values if v > count)

class Thing(Base):
    """A thing."""
    name = f"{os.name!r:>{10}} and {'x'} on {sys.platform}"
    match = lambda self, *a, **k: {**k, "a": [*a]}

if __name__ == "__main__":
    import json
    import re
    print(json, re)
'''


def said(source: str) -> normalized_ast.Said:
    return normalized_ast.module(ast.parse(source)).said


@pytest.mark.parametrize(
    "edit",
    [
        lambda s: s.replace("# scaled", "# multiplied by the scale"),
        lambda s: s.replace('"""Their sum."""', '"""The sum of the positive ones."""'),
        lambda s: s.replace('    """A thing."""\n', ""),
        lambda s: s.replace("return scale * sum(", "return (scale) * sum(\n        "),
        lambda s: s.replace('"a"', "'a'"),
        lambda s: "\n\n" + s + "\n\n",
        lambda s: s.replace("values: list[int]", "values: Sequence[int]").replace(" -> float", ""),
        lambda s: s.replace("count: int = 0", "count = 0"),
        lambda s: s.replace("import os\nimport sys", "import sys\nimport os"),
        lambda s: s.replace("    import json\n    import re\n", "    import re\n    import json\n"),
        lambda s: s.replace("import os\n", "import os as system\n").replace("os.name", "system.name"),
        lambda s: s.replace("import os\n", "from os import name as which\n").replace("os.name", "which"),
        lambda s: s.replace(
            "import sys", "import sys\nfrom typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import x"
        ),
    ],
    ids=[
        "comment",
        "docstring",
        "no-docstring",
        "line-breaks",
        "quotes",
        "blank-lines",
        "annotations",
        "annotated",
        "order",
        "order-within",
        "alias",
        "from",
        "types",
    ],
)
def test_layout_comments_annotations_and_the_way_of_importing_say_nothing(edit):
    assert edit(SOURCE) != SOURCE
    assert said(edit(SOURCE)) == said(SOURCE)


@pytest.mark.parametrize(
    "edit",
    [
        lambda s: s.replace("scale=1.0", "scale=1"),
        lambda s: s.replace("v > count", "v >= count"),
        lambda s: s.replace("values if", "values[1:] if"),
        lambda s: s.replace("{10}", "{11}"),
        lambda s: s.replace("Thing(Base)", "Thing"),
        lambda s: s.replace("*, scale", "scale"),
        lambda s: s.replace("os.name", "sys.name"),
        lambda s: s.replace("import os\n", "import posix as os\n"),
        lambda s: s + "\nimport this\n",
    ],
)
def test_every_other_edit_says_something(edit):
    assert edit(SOURCE) != SOURCE
    assert said(edit(SOURCE)) != said(SOURCE) or normalized_ast.module(ast.parse(edit(SOURCE))).loose


def test_a_source_says_the_same_text_on_every_python():
    # Written out by hand from the language's abstract grammar; a Python that adds a field must not change it.
    assert normalized_ast._Text({}).of(ast.parse("def f(x):\n    return f'{x:.2f}'\n")) == (
        "Module(body=[FunctionDef(name='f',args=arguments(args=[arg(arg='x')]),body=[Return(value=JoinedStr(values=["
        "FormattedValue(value=Name(id='x'),conversion=-1,format_spec=JoinedStr(values=[Constant(value='.2f')]))]))])])"
    )


# A small package, in which each way of naming a module is used once.
TREE = {
    "sslbench/__init__.py": "",
    "sslbench/errors.py": "class UserError(Exception): ...\n",
    "sslbench/engine/__init__.py": "",
    "sslbench/engine/fit.py": (
        "import sslbench.nn.layers\nfrom sslbench.methods import base\nfrom sslbench.errors import UserError\n"
        "from .schedule import rate\nfrom . import clock\nfrom sslbench.methods.spec import Recipe\n"
        "def fit(recipe: Recipe):\n"
        "    base.check(recipe, UserError)\n"
        "    START = 'from sslbench.engine.rank import main; main()'\n"
        "    return rate(clock.now(), sslbench.nn.layers.width(), recipe.peak(2), START)\n"
    ),
    "sslbench/engine/rank.py": "def main():\n    return 1\n",
    "sslbench/engine/schedule.py": "def rate(*values):\n    return values\n",
    "sslbench/engine/clock.py": "def now():\n    return 0\n",
    "sslbench/nn/__init__.py": "DEPTH = 1\n",
    "sslbench/nn/layers.py": "def width():\n    return 3\n\ndef height():\n    return 4\n",
    "sslbench/nn/others.py": "def width():\n    return 5\n\ndef height():\n    return 4\n",
    "sslbench/methods/__init__.py": "",
    "sslbench/methods/base.py": "def check(*values):\n    assert values\n",
    "sslbench/methods/spec.py": (
        "class Recipe:\n    base: float = 0.1\n    def peak(self, n):\n        return n\n    def title(self):\n        return 'x'\n"
    ),
    "sslbench/methods/one.py": "class Model:\n    pass\n\nclass Other:\n    pass\n",
    "workflow/scripts/fit.py": "from sslbench.engine.fit import fit\nfrom helper import note\nnote(fit)\n",
    "workflow/scripts/helper.py": "def note(value):\n    return value\n",
    "envs/train.yaml": "- timm=1.0\n- lightly=1.6.0\n",
}
ROOTS = ("workflow/scripts/fit.py", "one=sslbench.methods.one:Model")


@pytest.fixture
def tree(tmp_path, monkeypatch) -> Callable[..., str]:
    """Writes TREE with files changed, and says its digest. None: without that file."""

    def digest(changed: dict[str, str | None] | None = None, roots: tuple[str, ...] = ROOTS) -> str:
        shutil.rmtree(tmp_path)
        for name, text in (TREE | (changed or {})).items():
            if text is not None:
                (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
                (tmp_path / name).write_text(text)
        code_fingerprint.forget()
        return code_fingerprint.code_digest(*roots)

    monkeypatch.setattr(code_fingerprint, "ROOT", tmp_path)
    yield digest
    monkeypatch.undo()
    code_fingerprint.forget()


def edited(name: str, old: str, new: str) -> dict[str, str]:
    assert old in TREE[name]
    return {name: TREE[name].replace(old, new)}


@pytest.mark.parametrize(
    ("way", "change"),
    [
        ("relative import of a name", edited("sslbench/engine/schedule.py", "return values", "return values[1:]")),
        ("relative import of a module", edited("sslbench/engine/clock.py", "0", "1")),
        ("a package's __init__", edited("sslbench/nn/__init__.py", "1", "2")),
        ("a module beside a script", edited("workflow/scripts/helper.py", "return value", "return None")),
        ("a dotted name", edited("sslbench/nn/layers.py", "return 3", "return 5")),
        ("a module in a text", edited("sslbench/engine/rank.py", "1", "2")),
        ("a module by import", edited("sslbench/methods/base.py", "assert", "assert not")),
        ("what settings answer when asked", edited("sslbench/methods/spec.py", "return n", "return n + 1")),
        ("the script", edited("workflow/scripts/fit.py", "note(fit)", "fit(1)")),
        ("a chosen class", edited("sslbench/methods/one.py", "Model:\n    pass", "Model:\n    deep = True")),
        ("another module by the same names", edited("sslbench/engine/fit.py", "nn.layers", "nn.others")),
        ("another name of the same module", edited("sslbench/engine/fit.py", "layers.width()", "layers.height()")),
    ],
)
def test_what_is_imported_counts_in_every_way_of_naming_it(tree, way, change):
    assert tree(change) != tree(), way


def test_the_registrys_choice_counts(tree):
    assert (
        len(
            {
                tree(),
                tree(roots=(ROOTS[0], "one=sslbench.methods.one:Other")),
                tree(roots=(ROOTS[0], "two=" + ROOTS[1][4:])),
            }
        )
        == 3
    )


@pytest.mark.parametrize(
    ("what", "change"),
    [
        ("a module that nothing imports", {"sslbench/methods/two.py": "class Model: ...\n"}),
        ("a value that settings declare", edited("sslbench/methods/spec.py", "0.1", "0.2")),
        ("what settings are not asked", edited("sslbench/methods/spec.py", "'x'", "'y'")),
        ("a room that is left out", edited("sslbench/errors.py", "...", "code = 1")),
        (
            "the order of imports",
            edited(
                "sslbench/engine/fit.py",
                "from .schedule import rate\nfrom . import clock",
                "from . import clock\nfrom .schedule import rate",
            ),
        ),
        (
            "an alias",
            {
                "sslbench/engine/fit.py": TREE["sslbench/engine/fit.py"]
                .replace("import rate", "import rate as r")
                .replace("rate(", "r(")
            },
        ),
        (
            "relative or absolute",
            edited("sslbench/engine/fit.py", "from . import clock", "from sslbench.engine import clock"),
        ),
    ],
)
def test_what_changes_no_result_says_nothing(tree, what, change):
    assert tree(change) == tree(), what


def test_moving_and_renaming_modules_says_nothing(tree):
    """What a move of files and the rewriting of their imports makes of the tree, by this test's own text substitution."""
    names = {"sslbench/engine/fit": "sslbench/training/run", "sslbench/engine/schedule": "sslbench/training/optimizers",
             "sslbench/engine/clock": "sslbench/training/clock", "sslbench/engine/rank": "sslbench/training/worker",
             "sslbench/nn/layers": "sslbench/nn/blocks", "sslbench/methods/one": "sslbench/methods/one/model"}  # fmt: skip
    moved = dict(TREE) | {
        "sslbench/training/__init__.py": "",
        "sslbench/methods/one/__init__.py": "",
    }
    del moved["sslbench/engine/__init__.py"]
    for old, new in names.items():
        moved[f"{new}.py"] = moved.pop(f"{old}.py")
    for name, text in moved.items():
        for old, new in names.items():
            text = re.sub(rf"\b{old.replace('/', '.')}\b", new.replace("/", "."), text)
        moved[name] = text.replace("from .schedule", "from .optimizers").replace(
            "from . import clock", "from sslbench.training import clock"
        )
    gone = dict.fromkeys(TREE.keys() - moved.keys())
    roots = (ROOTS[0], "one=sslbench.methods.one.model:Model")
    assert tree(gone | moved, roots) == tree()
    assert (
        tree(gone | moved | {"sslbench/training/optimizers.py": "def rate(*values):\n    return values[1:]\n"}, roots)
        != tree()
    )


def test_c_sources_count_in_what_uses_them_and_nowhere_else_but_not_their_comments(tree):
    def digests(c: str) -> list[str]:
        files = {
            "sslbench/compiled/load.py": "NAME = 'fast.c'\n",
            "sslbench/compiled/fast.c": c,
            "sslbench/user.py": "from sslbench.compiled import load\n",
            "sslbench/other.py": "import os\n",
        }
        return [tree(files, (f"sslbench.{name}",)) for name in ("user", "other")]

    first = digests("int one(void) { return 1; }\n")
    other = digests("int one(void) { return 2; }\n")
    said = digests("/* one\n * of */\nint one(void) {  return 1; /* one */ }  // end\n")
    quoted = digests('char *one(void) { return "1 // one"; }\n')
    assert first[0] != other[0] and first[1] == other[1] and said == first
    assert quoted != digests('char *one(void) { return "1 "; }\n')


def test_an_import_circle_ends(tree):
    circle = {
        "sslbench/engine/clock.py": "from sslbench.engine import fit\ndef now():\n    return fit\n",
    }
    changed = {"sslbench/engine/clock.py": circle["sslbench/engine/clock.py"].replace("return fit", "return fit, 1")}
    assert len({tree(), tree(circle), tree(changed)}) == 3
