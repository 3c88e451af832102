"""What a ciphertext is bound to, and the scope that shares one session key.

CONTEXT is one entry for each bound part, in label order: u8 label, u32be length, UTF-8 bytes.
Parts that are not bound are left out. SCOPE is CONTEXT reduced to tenant and conversation.

Both are named tuples, since every message makes some and looks them up in caches: a frozen
dataclass takes several times as long for either.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from .errors import MissingValue

TENANT: Final = 1
CONVERSATION: Final = 2
FIELD: Final = 3
MESSAGE: Final = 4
PURPOSE: Final = 5
KIND: Final = 6

KIND_BODY: Final = "body"
KIND_STREAM: Final = "stream"


class Parties(NamedTuple):
    """Between whom a value is end to end: who seals it for whom, or who is to open it.

    They choose the key and are bound to no ciphertext: the key package says for whom the key is.
    `recipients` are in order, each once.
    """

    sender: str | None = None
    recipients: tuple[str, ...] = ()
    reader: str | None = None


class Scope(NamedTuple):
    """Whose session key is used: a tenant, a conversation, both, or neither.

    Where there are `parties`, it is one from a key package.
    """

    tenant: str | None = None
    conversation: str | None = None
    parties: Parties | None = None

    def encode(self) -> bytes:
        """Return SCOPE, which has no parties; raise MissingValue for names not in Unicode."""
        return _entry(TENANT, self.tenant) + _entry(CONVERSATION, self.conversation)


class Context(NamedTuple):
    """Everything a ciphertext is bound to. `kind` is None for fields."""

    scope: Scope = Scope()
    field: str | None = None
    message: str | None = None
    purpose: str | None = None
    kind: str | None = None

    def encode(self) -> bytes:
        """Return CONTEXT; raise MissingValue where a name is not Unicode text."""
        return (
            self.scope.encode()
            + _entry(FIELD, self.field)
            + _entry(MESSAGE, self.message)
            + _entry(PURPOSE, self.purpose)
            + _entry(KIND, self.kind)
        )


def _entry(label: int, part: str | None) -> bytes:
    if part is None:
        return b""
    try:
        text = part.encode()
    except UnicodeEncodeError:
        # A lone surrogate would make two different names meet in one replacement character.
        raise MissingValue("name-not-unicode") from None
    return bytes((label,)) + len(text).to_bytes(4) + text
