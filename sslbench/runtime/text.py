"""Names from outside, made harmless where they are written: in logs, on the page, in tables."""

import re

# Controls but tab and line feed, what turns text round or has no width, separators of lines, halves of characters
_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e"
    "\u2060-\u206f\u3164\ufeff\uffa0\ufff0-\ufffb\ud800-\udfff\U000e0000-\U000e0fff]"
)
_FORMULA = tuple("=+-@\t\r\n＝＋－＠")


def visible(text: str) -> str:
    """``text`` with what cannot be seen, or reorders what stands beside it, as escapes such as ``\\u202e``."""
    return _HIDDEN.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def csv_value(value: object) -> object:
    """``value`` as a spreadsheet may open it: a text that it would compute begins with an apostrophe. Numbers, and
    texts that are one, stay."""
    if not isinstance(value, str):
        return value
    return f"'{visible(value)}" if value.startswith(_FORMULA) and not _number(value) else visible(value)


def _number(text: str) -> bool:
    return re.fullmatch(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?", text) is not None
