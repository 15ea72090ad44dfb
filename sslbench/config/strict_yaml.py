"""``python -m sslbench.config.strict_yaml mine.yaml ...``: what YAML drops or changes without a word in config files.

Snakemake's reader keeps the last of two equal keys, reads ``010`` as 8, and of a broken file names neither file nor
line. The Snakefile looks through every config file with this module.
"""

import json
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import yaml

from sslbench.errors import UserError

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_RESOLVER = yaml.resolver.Resolver()
_TAG = "tag:yaml.org,2002:"
_WORDS = re.compile(r"yes|no|on|off", re.IGNORECASE)
# What YAML 1.2, and whoever writes a config file, takes for a number
_NUMBERS = {
    "int": re.compile(r"[-+]?(0|[1-9][0-9]*)|0x[0-9a-fA-F]+"),
    "float": re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"),
}
_LOST = re.compile(r"[-+]?[0-9]+|0o[0-7]+")  # and YAML 1.1 for text


def check(files: Iterable[Path]) -> None:
    """Raise UserError for the first file that cannot be read, holds a key twice in one place, at any depth, or a
    scalar that YAML 1.1 changes, naming file and line."""
    for file in files:
        _check(Path(file))


def _check(file: Path) -> None:
    try:
        text = file.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise UserError(f"{file}: there is no such config file") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{file}: is not UTF-8 (byte {error.start + 1}); save it as UTF-8") from None
    except OSError as error:
        raise UserError(f"{file}: the config file cannot be read ({error.strerror})") from None
    is_json = _is_json(text)
    try:
        root = yaml.compose(text.replace("\t", " ") if is_json else text, _LOADER)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        why = str(error.problem or error.context)
        why = "a tab, and YAML is indented by blanks" if "tab" in why or "\\t" in why else why
        raise UserError(f"{file}: {where}is not YAML: {why}") from None
    except (yaml.YAMLError, RecursionError) as error:
        raise UserError(f"{file}: is not YAML: {str(error) or 'nested too deep'}") from None
    if root is not None and not isinstance(root, yaml.MappingNode):
        raise UserError(f"{file}: has no keys at its top; write e.g. name: mine (docs/your-own-images.md)")
    for where, node, is_key in _nodes(root):
        if isinstance(node, yaml.MappingNode):
            _require_once(file, where, node)
        elif isinstance(node, yaml.ScalarNode) and not node.style and not is_json:
            _require_unchanged(file, where, node, is_key)


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _nodes(root: yaml.Node | None) -> Iterator[tuple[str, yaml.Node, bool]]:
    """Every node once, whatever anchors repeat, in the file's order, with its dotted key, and whether it is a key."""
    waiting, seen = [("", root, False)] if root is not None else [], set()
    while waiting:
        where, node, is_key = waiting.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        yield where, node, is_key
        if isinstance(node, yaml.MappingNode):
            for key, value in reversed(node.value):
                below = f"{where}.{key.value}".lstrip(".") if isinstance(key, yaml.ScalarNode) else where
                waiting += [(below, value, False), (below, key, True)]
        elif isinstance(node, yaml.SequenceNode):
            waiting += [(f"{where}[{n}]", child, False) for n, child in reversed(list(enumerate(node.value)))]


def _require_once(file: Path, where: str, node: yaml.MappingNode) -> None:
    lines: dict[tuple[str, str], int] = {}
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode):
            continue
        line = key.start_mark.line + 1
        first = lines.get((key.tag, key.value))
        if first is not None:
            name = f"{where}.{key.value}".lstrip(".")
            raise UserError(
                f"{file}: {name} is given twice, on lines {first} and {line}, and YAML keeps the last: merge them"
            )
        lines[key.tag, key.value] = line


def _require_unchanged(file: Path, where: str, node: yaml.ScalarNode, is_key: bool) -> None:
    text, kind, place = node.value, node.tag.removeprefix(_TAG), f"{file}: line {node.start_mark.line + 1}"
    if node.tag != _RESOLVER.resolve(yaml.ScalarNode, text, (True, False)):
        return  # its kind is written beside it: !!str 010
    if kind == "bool" and is_key and _WORDS.fullmatch(text):
        raise UserError(f"{place}: the key {text} is {yaml.safe_load(text)} to YAML; put it in quotes")
    changed = kind == "timestamp" or (kind in _NUMBERS and not _NUMBERS[kind].fullmatch(text))
    if changed or (kind == "str" and _LOST.fullmatch(text)):
        try:
            meaning = "text" if kind == "str" else "a date" if kind == "timestamp" else repr(yaml.safe_load(text))
        except ValueError:
            meaning = "a date"
        raise UserError(f"{place}: {where}: {text} is {meaning} to YAML; write the plain number, or put text in quotes")


if __name__ == "__main__":
    try:
        check(map(Path, sys.argv[1:]))
    except UserError as found:
        sys.exit(f"sslbench: {found}")
