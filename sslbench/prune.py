"""``python -m sslbench.prune``: what the store holds that no result uses; with ``--yes``, delete it.

An entry is used where a results/**/run.json names its digest. Entries that a running process holds are left alone.
"""

import argparse
import json
from pathlib import Path

from sslbench.engine.store import prune


def used_digests(results: Path) -> set[str]:
    """The digests that finished cells under ``results`` name."""
    digests = set()
    for run in results.glob("*/*/*/seed*/run.json"):
        try:
            digests.add(json.loads(run.read_text(encoding="utf-8"))["digest"])
        except (ValueError, KeyError):
            print(
                f"sslbench: {run} is not a run.json of ours; its store entry, if any, cannot be told and may be listed"
            )
    return digests


def main() -> None:
    parser = argparse.ArgumentParser(prog="make prune", description=__doc__)
    parser.add_argument("--results", type=Path, default=Path("results"))
    parser.add_argument("--yes", action="store_true", help="delete what is listed")
    options = parser.parse_args()
    removed = prune(options.results / ".store", used_digests(options.results), dry_run=not options.yes)
    for entry in removed:
        state = "finished" if entry.finished else "unfinished"
        print(f"{entry.digest[:12]}  {entry.bytes / 1e6:10,.1f} MB  {state}")
    total = sum(entry.bytes for entry in removed) / 1e6
    verb = "deleted" if options.yes else "not used by any result; YES=1 deletes them"
    print(f"sslbench: {len(removed)} entries, {total:,.1f} MB, {verb}")


if __name__ == "__main__":
    main()
