"""Tiny datasets of every registered kind, made on the spot, and a web server that misbehaves on demand."""

import contextlib
import json
import os
import re
import tarfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sslbench import registry
from sslbench.data.layouts import imagenette, imagewoof
from sslbench.data.pack.write import pack
from sslbench.data.sources.fetch import fetch
from sslbench.data.spec import DatasetSettings

REAL = os.environ.get("SSLBENCH_REAL_DATA")


def real(name: str) -> Path:
    """A file of real pictures; the test is skipped where it is missing."""
    if not REAL:
        pytest.skip(f"SSLBENCH_REAL_DATA is not set; set it to the folder that holds {name}")
    if not (Path(REAL) / name).is_file():
        pytest.skip(f"{name} is not below {REAL}, the folder of SSLBENCH_REAL_DATA")
    return Path(REAL) / name


def picture(seed: int, height: int = 12, width: int = 10) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, size=(height, width, 3), dtype=np.uint8)


def save(path: Path, pixels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, "JPEG" if path.suffix.lower() in (".jpg", ".jpeg") else "PNG")
    return path


def tar_of(folder: Path, archive: Path, mode: str = "w:gz") -> Path:
    with tarfile.open(archive, mode) as tar:
        tar.add(folder, folder.name)
    return archive


def settings_of(kind: str, **values: object) -> DatasetSettings:
    return registry.load(registry.DATASETS[kind]).Settings(**values)


def packed(settings: DatasetSettings, folder: Path, pack_size: int = 8, jobs: int = 1, name: str = "made") -> Path:
    """Fetch and pack below ``folder``; returns the pack's folder."""
    fetch(settings, folder / "sources" / name)
    out = folder / "packed" / name
    pack(settings, folder / "sources" / name / "source.json", out, pack_size, jobs)
    return out


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def _train_val(root: Path, wnids: list[str]) -> Path:
    for c, wnid in enumerate(wnids):
        for part, count in (("train", 3), ("val", 2)):
            for i in range(count):
                name = f"ILSVRC2012_val_{c:04}{i:04}" if i == 0 else f"{wnid}_{i}"
                save(root / part / wnid / f"{name}.JPEG", picture(100 * c + 10 * (part == "val") + i))
    return root


def make_imagenette(root: Path) -> Path:
    return _train_val(root / "imagenette2-160", list(imagenette.TITLES)[:3])


def make_imagewoof(root: Path) -> Path:
    return _train_val(root / "imagewoof2", list(imagewoof.TITLES)[:3])


def make_imagenet(root: Path) -> Path:
    """Three classes with a file of titles, in an order that is not that of their names."""
    top = _train_val(root / "imagenet", ["n01440764", "n02102040", "n03888257"])
    (top / "LOC_synset_mapping.txt").write_text("n03888257 parachute, chute\nn01440764 tench\nn02102040 springer\n")
    return top


def make_nabirds(root: Path) -> Path:
    """Three classes with gaps in their ids, six pictures each, two of them test."""
    top = root / "nabirds"
    lines: dict[str, list[str]] = {"images": [], "image_class_labels": [], "train_test_split": []}
    for c, label in enumerate((295, 817, 1010)):
        for i in range(6):
            key = str(uuid.UUID(int=(c * 7919 + i * 104729) ** 5))
            path = f"{label:04}/{key.replace('-', '')}.jpg"
            save(top / "images" / path, picture(10 * c + i))
            lines["images"].append(f"{key} {path}")
            lines["image_class_labels"].append(f"{key} {label}")
            lines["train_test_split"].append(f"{key} {int(i > 1)}")
    for name, content in lines.items():
        (top / f"{name}.txt").write_text("\n".join(sorted(content)) + "\n")
    (top / "classes.txt").write_text("0 Birds\n295 Common Eider (Adult male)\n817 Oak Titmouse\n1010 Dark-eyed Junco\n")
    return top


def make_folder(root: Path) -> Path:
    for c, name in enumerate(("cat", "dog", "été 5")):
        for i in range(5):
            save(root / "pets" / name / f"{i} of {name}.png", picture(10 * c + i))
    return root / "pets"


def make_table(root: Path) -> Path:
    """Two classes of five patients, two images each, in a table with a semicolon, beside a folder of images."""
    rows = ["Image;Label;Patient"]
    for i in range(20):
        save(root / "scans" / "images" / f"{i:02}.png", picture(i))
        rows.append(f"images/{i:02}.png;{'01' if i < 10 else '1'};p{i // 2}")
    (root / "scans" / "labels.csv").write_text("\n".join(rows) + "\n")
    return root / "scans" / "labels.csv"


def make_eurosat(root: Path) -> Path:
    """Two classes of ten images, as torchvision leaves them below its root, which is returned."""
    for c, name in enumerate(("Forest", "River")):
        for i in range(10):
            save(root / "open" / "eurosat" / "2750" / name / f"{name}_{i}.jpg", picture(10 * c + i))
    return root / "open"


def shapes_settings() -> DatasetSettings:
    return settings_of("shapes", train_per_class=2, test_per_class=1, size=16)


# kind -> settings of a tiny dataset made below a folder; every registered kind has an entry (test_every_dataset.py)
TINY: dict[str, Callable[[Path], DatasetSettings]] = {
    "imagenet": lambda root: settings_of("imagenet", path=make_imagenet(root)),
    "imagenette": lambda root: settings_of("imagenette", archive=tar_of(make_imagenette(root), root / "a.tgz")),
    "imagewoof": lambda root: settings_of("imagewoof", archive=tar_of(make_imagewoof(root), root / "a.tgz")),
    "nabirds": lambda root: settings_of("nabirds", archive=tar_of(make_nabirds(root), root / "a.tar", "w")),
    "folder": lambda root: settings_of("folder", path=make_folder(root)),
    "table": lambda root: settings_of("table", table=make_table(root)),
    "torchvision": lambda root: settings_of("torchvision", name="EuroSAT", path=make_eurosat(root)),
    "shapes": lambda root: shapes_settings(),
    "scenes": lambda root: settings_of("scenes", train_per_class=2, test_per_class=1, size=16),
}


class Server:
    """Serves ``content`` at any path, or of several contents that of the path's name. ``plan`` says how the next requests go wrong, first come first served.

    A number is a status code; "cut:n" closes after n bytes; "hang" sends nothing; "no-range" ignores the Range header;
    "other" sends something else of the same length. When the plan is used up all goes well.
    """

    def __init__(self, content: bytes | dict[str, bytes]) -> None:
        self.content, self.plan, self.ranges = content, [], []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.answer(self)

            def log_message(self, *_: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.handle_error = lambda *_: None  # clients that leave are part of the tests
        self.url = f"http://127.0.0.1:{self.http.server_port}/set.tgz"

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        step = self.plan.pop(0) if self.plan else ""
        asked = request.headers.get("Range")
        self.ranges.append(asked)
        if isinstance(step, int):
            request.send_error(step)
            return
        if step == "hang":
            time.sleep(1.5)
            return
        start = int(re.match(r"bytes=(\d+)-", asked)[1]) if asked and step != "no-range" else 0
        content = self.content
        if isinstance(content, dict):
            content = content[request.path.rpartition("/")[2]]
        if start >= len(content):
            request.send_error(416)
            return
        content = bytes(len(content)) if step == "other" else content
        request.send_response(206 if start else 200)
        if start:
            request.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        request.send_header("Content-Length", str(len(content) - start))
        request.end_headers()
        count = int(step[4:]) if step.startswith("cut:") else len(content)
        request.wfile.write(content[start:][:count])


@contextlib.contextmanager
def serving(content: bytes | dict[str, bytes]) -> Iterator[Server]:
    server = Server(content)
    thread = threading.Thread(target=server.http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.http.shutdown()
        server.http.server_close()


def edit_json(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
