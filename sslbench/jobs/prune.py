"""``python -m sslbench.jobs.prune``: what the store holds that no result uses; with ``--yes``, delete it.

An entry is used where a results/**/run.json names its digest, or a finetune.json names it among its runs. Kept as well
are entries that a running process holds, and recent ones: checkpoints of a run that was interrupted, and finished cells
whose results have gone since, as they do where a run with a mistyped setting takes their place.
"""

import argparse
import json
from collections import Counter
from pathlib import Path

from sslbench.config.evaluation import FILES
from sslbench.store.entries import HELD, RECENT, USED, prune

DAYS = 14
TUNED = FILES["finetune"]


def used_digests(results: Path) -> set[str]:
    """The digests that finished cells and fine-tunings under ``results`` name."""
    digests: set[str] = set()
    for name, named in (("run.json", lambda found: [found["digest"]]), (TUNED, lambda found: found["runs"])):
        for file in results.glob(f"*/*/*/seed*/{name}"):
            try:
                digests.update(named(json.loads(file.read_text(encoding="utf-8"))))
            except (ValueError, KeyError, TypeError):
                print(
                    f"sslbench: {file} is not a {name} of ours; its store entries, if any, cannot be told and may be "
                    "listed"
                )
    return digests


def main() -> None:
    parser = argparse.ArgumentParser(prog="make prune", description=__doc__)
    parser.add_argument("--results", type=Path, default=Path("results"), help="paths.results of the config")
    parser.add_argument("--days", type=float, default=DAYS, help=f"keep what is younger (default {DAYS}; 0: nothing)")
    parser.add_argument("--yes", action="store_true", help="delete what is listed")
    options = parser.parse_args()
    store = options.results / ".store"
    entries = prune(store, used_digests(options.results), options.days, dry_run=not options.yes)
    for entry in entries:
        if entry.kept in (None, RECENT):
            state = "finished" if entry.finished else "unfinished"
            fate = "" if entry.kept is None else ", kept because recent"
            print(f"{entry.digest[:12]}  {entry.bytes / 1e6:10,.1f} MB  {state}{fate}")
    counts = Counter(entry.kept for entry in entries)
    print(
        f"sslbench: {len(entries) - counts[None]} entries of {store} kept: {counts[USED]} used by a result, "
        f"{counts[RECENT]} recent (younger than {options.days:g} days; --days 0 removes them too), "
        f"{counts[HELD]} held by a running process"
    )
    total = sum(entry.bytes for entry in entries if entry.kept is None) / 1e6
    verb = "deleted" if options.yes else "not used by any result; YES=1 deletes them"
    print(f"sslbench: {counts[None]} entries, {total:,.1f} MB, {verb}")


if __name__ == "__main__":
    main()
