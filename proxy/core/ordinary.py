"""Ordinary messages: JSON whose selected values are searched for by their names.

What the general way finds is found here in fewer steps, since nearly every message is of this
kind. Wherever that is not certain nothing is found, and the general way has its turn: it alone
tells what is wrong with a message.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple, cast

from .context import Context, Scope
from .edits import OpenEdit, SealEdit
from .errors import OpenFailed
from .formats.json.lexer import after_space, value_end
from .formats.json.probe import Probe, Seen
from .formats.json.text import check
from .needs import Needs
from .placed import Placed
from .rules import Item, NamedPart
from .sources import JsonSource, NameSource, Source
from .token import CTY_JSON, KeyId, Token, decoded_token, token_or_none

Facts = dict[JsonSource, str | None]
NameReader = Callable[[NameSource], str | None]

_PARTS: Final[tuple[NamedPart, ...]] = ("tenant", "conversation", "message")
_REMEMBERED: Final = 1024
"""So many names are remembered with their contexts: clients choose them, so not without end."""
_UNBOUND: Final = Context()

_Names = tuple[str | None, ...]


class Found(NamedTuple):
    """What is to be done to one message, and the keys for it."""

    edits: tuple[SealEdit | OpenEdit, ...]
    needs: Needs


class _Name(NamedTuple):
    """Which name is read: at its place in the message, or else what was kept or is outside."""

    at: int
    here: int | None
    source: JsonSource | NameSource


class Ordinary:
    """The items of one block whose values stand at plain paths, bound by names of the message."""

    __slots__ = (
        "_constants",
        "_contexts",
        "_items",
        "_keeps",
        "_names",
        "_opens",
        "_probe",
        "_required",
        "_seals",
    )

    def __init__(  # noqa: PLR0913 - what a block tells of itself, each by name
        self,
        probe: Probe,
        encrypt: Sequence[Placed],
        decrypt: Sequence[Placed],
        *,
        sources: Mapping[NamedPart, Source],
        here: Mapping[JsonSource, int],
        keeps: Sequence[JsonSource],
        lenient: bool,
    ) -> None:
        """Make ready, for sources that `is_simple`.

        `here` has the place of each source that is read from the message at hand; those in `keeps`
        are kept from it for its answer. `lenient` says that nothing to be opened is ever missing.
        """
        self._probe = probe
        self._seals = tuple((one.index, one.item) for one in encrypt)
        self._opens = tuple(one.index for one in decrypt)
        self._required = frozenset(
            one.index for one in (*encrypt, *(() if lenient else decrypt)) if not one.item.optional
        )
        self._items = tuple(one.item for one in (*encrypt, *decrypt))
        self._keeps = tuple((one, here[one]) for one in keeps)
        bound = {part for one in self._items for part in one.bind}
        named = [sources[part] if part in bound else None for part in _PARTS]
        self._constants = tuple(map(_constant, named))
        self._names = tuple(
            _name(at, source, here)
            for at, source in enumerate(named)
            if source is not None and self._constants[at] is None
        )
        self._contexts: dict[_Names, tuple[Context, ...]] = {}

    def find(self, body: bytes, facts: Facts, read: NameReader) -> Found | None:
        """Return what is to be done to a JSON text, or None where the general way must tell.

        `facts` holds what was kept from the request, or takes it; `read` reads a name outside of
        the body. Raises MessageError for what the general way would refuse before it looks further.
        """
        if not self._probe.suits(body):
            return None
        text = check(body)
        seen = self._seen(text)
        if seen is None or not self._keep(seen, facts):
            return None
        contexts = self._bind(seen, facts, read)
        return None if contexts is None else self._found(body, text, seen, contexts)

    def _seen(self, text: str) -> Sequence[Sequence[Seen]] | None:
        """Return what stands at each path, where all of the text is one value that has it all."""
        try:
            probed = self._probe.find(text, 0 if text.startswith("{") else after_space(text, 0))
        except (ValueError, StopIteration):
            return None
        if probed is None:
            return None
        end, seen, missing = probed
        if end != len(text) and after_space(text, end) != len(text):
            return None
        return seen if self._required.isdisjoint(missing) else None

    def _keep(self, seen: Sequence[Sequence[Seen]], facts: Facts) -> bool:
        """Keep names of this message for its answer; return whether each is a string or missing."""
        for source, index in self._keeps:
            if not seen[index]:
                facts[source] = None
            elif type(value := seen[index][0][0]) is str:
                facts[source] = _text(value)
            else:
                return False
        return True

    def _bind(
        self, seen: Sequence[Sequence[Seen]], facts: Facts, read: NameReader
    ) -> tuple[Context, ...] | None:
        """Return the context of each item, or None where a name is missing or is no string."""
        found = [*self._constants]
        for at, here, source in self._names:
            text: str | None
            if here is not None:
                if not seen[here] or type(value := seen[here][0][0]) is not str:
                    return None
                text = _text(value)
            elif type(source) is JsonSource:
                text = facts.get(source)
            else:
                text = read(cast("NameSource", source))
            if text is None:
                return None
            found[at] = text
        names = tuple(found)
        contexts = self._contexts.get(names)
        if contexts is None:
            contexts = tuple(_context(one, names) for one in self._items)
            if len(self._contexts) >= _REMEMBERED:
                self._contexts.clear()
            self._contexts[names] = contexts
        return contexts

    def _found(
        self, body: bytes, text: str, seen: Sequence[Sequence[Seen]], contexts: tuple[Context, ...]
    ) -> Found | None:
        edits: list[SealEdit | OpenEdit] = []
        seals: dict[Scope, int] = {}
        opens: set[tuple[Scope, KeyId]] = set()
        for at, (index, item) in enumerate(self._seals):
            context = contexts[at]
            for one in seen[index]:
                sealing = _seal(body, text, one, item, context)
                edits.append(sealing)
                if sealing.token is not None:
                    opens.add((context.scope, sealing.token.key_id))
            if seen[index]:
                seals[context.scope] = seals.get(context.scope, 0) + len(seen[index])
        for at, index in enumerate(self._opens, start=len(self._seals)):
            context = contexts[at]
            recent: KeyId | None = None  # tokens of one session often follow each other
            for one in seen[index]:
                opening = _open(text, one, context)
                edits.append(opening)
                token = opening.token
                if type(token) is Token and token.key_id is not recent:
                    recent = token.key_id
                    opens.add((context.scope, recent))
        return Found(tuple(edits), Needs(seals, frozenset(opens)))


def is_simple(source: Source) -> bool:
    """Tell whether a source gives one text, where it is read from the message at a plain path."""
    if isinstance(source, JsonSource):
        steps = source.selector.steps
        return not source.member_name and all(isinstance(one.key, str) for one in steps)
    return isinstance(source, NameSource)


def _constant(source: Source | None) -> str | None:
    return source.name if isinstance(source, NameSource) and source.place == "const" else None


def _name(at: int, source: Source, here: Mapping[JsonSource, int]) -> _Name:
    assert isinstance(source, JsonSource | NameSource)  # noqa: S101 - `is_simple` says so
    return _Name(at, here.get(source) if isinstance(source, JsonSource) else None, source)


def _context(item: Item, names: _Names) -> Context:
    tenant, conversation, message = (
        name if part in item.bind else None for part, name in zip(_PARTS, names, strict=True)
    )
    field = item.field if "field" in item.bind else None
    purpose = item.purpose if "purpose" in item.bind else None
    return Context(Scope(tenant, conversation), field, message, purpose)


def _text(value: str) -> str:
    """Return a string that was read with one character for each byte as the text that it is."""
    return value if value.isascii() else value.encode("latin-1").decode()


def _seal(body: bytes, text: str, one: Seen, item: Item, context: Context) -> SealEdit:
    value, start, _ = one
    end = value_end(text, value, start)
    if type(value) is not str:
        return SealEdit(start, end, item, context, body[start:end], CTY_JSON, quoted=True)
    plaintext = value.encode("latin-1")
    token = token_or_none(plaintext)
    return SealEdit(start, end, item, context, plaintext, None, quoted=True, token=token)


def _open(text: str, one: Seen, context: Context) -> OpenEdit:
    value, start, _ = one
    end = value_end(text, value, start)
    if type(value) is str:
        token = decoded_token(value.encode("latin-1"))
        if type(token) is Token:
            return OpenEdit(start, end, context, token, "json")
    else:
        token = OpenFailed("not-a-token")
    return OpenEdit(start, end, _UNBOUND, token, "json")
