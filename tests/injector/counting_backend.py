"""An application that counts what it is sent: `python counting_backend.py PORT SOCKET CANARY`.

It answers each request with its own body, so that a client sees what it said. GET /seen at the Unix
socket, which no redirect concerns, returns the numbers of requests, of those with the canary and of
those with a token, the peers, and the certificates of clients that it was told.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from typing import Final

LENGTH: Final = re.compile(rb"content-length: *([0-9]+)", re.IGNORECASE)
CERTIFICATE: Final = re.compile(rb"x-forwarded-client-cert: *([^\r]*)", re.IGNORECASE)
TOKEN: Final = b'"eyJ'
MOST_REMEMBERED: Final = 20


class Seen:
    """What all connections have sent."""

    def __init__(self, canary: bytes) -> None:
        """Begin with nothing."""
        self.canary = canary
        self.requests = self.canaries = self.tokens = 0
        self.peers: set[str] = set()
        self.certificates: set[str] = set()

    def keep(self, head: bytes, body: bytes, peer: str) -> None:
        """Count one request."""
        self.requests += 1
        self.canaries += self.canary in head or self.canary in body
        self.tokens += TOKEN in body
        if len(self.peers) < MOST_REMEMBERED:
            self.peers.add(peer.removeprefix("::ffff:"))
        if found := CERTIFICATE.search(head):
            self.certificates.add(found[1].decode())

    def told(self) -> bytes:
        """Return the numbers."""
        return json.dumps(
            {
                "requests": self.requests,
                "canaries": self.canaries,
                "tokens": self.tokens,
                "peers": sorted(self.peers),
                "certificates": sorted(self.certificates),
            }
        ).encode()


class Application(asyncio.Protocol):
    """One connection."""

    def __init__(self, seen: Seen) -> None:
        """Read nothing yet."""
        self._seen = seen
        self._got = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember who it is."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._peer = (transport.get_extra_info("peername") or [""])[0]

    def data_received(self, data: bytes) -> None:
        """Answer every whole request."""
        self._got += data
        while (end := self._got.find(b"\r\n\r\n")) >= 0:
            head = self._got[:end]
            found = LENGTH.search(head)
            size = end + 4 + (int(found[1]) if found else 0)
            if len(self._got) < size:
                return
            body, self._got = self._got[end + 4 : size], self._got[size:]
            if head.startswith(b"GET /seen"):
                body = self._seen.told()
            else:
                self._seen.keep(head, body, self._peer)
            self._transport.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
                % (len(body), body)
            )


async def main(port: int, path: str, canary: bytes) -> None:
    """Serve on both families, and at the socket."""
    seen = Seen(canary)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Application(seen), None, port)
    await loop.create_unix_server(lambda: Application(seen), path)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2], sys.argv[3].encode()))
