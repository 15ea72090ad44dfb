"""What finished cells say they were made from, held against the plan. No torch, no Snakemake."""

import json
from collections.abc import Sequence
from pathlib import Path

from sslbench.grid.cell import Cell
from sslbench.runtime.files import read_object
from sslbench.store.canonical_json import canonical


def differences(then: object, today: object, prefix: str = "") -> list[str]:
    """Dotted keys of the leaves in which two nested dicts differ, with both values where they are short."""
    if isinstance(then, dict) and isinstance(today, dict):
        both = then.keys() & today.keys()
        nested = (
            differences(then[key], today[key], f"{prefix}{key}.") if key in both else [prefix + key]
            for key in sorted(then.keys() | today.keys())
        )
        return [key for found in nested for key in found]
    if then == today:
        return []
    key, texts = prefix.removesuffix("."), [json.dumps(value, ensure_ascii=False) for value in (then, today)]
    return [f"{key} ({texts[0]} then, {texts[1]} today)" if max(map(len, texts)) <= 24 else key]


def changed_keys(expected: dict, run: dict, judged: dict, content_sha256: str | None) -> list[str]:
    """Dotted keys in which a finished cell differs from what the plan asks today.

    Args:
        expected: ``settings``, ``code`` and ``evaluation`` of today; what is left out is not compared.
        run: the cell's run.json.
        judged: its linear.json, {} where there is none.
        content_sha256: of the packed images, where they are packed.
    """
    keys = differences(run.get("settings", {}), expected["settings"]) if "settings" in expected else []
    if "code" in expected and run.get("code") != expected["code"]:
        keys.append("code")
    used = (run.get("data") or {}).get("content_sha256")
    if content_sha256 and used and content_sha256 != used:
        keys.append("data")
    if "evaluation" in expected and "evaluation" in judged:
        keys += [f"evaluation.{key}" for key in differences(judged["evaluation"], expected["evaluation"])]
    return keys


def in_store(cells: Sequence[tuple[Cell, str, str]], store: Path) -> int:
    """How many of ``cells`` are linked from the store, for nothing in what they are made from is new.

    Args:
        cells: each with the digest of its code and the manifest of its packed images.
        store: its folder.
    """
    kept = set()
    for path in store.glob("*/done/run.json"):
        run = read_object(path)
        kept.add(canonical([run.get("settings"), run.get("code"), (run.get("data") or {}).get("content_sha256")]))
    if not kept:
        return 0
    content = {manifest: read_object(Path(manifest)).get("content_sha256") for _, _, manifest in cells}
    return sum(canonical([cell.settings, code, content[manifest]]) in kept for cell, code, manifest in cells)
