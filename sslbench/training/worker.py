"""One of the processes that rank 0 starts: it computes its share of every step, and neither writes nor decides."""

import contextlib
import json
import os
import sys
import threading
import traceback
from pathlib import Path

from sslbench.data.pack.read import PackedSet
from sslbench.errors import UserError
from sslbench.store import code_check
from sslbench.training.data_placement import place
from sslbench.training.device import computing
from sslbench.training.monitor.ledger import Ledger
from sslbench.training.process_group import READY, joined
from sslbench.training.trainer import Training
from sslbench.transforms.cpu import backend


def main() -> None:
    job = json.loads(sys.stdin.readline())
    lifeline = threading.Thread(target=_end_with_rank_0, daemon=True)
    lifeline.start()
    sys.stdout.write(READY)
    sys.stdout.flush()
    os.dup2(2, 1)  # nobody reads the pipe from here on
    try:
        follow(job)
        lifeline.join()
    except UserError as error:
        print(error, file=sys.stderr, flush=True)
    except Exception:
        traceback.print_exc()
        sys.stderr.flush()
    os._exit(1)  # without waiting for threads or for processes that are gone


def _end_with_rank_0() -> None:
    sys.stdin.read()  # until rank 0 closes it, or is gone
    os._exit(0)


def follow(job: dict) -> None:
    """Train along from the state that rank 0 hands out to the end."""
    rank, world, train = job["rank"], job["world"], job["settings"]["train"]
    with computing(job["device"], job["threads"], train, rank, world) as where:
        packed = PackedSet.open(Path(job["pack"]))  # rank 0 verifies it
        place(packed, where, job["placement"])
        if not where.cuda:
            backend.configure(job["views"])
        with joined(rank, world, where.cuda, job["port"]) as fabric:
            training = Training(job["settings"], packed, where, Ledger(where, job["threads"]))
            code_check.still_there(job.get("sources", {}))  # this process has imported them later than rank 0
            if (state := fabric.broadcast(None)) is not None:
                training.load(state)
            with contextlib.closing(training):
                while training.step < training.total_steps:
                    training.advance()
