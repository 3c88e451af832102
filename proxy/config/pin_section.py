"""The section `keys.pins`: which keys of participants are believed to be theirs."""

from __future__ import annotations

import re
from typing import Final, cast

from .fields import Fields
from .file_keys import PIN, PINS
from .positions import Place
from .problems import Problems, show
from .settings import PIN_MODES, PinMode, PinSettings
from .values import choice, elements, text, texts

_KID: Final = re.compile(r"[A-Za-z0-9_-]{43}")


def pin_settings(place: Place, problems: Problems) -> PinSettings:
    """Return the settings of pins; what is wrong is told."""
    fields = Fields(place, PINS, problems)
    mode, listed = fields.get("mode"), fields.get("participants")
    word = None if mode is None else choice(mode, PIN_MODES, problems)
    chosen = PinSettings() if word is None else PinSettings(cast("PinMode", word))
    if listed is None:
        return chosen
    kids: dict[str, frozenset[str]] = {}
    for one in elements(listed, problems):
        _listed(one, kids, problems)
    return PinSettings(chosen.mode, kids)


def _listed(place: Place, kids: dict[str, frozenset[str]], problems: Problems) -> None:
    fields = Fields(place, PIN, problems)
    named, keys = fields.get("participant"), fields.get("keys")
    who = None if named is None else text(named, problems)
    found = [] if keys is None else texts(elements(keys, problems), problems)
    for kid, at in found:
        if not _KID.fullmatch(kid):
            problems.add(
                at,
                f"{show(kid)} is not a thumbprint of 43 characters (RFC 7638)",
                "`sealyard participants list` prints them",
            )
    if who is None or named is None:
        return
    if who in kids:
        problems.add(named, f"{show(who)} is listed twice", "list all their keys in one element")
    kids[who] = frozenset(kid for kid, _ in found)
