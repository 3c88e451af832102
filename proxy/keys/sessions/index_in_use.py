"""The index secrets as sessions use them: for tags, and for values in the equal form."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from ...core.crypto.context import Scope
from ...core.crypto.secret import KEY_BYTES, IndexSecret
from ...core.crypto.session_cipher import Session
from ...core.errors import IndexIncomplete, KeyUnavailable
from ...core.search.tags import IndexKeys
from ...core.values.streams import REVOKED
from ..keyring import index_secrets
from ..keyring.index_secrets import IndexGeneration


class IndexInUse:
    """The generations of one keyring, the older one first; `keys` make their tags.

    No token in the equal form tells when it was made. So once a scope was revoked, nothing of it is
    sealed or opened in that form.
    """

    def __init__(
        self, secrets: Sequence[IndexGeneration], *, revoked: Callable[[Scope], int]
    ) -> None:
        """Take the secrets; `revoked` returns since when a scope is (seconds since 1970), or 0."""
        self._secrets = secrets
        self._revoked = revoked
        self._unknown = IndexKeys(IndexSecret(os.urandom(KEY_BYTES)), 1)
        self.keys = [IndexKeys(one.key, one.generation) for one in secrets]

    def sealing(self, scope: Scope, *, seeks: bool) -> Session:
        """Return who seals in the equal form; `seeks` says that stored values are looked for.

        Raises KeyUnavailable once the scope was revoked; for who seeks IndexIncomplete while stored
        values are being sealed anew.
        """
        if self._revoked(scope):
            raise KeyUnavailable(REVOKED)
        if seeks and len(self.keys) > 1 and self._secrets[-1].turned:
            raise IndexIncomplete("being-sealed-anew")
        used = index_secrets.sealing(self._secrets)
        return next(one for one in self.keys if one.generation == used).equal(scope)

    def opening(self, scope: Scope, generation: int) -> tuple[Session, str | None]:
        """Return who opens in the equal form, or a decoy and why nothing must open."""
        known = next((one for one in self.keys if one.generation == generation), self._unknown)
        if known is self._unknown:
            return known.equal(scope), "unknown-key"
        return known.equal(scope), REVOKED if self._revoked(scope) else None
