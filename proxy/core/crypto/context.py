"""What a ciphertext is bound to, and the scope that shares one session key.

CONTEXT has one entry for each bound part, in the order of the labels: u8 label, u32be length, UTF-8
bytes. A joined name has its own label, 0x10 (a list) or 0x20 (members) above that of its part, and
its own encoding as value. Parts that are not bound are left out. SCOPE is CONTEXT reduced to tenant
and conversation.

Both are named tuples, since every message makes some and looks them up in caches: a frozen
dataclass takes several times as long for either.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from ..errors import MissingValue
from .joined_names import KINDS, LABEL_STEP, Joined, Name

TENANT: Final = 1
CONVERSATION: Final = 2
FIELD: Final = 3
MESSAGE: Final = 4
PURPOSE: Final = 5
KIND: Final = 6

KIND_BODY: Final = "body"
KIND_STREAM: Final = "stream"


class Parties(NamedTuple):
    """The parties to end-to-end sealing: sender and recipients, or the reader who opens.

    They determine the key and are not bound to the ciphertext: the key package names them.
    `recipients` are sorted, each once.
    """

    sender: str | None = None
    recipients: tuple[str, ...] = ()
    reader: str | None = None


class Scope(NamedTuple):
    """Whose session key is used: a tenant, a conversation, both, or neither.

    With `parties`, the key is from a key package.
    """

    tenant: Name | None = None
    conversation: Name | None = None
    parties: Parties | None = None

    def encode(self) -> bytes:
        """Return SCOPE, without the parties; raise MissingValue if a name is not Unicode text."""
        return _entry(TENANT, self.tenant) + _entry(CONVERSATION, self.conversation)


class Context(NamedTuple):
    """Everything a ciphertext is bound to. `kind` is None for fields."""

    scope: Scope = Scope()
    field: str | None = None
    message: Name | None = None
    purpose: str | None = None
    kind: str | None = None

    def encode(self) -> bytes:
        """Return CONTEXT; raise MissingValue if a name is not Unicode text."""
        return (
            self.scope.encode()
            + _entry(FIELD, self.field)
            + _entry(MESSAGE, self.message)
            + _entry(PURPOSE, self.purpose)
            + _entry(KIND, self.kind)
        )


def _entry(label: int, part: Name | None) -> bytes:
    if part is None:
        return b""
    if isinstance(part, Joined):
        value = part.encode()
        return bytes((label + LABEL_STEP * KINDS[part.kind],)) + len(value).to_bytes(4) + value
    try:
        text = part.encode()
    except UnicodeEncodeError:
        # Replacement characters for lone surrogates would make two different names equal.
        raise MissingValue("name-not-unicode") from None
    return bytes((label,)) + len(text).to_bytes(4) + text
