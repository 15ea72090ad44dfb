"""The compiled library: kept, rebuilt where it is damaged, and done without where there is no compiler."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from sslbench.errors import UserError
from sslbench.fingerprint import ROOT
from sslbench.transforms.native import check, library

COMPILES = pytest.mark.skipif(library.native() is None, reason="no C compiler here")

PRINT_A_VIEW = """
import hashlib, torch
from sslbench.data.packed import Pictures
from sslbench.transforms.native import library
from sslbench.transforms.pipeline import ViewMaker
print(library.configure("auto"))
crop = {"op": "random_resized_crop", "scale": (0.2, 1.0), "ratio": (0.75, 1.33)}
batch = Pictures.from_list([torch.arange(3 * 40 * 50).remainder(251).to(torch.uint8).view(3, 40, 50)] * 4)
images = ViewMaker([crop, {"op": "grayscale", "p": 0.5}], 32).make(batch, torch.Generator().manual_seed(0)).images
print(hashlib.sha256(images.mul(1e4).round().numpy().tobytes()).hexdigest())
"""


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("CC", raising=False)
    yield tmp_path / "cache" / "sslbench"
    monkeypatch.undo()
    library.configure("auto")


def libraries(cache: Path) -> list[Path]:
    return sorted(cache.glob("*.so"))


def edited_copy(folder: Path, file: str, edit) -> Path:
    """The C sources in ``folder``, with one file edited."""
    folder.mkdir()
    for path in Path(library.__file__).parent.glob("*.[ch]"):
        text = path.read_text()
        (folder / path.name).write_text(edit(text) if path.name == file else text)
    assert (folder / file).read_text() != (Path(library.__file__).parent / file).read_text()
    return folder


@COMPILES
def test_it_is_compiled_once_and_says_so_once(cache):
    assert "compiled in" in library.configure("native")
    (kept,) = libraries(cache)
    before = kept.stat().st_mtime_ns
    assert library.configure("native") == f"views: native ({library.native().compiler})"
    assert libraries(cache) == [kept] and kept.stat().st_mtime_ns == before
    assert sorted(path.suffix for path in cache.iterdir()) == [".sha256", ".so"]  # nothing half-made lies about
    assert library.version() == f"native, {library.native().compiler}"


@COMPILES
@pytest.mark.parametrize("damage", ["cut", "changed", "empty", "no sum"])
def test_a_damaged_file_is_built_anew(cache, damage):
    library.configure("native")
    (kept,) = libraries(cache)
    whole = kept.read_bytes()
    if damage == "no sum":
        kept.with_suffix(".sha256").unlink()
    else:
        broken = {"cut": whole[: len(whole) // 2], "changed": whole[:-1] + bytes([whole[-1] ^ 1]), "empty": b""}
        kept.unlink()  # the file that this process has mapped stays whole
        kept.write_bytes(broken[damage])
    assert "compiled in" in library.configure("native")
    assert libraries(cache) == [kept] and kept.read_bytes() == whole
    assert "compiled in" not in library.configure("native")


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
    line = library.configure("auto")
    assert line.startswith("views: made by torch's operations, which are slower, since ") and "\n" not in line
    assert library.native() is None and library.version() == "eager"
    with pytest.raises(UserError, match=f"compute.views is 'native', but {said}; install a C compiler"):
        library.configure("native")


def test_a_run_without_a_compiler_makes_the_same_views(tmp_path):
    def printed(**environment: str) -> list[str]:
        done = subprocess.run(
            [sys.executable, "-c", PRINT_A_VIEW],
            capture_output=True, text=True, check=True, cwd=ROOT, env=os.environ | environment,
        )  # fmt: skip
        return done.stdout.splitlines()

    usual, without = printed(), printed(CC="false")
    assert "made by torch's operations" in without[0]
    assert usual[1] == without[1]


@COMPILES
def test_two_processes_may_compile_at_once(cache):
    command = [sys.executable, "-c", PRINT_A_VIEW]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) for _ in range(2)]
    said = [process.communicate()[0].splitlines() for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert all("native" in lines[0] for lines in said) and said[0][1] == said[1][1]
    assert len(libraries(cache)) == 1
    assert "compiled in" not in library.configure("native")


@COMPILES
def test_a_folder_that_cannot_be_written_is_done_without(cache, tmp_path, monkeypatch):
    (tmp_path / "a file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "a file"))
    assert "compiled in" in library.configure("native")


@COMPILES
def test_a_library_that_miscomputes_is_found_out(monkeypatch, tmp_path):
    for file, right, wrong, name in [
        ("color.h", "const float rest = (float)mean * (1 - factor);", "const float rest = 0;", "color_jitter"),
        ("resize.h", "sum >> taps->bits", "(sum + 1000) >> taps->bits", "crop"),
        ("blur.h", "return i < size ? i : 2 * (size - 1) - i;", "return i < size ? i : size - 1;", "gaussian_blur"),
    ]:
        sources = edited_copy(tmp_path / name, file, lambda text, right=right, wrong=wrong: text.replace(right, wrong))
        monkeypatch.setattr(library, "SOURCES", sources)
        assert f"disagrees with torch's operations ({name})" in library.configure("auto")
        assert library.native() is None


@COMPILES
def test_the_check_is_quick_and_leaves_the_random_state_alone():
    state = torch.get_rng_state()
    assert check.disagreement(library.native()) is None
    assert torch.equal(state, torch.get_rng_state())


@COMPILES
def test_source_compiler_and_processor_each_make_a_library_of_their_own(cache, monkeypatch, tmp_path):
    library.configure("native")
    monkeypatch.setattr(library, "_processor", lambda: "another")
    library.configure("native")
    sources = edited_copy(tmp_path / "sources", "image.h", lambda text: text + "/* edited */")
    monkeypatch.setattr(library, "SOURCES", sources)
    library.configure("native")
    assert len(libraries(cache)) == 3
