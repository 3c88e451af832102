"""Where the keys of an issuer come from: a file, or an address that is asked again and again.

The address is the configuration's alone: a token says nothing of it. A set that has been fetched is
used until a newer one is there, for KEYS_KEPT_SECONDS at most; a request waits for keys only where
there are none, or where its token names one that is not among them.
"""

from __future__ import annotations

import asyncio
import re
import ssl
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import urlsplit

from ...config.settings.callers import CallerKeys
from ...core.errors import CallerKeysAway, KeyringError, UnfitEnvironment
from ...keys.keyring.roots import key_service
from ..policy import (
    KEY_SET_BYTES,
    KEYS_AGAIN_SECONDS,
    KEYS_FRESH,
    KEYS_FRESH_SECONDS,
    KEYS_KEPT_SECONDS,
    KEYS_WAIT_SECONDS,
)
from .key_set import KeySet

_METADATA: Final = tuple(
    map(
        ip_network,
        ("169.254.0.0/16", "fe80::/10", "fd00:ec2::/32", "168.63.129.16", "100.100.100.200"),
    )
)
"""Where clouds answer with the credentials of a machine."""
_AGE: Final = re.compile(r"(?:^|[ ,])max-age=\"?([0-9]{1,9})")
_ACCEPT: Final = {"Accept": "application/jwk-set+json, application/json"}


@dataclass(frozen=True, slots=True)
class Fetched:
    """A set of keys, and for how many seconds it need not be asked for again."""

    keys: KeySet
    fresh: float


Fetch = Callable[[], Fetched]


class Keeper(Protocol):
    """Keeps what was verified by keys."""

    def forget(self) -> None:
        """Keep none of it any longer."""


class IssuerKeys:
    """The keys of one issuer. `fetch` blocks, and raises KeyringError where there are none.

    Whoever is in `kept_by` forgets its verdicts when a key has gone or means another one. `told` is
    called when fetching begins to fail, with the reason. `clock` returns monotonic seconds. `fetch`
    is None for keys of a file.
    """

    def __init__(
        self,
        fetch: Fetch | None,
        keys: KeySet | None,
        clock: Callable[[], float],
        told: Callable[[str], None],
    ) -> None:
        """Begin with the keys of a file, or with none yet."""
        self.fetch = fetch
        self._keys = keys
        self._clock = clock
        self._told = told
        self._failing = False
        self._got = self._again = clock()
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self.kept_by: weakref.WeakSet[Keeper] = weakref.WeakSet()

    @property
    def asks(self) -> bool:
        """Whether there may be newer keys."""
        return self.fetch is not None

    @property
    def age(self) -> float | None:
        """How many seconds ago the keys were fetched; None where they were not."""
        return self._clock() - self._got if self.fetch is not None and self._keys else None

    def known(self, kid: str) -> KeySet | None:
        """Return the keys if one with an id is among them."""
        keys = self._usable
        return keys if keys is not None and kid in keys else None

    async def asked(self, kid: str) -> KeySet | None:
        """Return the keys once they are newer, where one with an id is not among those there are.

        That is None where it still is not. Raises CallerKeysAway where there are no keys.
        """
        if self._clock() >= self._again:
            self._ask()
        if self._task is not None:
            await asyncio.wait([self._task], timeout=KEYS_WAIT_SECONDS)
        if self._usable is None:
            raise CallerKeysAway("no-keys")
        return self.known(kid)

    def close(self) -> None:
        """Ask no more."""
        self.fetch = None
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None:
            self._task.cancel()

    @property
    def _usable(self) -> KeySet | None:
        kept = self.fetch is None or self._clock() < self._got + KEYS_KEPT_SECONDS
        return self._keys if kept else None

    def _ask(self) -> None:
        if self._task is None and self.fetch is not None:
            self._task = asyncio.get_running_loop().create_task(self._renew(self.fetch))

    async def _renew(self, fetch: Fetch) -> None:
        self._again = self._clock() + KEYS_AGAIN_SECONDS
        wait = KEYS_AGAIN_SECONDS
        try:
            fetched = await asyncio.to_thread(fetch)
            wait = fetched.fresh
            self._take(fetched)
            failed = ""
        except KeyringError as error:
            failed = error.reason
        except Exception as error:  # noqa: BLE001 - whatever an issuer sends, it is asked again
            failed = type(error).__name__
        finally:
            self._task = None
        if failed and not self._failing:
            self._told(failed)
        self._failing = bool(failed)
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(wait, self._ask)

    def _take(self, fetched: Fetched) -> None:
        before, self._keys = self._keys, fetched.keys
        self._got = self._clock()
        if before is not None and not before.texts.items() <= fetched.keys.texts.items():
            for one in tuple(self.kept_by):
                one.forget()


def of_file(path: Path) -> KeySet:
    """Return the keys in a file; raise UnfitEnvironment, naming it, where it has none."""
    try:
        with path.open("rb") as file:
            document = file.read(KEY_SET_BYTES + 1)
        keys = KeySet(document if len(document) <= KEY_SET_BYTES else b"")
    except (OSError, ValueError) as error:
        told = getattr(error, "strerror", None) or "not a JWK Set"
        raise UnfitEnvironment("caller-keys", detail=f"{path}: {told}") from None
    if not keys:
        raise UnfitEnvironment("caller-keys", detail=f"{path}: no public key for signatures")
    return keys


def fetching(settings: CallerKeys) -> Fetch:
    """Return what fetches the keys at an address; raise UnfitEnvironment for an unusable `ca`."""
    try:
        tls = key_service.trusting(settings.ca)
    except KeyringError as error:
        raise UnfitEnvironment("caller-keys", detail=error.reason) from None
    return partial(_fetched, str(settings.place), tls)


def _fetched(url: str, tls: ssl.SSLContext) -> Fetched:
    answer = key_service.call(
        "GET", url, _ACCEPT, tls=tls, seconds=KEYS_WAIT_SECONDS, admits=admits
    )
    host = urlsplit(url).netloc
    if answer.status != HTTPStatus.OK:
        raise KeyringError(f"{host}: status {answer.status}")
    try:
        keys = KeySet(answer.body)
    except ValueError:
        raise KeyringError(f"{host}: not a JWK Set") from None
    if not keys:  # an empty answer of a broken issuer must not take the good keys away
        raise KeyringError(f"{host}: no public key for signatures")
    age = _AGE.search(answer.cache_control.lower())
    said = KEYS_FRESH_SECONDS if age is None else float(age[1])
    least, most = KEYS_FRESH
    return Fetched(keys, min(max(said, least), most))


def admits(address: str) -> bool:
    """Return whether keys may be asked for at an address."""
    parsed = ip_address(address.partition("%")[0])
    parsed = getattr(parsed, "ipv4_mapped", None) or parsed
    return not any(parsed in one for one in _METADATA)
