"""From a plan and its keys to a message that may be forwarded: every edit carried out, in one pass.

`apply` is pure: the keys are looked up between the plan and it, by whoever calls both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..compiled.message_match import JOSE
from ..crypto.session_cipher import Session
from ..crypto.token import Token
from ..edits.edit_types import PieceEdit
from ..edits.edits import Change, KeysInUse, OpenEdit, Outcome, SealEdit
from ..edits.head_values import HeadEdit, with_changes
from ..edits.key_needs import Keys
from ..edits.splice import splice
from ..edits.stream_edits import CheckedFlow, FrameEdit, OpenedStream
from ..errors import MessageError, OpenFailed, Unopened
from ..expressions.selectors import Whole
from ..formats.multipart.reader import refuse_new_delimiters
from ..http.message import Head, Headers, RequestHead, ResponseHead, SocketHead, media_type
from ..planning.plan import Plan
from ..rules.model import Block
from ..slices import paused
from .added_headers import added_to_request, added_to_response, expected_outcomes
from .forwardable import Forwardable, mint


@dataclass(slots=True)
class Applied:
    """A message that may be forwarded, how many values had which outcome, and who opened them.

    `proven` are the sessions with which tags have verified, worth keeping in a cache, and how many
    values each has opened; `unopened` are tokens that did not open and may stay.
    """

    forwardable: Forwardable
    counts: Mapping[Outcome, int]
    proven: Mapping[Session, int]
    unopened: tuple[Unopened, ...] = ()


def apply(plan: Plan, keys: Keys, now: float) -> Applied:
    """Return the message with every edit carried out; no other byte differs.

    `now` is in seconds since 1970. Raises MessageError, and then nothing may be forwarded.
    """
    keys_in_use = KeysInUse(keys)
    done = _Done()
    if plan.edits:
        assert plan.compiled is not None  # noqa: S101 - only a compiled block makes edits
        done.carry_out(plan.edits, keys_in_use, plan.compiled.block, now)
    opened = None if plan.framing is None else _opened(plan, plan.framing, keys_in_use, now, done)
    if done.failed is not None:
        if isinstance(done.failed, OpenFailed):
            done.failed.unopened = tuple(keys_in_use.unopened)
        raise done.failed
    head = _changed(plan.head, done.head_changes) if done.head_changes else plan.head
    if opened is not None:
        forwardable = _framed(plan, opened, head, done.counts)
    elif plan.form is not None:
        forwardable = _in_parts(plan, head)
    else:
        forwardable = _whole(plan, head, done)
    return Applied(forwardable, done.counts, done.proven, tuple(keys_in_use.unopened))


class _Done:
    """What carrying out the edits of a message has come to so far."""

    __slots__ = ("beside", "changes", "counts", "failed", "head_changes", "proven")

    def __init__(self) -> None:
        self.counts: dict[Outcome, int] = {}
        self.proven: dict[Session, int] = {}
        self.changes: list[Change] = []
        self.beside: dict[Change, None] = {}  # more than one value may ask for the same
        self.head_changes: list[tuple[int, Change]] = []
        self.failed: MessageError | None = None

    def carry_out(
        self, edits: tuple[PieceEdit, ...], keys: KeysInUse, block: Block, now: float
    ) -> None:
        """Carry out every edit, also those behind one that fails."""
        counts, proven = self.counts, self.proven
        for edit in paused(edits):
            try:
                change = edit.carry_out(keys, block, now)
            except OpenFailed as error:
                # The others are tried all the same: else the time would tell which of many it was.
                self.failed = self.failed or error
                continue
            except MessageError as error:
                self.failed = self.failed or error  # what is wrong first is told
                break
            outcome, session = change.outcome, change.session
            counts[outcome] = counts.get(outcome, 0) + 1
            if session is not None:
                proven[session] = proven.get(session, 0) + 1
            if change.text is not None:
                if type(edit) is HeadEdit:
                    self.head_changes.append((edit.place, change))
                else:
                    self.changes.append(change)
            if change.also:
                self.beside.update(dict.fromkeys(change.also))


def _changed(head: Head, changes: list[tuple[int, Change]]) -> Head:
    assert not isinstance(head, SocketHead)  # noqa: S101 - it has nothing to change
    return with_changes(head, changes)


def _whole(plan: Plan, head: Head, done: _Done) -> Forwardable:
    """Return a message whose body is there, with the spans changed."""
    changes = done.changes
    if done.beside:
        changes += done.beside
    return mint(
        head,
        _spliced(plan, changes) if changes else plan.body,
        changed=bool(changes or done.head_changes) or plan.decoded,
        decoded=plan.decoded,
        ruled=plan.ruled,
        private="opened" in done.counts,
        media_type=_new_media_type(plan) if changes else None,
        added_headers=_added_headers(plan, done.counts),
    )


def _spliced(plan: Plan, changes: list[Change]) -> bytes:
    """Return the changed body; raise MessageError where it would not be read as it was meant."""
    body = splice(plan.body, changes)
    if plan.compiled is not None and plan.compiled.traits.reads_parts and _has_parts(plan):
        refuse_new_delimiters(plan.head.facts.get(b"content-type", ()), plan.body, body)
    if type(plan.head) is SocketHead and not plan.head.binary:
        try:
            body.decode()
        except UnicodeDecodeError:
            raise OpenFailed("not-text") from None
    return body


def _opened(
    plan: Plan, framing: FrameEdit, keys: KeysInUse, now: float, done: _Done
) -> OpenedStream | None:
    """Begin to change the body as one, or note why that failed."""
    assert plan.compiled is not None  # noqa: S101 - only a compiled block makes edits
    try:
        opened = framing.begin(keys, plan.compiled.block, now, plan.body)
    except OpenFailed as error:
        done.failed = done.failed or error
        return None
    if opened.session is not None:
        done.proven[opened.session] = done.proven.get(opened.session, 0) + 1
    return opened


def _in_parts(plan: Plan, head: Head) -> Forwardable:
    """Return a form whose parts change while they pass."""
    assert plan.compiled is not None  # noqa: S101 - a form passes by a block
    counts = expected_outcomes((plan.compiled,))
    return mint(
        head,
        changed=True,
        ruled=plan.ruled,
        private="opened" in counts,
        added_headers=_added_headers(plan, counts),
        flow=plan.form,
    )


def _framed(
    plan: Plan, opened: OpenedStream, head: Head, counts: dict[Outcome, int]
) -> Forwardable:
    """Return a message whose body is sealed as a stream or opened from one, now or in passing."""
    counts[opened.outcome] = counts.get(opened.outcome, 0) + 1
    body, flow = None if plan.flows else plan.body, opened.flow
    if flow is not None and body is not None:
        body, flow = flow.feed(body) + flow.end(), None
    if flow is not None and plan.digests is not None:
        flow = CheckedFlow(flow, plan.digests)
    return mint(
        head,
        body,
        changed=opened.flow is not None or head is not plan.head or plan.decoded,
        decoded=plan.decoded,
        ruled=plan.ruled,
        private="opened" in counts,
        media_type=opened.media_type,
        added_headers=_added_headers(plan, counts),
        flow=flow,
    )


def _has_parts(plan: Plan) -> bool:
    assert plan.compiled is not None  # noqa: S101 - only a compiled block makes edits
    return plan.compiled.body_format(media_type(plan.head.facts)).in_parts


def _new_media_type(plan: Plan) -> str | None:
    """Return the new Content-Type: JOSE once sealed whole, the old one once opened whole."""
    if plan.compiled is None or not plan.compiled.traits.takes_whole:
        return None
    for edit in plan.edits:
        if isinstance(edit, SealEdit) and edit.item.selector is Whole.BODY:
            return JOSE
        if isinstance(edit, OpenEdit) and edit.shape == "body" and isinstance(edit.token, Token):
            return edit.token.cty or ""
    return None


def _added_headers(plan: Plan, counts: Mapping[Outcome, int]) -> Headers:
    head = plan.head
    if type(head) is RequestHead:
        return added_to_request(head, counts)
    if type(head) is not ResponseHead:
        return ()
    whole = plan.compiled.whole_encrypt if plan.compiled is not None else None
    opaque = whole is not None and whole.selector is Whole.BODY and bool(plan.body)
    return added_to_response(head, counts, plan.varies, opaque=opaque)
