"""One line for a user's mistake: what is wrong, where, and what to do."""

import contextlib
import errno
from collections.abc import Iterator


class UserError(Exception):
    """A mistake that the user can mend. Its text is one line, without the leading ``sslbench:``."""

    def __init__(self, text: str) -> None:
        line = " ".join(str(text).split())
        # A file's name may hold what moves a terminal's cursor, turns text round, or cannot be written at all.
        escaped = (c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)
        super().__init__("".join(escaped))


@contextlib.contextmanager
def about(what: str) -> Iterator[None]:
    """Put ``what`` in front of a UserError from code that does not know whose mistake it is."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{what}: {error}") from error


# What the machine refuses, and what the user can do about it
REFUSED = {
    errno.ENOSPC: "free some space and run again",
    errno.EDQUOT: "free some of your quota and run again",
    errno.EFBIG: "raise the limit on file sizes (ulimit -f) and run again",
    errno.EACCES: "check the permissions of the file and its folder, and run again",
    errno.EPERM: "check the permissions and attributes of the file and its folder, and run again",
    errno.EROFS: "the disk is read-only: mount it for writing, or move paths in config.yaml, and run again",
    errno.EIO: "the disk or the network behind it fails: check it, and run again",
    errno.ESTALE: "the network disk has lost the file: run again",
    errno.ETIMEDOUT: "the network disk does not answer: check it, and run again",
    errno.ENOTCONN: "the network disk is not connected: mount it anew, and run again",
    getattr(errno, "EREMOTEIO", errno.EIO): "the disk or the network behind it fails: check it, and run again",
    errno.ENOLCK: "this file system cannot lock files: move paths in config.yaml to one that can, and run again",
    errno.ENAMETOOLONG: "shorten the names or the paths in config.yaml, and run again",
    errno.EMFILE: "raise the limit on open files (ulimit -n) and run again",
    errno.ENFILE: "the machine has too many files open: run again when it is less busy",
    errno.ENOMEM: "give the job more memory, and run again",
}
_ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP)  # what stands there, not how it was read


def raise_if_passing(error: BaseException) -> None:
    """Raise ``error`` where it says nothing of the file that was read: the disk, the network, a limit or the memory
    failed, and the file may be whole. Libraries raise OSErrors without a number for what they cannot parse.
    """
    while error is not None:
        numbered = isinstance(error, OSError) and error.errno is not None
        if isinstance(error, MemoryError) or (numbered and error.errno not in _ABSENT):
            raise error
        error = error.__cause__


def cure(error: OSError) -> str:
    """What the user can do about what the machine refused."""
    return REFUSED.get(error.errno or 0, "mend that and run again")
