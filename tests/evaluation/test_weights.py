"""Fetching weights: from a hub that behaves or does not, from the user's own file, and believed by their hash alone."""

import hashlib
import json
import os
import pickle
import signal
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import huggingface_hub.constants
import huggingface_hub.file_download
import pytest
import safetensors.torch
import timm
import torch

from sslbench.config.weights import Weights
from sslbench.errors import UserError
from sslbench.evaluation import weights
from sslbench.evaluation.weights import fetch
from tests import killed

TAG = "test_vit.r160_in1k"
REPOSITORY = f"timm/{TAG}"


class Hub:
    """A hub of one repository.

    ``cuts``: after how many bytes each of the next answers breaks off; ``then``: what happens before it does.
    """

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files, self.cuts, self.asked, self.then = files, [], [], lambda: None
        self.hashes = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                self.answer(None)

            def do_GET(self) -> None:
                start = int((self.headers.get("Range") or "bytes=0-")[6:].partition("-")[0])
                hub.asked.append((self.path, start))
                self.answer(start)

            def answer(self, start: int | None) -> None:
                name = self.path.rpartition("/")[2]
                known = self.path == f"/{REPOSITORY}/resolve/main/{name}" and name in hub.files
                self.send_response(404 if not known else 206 if start else 200)
                if not known:
                    self.send_header("X-Error-Code", "EntryNotFound")
                    self.send_header("Content-Length", "0")
                    return self.end_headers()
                rest = hub.files[name][start or 0 :]
                self.send_header("Content-Length", str(len(rest)))
                self.send_header("ETag", f'"{hub.hashes[name]}"')
                self.send_header("X-Repo-Commit", "c0ffee")
                self.end_headers()
                if start is not None:
                    cut = hub.cuts.pop(0) if hub.cuts else None
                    self.wfile.write(rest[:cut])
                    if cut:
                        hub.then()
                    self.close_connection = True

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return timm.create_model("test_vit").state_dict()


@pytest.fixture
def hub(state, tmp_path, monkeypatch) -> Iterator[Hub]:
    """At HF_ENDPOINT, with an empty cache, and no waiting between tries."""
    serving = Hub({"model.safetensors": safetensors.torch.save(state)})
    monkeypatch.setenv("HF_ENDPOINT", serving.url)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(huggingface_hub.constants, "DOWNLOAD_CHUNK_SIZE", 100_000)  # bytes that a cut may cost
    monkeypatch.setattr(huggingface_hub.file_download.time, "sleep", lambda seconds: None)
    yield serving
    serving.server.shutdown()
    serving.server.server_close()


def fetched(entry: Weights, data: Path) -> dict:
    return fetch("mine", entry, data, log=lambda line: None)


def same_weights(file: Path, state: dict[str, torch.Tensor]) -> bool:
    found = safetensors.torch.load_file(file)
    return bool(found) and all(torch.equal(found[name], state[name]) for name in found)


def test_a_tag_comes_from_the_hub_and_says_how_it_sees_images(hub, state, tmp_path):
    told = fetched(Weights(timm=TAG), tmp_path)
    home = tmp_path / "weights" / "mine"
    assert told == json.loads((home / "weights.json").read_text())
    assert same_weights(home / "backbone.safetensors", state) and "head.weight" in state
    published = timm.get_pretrained_cfg(TAG)
    assert (told["input_size"], told["interpolation"]) == (published.input_size[1], published.interpolation)
    assert (told["mean"], told["std"]) == (list(published.mean), list(published.std))
    assert told["sha256"] == hub.hashes["model.safetensors"] and told["licence"] == published.license
    asked = list(hub.asked)
    assert fetched(Weights(timm=TAG), tmp_path) == told and hub.asked == asked  # what is whole is not sent again
    hub.server.shutdown()
    hub.server.server_close()
    assert fetched(Weights(timm=TAG), tmp_path) == told  # nor missed where the network is gone


def test_a_download_that_is_cut_goes_on_where_it_was_even_in_another_run(hub, state, tmp_path):
    hub.cuts = [300_000, 200_000]
    fetched(Weights(timm=TAG), tmp_path)
    assert [start for _, start in hub.asked] == [0, 300_000, 500_000]
    hub.asked.clear()
    part = hashlib.sha256(hub.hashes["model.safetensors"].encode()).hexdigest()[:12]
    home = tmp_path / "killed" / "weights" / "mine"
    home.mkdir(parents=True)
    (home / f"model.safetensors.{part}.part").write_bytes(hub.files["model.safetensors"][:400_000])
    fetched(Weights(timm=TAG), tmp_path / "killed")
    assert [start for _, start in hub.asked] == [400_000]
    assert same_weights(home / "backbone.safetensors", state)


@pytest.mark.parametrize("moment", ["while it downloads", "before it is said to be whole"])
def test_a_fetch_that_is_killed_goes_on_and_ends_in_the_same_bytes(hub, tmp_path, moment):
    fetched(Weights(timm=TAG), tmp_path / "whole")
    whole, home = tmp_path / "whole" / "weights" / "mine", tmp_path / "killed" / "weights" / "mine"
    pid: list[int] = []

    def kill() -> None:
        until = time.monotonic() + 20
        while time.monotonic() < until and not (pid and sum(file.stat().st_size for file in home.glob("*.part"))):
            time.sleep(0.002)
        os.kill(pid[0], signal.SIGKILL)

    def work() -> None:
        if "whole" in moment:
            weights.write_json = killed.now
        fetched(Weights(timm=TAG), tmp_path / "killed")

    if "downloads" in moment:
        hub.cuts, hub.then = [500_000], kill
    pid.append(killed.start(work))
    assert killed.ended(pid[0]) == signal.SIGKILL
    parts = [file.stat().st_size for file in home.glob("*.part")]
    assert not (home / "weights.json").exists() and len(parts) == ("downloads" in moment) and 0 not in parts
    hub.asked.clear()
    fetched(Weights(timm=TAG), tmp_path / "killed")
    assert [start for _, start in hub.asked] == parts  # from where it was, and nothing twice
    for file in ("weights.json", "backbone.safetensors", "model.safetensors"):
        assert (home / file).read_bytes() == (whole / file).read_bytes()
    assert {file.name for file in home.iterdir()} == {file.name for file in whole.iterdir()}


def test_a_connection_that_is_cut_for_good_is_one_line_and_keeps_what_came(hub, tmp_path):
    hub.cuts = [200_000, *[0] * 20]
    with pytest.raises(
        UserError, match=r"weights\.mine: the hub cannot be reached for http.*model\.safetensors: .* path: <the file>"
    ):
        fetched(Weights(timm=TAG), tmp_path)
    (part,) = (tmp_path / "weights" / "mine").glob("*.part")
    assert part.stat().st_size == 200_000 and not list(tmp_path.rglob("weights.json"))


@pytest.mark.parametrize("damage", ["on the way", "another than the config's"])
def test_weights_of_another_hash_are_refused(hub, tmp_path, damage):
    entry = Weights(timm=TAG)
    if damage == "on the way":
        hub.files["model.safetensors"] = hub.files["model.safetensors"][:-1] + b"\0"
        line = r"its sha256 is [0-9a-f]{64}, and the hub says [0-9a-f]{64}: it is set aside"
    else:
        entry = Weights(timm=TAG, sha256="0" * 64)
        line = r"the sha256 of .*model\.safetensors is [0-9a-f]{64}, not 0{64}"
    with pytest.raises(UserError, match=rf"weights\.mine: .*{line}"):
        fetched(entry, tmp_path)
    assert not list(tmp_path.rglob("weights.json")) and not list(tmp_path.rglob("backbone.safetensors"))


def test_a_repository_or_a_file_that_is_not_there_is_named(hub, state, tmp_path):
    with pytest.raises(UserError, match=r"weights\.mine: some/where on the hub has no config\.json"):
        fetched(Weights(hub="some/where"), tmp_path)
    hub.files = {"config.json": json.dumps({"architecture": "test_vit"}).encode()}
    hub.hashes["config.json"] = "v1"
    with pytest.raises(UserError, match=r"has no model\.safetensors or pytorch_model\.bin"):
        fetched(Weights(hub=REPOSITORY), tmp_path)


def test_a_repository_with_a_config_is_read_by_it(hub, state, tmp_path):
    published = {"input_size": [3, 160, 160], "num_classes": 1000, "mean": [0.1] * 3, "classifier": "head"}
    hub.files["config.json"] = json.dumps({"architecture": "test_vit", "pretrained_cfg": published}).encode()
    hub.hashes["config.json"] = "v1"
    told = fetched(Weights(hub=REPOSITORY, input_size=64), tmp_path)
    assert (told["architecture"], told["input_size"], told["mean"]) == ("test_vit", 64, [0.1] * 3)


def test_without_a_network_one_line_names_the_file_and_where_to_give_it(tmp_path, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{port}")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    file = rf"http://127\.0\.0\.1:{port}/timm/test_vit\.r160_in1k/resolve/main/model\.safetensors"
    line = rf"weights\.mine: the hub cannot be reached for {file}: download it .*, and add path: <the file> to this"
    with pytest.raises(UserError, match=line):
        fetched(Weights(timm=TAG), tmp_path)


def test_the_hubs_cache_is_read_before_the_network(state, tmp_path, monkeypatch):
    cache = tmp_path / "cache" / f"models--{REPOSITORY.replace('/', '--')}"
    kept = cache / "snapshots" / "c0ffee" / "model.safetensors"
    kept.parent.mkdir(parents=True)
    safetensors.torch.save_file(state, kept)
    (cache / "refs").mkdir()
    (cache / "refs" / "main").write_text("c0ffee")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    fetched(Weights(timm=TAG), tmp_path)
    assert same_weights(tmp_path / "weights" / "mine" / "backbone.safetensors", state)


class Harmful:
    ran = False

    def __reduce__(self) -> tuple:
        return setattr, (Harmful, "ran", True)


@pytest.mark.parametrize("fault", ["code", "another network", "not whole", "no file"])
def test_a_file_of_ones_own_is_read_as_tensors_alone_and_has_to_fit(state, tmp_path, fault):
    file = tmp_path / ("own.pth" if fault == "code" else "own.safetensors")
    if fault == "code":
        file.write_bytes(pickle.dumps({"state_dict": Harmful()}))
        line = "holds no weights that can be read as tensors alone"
    elif fault == "another network":
        safetensors.torch.save_file({"conv1.weight": torch.zeros(1)}, file)
        line = r"own\.safetensors is not of timm's test_vit: it lacks 78 of its weights, as cls_token"
    elif fault == "not whole":
        part = {name: value for name, value in state.items() if name != "blocks.0.mlp.fc1.weight"}
        safetensors.torch.save_file(part, file)
        line = r"is not of timm's test_vit: it lacks 1 of its weights, as blocks\.0\.mlp\.fc1\.weight"
    else:
        line = r"path: .*own\.safetensors is neither a file nor a folder with model\.safetensors or "
    with pytest.raises(UserError, match=rf"weights\.mine: .*{line}"):
        fetched(Weights(timm=TAG, path=file), tmp_path)
    assert not Harmful.ran and not list(tmp_path.rglob("weights.json"))


def test_a_size_that_the_patches_do_not_fit_is_refused_with_those_that_do(state, tmp_path):
    safetensors.torch.save_file(state, tmp_path / "own.safetensors")
    with pytest.raises(UserError, match=r"weights\.mine: input_size: 70 is no multiple .* 16 px .*; write 64 or 80$"):
        fetched(Weights(timm=TAG, path=tmp_path / "own.safetensors", input_size=70), tmp_path)


def test_torchs_own_files_are_read_too(state, tmp_path):
    torch.save({"state_dict": state}, tmp_path / "own.pth")
    fetched(Weights(timm=TAG, path=tmp_path / "own.pth"), tmp_path)
    assert same_weights(tmp_path / "weights" / "mine" / "backbone.safetensors", state)
