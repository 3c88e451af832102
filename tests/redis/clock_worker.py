"""A process whose clock is wrong: it does what it is asked on stdin, a line of JSON at a time.

Argument: the port of Redis. It is started under libfaketime.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time

from proxy.config.settings import RedisSettings, TcpAddress
from proxy.core.crypto.context import Context, Scope
from proxy.core.crypto.token import decode
from proxy.core.errors import KeyUnavailable, OpenFailed, OperatorError
from proxy.core.values.key_needs import Needs
from proxy.keys.sessions.sessions import SessionMode, Sessions, SessionSettings
from proxy.keys.stores import open_store
from proxy.keys.stores.redis import connection
from tests.keys.desk import Desk

from .worker import PATIENCE_SECONDS, the_keyring

_MAX_AGE_SECONDS = 0.05
"""What others have revoked is asked for again at the next message."""


def _context(scope: Scope) -> Context:
    return Context(scope, field="content")


async def _seal(sessions: Sessions, scope: Scope) -> str | None:
    try:
        session = (await sessions.resolve(Needs({scope: 1}))).sealing[scope]
    except KeyUnavailable:
        return None
    return session.seal(b"canary", _context(scope)).decode()


async def _open(sessions: Sessions, scope: Scope, text: str) -> bool | None:
    token = decode(text.encode())
    try:
        keys = await sessions.resolve(Needs({}, frozenset({(scope, token.key_id)})))
        session = keys.opening.get((scope, token.key_id))
        return (
            session is not None and session.open(token, _context(scope), time.time()) == b"canary"
        )
    except KeyUnavailable:
        return None
    except OpenFailed:
        return False


async def _revoke(sessions: Sessions, scope: Scope) -> str:
    """Revoke all sessions of now; return where that is kept, or why it was refused."""
    try:
        result = await Desk(sessions).run("revoke", scope)
    except OperatorError as error:
        return error.reason
    return "store" if result.store else "process"


async def _work(port: int) -> None:
    notices: list[str] = []
    vars(connection).update(CONNECT_SECONDS=PATIENCE_SECONDS, COMMAND_SECONDS=PATIENCE_SECONDS)
    store = open_store("redis", options=RedisSettings(TcpAddress("127.0.0.1", port)))
    modes: dict[SessionMode, Sessions] = {
        mode: Sessions(
            the_keyring(),
            store,
            SessionSettings(
                ttl=3600,
                grace=3600,
                store_timeout=PATIENCE_SECONDS,
                revocation_max_age=_MAX_AGE_SECONDS,
            ),
            clock=time.time,
            random=os.urandom,
            notice=notices.append,
            mode=mode,
        )
        for mode in ("durable", "ephemeral")
    }
    print(json.dumps({"now": time.time()}), flush=True)  # noqa: T201 - how it talks to the test
    for line in sys.stdin:
        asked = json.loads(line)
        sessions, scope = modes[asked["mode"]], Scope("t", asked["conversation"])
        if "open" in asked:
            answer: object = await _open(sessions, scope, asked["open"])
        elif "revoke" in asked:
            answer = await _revoke(sessions, scope)
        else:
            answer = await _seal(sessions, scope)
        print(json.dumps({"answer": answer, "notices": notices}), flush=True)  # noqa: T201 - as above
    await store.close()


if __name__ == "__main__":
    asyncio.run(_work(int(sys.argv[1])))
