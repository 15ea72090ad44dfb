"""The compiled library: kept, rebuilt where it is damaged, and done without where there is no compiler."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from sslbench.errors import UserError
from sslbench.runtime import files
from sslbench.store.code_fingerprint import ROOT
from sslbench.transforms.cpu import backend, build, selftest

SAID = backend.configure("auto")
COMPILES = pytest.mark.skipif(backend.native() is None and "disagrees" not in SAID, reason=SAID)

FLAGS = build.FLAGS
QUICK = ("-O0", *(flag for flag in FLAGS if flag != "-O3"))  # compiles in a fifth of the time

# Torch is imported once: the processes are forks, each of which makes its own library or finds the other's.
THREE_PROCESSES = """
import hashlib, multiprocessing, os, sys, torch
from pathlib import Path
from sslbench.data.pack.read import Pictures
from sslbench.transforms.cpu import backend
from sslbench.transforms.pipeline import ViewMaker
torch.set_num_threads(1)
crop = {"op": "random_resized_crop", "scale": (0.2, 1.0), "ratio": (0.75, 1.33)}
batch = Pictures.from_list([torch.arange(3 * 40 * 50).remainder(251).to(torch.uint8).view(3, 40, 50)] * 4)

def work(name, environment):
    os.environ |= environment
    said = backend.configure("auto")
    maker = ViewMaker([crop, {"op": "grayscale", "p": 0.5}], 32)
    images = maker.make(batch, torch.Generator().manual_seed(0)).images
    digest = hashlib.sha256(images.mul(1e4).round().numpy().tobytes()).hexdigest()
    Path(sys.argv[1], name).write_text(said + "\\n" + digest)

kinds = {"first": {}, "second": {}, "without": {"CC": "false"}}
processes = [multiprocessing.get_context("fork").Process(target=work, args=kind) for kind in kinds.items()]
[process.start() for process in processes]
[process.join() for process in processes]
assert [process.exitcode for process in processes] == [0, 0, 0]
"""


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setattr(build, "FLAGS", QUICK)
    yield tmp_path / "cache" / "sslbench"
    monkeypatch.undo()
    backend.configure("auto")


@pytest.fixture(scope="module")
def compiled(tmp_path_factory) -> Path:
    """A cache with the library in it, compiled once for all tests that need it there at their start."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("compiled")))
        patch.delenv("CC", raising=False)
        patch.setattr(build, "FLAGS", QUICK)
        backend.configure("native")
        return build._folder()[0]


@pytest.fixture
def kept(cache, compiled) -> Path:
    """The library in this test's own cache."""
    shutil.copytree(compiled, cache)
    assert "compiled in" not in backend.configure("native")
    (found,) = libraries(cache)
    return found


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> dict[str, list[str]]:
    """Log line and digest of a view of three processes at once: two in an empty cache, and one without a compiler."""
    cache, said = tmp_path_factory.mktemp("shared"), tmp_path_factory.mktemp("said")
    environment = os.environ | {"XDG_CACHE_HOME": str(cache)}
    environment.pop("CC", None)
    subprocess.run([sys.executable, "-c", THREE_PROCESSES, said], check=True, cwd=ROOT, env=environment)
    return {path.name: path.read_text().splitlines() for path in said.iterdir()} | {"cache": [str(cache)]}


def libraries(cache: Path) -> list[Path]:
    return sorted(cache.glob("*.so"))


def edited_copy(folder: Path, file: str, edit) -> Path:
    """The C sources in ``folder``, with one file edited."""
    folder.mkdir()
    for path in Path(build.__file__).parent.glob("*.[ch]"):
        text = path.read_text()
        (folder / path.name).write_text(edit(text) if path.name == file else text)
    assert (folder / file).read_text() != (Path(build.__file__).parent / file).read_text()
    return folder


@COMPILES
def test_it_is_compiled_once_and_says_so_once(cache):
    assert "compiled in" in backend.configure("native")
    (kept,) = libraries(cache)
    before = kept.stat().st_mtime_ns
    assert backend.configure("native") == f"views: native ({backend.native().compiler})"
    assert libraries(cache) == [kept] and kept.stat().st_mtime_ns == before
    assert sorted(path.suffix for path in cache.iterdir()) == [".sha256", ".so"]  # nothing half-made lies about
    assert backend.version() == f"native, {backend.native().compiler}"


@COMPILES
@pytest.mark.parametrize("damage", ["cut", "changed", "empty", "no sum"])
def test_a_damaged_file_is_built_anew(cache, kept, damage):
    whole = kept.read_bytes()
    if damage == "no sum":
        kept.with_suffix(".sha256").unlink()
    else:
        broken = {"cut": whole[: len(whole) // 2], "changed": whole[:-1] + bytes([whole[-1] ^ 1]), "empty": b""}
        kept.unlink()  # the file that this process has mapped stays whole
        kept.write_bytes(broken[damage])
    assert "compiled in" in backend.configure("native")
    assert libraries(cache) == [kept] and kept.read_bytes() == whole
    assert "compiled in" not in backend.configure("native")


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"PATH": ""}, r"no C compiler was found \(cc, gcc, clang\)"),
        ({"CC": "no-such-compiler"}, r"no C compiler was found \(no-such-compiler\)"),
        ({"CC": "false"}, r"the C compiler failed \(false: exit code 1\)"),
    ],
)
def test_without_a_compiler_views_are_made_eagerly_and_the_log_says_why(monkeypatch, environment, said):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    line = backend.configure("auto")
    assert line.startswith("views: made by torch's operations, which are slower, since ") and "\n" not in line
    assert backend.native() is None and backend.version() == "eager"
    with pytest.raises(UserError, match=f"compute.views is 'native', but {said}; install a C compiler"):
        backend.configure("native")


def test_a_run_without_a_compiler_makes_the_same_views(runs):
    assert "made by torch's operations" in runs["without"][0]
    assert runs["first"][1] == runs["without"][1]


@COMPILES
def test_two_processes_may_compile_at_once(runs, monkeypatch):
    assert all("native" in runs[name][0] for name in ("first", "second")) and runs["first"][1] == runs["second"][1]
    (base,) = runs["cache"]
    assert len(libraries(Path(base) / "sslbench")) == 1
    monkeypatch.setenv("XDG_CACHE_HOME", base)
    monkeypatch.setattr(build, "FLAGS", FLAGS)
    assert "compiled in" not in backend.configure("native")


@COMPILES
def test_a_folder_that_cannot_be_written_is_done_without(cache, tmp_path, monkeypatch):
    (tmp_path / "a file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "a file"))
    assert "compiled in" in backend.configure("native")


@COMPILES
@pytest.mark.parametrize("mode", [0o777, 0o775, 0o1777])
def test_a_cache_that_others_may_write_is_not_loaded_from(cache, kept, mode):
    kept.unlink()  # the file that this process has mapped stays whole
    kept.write_bytes(b"planted")
    kept.with_suffix(".sha256").write_text(hashlib.sha256(b"planted").hexdigest())
    cache.chmod(mode)
    line = backend.configure("native")
    assert "compiled in" in line and "\n" not in line
    assert line.endswith(f"the kept library was not used, since {cache} may be written by other users (chmod go-w)")
    assert kept.read_bytes() == b"planted"  # what was made lies elsewhere


@COMPILES
@pytest.mark.parametrize("suffix", [".so", ".sha256"])
def test_a_file_that_others_may_write_is_replaced_by_a_private_one(cache, kept, suffix):
    kept.with_suffix(suffix).chmod(0o666)
    line = backend.configure("native")
    assert "compiled in" in line and "may be written by other users" in line
    assert {path.stat().st_mode & 0o077 for path in cache.iterdir()} == {0}
    assert "not used" not in backend.configure("native")


@COMPILES
def test_what_another_user_owns_is_not_loaded(cache, kept, monkeypatch):
    if os.getuid() == 0:
        os.chown(kept, 12345, -1)
    else:  # whoever is not root gives nothing away
        monkeypatch.setattr(files.os, "geteuid", lambda: os.getuid() + 1)
    assert f"since {kept if os.getuid() == 0 else cache} belongs to another user" in backend.configure("native")


def test_new_caches_are_private_whatever_umask_says(cache):
    before = os.umask(0)
    try:
        assert build._folder() == (cache, "")
    finally:
        os.umask(before)
    assert cache.stat().st_mode & 0o077 == 0


@COMPILES
def test_a_library_that_miscomputes_is_found_out(monkeypatch, tmp_path):
    for file, right, wrong, name in [
        ("color.h", "const float rest = (float)mean * (1 - factor);", "const float rest = 0;", "color_jitter"),
        ("resize.h", "sum >> taps->bits", "(sum + 1000) >> taps->bits", "crop"),
        ("blur.h", "return i < size ? i : 2 * (size - 1) - i;", "return i < size ? i : size - 1;", "gaussian_blur"),
    ]:
        sources = edited_copy(tmp_path / name, file, lambda text, right=right, wrong=wrong: text.replace(right, wrong))
        monkeypatch.setattr(build, "SOURCES", sources)
        assert f"disagrees with torch's operations ({name})" in backend.configure("auto")
        assert backend.native() is None


@COMPILES
def test_the_check_is_quick_and_leaves_the_random_state_alone():
    state = torch.get_rng_state()
    assert selftest.disagreement(backend.native()) is None
    assert torch.equal(state, torch.get_rng_state())


@COMPILES
def test_source_compiler_and_processor_each_make_a_library_of_their_own(cache, kept, monkeypatch, tmp_path):
    monkeypatch.setattr(build, "_processor", lambda: "another")
    backend.configure("native")
    sources = edited_copy(tmp_path / "sources", "image.h", lambda text: text + "/* edited */")
    monkeypatch.setattr(build, "SOURCES", sources)
    backend.configure("native")
    assert len(libraries(cache)) == 3
