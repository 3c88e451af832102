"""How every command changes the keyring: as its laws allow, written down first."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import Any, Final, TypeVar

from ..core.errors import KeyringError
from ..keys.keyring import file
from ..keys.keyring.keyring import Keyring
from ..keys.keyring.roots import FileRoot, create_root_file
from . import base
from .keyring_place import Place
from .times import utc

ROLL_OUT_SECONDS: Final = 600
"""So long every process has to get a changed keyring before joined names turn."""

_Asked = TypeVar("_Asked")


def update(
    place: Place, event: str, change: Callable[[Keyring], Keyring], **values: str
) -> Keyring:
    """Change the keyring's file by `change` and return what stands there then."""

    def audited(keyring: Keyring) -> Keyring:
        changed = asked(partial(change, keyring))
        # Before the file changes: what cannot be written down is not done.
        known = {kek.id for kek in keyring.keks}
        added = ",".join(kek.id for kek in changed.keks if kek.id not in known)
        place.write_down(keyring, event, added=added, **values)
        return changed

    changed = file.update_keyring(place.path, place.root, audited)
    tell(changed)
    return changed


def tell(keyring: Keyring) -> None:
    """Say which keyring it is, and of which generation."""
    base.say(f"keyring {keyring.id}, generation {keyring.generation}")


def asked(make: Callable[[], _Asked]) -> _Asked:
    """Return what is asked of a keyring; where the keyring's laws forbid it, the answer is no."""
    try:
        return make()
    except KeyringError as error:
        raise base.Failure(error.reason, base.NEGATIVE) from None


def prepare_new(place: Place) -> None:
    """Refuse an existing keyring before anything is made, then see that there is a root key."""
    if place.path.exists():
        raise KeyringError(f"{place.path}: exists already and is not overwritten")
    path = place.root.reference.file if isinstance(place.root, FileRoot) else None
    if path is not None and not path.exists():
        create_root_file(path, random=os.urandom)
        base.say(f"made the root key {path}; keep a copy of it apart from the keyring")


def facts(keyring: Keyring) -> dict[str, Any]:
    """Return which keyring it is and how often it was changed, as JSON holds it."""
    return {
        "id": keyring.id,
        "generation": keyring.generation,
        "joined_since": None if keyring.joined_since is None else utc(keyring.joined_since),
    }
