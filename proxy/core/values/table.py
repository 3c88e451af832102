"""The values of one message as flat arrays: where each lies, what it is bound to, what it is.

A row is a value. Rows of one field follow each other and share what they have in common: how they
are treated, and mostly what they are bound to. What few values have lies beside the arrays, by the
number of the row. Between planning and carrying out, these arrays are all that a message holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias, TypeGuard

from .. import leaves
from ..crypto.aead import Parts
from ..crypto.context import Context, Scope
from ..crypto.token import PREFIXES, KeyId, Token, decode_header, decoded_token, token_or_none
from ..errors import InvalidBody, MessageError, OpenFailed
from ..formats.embedded_tokens import FoundToken
from ..formats.json import shield
from ..formats.multipart.reader import Part
from ..leaves import token_parts, tokens
from ..rules.model import Block
from ..slices import pause, paused
from .hows import How, Open, Seal, Span
from .key_needs import UNIT_BITS, Needs, weight
from .outcomes import Outcome
from .part_streams import PartStream
from .streams import Framing

if TYPE_CHECKING:
    from ..search.queries import Query  # loaded with its rules
    from .sieve import Sieve

_SOME: Final = 4096
"""So many rows are looked at between two pauses."""


Lookup = Parts | Token | OpenFailed
"""A token taken apart, in whichever form, or why a value is none."""
What: TypeAlias = "bytes | Lookup | FoundToken | PartStream | Query"
"""What a value is: the text to be sealed, a token, a content that is sealed as a stream, or what is
searched for.
"""


class InPart(NamedTuple):
    """The part of a form that a value lies in, whose head changes with it.

    `media` is the new type of its content (None: it stays, empty: none). `within` says that the
    value is one of several in the content, so that none knows how long that will be.
    """

    part: Part
    media: str | None = None
    within: bool = False


UNBOUND: Final = Context()
"""What is no token is bound to."""


class InText(NamedTuple):
    """Where all of a value lies that is in a text, and where that text begins."""

    start: int
    end: int
    text: int


class Values:
    """The values of one message, row by row, and what else it comes to.

    Attributes:
        hows: How each is treated.
        contexts: What each is bound to; None where a name that binds a token is missing.
        starts: Where what is replaced begins: in the body, or in the line of the head.
        ends: Where it ends.
        ctys: The content type of what is sealed: None for a text.
        what: What each value is.
        alike: The tokens that values to be sealed look to be.
        wholes: Where values lie that are in a text of the body.
        parts: The parts that values lie in.
        passes_plain: What was to be opened and is no token passes.
        heads: The places in the head that values lie in, as `HeadSpan` has them.
        framing: What makes a sealed stream of the body, or opens it as one.
        masked: Where the body has what readers differ over, in order.
        noted: Messages and records that pass, with where they lie.
        refusal: What is wrong behind so many of the rows, if anything is: a record at fault.
        unlisted: What a block does not list that has a mode `permissive`.
        replaced: What else of the body is replaced, whatever becomes of the values.
        sieve: What of the body stays, where its request has searched.
    """

    __slots__ = (
        "alike",
        "contexts",
        "ctys",
        "ends",
        "framing",
        "heads",
        "hows",
        "masked",
        "noted",
        "parts",
        "passes_plain",
        "refusal",
        "replaced",
        "sieve",
        "starts",
        "unlisted",
        "what",
        "wholes",
    )

    def __init__(self) -> None:
        """Begin with no value."""
        self.hows: list[How] = []
        self.contexts: list[Context | None] = []
        self.starts: list[int] = []
        self.ends: list[int] = []
        self.ctys: list[str | None] = []
        self.what: list[What] = []
        self.alike: dict[int, Token] = {}
        self.wholes: dict[int, InText] = {}
        self.parts: dict[int, InPart] = {}
        self.heads: dict[int, int] = {}
        self.framing: list[Framing] = []
        self.noted: list[tuple[Outcome, int, int]] = []
        self.masked: list[int] = []
        self.passes_plain = False
        self.refusal: tuple[MessageError, int] | None = None
        self.unlisted: tuple[MessageError, Block] | None = None
        self.replaced: list[Span] = []
        self.sieve: Sieve | None = None

    def __len__(self) -> int:
        """Return how many values there are."""
        return len(self.hows)

    def add(  # noqa: PLR0913, PLR0917 - one argument for each array
        self,
        how: How,
        context: Context | None,
        start: int,
        end: int,
        what: What,
        cty: str | None = None,
    ) -> int:
        """Add a value; return the number of its row."""
        row = len(self.hows)
        self.hows.append(how)
        self.contexts.append(context)
        self.starts.append(start)
        self.ends.append(end)
        self.ctys.append(cty)
        self.what.append(what)
        return row

    def compare(self, row: int, text: bytes) -> None:
        """Note the token that a value to be sealed looks to be, if it is one."""
        if text.startswith(PREFIXES) and (token := token_or_none(text)) is not None:
            self.alike[row] = token

    def extend(
        self, how: How, context: Context, spots: Sequence[int], what: Sequence[What]
    ) -> None:
        """Add values that are treated alike; each begins and ends at two of the `spots`."""
        count = len(what)
        self.hows += [how] * count
        self.contexts += [context] * count
        self.starts += spots[::2]
        self.ends += spots[1::2]
        self.ctys += [None] * count
        self.what += what

    def only(self, row: int) -> Values:
        """Return a table of one value alone."""
        alone = Values()
        columns = self.hows, self.contexts, self.starts, self.ends, self.what, self.ctys
        alone.add(*(column[row] for column in columns))  # type: ignore[arg-type]  # each its own
        for mine, beside in zip(alone.beside, self.beside, strict=True):
            if row in beside:
                mine[0] = beside[row]
        return alone

    def span(self, row: int) -> tuple[int, int]:
        """Return where all of a value lies in the body, the quotes of a string among it."""
        if row in self.wholes:
            whole = self.wholes[row]
            return whole.start, whole.end
        how = self.hows[row]
        shift = int(isinstance(how, Seal) and how.between)
        return self.starts[row] - shift, self.ends[row] + shift

    @property
    def beside(self) -> tuple[dict[int, Any], ...]:
        """What few values have."""
        return self.alike, self.wholes, self.parts, self.heads

    @property
    def seals(self) -> bool:
        """Whether a value is to be sealed."""
        if any(one.seals for one in self.framing):
            return True
        return any(map(_seals, self.hows, self.what))

    def shield(self) -> None:
        """Let no JSON that is opened have a character that begins a tag."""
        known: dict[int, How] = {}
        for row, how in enumerate(self.hows):
            if not row % _SOME:
                pause()
            if type(how) is not Open or row in self.parts:
                continue
            found = self.what[row]
            if found.depth > 0 if isinstance(found, FoundToken) else how.shape == "json":
                shielded = known.get(id(how))
                if shielded is None:
                    spells = (*how.spells[:-1], shield, *how.spells[-1:])
                    shielded = known[id(how)] = how._replace(spells=spells)
                self.hows[row] = shielded

    def needs(self) -> Needs:  # noqa: C901 - one loop for all kinds of rows
        """Return the sessions that the values need."""
        if len(self.hows) == 1 and type(self.what[0]) is bytes and not self.alike:
            scope = self.contexts[0].scope  # type: ignore[union-attr]  # what is sealed is bound
            return Needs({scope: 1 + (len(self.what[0]) >> UNIT_BITS)})
        seals: dict[Scope, int] = {}
        opens: set[tuple[Scope, KeyId]] = set()
        head: object = None
        bound: Context | None = None
        sealed: Context | None = None
        count = 0
        rows = zip(self.hows, self.contexts, self.what, strict=True)
        for how, context, what in rows if len(self.hows) < _SOME else paused(rows):
            if type(what) is tuple and what[0] is head and context is bound:
                continue  # as nearly always in a list
            if type(what) is bytes and context is sealed:
                count += 1 + (len(what) >> UNIT_BITS)
                continue
            if context is None:
                continue
            scope = context.scope
            if type(what) is bytes or type(how) is Seal:  # or a content that becomes a stream
                if sealed is not None:
                    seals[sealed.scope] = seals.get(sealed.scope, 0) + count
                sealed, count = context, weight(len(what)) if type(what) is bytes else 1
            if is_parts(what):
                head, bound = what[0], context
                opens.add((scope, decode_header(what[0]).key_id))
            elif type(what) is not bytes and (token := token_in(what)) is not None:
                opens.add((scope, token.key_id))
        if sealed is not None:
            seals[sealed.scope] = seals.get(sealed.scope, 0) + count
        if self.alike or self.framing:
            self._add_beside(seals, opens)
        return Needs(seals, frozenset(opens))

    def _add_beside(self, seals: dict[Scope, int], opens: set[tuple[Scope, KeyId]]) -> None:
        """Add the sessions for values that look sealed and are kept if they are, and of a body."""
        for row, token in self.alike.items():
            context = self.contexts[row]
            how = self.hows[row]
            handed = type(how) is Seal and how.item.handed
            if context is not None and (handed or how.block.already_sealed == "keep"):
                opens.add((context.scope, token.key_id))
        for one in self.framing:
            scope = one.context.scope
            if one.seals:
                seals[scope] = seals.get(scope, 0) + 1
            if isinstance(one.token, Token):
                opens.add((scope, one.token.key_id))

    def alike_until(self, at: int, most: int, size: int) -> int:
        """Return where rows end that follow one, and are treated alike for the same context.

        Not more than `most` of them, that begin within so many bytes.
        """
        hows, contexts, ctys, starts = self.hows, self.contexts, self.ctys, self.starts
        how, context, cty, first = hows[at], contexts[at], ctys[at], starts[at]
        end, last = at + 1, min(len(hows), at + most)
        many = last - at
        if (
            starts[last - 1] - first <= size
            and hows[at:last] == [how] * many
            and contexts[at:last] == [context] * many
            and ctys[at:last] == [cty] * many
        ):
            return last  # as in most lists
        while (
            end < last
            and hows[end] is how
            and contexts[end] is context
            and ctys[end] == cty
            and starts[end] - first <= size
        ):
            end += 1
        return end


def _seals(how: How, what: What) -> bool:
    """Return whether a value is to be sealed."""
    if type(what) is bytes:
        return True
    return type(how) is Seal  # a content that becomes a stream


def is_parts(what: object) -> TypeGuard[Parts]:
    """Return whether a value is a token in JWE form, taken apart."""
    return type(what) is tuple


def lookup(text: bytes) -> Lookup:
    """Return the token that a text is, taken apart, or why it is none."""
    parts = token_parts(text) if len(text) < tokens.LARGE else tokens.token_parts(text)
    if parts is not None:
        try:
            decode_header(parts[0])
        except OpenFailed:
            pass
        else:
            return parts
    return decoded_token(text)


def token_in(what: What) -> Token | None:
    """Return the token that a value is or has, decoded; None where it is none."""
    if is_parts(what):
        head, iv, sealed = what
        key_id, commitment, cty, exp = decode_header(head)
        return Token("jwe", key_id, head, iv, sealed, cty, exp, commitment)
    found = getattr(what, "token", what)
    return found if isinstance(found, Token) else None


def splice(body: bytes, changes: Sequence[Span]) -> bytes:
    """Return `body` with each span replaced; raise InvalidBody where two spans overlap."""
    starts, ends, texts = ([one[at] for one in changes] for at in range(3))
    return spliced(body, starts, ends, texts)  # type: ignore[arg-type]  # each column has its type


def spliced(body: bytes, starts: list[int], ends: list[int], texts: list[bytes]) -> bytes:
    """Do as `splice` for spans whose places and texts are apart, in any order."""
    if len(starts) == 1:  # as in most messages
        return b"".join((body[: starts[0]], texts[0], body[ends[0] :]))
    if sorted(starts) != starts:  # those of a list are in order
        rows = sorted(zip(starts, ends, texts, strict=True))
        starts, ends, texts = map(list, zip(*rows, strict=True))
    places = [0] * (2 * len(starts))
    places[::2], places[1::2] = starts, ends
    new = leaves.splice(body, places, texts)
    if new is None:
        raise InvalidBody("spans-overlap")
    return new
