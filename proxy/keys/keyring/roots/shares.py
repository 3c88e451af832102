"""Root provider `shares`: k of n operators open the keyring together (Shamir).

Each split has a random secret of its own; the wrapping is a JWE under it, and has a commitment to
each share. The secret is in no file. A process collects shares until there are enough. From then
on it keeps the secret for reloads, as a key derived from a passphrase; the shares are gone.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Final

from ....config.settings.roots.shares import MOST_SHARES, SharesOptions
from ....core.crypto import shamir
from ....core.crypto.secret import KEY_BYTES
from ....core.errors import KeyringError
from ....process.fitness import Finding
from ...policy import SHARES_SECONDS
from .. import envelope
from ..root_secret import RootKey, Salted
from ..share import KeyringShare, keyring_begin, parse
from . import passphrase
from .provider import Members

_CTY: Final = "octet-stream"
NONE_WANTED: Final = "no shares are wanted: no keyring waits for them"


@dataclass(frozen=True, slots=True)
class Split:
    """What a keyring's file says of a split, made at a time in seconds since 1970."""

    keyring_id: str
    made: int
    needed: int
    commitments: tuple[str, ...]

    @classmethod
    def of(cls, members: Members, keyring_id: str) -> Split:
        """Return the split of a wrapping; raise KeyringError for one that has none."""
        if set(members) != {"jwe", "split", "needed", "shares"}:
            raise KeyringError("a wrapping has missing or unknown members")
        made, needed = members["split"], members["needed"]
        commitments = tuple(str(members["shares"]).split("."))
        if type(made) is not int or type(needed) is not int:
            raise KeyringError("a wrapping by shares has other numbers than integers")
        if not 2 <= needed <= len(commitments) <= MOST_SHARES:  # noqa: PLR2004 - as it is split
            raise KeyringError("a wrapping by shares has numbers that no split has")
        return cls(keyring_id, made, needed, commitments)

    @property
    def kept_as(self) -> tuple[str, Salted]:
        """The name of its secret among what this process keeps."""
        digest = hashlib.sha256(".".join(self.commitments).encode()).digest()
        return f"=shares {self.keyring_id}", Salted(digest, self.needed)


@dataclass(frozen=True, slots=True)
class ShareCount:
    """How many shares a process has and needs; `attempt` changes when shares were dropped."""

    held: int
    needed: int
    attempt: str

    def __str__(self) -> str:
        """Return it for `/readyz`."""
        return f"{self.held} of {self.needed} shares"


class Collection:
    """The shares that were handed in to this process.

    Several threads use it: shares come in at a socket, while another opens the keyring.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin with none; `clock` is in seconds."""
        self._clock = clock
        self._lock = threading.Lock()
        self._split: Split | None = None
        self._shares: dict[int, KeyringShare] = {}
        self._attempt = secrets.token_hex(8)
        self._until = 0.0

    def expect(self, split: Split) -> ShareCount:
        """Say which split is wanted from now on; shares of another one are dropped."""
        with self._lock:
            if split != self._split:
                self._drop()
                self._split = split
            return self._progress()

    def hand_in(self, share: KeyringShare, attempt: str) -> ShareCount:
        """Take a share; return how many there are then.

        Raises KeyringError, and takes nothing, where no shares are wanted, where it is a share of
        another keyring or split, a wrong or a known one, and where shares were dropped since the
        caller looked (`attempt`).
        """
        with self._lock:
            progress = self._progress()
            if self._split is None:
                raise KeyringError(NONE_WANTED)
            if attempt != self._attempt:
                raise KeyringError("shares that were handed in before have expired: begin again")
            self._require_right(share, self._split)
            if share.index in self._shares:
                raise KeyringError(f"share {share.index} was handed in already")
            if not progress.held:
                self._until = self._clock() + SHARES_SECONDS
            self._shares[share.index] = share
            return self._progress()

    def progress(self) -> ShareCount | None:
        """Return how far it is; None where no shares are wanted."""
        with self._lock:
            return None if self._split is None else self._progress()

    def secret(self, split: Split) -> RootKey:
        """Return the secret that the shares give; they are dropped.

        Raises KeyringError, with the count, while there are too few.
        """
        progress = self.expect(split)
        with self._lock:
            if len(self._shares) < split.needed:
                raise KeyringError(str(progress))
            values = {index: one.value.reveal() for index, one in self._shares.items()}
            self._drop()
        return RootKey(shamir.combine(values))

    def end(self) -> None:
        """Want no more shares."""
        with self._lock:
            self._drop()
            self._split = None

    def _progress(self) -> ShareCount:
        if self._shares and self._clock() >= self._until:
            self._drop()
        needed = 0 if self._split is None else self._split.needed
        return ShareCount(len(self._shares), needed, self._attempt)

    def _drop(self) -> None:
        self._shares.clear()
        self._attempt = secrets.token_hex(8)

    def _require_right(self, share: KeyringShare, split: Split) -> None:
        if share.keyring != keyring_begin(split.keyring_id):
            raise KeyringError("the share is of another keyring")
        if share.split != split.made:
            when = "an earlier" if share.split < split.made else "a later"
            raise KeyringError(f"the share is of {when} split: the keyring was split again")
        listed = split.commitments[share.index - 1 : share.index]
        right = listed and hmac.compare_digest(listed[0], share.commitment)
        if not right or share.needed != split.needed:
            raise KeyringError("the share is none of this split: it was changed, or made up")


COLLECTION: Final = Collection()
"""That of this process."""


@dataclass(frozen=True, slots=True)
class SharesRoot:
    """Wraps under a new random secret, whose shares `made` gets; unwraps with those collected.

    A split is made only where something takes the shares: without `made`, `wrap` refuses. `ask`
    returns a typed share at a terminal; without it, they come from elsewhere.
    """

    kind: ClassVar[str] = "shares"
    key: ClassVar[str] = ""

    options: SharesOptions
    environ: Mapping[str, str] = field(repr=False)
    collection: Collection = field(repr=False, default=COLLECTION)
    made: Callable[[tuple[KeyringShare, ...]], None] | None = field(repr=False, default=None)
    ask: Callable[[ShareCount], str] | None = field(repr=False, default=None)
    now: Callable[[], float] = field(repr=False, default=time.time)

    def wrap(self, plaintext: bytes, keyring_id: str) -> Members:
        """Return the JWE under a new secret and what tells its shares, which `made` gets."""
        if self.made is None:
            raise KeyringError("new shares are made by `sealyard keys init` and `keys roots`")
        options, secret = self.options, os.urandom(KEY_BYTES)
        values = shamir.split(secret, options.needed, options.made, os.urandom)
        at = int(self.now())
        shares = tuple(
            KeyringShare.of(keyring_id, at, options.needed, index, value)
            for index, value in values.items()
        )
        members: Members = {
            "jwe": envelope.encrypt(plaintext, RootKey(secret), cty=_CTY).decode(),
            "split": at,
            "needed": options.needed,
            "shares": ".".join(share.commitment for share in shares),
        }
        self.made(shares)
        passphrase.keep(*Split.of(members, keyring_id).kept_as, RootKey(secret))
        return members

    def unwrap(self, members: Members, keyring_id: str) -> bytes:
        """Return the plaintext once enough shares were handed in; until then, raise the count."""
        split = Split.of(members, keyring_id)
        secret = passphrase.kept(*split.kept_as)
        if secret is None:
            secret = self._collected(split)
        plaintext = envelope.decrypt(str(members["jwe"]).encode(), secret, cty=_CTY)
        self.collection.end()
        passphrase.keep(*split.kept_as, secret)
        return plaintext

    def examine(self) -> list[Finding]:
        """Return nothing: a split has no state but the shares."""
        return []

    def _collected(self, split: Split) -> RootKey:
        progress = self.collection.expect(split)
        while self.ask is not None and progress.held < progress.needed:
            progress = self.collection.hand_in(parse(self.ask(progress)), progress.attempt)
        return self.collection.secret(split)
