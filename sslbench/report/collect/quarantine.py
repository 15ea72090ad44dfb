"""Finds the results that are not as they were made, before a report is made of them."""

import json
from pathlib import Path

from sslbench.report.collect.collect import cell_folder
from sslbench.runtime.files import file_sha256
from sslbench.store import checksum
from sslbench.store import entries as store

_STORED = ("run.json", "curve.csv", "ledger.json")  # the backbone is read, and checked, where it is used


def set_aside_damaged(plan: dict, results: Path) -> list[str]:
    """Rename every damaged result of the plan's cells, and what their packs say of themselves, so that the next run
    makes it anew; one line for each."""
    lines = []
    for pack in sorted({Path(entry["pack"]) for entry in plan["datasets"].values()}):
        manifest, findings = pack / "manifest.json", pack / "doctor.json"
        if reason := checksum.fault(manifest):
            lines.append(checksum.put_aside(manifest, reason))
        elif manifest.is_file() and findings.is_file() and not _of(manifest, findings):
            lines.append(checksum.put_aside(findings, "is not the one of its hash"))
    for entry in plan["cells"]:
        folder = cell_folder(entry, results)
        for path in sorted([*folder.glob("*.json"), *folder.glob("*.csv"), *folder.glob("*.parquet")]):
            find = store.fault if path.name in _STORED else checksum.fault
            if reason := find(path) if path.suffix != ".csv" or path.name in _STORED else None:
                lines.append(checksum.put_aside(path, reason))
    return lines


def _of(manifest: Path, findings: Path) -> bool:
    expected = json.loads(manifest.read_text(encoding="ascii")).get("files") or {}
    return expected.get(findings.name) == file_sha256(findings)
