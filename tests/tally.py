"""What the tests survived, counted: one JSON line per fault that a test injected and saw mended."""

import json
import os

VARIABLE = "SSLBENCH_TALLY"


def survived(kind: str, stage: str, count: int = 1) -> None:
    """Append {kind, stage, count} to the file that $SSLBENCH_TALLY names; nothing happens where it is unset.

    A test calls it after its assertions, so that a line stands only for what was survived. One write to a file opened
    for appending: the lines of tests that run side by side do not mix.
    """
    path = os.environ.get(VARIABLE)
    if not path or count < 1:
        return
    line = json.dumps({"kind": kind, "stage": stage, "count": int(count)}, sort_keys=True) + "\n"
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(handle, line.encode())
    finally:
        os.close(handle)
