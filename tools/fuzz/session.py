"""The session under which fuzz targets seal and open, and the names that bind what they seal."""

from __future__ import annotations

from typing import Final

from proxy.core.crypto.context import Scope
from proxy.core.crypto.derivation import session_key
from proxy.core.crypto.secret import Kek
from proxy.core.crypto.session_cipher import Session
from proxy.core.expressions import sources
from proxy.core.rules.model import Names
from proxy.core.values.key_needs import Keys, Needs

NOW: Final = 1_800_000_000
SCOPE: Final = Scope("clinic", "c1")
_SID: Final = (NOW - 600).to_bytes(4) + bytes(8)
SESSION: Final = Session(
    session_key(Kek(bytes(range(32))), _SID, SCOPE),
    sid=_SID,
    scope=SCOPE,
    kek_id="k1",
    kek_number=1,
)
NAMES: Final = Names(sources.parse_source("const:clinic"), sources.parse_source("const:c1"))


def keys(needs: Needs) -> Keys:
    """Return the keys of a plan: the one session for all that it seals, and for its own tokens."""
    opening = {need: SESSION for need in needs.opens if need[1].sid == _SID}
    return Keys(sealing=dict.fromkeys(needs.seals, SESSION), opening=opening)
