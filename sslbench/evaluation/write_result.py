"""One JSON result of a job, written whole or not at all, with what it was made from."""

import json
from pathlib import Path
from typing import Any

from sslbench.runtime.files import write_whole
from sslbench.store import entries as store
from sslbench.store.canonical_json import document
from sslbench.store.checksum import sealed


def write(output: Path, run: Path, settings: dict[str, Any], found: dict[str, Any]) -> None:
    """Write ``found`` with the ``settings`` asked for and the digest of the cell whose run.json is ``run``.

    Both are for the report, which tells today's result from an older one by them.
    """
    store.check(Path(run))
    digest = json.loads(Path(run).read_text(encoding="utf-8"))["digest"]
    write_whole(output, document(sealed({"digest": digest, "settings": settings, **found})))
