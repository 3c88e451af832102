"""The interface of a body format: how bodies of one kind are recognised, cut, read and spelled.

A format is a class in a file of its own that overrides what differs from JSON, and an entry in
`table.FORMATS`. Settings, rules, planning and the contract tests read the table.
"""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import ClassVar, Final, Literal, NamedTuple, Protocol, Self

from ..errors import MessageError
from ..expressions.selectors import Selector
from ..http.message import Head, HeadFacts, MediaType
from ..policy import MISREAD_NAMES, PIECE_BYTES
from ..slices import pause
from . import embedded_tokens
from . import json as json_format
from .embedded_tokens import FoundToken
from .escaping import Escape, Manner
from .json import Findings

Kind = str
"""The name of a format, a key of `FORMATS`: what `format:` in a rule says."""

Place = Literal["$", "form", "part", "tokens", "text"]
"""What selects values of a body: `$.path`, `form:name`, `part:name` or `filename:name`, `tokens`
anywhere, or all of its text."""

Spell = Callable[[bytes], bytes]
"""Returns a text as a format spells it; raises OpenFailed where it has no spelling there."""


class Selection(Protocol):
    """The selected names of a block, ready to be found in a body or record. Known by index."""

    @classmethod
    def of(
        cls, selectors: Sequence[Selector], checked: frozenset[int], each: frozenset[int]
    ) -> Self:
        """Make selectors ready, all of them for the same place.

        Of those that are `checked`, no name may occur in another spelling; of `each`, every
        occurrence is taken, where of others a second one is refused.
        """

    def find(self, body: bytes, *, lenient: bool = False) -> Findings:
        """Return where the selected values lie; raise MessageError where that is ambiguous.

        `lenient` reports members that occur twice instead of refusing them.
        """

    def text(self, raw: bytes) -> bytes | None:
        """Return the text that a value reads as; None for a JSON value that is no string.

        Raises InvalidBody where it is no text.
        """

    @property
    def spell(self) -> Spell | None:
        """Return what spells a text as a value.

        None: values are JSON, so that a sealed one is a string and an opened one any value.
        """

    def refuse_other(self, body: bytes) -> None:
        """Raise UnsupportedBody for a request that backends may read as another format."""


class Lying(NamedTuple):
    """Where the text of a record begins and ends, and where the next record begins."""

    start: int
    end: int
    behind: int


class PlacedToken(NamedTuple):
    """A token, and the text that it was found in.

    That text begins at `start` of the body; where `places` are given, each of its bytes begins so
    many bytes behind `start`. `spell` spells what replaces the token, None: as it is.
    """

    found: FoundToken
    start: int = 0
    places: Sequence[int] | None = None
    spell: Spell | None = None


class Record(Protocol):
    """One record of a body: `text` is the JSON text that it reads as.

    `attachments` are how many binary parts of it are sent behind it.
    """

    @property
    def attachments(self) -> int:
        """Return how many values of the text are sent behind the record."""

    def attachment(self, start: int, end: int) -> int | None:
        """Return the number of the attachment that a value stands for, or None."""

    @property
    def text(self) -> bytes:
        """Return the record as it reads."""

    def __getitem__(self, place: int, /) -> int:
        """Return where in the body a place of the text lies."""

    @property
    def name(self) -> str:
        """Return what people call such a record; empty where all are alike."""

    @property
    def renamed(self) -> frozenset[str]:
        """Return the names of which the answer has others in their place, and these others."""

    def in_string(self, start: int) -> bool:
        """Return whether a value that begins here lies in a string, so that it is spelled anew."""

    def check_value(self, start: int, end: int) -> None:
        """Raise MessageError where a value that lies here in the text cannot be sealed."""

    def spelling(self, start: int, *, plain: bool) -> Spell:
        """Return how what replaces the text from `start` is spelled: plain text, or JSON."""


class TextRecord:
    """A record whose text lies in the body as it reads."""

    __slots__ = ("start", "text")
    attachments = 0
    renamed: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, body: bytes, start: int, end: int) -> None:
        """Read the text from `start` to `end` of a body."""
        self.start = start
        self.text = body[start:end]

    def __getitem__(self, place: int, /) -> int:
        """Return where in the body a place of the text lies."""
        return self.start + place

    @property
    def name(self) -> str:
        """Return an empty text: all are alike."""
        return ""

    def check_value(self, start: int, end: int) -> None:
        """Let any value be sealed."""

    def in_string(self, start: int) -> bool:
        """Return False: no value lies in a string."""
        return False

    def attachment(self, start: int, end: int) -> int | None:
        """Return None: every value is in the text."""

    def spelling(self, start: int, *, plain: bool) -> Spell:
        """Return what spells a text as it is."""
        return as_it_is


def as_it_is(text: bytes) -> bytes:
    """Return a text that needs no spelling."""
    return text


class Splitter(ABC):
    """Cuts a stream where records end; holds back what is no whole record yet, up to `limit` bytes.

    Nothing is changed: what is cut off is the stream, byte for byte. Where a record ends depends
    on what comes before it, and not on the pieces in which the stream comes.
    """

    __slots__ = ("_held", "_limit", "over")
    record_end: ClassVar[bytes | None] = None
    """What bytes end with of which nothing is held back; None: nothing is certain."""

    def __init__(self, limit: int) -> None:
        """Begin where the stream does. It is `over` with a record of more bytes than the limit."""
        self._held = bytearray()  # a list of small pieces would take many times their bytes
        self._limit = limit
        self.over = False

    @property
    def held(self) -> int:
        """How many bytes are held back, of a record that is not whole."""
        return len(self._held)

    def feed(self, data: bytes) -> bytes:
        """Return the records that are whole with these bytes, maybe none.

        Of a stream that is over, those before the record that is too long; behind it nothing comes.
        """
        if len(data) <= min(self._limit - len(self._held), PIECE_BYTES):
            return self._taken(data, self._border(data))  # no record of these can be too long
        whole: list[bytes] = []
        at = 0
        while at < len(data) and not self.over:
            pause()
            room = min(self._limit - len(self._held), PIECE_BYTES)
            some = data[at : at + max(room, 1)]
            at += len(some)
            cut = self._border(some)
            if room > 0 or cut == 0:
                whole.append(self._taken(some, cut))
            else:
                self.over = True  # and what is held back stays, so that nothing passes behind it
        return b"".join(whole)

    def passes(self, data: bytes) -> bool:
        """Return whether nothing is held back, and `feed` would return these bytes as they are.

        What is not certain at a glance does not pass.
        """
        if self._held or self.record_end is None or len(data) > self._limit:
            return False
        return data.endswith(self.record_end)

    def end(self) -> bytes:
        """Return what the stream ends with, maybe less than a record."""
        rest = b"" if self.over else bytes(self._held)
        self._held.clear()
        return rest

    def _taken(self, data: bytes, cut: int) -> bytes:
        """Return the records that are whole, up to a border; hold back what is behind it."""
        if cut < 0:
            self._held += data
            return b""
        whole = b"".join((self._held, data[:cut]))
        self._held[:] = data[cut:]
        return whole

    @abstractmethod
    def _border(self, data: bytes) -> int:
        """Return where the last whole record ends in `data`, which comes next; -1 for nowhere.

        0: with it, what is held back shows to be whole.
        """


NOT_ANNOUNCED: Final = (
    "An attachment arrived without its packet. The packets of one polling session must reach the"
    " same process of Sealyard, and an attachment must follow within two minutes."
)
"""What a client learns whose attachment cannot be told to be one of a packet."""


class Packets(Protocol):
    """A protocol whose packets are the records of its bodies and the messages of its WebSockets."""

    receipts: ClassVar[frozenset[bytes]]
    """Bodies of responses that acknowledge packets and hold none."""
    separator: ClassVar[bytes]
    """What separates the packets of one HTTP body; a WebSocket message has one packet."""

    def attachments(self, body: bytes) -> Iterable[tuple[int, int]]:
        """Yield where the Base64 of each attachment lies in a body that holds no other packets."""

    def needs_session(self, packet: bytes) -> bool:
        """Return whether a packet is of the messages, not of the transport that carries them."""

    def others(self, body: bytes) -> Iterable[tuple[str, bytes]]:
        """Yield kind and JSON text of the packets that are no records, but have a text."""


IN_JSON: Final[frozenset[Place]] = frozenset({"$", "tokens"})


class BodyFormat:
    """A body that is one JSON text, as far as a format does not say otherwise."""

    kind: ClassVar[Kind]
    example: ClassVar[bytes]
    """A body in which a value called `note` is the text `secret`; the contract tests read it."""
    example_parameters: ClassVar[str] = ""
    """The parameters of the media type of the example, with the semicolon before them."""
    media_types: ClassVar[frozenset[str]] = frozenset()
    suffix: ClassVar[str | None] = None
    """The structured syntax suffix (RFC 6838 section 4.2.8) of further types: `json`."""
    places: ClassVar[frozenset[Place]] = IN_JSON
    selection: ClassVar[type[Selection]] = json_format.Selection
    """What finds, reads and spells values in a body, or in each record of it."""
    in_parts: ClassVar[bool] = False
    """Whether values are parts with headers of their own, which `multipart` alone has."""
    typed_requests: ClassVar[bool] = True
    """Whether a request is of this format by its type alone; else a rule must name it."""
    requests_only: ClassVar[bool] = False
    """Whether it is for what clients send: what they get is in other formats."""
    own: ClassVar[tuple[str, ...]] = ()
    """The members that the format itself writes into the JSON that a body or record reads as."""
    example_type: ClassVar[str] = "text/plain"
    """The media type of the example where the format has none of its own."""

    def load(self) -> None:
        """Import what only rules need that name this format. A block that does calls it."""

    def manner(self, escape: Escape, media: MediaType | None) -> Manner:
        """Return how a block writes what it opens into a body of this type."""
        return Manner(escape)

    def tokens(self, body: bytes, limit: int, manner: Manner) -> Iterable[PlacedToken]:
        """Return the tokens of a body or record, in order.

        Raises InvalidBody where there are more than `limit`, or where the body has any and cannot
        be read.
        """
        return map(PlacedToken, embedded_tokens.find(body, limit, manner))

    def check_query(self, query: str) -> None:
        """Raise ForbiddenValue where servers read a part of such a request from its query."""

    def fields(self, facts: HeadFacts, body: bytes) -> Iterable[tuple[str, str | None]]:
        """Return name and value of each field that backends merge with those of the query.

        What only some read as a field has no value, nor has what is no text. Raises MessageError
        where the body cannot be read.
        """
        return ()

    def misread(self, body: bytes) -> Iterator[str]:
        """Yield the names of the values that JSON, or records of it, has to readers of this format.

        Raises BodyTooLarge where there are more than such a body may have.
        """
        return iter(())

    @property
    def misreads(self) -> bool:
        """Whether `misread` ever yields a name."""
        return type(self).misread is not BodyFormat.misread


class RecordFormat(BodyFormat, ABC):
    """A body of records, each a JSON text with names and values of its own."""

    splitter: ClassVar[type[Splitter] | None] = None
    """What cuts a stream of such records, so that each passes by itself; None: read whole."""
    mixed: ClassVar[bool] = False
    """Whether records may be texts that are no JSON: skipped where a block only opens."""
    open_ended: ClassVar[bool] = False
    """Whether a cut body differs from a whole one, so that the connection may end it."""
    packets: ClassVar[Packets | None] = None
    has_controls: ClassVar[bool] = False
    """Whether a body without a record may be one of its protocol, and passes."""
    has_names: ClassVar[bool] = False
    """Whether records have names, which tell operations of one route apart."""

    def check_head(self, head: Head, body: bytes) -> None:
        """Raise MessageError where servers may read a message with this head as something else."""

    @property
    def finds_usual(self) -> bool:
        """Whether `usual` ever finds a record."""
        return type(self).usual is not RecordFormat.usual

    def usual(self, body: bytes, at: int) -> Lying | None:
        """Return where a record lies that begins here, if it is as most are: its text on one line.

        None for all else. The text is not empty, and holds no end of a line.
        """
        return None

    @abstractmethod
    def records(self, body: bytes, *, strict: bool, awaited: int) -> Iterable[Record]:
        """Return the records of a body in order.

        `strict` refuses what only lax readers take for part of a record. `awaited` attachments
        announced by earlier packets come first. Raises InvalidBody, BodyTooLarge, ForbiddenValue.
        """

    def names(self, body: bytes) -> str:
        """Return the name of each record, each once: `mutation send; query list`.

        It ends where the body cannot be read, and after a thousand characters.
        """
        names: dict[str, None] = {}
        with contextlib.suppress(MessageError):
            for one in self.records(body, strict=True, awaited=0):
                names[one.name] = None
        return "; ".join(names)[:MISREAD_NAMES]
