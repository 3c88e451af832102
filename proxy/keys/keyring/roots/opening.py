"""The configured roots of a keyring: which of its wrappings each opens, and in which order."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

from ....core.errors import KeyringError, RootUnavailable
from ..keyring import Keyring, shown
from ..root_secret import RootKey
from . import provider
from .provider import LocalRoot, RootName, RootProvider, Wrapping


class RootRefusal(NamedTuple):
    """A root that was tried and did not open, and why; the reason has no secret."""

    root: RootName
    reason: str


@dataclass(frozen=True, slots=True)
class Unwrapped:
    """The root key, the root that opened it, and those tried before."""

    root_key: RootKey
    by: RootName
    refusals: tuple[RootRefusal, ...] = ()


@dataclass(frozen=True, slots=True)
class Roots:
    """One or more roots, tried in this order, the keyring's id, and who may sign its file.

    A `keyring_id` of None accepts any keyring, but not from a key service: that opens whatever was
    wrapped with its key, by whoever may use it.
    """

    listed: tuple[RootProvider, ...]
    keyring_id: str | None = None
    signed_by: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Raise KeyringError where two roots cannot be told apart."""
        for one in self.listed:
            if sum(name_of(one) == name_of(other) for other in self.listed) > 1:
                raise KeyringError(f"the root {name_of(one)} is configured twice")

    @classmethod
    def of(cls, root: RootProvider | Roots) -> Roots:
        """Return one root as the only one."""
        return root if isinstance(root, Roots) else cls((root,))

    def among(self, wrappings: tuple[Wrapping, ...]) -> Roots:
        """Return those of the roots that have a wrapping; raise KeyringError if none has."""
        present = {one.root for one in wrappings}
        listed = tuple(one for one in self.listed if name_of(one) in present)
        if not listed:
            raise KeyringError(f"none of the configured roots opens it: {_names(wrappings)} would")
        return replace(self, listed=listed)

    @property
    def services(self) -> bool:
        """Whether a key service is among them."""
        return not all(isinstance(one, LocalRoot) for one in self.listed)

    @property
    def local(self) -> LocalRoot | None:
        """The one root, if its secret is on this machine."""
        only = self.listed[0] if len(self.listed) == 1 else None
        return only if isinstance(only, LocalRoot) else None

    def require_pinned(self, keyring_id: str) -> None:
        """Raise KeyringError for another keyring than the pinned one."""
        if self.keyring_id not in {None, keyring_id}:
            named = shown(self.keyring_id or "")
            reason = f"keyring-mismatch: it is {shown(keyring_id)}…, and keys.keyring.id is"
            raise KeyringError(f"{reason} {named}…")

    def wrap(self, root_key: RootKey, keyring: Keyring, *, now: int) -> tuple[Wrapping, ...]:
        """Return a wrapping by each root; `now` is in seconds since 1970."""
        self.require_pinned(keyring.id)
        return tuple(provider.wrap(root_key, keyring, one, now=now) for one in self.listed)

    def unwrap(self, wrappings: tuple[Wrapping, ...], keyring_id: str) -> Unwrapped:
        """Return the root key from the first wrapping that one of the roots opens.

        No wrapping of any other root is tried. Raises KeyringError, before a root is asked, for
        another keyring, and where a root has no wrapping or several; RootUnavailable where no root
        opens, but a key service might later.
        """
        self.require_pinned(keyring_id)
        if self.services and self.keyring_id is None:
            reason = f"a key service opens any keyring: write `id: {keyring_id}` in keys.keyring,"
            raise KeyringError(f"{reason} if `sealyard keys init` printed this id")
        found = [(one, _wrapping_of(one, wrappings)) for one in self.listed]
        refusals: list[RootRefusal] = []
        for root, wrapping in found:
            try:
                opened = provider.unwrap(wrapping, keyring_id, root)
            except KeyringError as error:
                refusals.append(RootRefusal(name_of(root), error.reason))
            else:
                return Unwrapped(opened, name_of(root), tuple(refusals))
        reasons = "; ".join(f"{one.root}: {one.reason}" for one in refusals)
        if self.services:
            raise RootUnavailable(f"no root opens the keyring: {reasons}")
        raise KeyringError(refusals[0].reason if len(refusals) == 1 else reasons)


def name_of(root: RootProvider) -> RootName:
    """Return which root it is."""
    return RootName(root.kind, root.key)


def _names(wrappings: tuple[Wrapping, ...]) -> str:
    return ", ".join(sorted({str(one.root) for one in wrappings}))


def _wrapping_of(root: RootProvider, wrappings: tuple[Wrapping, ...]) -> Wrapping:
    found = [one for one in wrappings if one.root == name_of(root)]
    if len(found) == 1:
        return found[0]
    number = "several wrappings" if found else "no wrapping"
    reason = f"{number} for the configured root {name_of(root)}; its roots are: {_names(wrappings)}"
    raise KeyringError(f"the keyring has {reason}")
