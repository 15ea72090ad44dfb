"""One text for equal values."""

import json


def canonical(value: object) -> str:
    """JSON with sorted keys and no spaces; NaN and infinities are refused (ValueError)."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def document(value: object) -> bytes:
    """A JSON file for people, too: sorted keys, indented by 1, UTF-8; NaN and infinities are refused (ValueError)."""
    return (json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n").encode()
