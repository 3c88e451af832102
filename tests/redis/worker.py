"""One process of a fleet: it seals a first message of each conversation, and tells what it got.

Arguments: the port of Redis, the number of conversations.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time

from proxy.config.settings import RedisSettings, TcpAddress
from proxy.core.crypto.context import Scope
from proxy.core.values.key_needs import Needs
from proxy.keys.keyring.keyring import Keyring, create
from proxy.keys.sessions.sessions import Sessions, SessionSettings
from proxy.keys.stores import open_store
from proxy.keys.stores.redis import connection

PATIENCE_SECONDS = 20.0


def the_keyring() -> Keyring:
    """Return the keyring that all processes of a test have."""
    return create("k1", now=0, random=lambda size: b"k" * size)


async def _work(port: int, conversations: int) -> None:
    notices: list[str] = []
    # What is tried is that all agree, also on a machine that has other work to do.
    vars(connection).update(CONNECT_SECONDS=PATIENCE_SECONDS, COMMAND_SECONDS=PATIENCE_SECONDS)
    store = open_store("redis", options=RedisSettings(TcpAddress("127.0.0.1", port)))
    sessions = Sessions(
        the_keyring(),
        store,
        SessionSettings(store_timeout=PATIENCE_SECONDS),
        clock=time.time,
        random=os.urandom,
        notice=notices.append,
    )
    print("ready", flush=True)  # noqa: T201 - how it talks to the test
    sys.stdin.readline()
    began = time.monotonic()
    needs = [Needs({Scope("t", f"c{number}"): 1}) for number in range(conversations)]
    found = await asyncio.gather(*(sessions.resolve(need) for need in needs))
    took = time.monotonic() - began
    sids = [session.sid.hex() for keys in found for session in keys.sealing.values()]
    print(json.dumps({"sids": sids, "notices": notices, "seconds": took}), flush=True)  # noqa: T201 - as above
    await store.close()


if __name__ == "__main__":
    asyncio.run(_work(int(sys.argv[1]), int(sys.argv[2])))
