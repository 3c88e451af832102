"""Sends a request again and again, over several connections: PORT, how many a second, TARGET TOKEN.

It waits for each answer, makes up for no delay, and runs until it is killed. It writes the
first line of the first answer.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Final

CONNECTIONS: Final = 16


async def _send(port: int, pause: float, request: bytes) -> None:
    while True:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while not reader.at_eof():
            writer.write(request)
            await asyncio.gather(reader.read(1 << 16), asyncio.sleep(pause))
        writer.close()


async def _main(port: int, rate: float, target: str, token: str) -> None:
    shown = f"Authorization: Bearer {token}\r\n" if token else ""
    request = f"GET {target} HTTP/1.1\r\nHost: localhost\r\n{shown}\r\n".encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    answer = await reader.read(1 << 16)
    writer.close()
    print(answer.partition(b"\r\n")[0].decode(), flush=True)  # noqa: T201 - how it talks to the test
    await asyncio.gather(*(_send(port, CONNECTIONS / rate, request) for _ in range(CONNECTIONS)))


if __name__ == "__main__":
    asyncio.run(_main(int(sys.argv[1]), float(sys.argv[2]), *sys.argv[3:]))
