"""A client that sends messages with a canary, and says how they were answered.

`python mesh_load.py HOST PORT REQUESTS CANARY [TUNNEL]`; with TUNNEL, through a CONNECT to that
port, as ambient's HBONE does.
"""

from __future__ import annotations

import json
import socket
import sys
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

CONNECTIONS: Final = 8
REQUESTS_A_CONNECTION: Final = 500
SECONDS: Final = 30.0


@dataclass(slots=True)
class Answers:
    """How requests were answered, by status, and the meshes that had them."""

    statuses: Counter[str] = field(default_factory=Counter)
    meshes: Counter[str] = field(default_factory=Counter)
    restored: int = 0


class Client:
    """One connection, which is made anew after some requests."""

    def __init__(self, host: str, port: int, tunnel: int) -> None:
        """Connect."""
        self._place = (host, tunnel or port)
        self._authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self._tunnelled = bool(tunnel)
        self._left = 0
        self._got = b""
        self._sock: socket.socket | None = None

    def send(self, body: bytes) -> None:
        """Send a message."""
        if self._left == 0:
            self._connect()
        self._left -= 1
        assert self._sock is not None
        self._sock.sendall(
            b"POST /messages HTTP/1.1\r\nHost: %b\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n%b" % (self._authority.encode(), len(body), body)
        )

    def answer(self) -> tuple[bytes, bytes]:
        """Return head and body of the answer."""
        head = self._until_blank()
        lines = head.lower().split(b"\r\n")
        length = next(
            int(one.partition(b":")[2]) for one in lines if one.startswith(b"content-length:")
        )
        while len(self._got) < length:
            self._more()
        body, self._got = self._got[:length], self._got[length:]
        if b"connection: close" in lines:
            self._left = 0
        return head, body

    def drop(self) -> None:
        """Connect again for the next message."""
        self._left = 0

    def _connect(self) -> None:
        if self._sock is not None:
            self._sock.close()
        self._sock, self._got = socket.create_connection(self._place, timeout=SECONDS), b""
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._left = REQUESTS_A_CONNECTION
        if self._tunnelled:
            self._sock.sendall(
                b"CONNECT %b HTTP/1.1\r\nHost: %b\r\n\r\n" % ((self._authority.encode(),) * 2)
            )
            head = self._until_blank()
            if b" 200 " not in head.split(b"\r\n", 1)[0]:
                raise ConnectionRefusedError(head.split(b"\r\n", 1)[0].decode())

    def _until_blank(self) -> bytes:
        while b"\r\n\r\n" not in self._got:
            self._more()
        head, _, self._got = self._got.partition(b"\r\n\r\n")
        return head

    def _more(self) -> None:
        assert self._sock is not None
        more = self._sock.recv(65536)
        if not more:
            raise ConnectionResetError("closed")
        self._got += more


def main(host: str, port: int, requests: int, canary: str, tunnel: int) -> Answers:
    """Send all of them, a few at once."""
    answers = Answers()
    clients = [Client(host, port, tunnel) for _ in range(min(CONNECTIONS, requests))]
    sent = 0
    while sent < requests:
        under_way = []
        for client in clients[: requests - sent]:
            text = json.dumps({"conversationId": "c1", "content": f"{canary} {sent}"}).encode()
            sent += 1
            try:
                client.send(text)
            except OSError as error:
                answers.statuses[type(error).__name__] += 1
                client.drop()
                continue
            under_way.append((client, text))
        for client, text in under_way:
            try:
                head, body = client.answer()
            except OSError as error:
                answers.statuses[type(error).__name__] += 1
                client.drop()
                continue
            answers.statuses[head.split(b" ", 2)[1].decode()] += 1
            answers.restored += json.loads(body) == json.loads(text) if b" 200 " in head else 0
            mesh = [one for one in head.split(b"\r\n") if one.lower().startswith(b"x-mesh:")]
            answers.meshes[mesh[0].partition(b":")[2].strip().decode() if mesh else ""] += 1
    return answers


if __name__ == "__main__":
    found = main(
        sys.argv[1],
        int(sys.argv[2]),
        int(sys.argv[3]),
        sys.argv[4],
        int(sys.argv[5]) if len(sys.argv) > 5 else 0,
    )
    print(  # noqa: T201 - its result
        json.dumps(
            {
                "statuses": found.statuses,
                "meshes": found.meshes,
                "restored": found.restored,
            }
        )
    )
