"""The compiled form of views.c and its headers: built on first use by the machine's C compiler, kept for later runs.

It lies in $XDG_CACHE_HOME/sslbench (~/.cache/sslbench), under a name that depends on the source, the flags, the
compiler and the processor: machines that share a home do not mix theirs up. Beside it lies the SHA-256 of the file
that passed its check (selftest.py); a file without that sum, or of another, is built again. What another user owns or
may write is not loaded: whoever made the library could do what this user can.
"""

import atexit
import ctypes
import hashlib
import os
import platform
import re
import shlex
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from sslbench.runtime.files import from_others, user_cache

SOURCES = Path(__file__).parent  # views.c and what it includes
COMPILERS = ("cc", "gcc", "clang")  # tried in this order where $CC names none
PROCESSOR = "-march=native" if platform.machine().lower() in ("x86_64", "amd64", "i686") else "-mcpu=native"
# Not -ffast-math: sums keep their order and divisions are exact, so views depend on nothing but source and machine.
FLAGS = (
    "-std=c11",
    "-O3",
    PROCESSOR,
    "-ffp-contract=fast",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-shared",
    "-fPIC",
)
TIMEOUT = 120  # seconds


class Unavailable(Exception):
    """Why there is no native way here: one line."""


@dataclass(frozen=True)
class Native:
    """A loaded library. ``compiler``: its name and version; ``seconds`` that compiling took, 0 where it was kept;
    ``distrusted``: why a kept one was not used, where another user could have written it."""

    functions: ctypes.CDLL
    compiler: str
    seconds: float
    distrusted: str = ""


def load(verify: Callable[[Native], str | None]) -> Native:
    """The library, compiled where none is kept. ``verify`` says what a fresh one does wrong, None where nothing.

    Raises:
        Unavailable: there is no compiler, it fails, or what it compiled does not load or does wrong.
    """
    command = _compiler()
    banner = _output([*command, "--version"])
    name = "clang" if "clang" in banner else "gcc" if "Free Software Foundation" in banner else Path(command[0]).name
    found = re.search(r"\d+\.\d+(\.\d+)?(?=\s|$)", banner)
    compiler = f"{name} {found.group()}" if found else name
    sources = [path.read_bytes() for path in sorted(SOURCES.glob("*.[ch]"))]
    parts = (*sources, *(part.encode() for part in (*command, *FLAGS, banner, _processor())))
    key = hashlib.sha256(b"\0".join(parts)).hexdigest()[:32]
    folder, distrusted = _folder()
    kept, passed = folder / f"views-{key}.so", folder / f"views-{key}.sha256"
    try:
        why = from_others(kept) or from_others(passed)
        distrusted = distrusted or why or ""
        if why is None and passed.read_text() == hashlib.sha256(kept.read_bytes()).hexdigest():
            return Native(_open(kept), compiler, 0.0, distrusted)
    except OSError:
        pass  # never built here, or no library: build it
    return replace(_build(command, compiler, kept, passed, verify), distrusted=distrusted)


def _build(
    command: list[str], compiler: str, kept: Path, passed: Path, verify: Callable[[Native], str | None]
) -> Native:
    begin = time.perf_counter()
    with tempfile.TemporaryDirectory(dir=kept.parent) as scratch:  # os.replace needs the same file system
        fresh, mark = Path(scratch) / kept.name, Path(scratch) / passed.name
        _output([*command, *FLAGS, str(SOURCES / "views.c"), "-o", str(fresh), "-lm"])
        seconds = time.perf_counter() - begin
        mark.write_text(hashlib.sha256(fresh.read_bytes()).hexdigest())
        try:
            opened = Native(_open(fresh), compiler, seconds)
        except OSError as error:
            raise Unavailable(f"what {compiler} compiled does not load ({error})") from error
        if wrong := verify(opened):
            raise Unavailable(f"what {compiler} compiled disagrees with torch's operations ({wrong})")
        fresh.chmod(0o700)  # whatever umask says
        mark.chmod(0o600)
        fresh.replace(kept)
        mark.replace(passed)
    return opened


def _open(path: Path) -> ctypes.CDLL:
    functions = ctypes.CDLL(str(path))  # calls release Python's lock
    functions.views_operation.argtypes, functions.views_operation.restype = [ctypes.c_char_p], ctypes.c_int
    functions.views_large_pages.argtypes, functions.views_large_pages.restype = [ctypes.c_void_p, ctypes.c_int64], None
    functions.views_make.argtypes = [ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64]
    functions.views_make.restype = ctypes.c_int
    return functions


def _compiler() -> list[str]:
    """The compiler's command. $CC alone counts where it is set."""
    chosen = shlex.split(os.environ.get("CC", ""))
    candidates = [chosen] if chosen else [[name] for name in COMPILERS]
    for command in candidates:
        if shutil.which(command[0]):
            return command
    names = chosen[0] if chosen else ", ".join(COMPILERS)
    raise Unavailable(f"no C compiler was found ({names})")


def _output(command: list[str]) -> str:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=TIMEOUT, env=os.environ | {"LC_ALL": "C"}
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise Unavailable(f"the C compiler does not run ({error})") from error
    if done.returncode:
        said = next(iter(done.stderr.strip().splitlines()), f"exit code {done.returncode}")
        raise Unavailable(f"the C compiler failed ({command[0]}: {said})")
    return done.stdout


def _processor() -> str:
    """The processor's model and features, where the system tells them."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return f"{platform.machine()} {platform.processor()}"
    lines = re.findall(r"^(?:model name|flags|Features|CPU part)\s*:.*$", text.split("\n\n")[0], re.MULTILINE)
    return "\n".join([platform.machine(), *lines])


def _folder() -> tuple[Path, str]:
    """Where libraries are kept; a folder of this process where that cannot be written, or may be by others, and why."""
    distrusted = None
    try:
        folder = user_cache()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        distrusted = from_others(folder)
        if distrusted is None and os.access(folder, os.W_OK | os.X_OK):
            return folder, ""
    except (OSError, RuntimeError):  # read-only, or a user without a home
        pass
    folder = Path(tempfile.mkdtemp(prefix="sslbench-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder, distrusted or ""
