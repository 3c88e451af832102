"""Checking whether Sealyard can work with a Redis, by running the commands that it needs."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from ....config.settings import RedisSettings
from ....process.fitness import Finding
from . import replies
from .access import PasswordUnreadable, TlsUnusable
from .capabilities import Mode, RedisFacts, astray, judged
from .client import Client
from .connection import Answer, AnsweredError, LoginRefused, RedisError, UsersUnknown
from .scripts import PROBE, Script
from .store import FORMAT
from .topology import Reach, reach

# What a process does, on a name that no conversation has. ACLs are met within scripts as well.
_TRY: Final = Script("""
local said = {}
local function try(...)
  local answer = redis.pcall(...)
  said[#said + 1] = type(answer) == 'table' and answer.err or ''
end
try('TIME')
try('SET', KEYS[1], ARGV[2], 'PX', '1000')
try('GET', KEYS[1])
try('PTTL', KEYS[1])
try('PUBLISH', ARGV[1], ARGV[2])
return said
""")
_TRIED: Final = ("TIME", "SET", "GET", "PTTL", "PUBLISH")


async def examined(
    settings: RedisSettings,
    environ: Mapping[str, str],
    mode: Mode,
    *,
    clock: Callable[[], float],
    seconds: float,
) -> tuple[Finding, ...]:
    """Return what was found within `seconds`. `clock` returns seconds since 1970.

    Raises UnfitEnvironment where a certificate, a key or the password cannot be read.
    """
    if found := tuple(astray(settings, environ)):
        return found
    way = reach(settings, environ)
    try:
        async with asyncio.timeout(seconds):
            facts = await _facts(way, settings, clock)
    except Exception as error:  # noqa: BLE001 - a check tells what is wrong, whatever that is
        return (_unreached(error, settings),)
    finally:
        way.close()
    return tuple(judged(facts, settings, mode))


async def _facts(way: Reach, settings: RedisSettings, clock: Callable[[], float]) -> RedisFacts:
    hellos: list[dict[bytes, Any]] = []
    policies: list[str] = []
    skews = [0]
    for node in await way.nodes():
        await _connect(node)
        hellos.append(await _hello(node))
        policies += await _policy(node)
        skews.append(await _skew(node, clock))
    return RedisFacts(
        versions=tuple(_texts(hellos, b"version")),
        roles=tuple(_texts(hellos, b"role")),
        policies=tuple(policies),
        skew_ms=max(skews, key=abs),
        said=await _tried(way, settings.prefix),
    )


class _NoDatabase(RedisError):
    """The database cannot be selected."""


async def _connect(node: Client) -> None:
    """Make a connection, so that what stops it is not taken for an answer to another command."""
    try:
        await node.ask("PING")
    except AnsweredError as error:
        if "'select'" in error.text or "DB index" in error.text:
            raise _NoDatabase from None


async def _hello(node: Client) -> dict[bytes, Any]:
    try:
        return await node.ask("HELLO", read=replies.members)
    except AnsweredError as error:  # unknown before Redis 6
        return {} if error.code == "NOPERM" else {b"version": b"5 or older"}


async def _policy(node: Client) -> list[str]:
    try:
        said = await node.ask("CONFIG", "GET", "maxmemory-policy", read=replies.members)
    except AnsweredError:
        return []
    return [replies.text(one).decode("ascii", "replace") for one in said.values()]


async def _skew(node: Client, clock: Callable[[], float]) -> int:
    """Return how many milliseconds the node's clock is ahead of ours."""
    before = clock()
    try:
        theirs = await node.ask("TIME", read=replies.time_ms)
    except AnsweredError as error:
        if error.code != "NOPERM":
            raise
        return 0  # the trial of all commands reports it
    ours = (before + clock()) / 2
    return round(theirs - ours * 1000)


async def _tried(way: Reach, prefix: str) -> dict[str, str]:
    """Return the error code of each command, or an empty text where it went well."""
    key, channel = f"{prefix}:{FORMAT}:{{{PROBE}}}:try", f"{prefix}:{FORMAT}:changed"
    words = 1, key, channel, PROBE
    said: dict[str, str] = {}
    try:
        codes = await way.ask(key, "EVAL", _TRY.text, *words, read=_codes)
    except AnsweredError as error:
        said["EVAL"] = _code_of(str(error).encode())
    else:
        said |= {"EVAL": "", **dict(zip(_TRIED, codes, strict=True))}
    try:
        await way.ask(key, "EVALSHA", _TRY.digest, *words, read=_codes)
    except AnsweredError as error:
        said["EVALSHA"] = "" if error.code == "NOSCRIPT" else _code_of(str(error).encode())
    said["SUBSCRIBE"] = await _subscribed(way.any_node(), channel)
    return said


def _codes(answer: Answer) -> list[str]:
    said = replies.many(answer, least=len(_TRIED), most=len(_TRIED))
    return [_code_of(replies.text(one)) for one in said]


async def _subscribed(node: Client, channel: str) -> str:
    line = await node.connected()
    try:
        replies.notice(await line.ask("SUBSCRIBE", channel), channel.encode())
    except AnsweredError as error:
        return _code_of(str(error).encode())
    finally:
        line.close()
    return ""


_DENIED: Final = ("ACL failure", "The user executing the script", "NOPERM")
"""How Redis 6 and later say within a script that the user may not."""


def _code_of(text: bytes) -> str:
    """Return the code of an error, empty for no error."""
    said = text.decode("ascii", "replace")
    if any(part in said for part in _DENIED):
        return "NOPERM"
    return said.partition(" ")[0]


def _texts(hellos: list[dict[bytes, Any]], name: bytes) -> Iterator[str]:
    for hello in hellos:
        value = hello.get(name)
        if value is not None:
            yield replies.text(value).decode("ascii", "replace")


def _unreached(error: BaseException, settings: RedisSettings) -> Finding:
    """Return what keeps us from Redis: a mistake, or something that may pass by itself."""
    causes = tuple(_chain(error))
    for kind, text in _MISTAKES.items():
        if any(isinstance(one, kind) and _lasting(one) for one in causes):
            user = settings.user or "default"
            return Finding("redis", "failed", text.format(user=user, db=settings.db))
    text = "Redis does not answer: check that it runs, its address, and the network."
    reset = any(isinstance(one, ConnectionResetError) for one in causes)
    if settings.tls and settings.cert is None and reset:
        # A server that asks for a certificate resets the connection of a client without one, as a
        # network does: chance decides whether its alert can still be read.
        text = "Redis resets the connection: if it asks for a certificate, set `cert` and `key`."
    return Finding("redis", "failed", text, passing=True)


_TLS_MISTAKES: Final = ("CERT", "UNKNOWN_CA", "HANDSHAKE_FAILURE", "VERSION", "PROTOCOL")
"""Parts of OpenSSL's reasons that no network makes; others come of a connection that was cut."""


def _lasting(error: BaseException) -> bool:
    """Whether an error is there the next time too."""
    reason = getattr(error, "reason", None) or ""
    tls = isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLCertVerificationError)
    return not tls or any(part in reason for part in _TLS_MISTAKES)


_MISTAKES: Final[Mapping[type[BaseException], str]] = {
    PasswordUnreadable: "The file with Redis' password cannot be read: check its path and mode.",
    TlsUnusable: "A TLS file for Redis cannot be used: check its path and content.",
    ssl.SSLCertVerificationError: (
        "Redis' certificate does not verify: `ca` must hold its CA, and it must be issued for the"
        " name in `url`."
    ),
    ssl.SSLError: (
        "TLS with Redis fails: check that it uses TLS on that port, and that `cert` and `key` are"
        " what it requires."
    ),
    LoginRefused: (
        "Redis refuses the user `{user}`: check `user` and `password` of keys.store, and"
        " ACL SETUSER {user} there."
    ),
    _NoDatabase: (
        "There is no database {db} in Redis, or the user may not select it: ACL SETUSER {user}"
        " +select"
    ),
    UsersUnknown: "Redis is too old for users: use 6 or newer.",
}


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        yield from (one for one in error.args if isinstance(one, BaseException))
        error = error.__cause__ or error.__context__
