"""A server that answers with raw bytes, so that it can break every rule of HTTP, and a download from it."""

import contextlib
import hashlib
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator

from sslbench.data.spec import Archive
from tests.data.test_fetch import Remote

CONTENT = b"\x1f\x8b" + bytes(range(251)) * 12_000  # 3 MB
Answer = Callable[[socket.socket, int | None], None]  # (connection, first byte asked for)


def head(status: str, **headers: object) -> bytes:
    lines = [f"HTTP/1.1 {status}", *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def whole(connection: socket.socket, start: int | None, *, etag: str = '"one"', content: bytes = CONTENT) -> None:
    """As a good server answers."""
    rest = content[start or 0 :]
    more = {"Content_Range": f"bytes {start}-{len(content) - 1}/{len(content)}"} if start else {}
    status = "206 Partial Content" if start else "200 OK"
    connection.sendall(head(status, Content_Length=len(rest), ETag=etag, **more) + rest)


def cut(count: int, etag: str = '"one"', ranges: bool = True) -> Answer:
    """Closes after ``count`` bytes, from the first one asked for, or from 0 without ``ranges``."""

    def answer(connection: socket.socket, start: int | None) -> None:
        start = (start or 0) if ranges else 0
        more = {"Content_Range": f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}"} if start else {}
        status = "206 Partial Content" if start else "200 OK"
        connection.sendall(head(status, Content_Length=len(CONTENT) - start, ETag=etag, **more))
        connection.sendall(CONTENT[start:][:count])

    return answer


def says(content: bytes) -> Answer:
    return lambda connection, start: connection.sendall(content)


def silent(connection: socket.socket, start: int | None) -> None:
    time.sleep(0.6)


def stalls(connection: socket.socket, start: int | None) -> None:
    connection.sendall(head("200 OK", Content_Length=len(CONTENT)) + CONTENT[:700_000])
    time.sleep(0.6)


def trickles(connection: socket.socket, start: int | None) -> None:
    """A byte now and then, so that no single wait is a long one."""
    connection.sendall(head("200 OK", Content_Length=len(CONTENT)))
    for byte in CONTENT[:200]:
        connection.sendall(bytes([byte]))
        time.sleep(0.02)


class Misbehaving:
    """``plan`` holds the answers to the next requests; when it is used up all goes well. ``asked``: their headers."""

    def __init__(self) -> None:
        self.plan: list[Answer] = []
        self.asked: list[str] = []
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}/set.tgz"

    @property
    def ranges(self) -> list[str | None]:
        found = [re.search(r"(?im)^range: (\S+)", asked) for asked in self.asked]
        return [match and match[1] for match in found]

    def serve(self) -> None:
        with contextlib.suppress(OSError):  # the socket was closed: the test is over
            while True:
                threading.Thread(target=self._answer, args=self.socket.accept()[:1], daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:  # a client that leaves is part of the tests
            asked = b""
            while b"\r\n\r\n" not in asked:
                asked += connection.recv(1 << 16)
            self.asked.append(asked.decode("latin-1"))
            answer = self.plan.pop(0) if self.plan else whole
            start = self.ranges[-1]
            answer(connection, start and int(start[6:-1]))


@contextlib.contextmanager
def misbehaving() -> Iterator[Misbehaving]:
    server = Misbehaving()
    threading.Thread(target=server.serve, daemon=True).start()
    try:
        yield server
    finally:
        server.socket.shutdown(socket.SHUT_RDWR)
        server.socket.close()


def remote(url: str, **changes: object) -> Remote:
    right = {"size": len(CONTENT), "sha256": hashlib.sha256(CONTENT).hexdigest()}
    return Remote(official=Archive(url=url, file="set.tgz", **(right | changes)))
