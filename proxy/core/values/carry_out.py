"""Values sealed and opened, whatever they lie in. What is done to a value is written here alone."""

from __future__ import annotations

from operator import itemgetter
from typing import Final, cast

from ..crypto.aead import Parts
from ..crypto.context import Context
from ..crypto.session_cipher import Session
from ..crypto.token import KeyId, Token, decode_header
from ..errors import ForbiddenValue, MessageError, OpenFailed, Unopened
from ..formats import embedded_tokens
from ..formats.embedded_tokens import FoundToken
from ..formats.escaping import EXACT
from ..leaves import quote
from ..rules.model import Block, Item
from ..slices import pause
from .fit import require_base64, require_text
from .hows import How, Open, Seal
from .key_needs import Keys
from .keys_in_use import KeysInUse
from .outcomes import NO_TOKEN, TWIN, Outcome, expiry
from .part_heads import Span, of_content, without_length
from .part_streams import PartStream
from .spelling import as_text, in_place
from .splice import spliced
from .table import Values, What, is_parts, token_in

MOST_TOGETHER: Final = 256
"""So many values are worked at between two pauses, as long as they lie within so many bytes: half a
millisecond or so."""
MOST_BYTES: Final = 256 * 1024
_TOKENS: Final = {tuple}
_HEAD: Final = itemgetter(0)


class CarriedOut:
    """What the values of a message have come to.

    Attributes:
        counts: How many had which outcome.
        proven: How many values each session has opened.
        failed: What is wrong first; then nothing may be forwarded.
        starts: Where what changes in the body begins.
        ends: Where it ends.
        texts: What takes its place.
        head: What changes in the head: the place, where in its line, and the text.
    """

    __slots__ = (
        "_beside",
        "_in_use",
        "_keys",
        "_now",
        "_permissive",
        "_values",
        "counts",
        "ends",
        "failed",
        "head",
        "proven",
        "starts",
        "texts",
    )

    def __init__(self, values: Values, keys: Keys, now: float, *, permissive: bool = False) -> None:
        """Carry out every row, also those behind one that does not open.

        `now` is in seconds since 1970. `permissive`: what was never sealed stays in any block.
        """
        self._permissive = permissive
        self._keys = keys
        self._in_use: KeysInUse | None = None
        self.counts: Final[dict[Outcome, int]] = {}
        self.proven: Final[dict[Session, int]] = {}
        self.failed: MessageError | None = None
        self.starts: list[int] = []
        self.ends: list[int] = []
        self.texts: list[bytes] = []
        self.head: Final[list[tuple[int, Span]]] = []
        self._beside: dict[Span, None] = {}  # more than one value may ask for the same
        self._values = values
        self._now = now
        try:
            self._carry_out(values)
        except MessageError as error:
            self.failed = self.failed or error  # what is wrong first is told
        if values.noted:
            for outcome, _, _ in values.noted:
                self._count(outcome)

    @property
    def keys(self) -> KeysInUse:
        """The sessions that open."""
        if self._in_use is None:
            self._in_use = KeysInUse(self._keys)
        return self._in_use

    @property
    def unopened(self) -> tuple[Unopened, ...]:
        """The tokens that did not open."""
        return () if self._in_use is None else tuple(self._in_use.unopened)

    def spliced(self, body: bytes) -> bytes:
        """Return the body with its values replaced, once; raise InvalidBody where two overlap."""
        starts, ends, texts = self.starts, self.ends, self.texts
        if not starts and not self._beside:
            return body
        for start, end, text in self._beside:
            starts.append(start)
            ends.append(end)
            texts.append(text)
        return spliced(body, starts, ends, texts)

    @property
    def changes_body(self) -> bool:
        """Whether something of the body is replaced."""
        return bool(self.starts or self._beside)

    def _carry_out(self, values: Values) -> None:
        hows, contexts, what = values.hows, values.contexts, values.what
        at, count = 0, len(hows)
        if values.refusal is not None:
            count = values.refusal[1]
        while at < count:
            pause()
            how, context, found, end = hows[at], contexts[at], what[at], at + 1
            if end < count and hows[end] is how and contexts[end] is context:
                end = values.alike_until(at, MOST_TOGETHER, MOST_BYTES)
            if type(found) is bytes:
                self._seal(how, context, at, end)  # type: ignore[arg-type]  # what is a text is sealed
            elif isinstance(found, PartStream):
                for row in range(at, end):
                    self._stream(how, row, context)  # type: ignore[arg-type]  # it is bound
            else:
                self._open(how, context, at, end)  # type: ignore[arg-type]  # what is no text is opened
            at = end
        if values.refusal is not None:
            raise values.refusal[0]

    # --- sealing --------------------------------------------------------------------------------

    def _seal(self, how: Seal, context: Context, at: int, end: int) -> None:
        values, item = self._values, how.item
        session, cty = self._keys.sealing[context.scope], values.ctys[at]
        exp = item.expires and expiry(self._now, item.expires)
        if item.form != "jwe" or item.max_chars is not None or item.min_chars is not None:
            self._seal_apart(how, context, at, end, exp)
            return
        if values.alike and how.block.already_sealed != "seal":
            self._seal_apart(how, context, at, end, exp)
            return
        some: list[bytes] = values.what[at:end]  # type: ignore[assignment]  # rows to be sealed
        if end - at == 1:
            texts = [session.seal(some[0], context, cty=cty, exp=exp)]
        else:
            texts = session.seal_each(some, context, cty, exp)
        if how.spells or values.heads or values.parts:
            for row, text in enumerate(texts, at):
                self._put(how, row, text, "sealed")
            return
        self.starts += values.starts[at:end]
        self.ends += values.ends[at:end]
        self.texts += [b'"%b"' % one for one in texts] if how.quoted else texts
        self.counts["sealed"] = self.counts.get("sealed", 0) + end - at

    def _seal_apart(self, how: Seal, context: Context, at: int, end: int, exp: int | None) -> None:
        """Seal values one by one: each may be sealed already, or must not be sealed."""
        values, item, block = self._values, how.item, how.block
        session = self._keys.sealing[context.scope]
        for row in range(at, end):
            looks = row in values.alike and block.already_sealed != "seal"
            if looks and self._is_sealed(how, context, row):
                continue
            text, cty = cast("bytes", values.what[row]), values.ctys[row]
            self._put(how, row, _sealed(item, session, text, context, cty, exp), "sealed")

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
            return False
        require_text(item, token.as_text(plaintext), token.cty)
        self._stays(row, "already_sealed", opener)
        return True

    # --- opening --------------------------------------------------------------------------------

    def _open(self, how: Open, context: Context | None, at: int, end: int) -> None:
        what = self._values.what
        some = what[at:end]
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
            elif context is None:
                self._fail(how, at, self.keys.noted("missing-name", _key_id(found)))
            else:
                self._open_one(how, context, at, cast("Token", found))
            at = behind

    def _open_each(self, how: Open, context: Context, at: int, tokens: list[Parts]) -> None:
        """Open tokens with one head."""
        header = decode_header(tokens[0][0])
        values, cty = self._values, header.cty
        session, texts, reason = self.keys.open_each(tokens, header.key_id, context, self._now)
        as_it_is = cty is None and how.shape == "json" and how.place is EXACT and not how.spells
        if as_it_is and session is not None and None not in texts:
            literals = list(map(quote, texts))  # type: ignore[arg-type]  # as was just looked at
            if None not in literals:  # as nearly always
                end = at + len(tokens)
                self.starts += values.starts[at:end]
                self.ends += values.ends[at:end]
                self.texts += literals  # type: ignore[arg-type]  # as was just looked at
                self.counts["opened"] = self.counts.get("opened", 0) + end - at
                self.proven[session] = self.proven.get(session, 0) + end - at
                return
        for row, text in enumerate(texts, at):
            if text is None:
                self._fail(how, row, self.keys.noted(reason, header.key_id))
            else:
                self._write(how, row, text, cty, session)

    def _open_one(self, how: Open, context: Context, row: int, token: Token) -> None:
        try:
            session, text = self.keys.open(token, context, self._now)
        except OpenFailed as error:
            self._fail(how, row, error)
            return
        if how.shape != "bytes":
            text = token.as_text(text)
        self._write(how, row, text, token.cty, session)

    def _write(
        self, how: Open, row: int, text: bytes, cty: str | None, session: Session | None
    ) -> None:
        """Write what a token held in its place."""
        try:
            new = in_place(how, text, cty)
            if new is None:
                self._stays(row, "in_markup", session)
            else:
                self._put(how, row, new, "opened", session)
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
            text = as_text(token.as_text(plaintext), token.cty)
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
                self._stays(row, "in_markup", session)
            else:
                self._put(how, row, new, "cut" if session is None else "opened", session)
        except OpenFailed as error:
            self._fail(how, row, error)

    def _fail(self, how: Open, row: int, error: OpenFailed) -> None:
        """Let a token stay that does not open, or note that nothing may be forwarded."""
        if error.reason == NO_TOKEN and self._lets_pass(how.block):
            self._stays(row, "plain")
        elif how.lenient or how.block.keep_unopened or error.reason == TWIN:
            self._stays(row, "kept")
        else:
            # The others are tried all the same: else the time would tell which of many it was.
            self.failed = self.failed or error

    def _lets_pass(self, block: Block) -> bool:
        """Return whether what was never sealed may stay."""
        until = block.permissive_until
        return self._permissive or (until is not None and self._now < until)

    def _stream(self, how: How, row: int, context: Context) -> None:
        """Seal or open a content that is a sealed stream, or becomes one."""
        stream = cast("PartStream", self._values.what[row])
        try:
            change = stream.carry_out(self.keys, how.block, context, self._now)
        except OpenFailed as error:
            self.failed = self.failed or error
            return
        if change.text is None:
            self._stays(row, change.outcome, change.session)
            return
        self._take(row, change.text, change.outcome, change.session)
        self._beside.update(dict.fromkeys(change.head))

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
                self._beside.update(dict.fromkeys(of_content(lies.part, lies.media, len(text))))

    def _take(self, row: int, text: bytes, outcome: Outcome, session: Session | None) -> None:
        values = self._values
        start, end = values.starts[row], values.ends[row]
        if row in values.heads:
            self.head.append((values.heads[row], (start, end, text)))
        else:
            self.starts.append(start)
            self.ends.append(end)
            self.texts.append(text)
        self._stays(row, outcome, session)

    def _stays(self, row: int, outcome: Outcome, session: Session | None = None) -> None:
        """Count a value, whatever becomes of it."""
        self._count(outcome)
        if session is not None:
            self.proven[session] = self.proven.get(session, 0) + 1
        if row in self._values.parts and self._values.parts[row].within:
            lengths = without_length(self._values.parts[row].part)
            self._beside.update(dict.fromkeys(lengths))

    def _count(self, outcome: Outcome, values: int = 1) -> None:
        self.counts[outcome] = self.counts.get(outcome, 0) + values


def _sealed(  # noqa: PLR0913, PLR0917 - what a token is made of
    item: Item,
    session: Session,
    text: bytes,
    context: Context,
    cty: str | None,
    exp: int | None,
) -> bytes:
    """Return the token of a value; raise UnfitValue or ValueTooLong where it must not be sealed."""
    if item.min_chars is not None:
        require_text(item, text, cty)
    if item.form == "base64":
        text = require_base64(item, text, cty)
    return session.seal(
        text,
        context,
        cty=cty,
        form=item.form,
        exp=exp,
        max_chars=item.max_chars,
        name=item.field,
    )


def _key_id(what: What) -> KeyId:
    token = token_in(what)
    assert token is not None  # noqa: S101 - only a token lacks a name
    return token.key_id
