"""The meaning of a source, apart from its layout and from what its imports are called. Reads no files.

Comments, docstrings, annotations, layout and the order of imports have none. Every use of an imported name becomes a
mark, and a list beside the text says which dotted name each mark stands for, e.g. ``sslbench.nn.random.generator``,
however it was imported. code_fingerprint.py, which knows the modules, puts their content in place of the names.
"""

import ast
import hashlib
import re
from collections.abc import Iterator
from typing import NamedTuple

# Fields of the syntax tree that carry no meaning or exist in some Python versions only.
SKIPPED_FIELDS = {"ctx", "kind", "type_comment", "type_ignores", "type_params", "annotation", "returns", "simple"}
_OURS = re.compile(r"(\bsslbench(?:\.\w+)+)")  # in a text: a module that something will import by it
_NO_FIELD = re.compile(r"(\w+\.)?(ClassVar|InitVar|KW_ONLY)\b")  # annotations that a dataclass obeys
_C_TEXT = r"""("(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')"""
_C_COMMENT, _C_LAYOUT = (re.compile(_C_TEXT + rest, re.DOTALL) for rest in (r"|//[^\n]*|/\*.*?\*/", r"|\s+"))


class Said(NamedTuple):
    """Plain values alone: it is kept as JSON."""

    digest: str  # SHA-256 of the statements
    uses: list[str]  # dotted names that the marks stand for, in the order of their first use
    asks: list[str]  # names that it asks others for: attributes, and what it imports from them
    calls: list[str]  # those of ``uses`` that are called


class Piece(NamedTuple):
    """A part of a module of which not all counts."""

    name: str
    kind: str  # function, method, class (all of it), bases (of a class), instance (of a class), value
    names: list[str]  # that it uses: of the module's other parts, among others
    said: Said


class Module(NamedTuple):
    said: Said
    loose: list[str]  # imports that nothing names: what they do when imported counts
    imports: list[str]  # dotted names, of which some are modules; relative ones begin with dots


def module(tree: ast.Module) -> Module:
    """What all of a module says."""
    bound, doubtful, loose, imports = _imports(tree)
    text = _Text(bound)
    said = text.of(tree) + "".join(f"\n{name}={text.mark(dotted)}" for name, dotted in doubtful)
    return Module(text.said(said), sorted(loose), sorted(imports))


def pieces(tree: ast.Module) -> list[Piece]:
    """What the parts of a module say, each by itself."""
    bound = _imports(tree)[0]
    found = []

    def add(name: str, kind: str, node: object) -> None:
        text = _Text(bound)
        said = text.said(text.of(node))
        found.append(Piece(name, kind, sorted(text.names), said))

    for statement in tree.body:
        if isinstance(statement, ast.FunctionDef):
            add(statement.name, "function", statement)
        elif isinstance(statement, ast.ClassDef):
            add(statement.name, "class", statement)
            add(statement.name, "bases", statement.bases)
            for method in statement.body:
                if isinstance(method, ast.FunctionDef):
                    add(method.name, "method", method)
        elif isinstance(statement, ast.Assign | ast.AnnAssign):
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            kind = "instance" if isinstance(statement.value, ast.Call) else "value"
            for name in (target.id for target in targets if isinstance(target, ast.Name)):
                add(name, kind, statement)
    return found


def c(source: str) -> str:
    """C without comments and layout."""
    bare = _C_COMMENT.sub(lambda found: found[1] or " ", source)
    return _C_LAYOUT.sub(lambda found: found[1] or ("\n" if "\n" in found[0] else " "), bare).strip()


class _Text:
    """Writes syntax down. ``bound``: names that imports alone bind -> the dotted name behind each."""

    def __init__(self, bound: dict[str, str]) -> None:
        self.bound = bound
        self.uses: dict[str, int] = {}
        self.asks: set[str] = set()
        self.calls: set[str] = set()
        self.names: set[str] = set()

    def said(self, text: str) -> Said:
        digest = hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()
        return Said(digest, list(self.uses), sorted(self.asks), sorted(self.calls))

    def mark(self, dotted: str) -> str:
        self.asks.update(dotted.split(".")[1:])
        return f"<{self.uses.setdefault(dotted, len(self.uses))}>"

    def of(self, node: object) -> str:
        if isinstance(node, list):
            return "[" + ",".join(map(self.of, node)) + "]"
        if not isinstance(node, ast.AST):
            return repr(node)
        if dotted := self._dotted(node):
            return self.mark(dotted)
        match node:
            case ast.Constant(value=str(value)) if (parts := _OURS.split(value))[1:]:
                said = [self.mark(part) if i % 2 else repr(part) for i, part in enumerate(parts)]
                return f"Constant({''.join(said)})"
            case ast.Import() | ast.ImportFrom():
                return f"Import({''.join(map(self.mark, _bindings(node).values()))})"
            case ast.AnnAssign(value=None):
                return f"Declared({self.of(node.target)}{self._no_field(node)})"
            case ast.Attribute():
                self.asks.add(node.attr)
            case ast.Name():
                self.names.add(node.id)
            case ast.Call() if called := self._dotted(node.func):
                self.calls.add(called)
        fields = [
            f"{name}={self._block(node, value) if name in _BLOCKS and isinstance(value, list) else self.of(value)}"
            for name, value in ast.iter_fields(node)
            if name not in SKIPPED_FIELDS and value is not None and value != []
        ]
        if isinstance(node, ast.AnnAssign):
            fields.append(self._no_field(node))
        return f"{type(node).__name__}({','.join(fields)})"

    def _no_field(self, node: ast.AnnAssign) -> str:
        found = _NO_FIELD.match(ast.unparse(node.annotation))
        return found[2] if found else ""

    def _block(self, parent: ast.AST, statements: list[ast.stmt]) -> str:
        """``statements`` less those that do nothing, or nothing that is not said elsewhere."""
        said = []
        in_class, plain = isinstance(parent, ast.ClassDef), isinstance(parent, _PLAIN)
        for statement in statements:
            match statement:
                case ast.Pass() | ast.Expr(value=ast.Constant()):
                    continue
                case ast.If() if _only_for_types(statement):
                    continue
                case ast.Import() | ast.ImportFrom() if plain:
                    continue
                case ast.AnnAssign(value=None) if not in_class:
                    continue
                case ast.AnnAssign() if not in_class:
                    statement = ast.Assign([statement.target], statement.value)
            said.append(self.of(statement))
        return "[" + ",".join(said) + "]"

    def _dotted(self, node: ast.AST) -> str | None:
        tail: list[str] = []
        while isinstance(node, ast.Attribute):
            tail.insert(0, node.attr)
            node = node.value
        if isinstance(node, ast.Name) and node.id in self.bound:
            return ".".join([self.bound[node.id], *tail])
        return None


_BLOCKS = ("body", "orelse", "finalbody")
# Where it does not matter which import comes first: not where one may fail, or in a class.
_PLAIN = (ast.Module, ast.FunctionDef, ast.AsyncFunctionDef, ast.If, ast.With)


def _only_for_types(node: ast.If) -> bool:
    return not node.orelse and getattr(node.test, "id", getattr(node.test, "attr", "")) == "TYPE_CHECKING"


def _bindings(node: ast.Import | ast.ImportFrom) -> dict[str, str]:
    """Name -> dotted name behind it. Of a star, the module."""
    if isinstance(node, ast.Import):  # `import a.b` binds a
        return {
            a.asname or a.name.partition(".")[0]: a.name if a.asname else a.name.partition(".")[0] for a in node.names
        }
    start = "." * node.level + (f"{node.module}." if node.module else "")
    return {a.asname or a.name: start + a.name for a in node.names}


def _imports(tree: ast.Module) -> tuple[dict[str, str], list[tuple[str, str]], set[str], set[str]]:
    """Names that imports alone bind, in one way; (name, dotted) of the others; what nothing names; and all of it."""
    ways: dict[str, dict[str, None]] = {}  # in the order of the source
    otherwise, named, imports = set(), set(), set()
    for node in _run(tree):
        match node:
            case ast.Import() | ast.ImportFrom():
                if getattr(node, "module", None) == "__future__":
                    continue
                for name, dotted in _bindings(node).items():
                    ways.setdefault(name, {})[dotted] = None
                    imports.add(dotted)
                imports.update(a.name for a in node.names if isinstance(node, ast.Import))
            case ast.Name():
                named.add(node.id)
                if not isinstance(node.ctx, ast.Load):
                    otherwise.add(node.id)
            case ast.Constant(value=str(value)):
                imports.update(_OURS.findall(value))
            case ast.arg():
                otherwise.add(node.arg)
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                otherwise.add(node.name)
            case ast.ExceptHandler() | ast.MatchAs() | ast.MatchStar():
                otherwise.add(node.name)
            case ast.MatchMapping():
                otherwise.add(node.rest)
            case ast.Global() | ast.Nonlocal():
                otherwise.update(node.names)
    bound = {name: next(iter(found)) for name, found in ways.items() if len(found) == 1 and name not in otherwise}
    doubtful = [(name, dotted) for name in sorted(ways.keys() - bound) for dotted in ways[name]]
    loose = {dotted for name, dotted in bound.items() if name not in named} - {"typing", "typing.TYPE_CHECKING"}
    return bound, doubtful, loose, imports


def _run(tree: ast.AST) -> Iterator[ast.AST]:
    """Every node but docstrings and those that only a type checker reads, top to bottom."""
    match tree:
        case ast.Expr(value=ast.Constant()):
            return
        case ast.If() if _only_for_types(tree):
            return
    yield tree
    for node in ast.iter_child_nodes(tree):
        yield from _run(node)
