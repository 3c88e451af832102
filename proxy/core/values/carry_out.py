"""Values sealed and opened, whatever they lie in. What is done to a value is written here alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Final, cast

from ..crypto.aead import Parts
from ..crypto.context import Context
from ..crypto.sealed_stream import StreamHead
from ..crypto.session_cipher import Session
from ..crypto.token import KeyId, Token, decode_header, without_tags
from ..errors import (
    CallerMayNotOpen,
    CallerMayNotSearch,
    ForbiddenValue,
    IndexIncomplete,
    MaskedValue,
    MessageError,
    NotIndexable,
    OpenFailed,
    Unopened,
)
from ..formats import embedded_tokens
from ..formats.embedded_tokens import FoundToken
from ..formats.escaping import EXACT
from ..formats.json import quote as json_text
from ..leaves import quote
from ..policy import TOGETHER_BYTES, VALUES_TOGETHER
from ..rules.audience import Mask
from ..rules.model import Block, Item
from ..slices import pause
from .hows import How, Open, Seal, Seek, Span
from .key_needs import Keys, KeysInUse
from .outcomes import NO_TOKEN, TWIN, Outcome, expiry
from .part_streams import PartStream, of_content, without_length
from .sealing import fitting, sealed_text
from .spelling import as_text, in_place
from .table import UNBOUND, Values, What, is_parts, splice, spliced

if TYPE_CHECKING:  # loaded with its rules
    from ..search.model import FieldIndex
    from ..search.queries import Query
    from .sieve import Sieve

_TOKENS: Final = {tuple}
_HEAD: Final = itemgetter(0)


class CarriedOut:
    """What the values of a message have come to.

    Attributes:
        counts: How many had which outcome.
        shown: How many values of a field the caller gets as what, where rules tell callers apart.
        proven: How many values each session has opened.
        failed: What is wrong first; then nothing may be forwarded.
        found: The sessions that it was done with.
        texts: What takes the place of each value, row by row; None where it stays.
    """

    __slots__ = (
        "_beside",
        "_gone",
        "_in_use",
        "_now",
        "_permissive",
        "_stays",
        "_values",
        "counts",
        "failed",
        "found",
        "proven",
        "shown",
        "texts",
    )

    def __init__(self, values: Values, keys: Keys, now: float, *, permissive: bool = False) -> None:
        """Carry out every row, also those behind one that does not open.

        `now` is in seconds since 1970. `permissive`: what was never sealed stays in any block.
        """
        self._values = values
        self.found = keys
        self._now = now
        self._permissive = permissive
        self._in_use: KeysInUse | None = None
        self._stays: dict[int, Outcome] = {}
        self._beside: dict[Span, None] | None = None
        self._gone: set[int] = set()
        self.counts: Final[dict[Outcome, int]] = {}
        self.shown: Final[dict[tuple[str, Outcome], int]] = {}
        self.proven: Final[dict[Session, int]] = {}
        self.failed: MessageError | None = None
        self.texts: list[bytes | None] = []
        try:
            self._carry_out(values)
        except MessageError as error:
            self.failed = self.failed or error  # what is wrong first is told
        replaced = values.replaced
        if values.sieve is not None and self.failed is None:
            replaced = self._drop(values.sieve)
        if replaced:
            self._change_beside(tuple(replaced))
        if values.unlisted is not None:
            unlisted, block = values.unlisted
            if self._lets_pass(block):
                self._count("unlisted")
            else:
                self.failed = self.failed or unlisted
        if values.noted:
            for outcome, _, _ in values.noted:
                self._count(outcome)

    @property
    def keys(self) -> KeysInUse:
        """The sessions that open."""
        in_use = self._in_use
        if in_use is None:
            in_use = self._in_use = KeysInUse(self.found)
        return in_use

    @property
    def unopened(self) -> tuple[Unopened, ...]:
        """The tokens that did not open."""
        return () if self._in_use is None else tuple(self._in_use.unopened)

    @property
    def as_usual(self) -> bool:
        """Whether every value was sealed or opened, and no token failed to open."""
        if self._stays or self.failed is not None:
            return False
        return self._in_use is None or not self._in_use.unopened

    @property
    def head(self) -> list[tuple[int, Span]]:
        """What changes in the head: the place, where in its line, and the text."""
        values, texts = self._values, self.texts
        return [
            (place, (values.starts[row], values.ends[row], text))
            for row, place in values.heads.items()
            if (text := texts[row]) is not None
        ]

    @property
    def changes_body(self) -> bool:
        """Whether something of the body is replaced."""
        return self._beside is not None or bool(self._gone) or bool(self._rows())

    def spliced(self, body: bytes) -> bytes:
        """Return the body with its values replaced; raise InvalidBody where two overlap."""
        values, texts = self._values, self.texts
        if self._beside is None and not self._stays and not values.heads and texts:
            return spliced(body, values.starts, values.ends, texts)  # type: ignore[arg-type]  # none stays
        spans = [(values.starts[row], values.ends[row], texts[row]) for row in self._rows()]
        spans += self._beside or ()
        if self._gone:
            from .left_out import left_out  # noqa: PLC0415 - loaded with its rules

            rows = sorted(self._gone, key=values.starts.__getitem__)
            spans += left_out(body, ((values.starts[row], values.ends[row]) for row in rows))
        return splice(body, spans) if spans else body  # type: ignore[arg-type]  # as above

    def _rows(self) -> list[int]:
        """Return which values of the body are replaced."""
        heads = self._values.heads
        return [row for row, text in enumerate(self.texts) if text is not None and row not in heads]

    def tally(self) -> dict[tuple[str, Outcome], int]:
        """Return how many values of each field were opened, but for those that are `shown`."""
        values, found = self._values, Counter[tuple[str, Outcome]]()
        for how, context, text in zip(values.hows, values.contexts, self.texts, strict=False):
            told = type(how) is Open and how.item is not None and how.item.shown is not None
            if type(how) is Open and text is not None and not told:
                whose = UNBOUND if context is None else context
                found[whose.field or whose.kind or how.shape, "opened"] += 1
        return found

    def _carry_out(self, values: Values) -> None:
        """Carry out rows, some at a time that are treated alike."""
        hows, contexts, what, at, count = values.hows, values.contexts, values.what, 0, len(values)
        if values.refusal is not None:
            count = values.refusal[1]
        while at < count:
            pause()
            how, context, found, end = hows[at], contexts[at], what[at], at + 1
            if end < count and hows[end] is how and contexts[end] is context:
                end = values.alike_until(at, VALUES_TOGETHER, TOGETHER_BYTES)
            told = type(how) is Open and how.item is not None and how.item.shown is not None
            before = dict(self.counts) if told else self.counts
            if type(found) is bytes and type(how) is Seal and context is not None:
                self._seal(how, context, at, end)
            elif type(how) is Seek or type(found) is PartStream:
                one = self._seek if type(how) is Seek else self._stream
                for row in range(at, end):
                    one(how, row, context)  # type: ignore[arg-type]  # it is bound
            else:
                self._open(how, context, at, end)  # type: ignore[arg-type]  # what is no text is opened
            if told:
                self.show(cast("Item", how.item), before)
            at = end
        if values.refusal is not None:
            raise values.refusal[0]

    def _count_opened(self, session: Session, values: int) -> None:
        self._count("opened", values)
        self.proven[session] = self.proven.get(session, 0) + values

    def show(self, item: Item, before: Mapping[Outcome, int]) -> None:
        """Note what the caller gets of a field: what has been counted since `before`."""
        for outcome, count in self.counts.items():
            more = count - before.get(outcome, 0)
            if more:
                key = item.field, outcome
                self.shown[key] = self.shown.get(key, 0) + more

    # --- sealing --------------------------------------------------------------------------------

    def _seal(self, how: Seal, context: Context, at: int, end: int) -> None:
        values, item = self._values, how.item
        if item.is_special or (values.alike and how.block.already_sealed != "seal"):
            self._seal_apart(how, context, at, end)
            return
        session = self.found.sealing[context.scope]
        some: list[bytes] = values.what[at:end]  # type: ignore[assignment]  # rows to be sealed
        texts = session.seal_each(some, context, values.ctys[at])
        if how.spells or values.parts:
            for row, text in enumerate(texts, at):
                self._put(how, row, text, "sealed")
            return
        self.texts += [b'"%b"' % one for one in texts] if how.quoted else texts
        self._count("sealed", end - at)

    def _seal_apart(self, how: Seal, context: Context, at: int, end: int) -> None:
        """Seal values one by one: each may be sealed already, or must not be sealed."""
        values, item, block = self._values, how.item, how.block
        exp = item.expires and expiry(self._now, item.expires)
        session = self.found.sealing[context.scope]
        if item.form == "equal":
            if item.seeks and item.unseen:
                raise CallerMayNotSearch("caller-may-not-search")
            session = self.found.standing.equal(context.scope, seeks=item.seeks)
        for row in range(at, end):
            looks = row in values.alike and (item.handed or block.already_sealed != "seal")
            if looks and self._is_sealed(how, context, row):
                continue
            text, cty = cast("bytes", values.what[row]), values.ctys[row]
            if item.masked:
                from . import masks  # noqa: PLC0415 - loaded with its rules

                masks.refuse_mask(item.field, text)
            sealed = sealed_text(item, session, text, context, cty, exp)
            if item.index is not None:
                told = fitting(item, text, cty)
                sealed = self._tagged(item, item.index, context, row, told, sealed)
            self._put(how, row, sealed, "sealed")

    def _tagged(  # noqa: PLR0913, PLR0917 - a value, and what it is sealed as
        self,
        item: Item,
        index: FieldIndex,
        context: Context,
        row: int,
        text: bytes,
        sealed: bytes,
    ) -> bytes:
        """Return a token with the tags of its text, or put these into the member beside it.

        Raises NotIndexable for a text that cannot be indexed, ValueTooLong for more characters than
        the backend accepts, KeyUnavailable without an index secret.
        """
        from ..search import tags  # noqa: PLC0415 - loaded with its rules

        keys = self.found.standing.index
        found = tags.of_value(index, keys, context.scope, item.field, text)
        if item.tags_member is None:
            return tags.within(item.max_chars, tags.behind(sealed.decode(), found), item.field)
        if self._values.hows[row].spells:
            raise NotIndexable("within-a-text", detail=f"{item.field}: its object is in a text.")
        end = self._values.span(row)[1]
        member = f',{json_text(item.tags_member)}:"{tags.listed(found)}"'
        self._change_beside(((end, end, member.encode()),))
        return sealed

    def _is_sealed(self, how: Seal, context: Context, row: int) -> bool:
        """Return whether a value that looks sealed is; raise ForbiddenValue where none may be."""
        item, token = how.item, self._values.alike[row]
        if how.block.already_sealed == "reject":
            raise ForbiddenValue(
                "already-sealed", detail=f"{item.field}: the value is already sealed."
            )
        try:
            opener, plaintext = self.keys.open(token, context, self._now)
        except OpenFailed:
            if item.handed:
                told = f"{item.field}: the token does not open here."
                raise MaskedValue("token-comes-back", detail=told) from None
            return False
        text = fitting(item, token.as_text(plaintext), token.cty)
        if item.index is None:
            self._stay(row, "already_sealed", opener)
            return True
        sealed = without_tags(cast("bytes", self._values.what[row]))
        self._put(
            how,
            row,
            self._tagged(item, item.index, context, row, text, sealed),
            "already_sealed",
            opener,
        )
        return True

    # --- searching ------------------------------------------------------------------------------

    def _seek(self, how: How, row: int, context: Context) -> None:
        """Put a tag in the place of what is searched for."""
        query = cast("Query", self._values.what[row])
        generations = self.found.standing.index
        if not generations:
            raise IndexIncomplete("no-index-secret")
        # All that is stored has the tags of the oldest generation, until that is dropped.
        self._put(how, row, query.tag(generations[0], context).encode(), "searched")

    def _drop(self, sieve: Sieve) -> list[Span]:
        """Return what is replaced beside the values, once elements have been dropped."""
        values = self._values
        for stay, number in Counter(sieve.stays).items():
            self._count("found" if stay else "filtered", number)
        cuts, rows = sieve.dropped(values.starts, values.heads, values.replaced)
        for row in rows:
            self.texts[row] = None
            self._gone.discard(row)
            if stayed := self._stays.get(row):
                self._count(stayed, -1)  # headers tell the client how many do
            self._stays[row] = "filtered"
        return cuts

    # --- opening --------------------------------------------------------------------------------

    def _open(self, how: Open, context: Context | None, at: int, end: int) -> None:
        what = self._values.what
        some = what[at:end]
        if how.withholds and how.mask is None:
            for row in range(at, end):
                self._withhold(how, row, what[row])
            return
        alike = context is not None and set(map(type, some)) == _TOKENS
        if alike and len(set(map(_HEAD, some))) == 1:  # type: ignore[arg-type]  # as was just looked at
            self._open_each(how, context, at, some)  # type: ignore[arg-type]  # as above
            return
        while at < end:
            found, behind = what[at], at + 1
            if is_parts(found) and context is not None:
                head = found[0]
                while behind < end and type(one := what[behind]) is tuple and one[0] == head:
                    behind += 1
                self._open_each(how, context, at, what[at:behind])  # type: ignore[arg-type]  # as looked at
            elif isinstance(found, FoundToken):
                self._open_in_text(how, context, at, found)
            elif isinstance(found, OpenFailed):
                self._fail(how, at, found)
            else:  # only a token in a text may have no context
                self._open_one(how, context, at, cast("Token", found))  # type: ignore[arg-type]  # so it is bound
            at = behind

    def _open_each(self, how: Open, context: Context, at: int, tokens: Sequence[Parts]) -> None:
        """Open tokens with one head."""
        key_id, _, cty, _ = decode_header(tokens[0][0])
        session, texts, reason = self.keys.open_each(tokens, key_id, context, self._now)
        plain = how.shape == "json" and how.place is EXACT and not how.spells
        if plain and how.mask is None and cty is None and session is not None and None not in texts:
            literals = list(map(quote, texts))  # type: ignore[arg-type]  # as was just looked at
            if None not in literals:  # as nearly always
                if self._values.sieve is not None:
                    for row, text in enumerate(texts, at):
                        self._values.sieve.take(row, text)
                self.texts += literals
                self._count_opened(session, len(texts))
                return
        for row, text in enumerate(texts, at):
            self._write(how, row, text, cty, session, reason, key_id)

    def _open_one(self, how: Open, context: Context, row: int, token: Token) -> None:
        try:
            session, text = self.keys.open(token, context, self._now)
        except OpenFailed as error:
            self._fail(how, row, error)
            return
        if how.shape != "bytes":
            text = token.as_text(text)
        self._write(how, row, text, token.cty, session, "", token.key_id)

    def _write(  # noqa: PLR0913, PLR0917 - what has come of a token, or why nothing has
        self,
        how: Open,
        row: int,
        text: bytes | None,
        cty: str | None,
        session: Session | None,
        reason: str,
        key_id: KeyId,
    ) -> None:
        """Write what a token held in its place, or note why it did not open."""
        if text is None:
            self._fail(how, row, self.keys.noted(reason, key_id))
            return
        if self._values.sieve is not None and cty is None:
            self._values.sieve.take(row, text)
        try:
            mask = how.mask
            if mask is not None:
                text = _mask_of(mask, text, cty).encode()
            new = in_place(how, text, cty)
            if new is None:
                self._stay(row, "in_markup", session)
            else:
                self._put(how, row, new, "opened" if mask is None else "masked", session)
        except OpenFailed as error:
            # A text that has no spelling here is as good as one that does not open.
            self._fail(how, row, error)

    def _open_in_text(
        self, how: Open, context: Context | None, row: int, found: FoundToken
    ) -> None:
        token = found.token
        if token is None:
            self._write_in_text(how, row, found, how.block.placeholder, None)
            return
        if context is None:
            self._fail(how, row, self.keys.noted("missing-name", token.key_id))
            return
        try:
            session, plaintext = self.keys.open(token, context, self._now)
            plain, mask = token.as_text(plaintext), how.mask
            text = as_text(plain, token.cty) if mask is None else _mask_of(mask, plain, token.cty)
        except OpenFailed as error:
            if found.trails_off:
                self._write_in_text(how, row, found, how.block.placeholder, None)
            else:
                self._fail(how, row, error)
            return
        self._write_in_text(how, row, found, text, session)

    def _write_in_text(
        self, how: Open, row: int, found: FoundToken, text: str, session: Session | None
    ) -> None:
        """Write a text in place of a token that lies in another, the placeholder by no session."""
        new = embedded_tokens.written_in(found, text, opened=session is not None)
        try:
            if new is None:
                self._stay(row, "in_markup", session)
            else:
                opened: Outcome = "opened" if how.mask is None else "masked"
                self._put(how, row, new, "cut" if session is None else opened, session)
        except OpenFailed as error:
            self._fail(how, row, error)

    def _fail(self, how: Open, row: int, error: OpenFailed) -> None:
        """Let a token stay that does not open, or note that nothing may be forwarded."""
        passes = error.reason == NO_TOKEN and self._lets_pass(how.block)
        if how.withholds and isinstance(self._values.what[row], OpenFailed):
            # What is no token is the value itself, perhaps: nobody gets it who gets no values.
            if error.reason == TWIN:
                self._stay(row, "kept")
            elif passes or how.block.keep_unopened:
                self._leave_out(how, row)
            else:
                self.failed = self.failed or error
                self.texts.append(None)
        elif passes:
            self._stay(row, "plain")
        elif how.lenient or how.block.keep_unopened or error.reason == TWIN:
            self._stay(row, "kept")
        else:
            # The others are tried all the same: else the time would tell which of many it was.
            self.failed = self.failed or error
            self.texts.append(None)

    def _withhold(self, how: Open, row: int, found: What) -> None:
        """Do with a value what its caller gets instead of it, if that is neither it nor a mask."""
        shown = cast("Item", how.item).shown
        if shown == "absent":
            self._leave_out(how, row)
        elif shown != "token":
            raise CallerMayNotOpen("caller-may-not-open")
        elif isinstance(found, OpenFailed):
            self._fail(how, row, found)
        elif isinstance(found, FoundToken) and found.token is None:
            self._write_in_text(how, row, found, how.block.placeholder, None)
        else:
            self._stay(row, "token")

    def _leave_out(self, how: Open, row: int) -> None:
        """Leave out a member, or put what stands for nothing in the place of a value."""
        found = self._values.what[row]
        if isinstance(found, FoundToken):
            new = embedded_tokens.written_in(found, "", opened=False)
            self._put(how, row, b"" if new is None else new, "absent")
        elif how.shape != "json":
            self._put(how, row, b"", "absent")
        elif how.within:
            self._put(how, row, b"null", "absent")
        else:
            self._gone.add(row)
            self._stay(row, "absent")

    def _lets_pass(self, block: Block) -> bool:
        """Return whether what was never sealed may stay."""
        until = block.permissive_until
        passes = self._permissive or self._values.passes_plain
        return passes or (until is not None and self._now < until)

    def _stream(self, how: How, row: int, context: Context) -> None:
        """Seal or open a content that is a sealed stream, or becomes one."""
        stream = cast("PartStream", self._values.what[row])
        if type(how) is Open and how.withholds:
            self._withhold_stream(how, row, stream)
            return
        try:
            change = stream.carry_out(self.keys, how.block, context, self._now)
        except OpenFailed as error:
            self.failed = self.failed or error
            self.texts.append(None)
            return
        if change.text is None:
            self._stay(row, change.outcome, change.session)
            return
        self._take(row, change.text, change.outcome, change.session)
        self._change_beside(change.head)

    def _withhold_stream(self, how: Open, row: int, stream: PartStream) -> None:
        """Do with a sealed stream what its caller gets instead of its content."""
        shown = cast("Item", how.item).shown
        if shown == "absent":
            self._take(row, b"", "absent", None)
            self._change_beside(stream.left_out())
        elif shown == "token" and isinstance(stream.stream, StreamHead):
            self._stay(row, "token")
        else:
            raise CallerMayNotOpen("no-text")

    # --- what comes of it -----------------------------------------------------------------------

    def _put(
        self, how: How, row: int, text: bytes, outcome: Outcome, session: Session | None = None
    ) -> None:
        """Put a text in the place of a value; raise OpenFailed where it has no spelling there."""
        if type(how) is Seal and how.quoted:
            text = b'"%b"' % text
        for spell in how.spells:
            text = spell(text)
        self._take(row, text, outcome, session)
        if row in self._values.parts:
            lies = self._values.parts[row]
            if not lies.within:
                self._change_beside(of_content(lies.part, lies.media, len(text)))

    def _stay(self, row: int, outcome: Outcome, session: Session | None = None) -> None:
        """Let a value stay as it is."""
        self._stays[row] = outcome
        self._take(row, None, outcome, session)

    def _take(
        self, row: int, text: bytes | None, outcome: Outcome, session: Session | None
    ) -> None:
        """Note what becomes of a value."""
        self.texts.append(text)
        self._count(outcome)
        if session is not None:
            self.proven[session] = self.proven.get(session, 0) + 1
        if row in self._values.parts and self._values.parts[row].within:
            self._change_beside(without_length(self._values.parts[row].part))

    def _change_beside(self, spans: tuple[Span, ...]) -> None:
        """Note what changes beside the values: more than one may ask for the same."""
        if spans:
            self._beside = (self._beside or {}) | dict.fromkeys(spans)

    def _count(self, outcome: Outcome, values: int = 1) -> None:
        self.counts[outcome] = self.counts.get(outcome, 0) + values


def _mask_of(mask: Mask, text: bytes, cty: str | None) -> str:
    from . import masks  # noqa: PLC0415 - loaded with its rules

    return masks.of_value(mask, text, cty)
