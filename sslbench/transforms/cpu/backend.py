"""How views are made on a CPU: by the compiled library, or by torch's operations where there is none, or by choice."""

import threading
from dataclasses import dataclass
from typing import Literal

from sslbench.errors import UserError
from sslbench.transforms.cpu.build import Native, Unavailable, load
from sslbench.transforms.cpu.selftest import disagreement

Mode = Literal["auto", "native", "eager"]


@dataclass
class _State:
    mode: Mode = "auto"
    native: Native | None = None
    reason: str | None = None  # why native is None, once it was tried


_state = _State()
_loading = threading.Lock()


def configure(mode: Mode) -> str:
    """Choose how views are made on a CPU from here on, and make it ready. Returns one line for the log.

    ``auto``: natively where this machine has a C compiler, else by torch's operations (``eager``).

    Raises:
        UserError: ``native``, and there is no native way on this machine.
    """
    _state.mode, _state.native, _state.reason = mode, None, None
    if mode == "eager":
        return "views: made by torch's operations, as chosen"
    found = native()
    if found:
        took = f", compiled in {found.seconds:.1f} s" if found.seconds else ""
        why = f"; the kept library was not used, since {found.distrusted}" if found.distrusted else ""
        return f"views: native ({found.compiler}{took}){why}"
    if mode == "native":
        raise UserError(f"compute.views is 'native', but {_state.reason}; install a C compiler, or choose 'auto'")
    return f"views: made by torch's operations, which are slower, since {_state.reason}"


def native() -> Native | None:
    """The library, loaded (and if need be compiled) on the first call; None where views are made eagerly."""
    if _state.native is None and _state.reason is None and _state.mode != "eager":
        with _loading:
            if _state.native is None and _state.reason is None:
                try:
                    _state.native = load(disagreement)
                except Unavailable as error:
                    _state.reason = str(error)
                except (OSError, RuntimeError, ValueError) as error:  # no room, no home, a $CC that is no command
                    _state.reason = f"the C library cannot be made ({error})"
    return _state.native


def version() -> str:
    """What the last bits of a view depend on: ``native, gcc 12.2.0`` or ``eager``."""
    found = native()
    return f"native, {found.compiler}" if found else "eager"
