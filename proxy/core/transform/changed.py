"""From a plan and its keys to a message that may be forwarded: every value sealed or opened.

`apply` is pure: the keys are looked up between the plan and it, by whoever calls both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import cast

from ..compiled.message_match import JOSE
from ..crypto.aead import Parts
from ..crypto.session_cipher import Session
from ..crypto.token import Token, type_of
from ..errors import CallerMayNotOpen, OpenFailed, Unopened
from ..expressions.selectors import Whole
from ..formats.multipart.reader import refuse_new_delimiters
from ..http.message import Head, Headers, RequestHead, ResponseHead, SocketHead, media_type
from ..planning.plan import Plan
from ..values.carry_out import CarriedOut
from ..values.head_values import with_changes
from ..values.hows import Seal, Span
from ..values.key_needs import Keys
from ..values.outcomes import Got, Outcome
from ..values.streams import CheckedFlow, OpenedStream
from .added_headers import added_to_request, added_to_response, expected_outcomes
from .forwardable import Forwardable, mint


@dataclass(slots=True)
class Applied:
    """A message that may be forwarded, how many values had which outcome, and who opened them.

    `proven` are the sessions with which tags have verified, worth keeping in a cache, and how many
    values each has opened; `unopened` are tokens that did not open and may stay. `shown` is as
    of `CarriedOut`.
    """

    forwardable: Forwardable
    counts: Mapping[Outcome, int]
    proven: Mapping[Session, int]
    unopened: tuple[Unopened, ...] = ()
    shown: Got = field(default_factory=dict)


def apply(plan: Plan, keys: Keys, now: float, *, permissive: bool = False) -> Applied:
    """Return the message with every value sealed or opened; no other byte differs.

    `now` is in seconds since 1970. `permissive`: what was never sealed stays in any block. Raises
    MessageError, and then nothing may be forwarded.
    """
    if plan.until is not None and now >= plan.until:
        raise CallerMayNotOpen("caller-expired")
    done = CarriedOut(plan.values, keys, now, permissive=permissive)
    opened = _opened(plan, done, now) if plan.values.framing else None
    if done.failed is not None:
        if isinstance(done.failed, OpenFailed):
            done.failed.unopened = done.unopened
        raise done.failed
    head = _changed(plan.head, done.head) if plan.values.heads else plan.head
    if opened is not None:
        before = dict(done.counts)
        forwardable = _framed(plan, opened, head, done.counts)
        (framing,) = plan.values.framing
        if not framing.seals and framing.item is not None and framing.item.shown is not None:
            done.show(framing.item, before)
    elif plan.form is not None:
        forwardable = _in_parts(plan, head)
    else:
        forwardable = _whole(plan, head, done)
    return Applied(forwardable, done.counts, done.proven, done.unopened, done.shown)


def _changed(head: Head, changes: list[tuple[int, Span]]) -> Head:
    assert not isinstance(head, SocketHead)  # noqa: S101 - it has nothing to change
    return with_changes(head, changes) if changes else head


def _whole(plan: Plan, head: Head, done: CarriedOut) -> Forwardable:
    """Return a message whose body is there, with its values replaced."""
    changes = done.changes_body
    return mint(
        head,
        _spliced(plan, done) if changes else plan.body,
        changed=changes or head is not plan.head or plan.decoded or plan.cut,
        decoded=plan.decoded,
        ruled=plan.ruled,
        private="opened" in done.counts,
        for_caller=plan.for_caller,
        media_type=_new_media_type(plan) if changes else None,
        added_headers=_added_headers(plan, done.counts),
    )


def _spliced(plan: Plan, done: CarriedOut) -> bytes:
    """Return the changed body; raise MessageError where it would not be read as it was meant."""
    body = done.spliced(plan.body)
    if plan.compiled is not None and plan.compiled.traits.reads_parts and _has_parts(plan):
        refuse_new_delimiters(plan.head.facts.get(b"content-type", ()), plan.body, body)
    if type(plan.head) is SocketHead and not plan.head.binary:
        try:
            body.decode()
        except UnicodeDecodeError:
            raise OpenFailed("not-text") from None
    return body


def _opened(plan: Plan, done: CarriedOut, now: float) -> OpenedStream | None:
    """Begin to change the body as one, or note why that failed."""
    assert plan.compiled is not None  # noqa: S101 - only a compiled block has values
    (framing,) = plan.values.framing
    try:
        opened = framing.begin(done.keys, plan.compiled.block, now, plan.body)
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
        for_caller=plan.for_caller,
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
        for_caller=plan.for_caller,
        media_type=opened.media_type,
        added_headers=_added_headers(plan, counts),
        flow=flow,
    )


def _has_parts(plan: Plan) -> bool:
    assert plan.compiled is not None  # noqa: S101 - only a compiled block has values
    return plan.compiled.body_format(media_type(plan.head.facts)).in_parts


def _new_media_type(plan: Plan) -> str | None:
    """Return the new Content-Type: JOSE once sealed whole, the old one once opened whole."""
    if plan.compiled is None or not plan.compiled.traits.takes_whole:
        return None
    for how, what in zip(plan.values.hows, plan.values.what, strict=True):
        if isinstance(how, Seal):
            if how.item.selector is Whole.BODY:
                return JOSE
        elif how.item is not None and how.item.shown == "absent":
            return ""
        elif how.shape == "body" and type(what) in {Token, tuple}:
            return type_of(cast("Token | Parts", what)) or ""
    return None


def _added_headers(plan: Plan, counts: Mapping[Outcome, int]) -> Headers:
    head = plan.head
    if type(head) is RequestHead:
        return added_to_request(head, counts)
    if type(head) is not ResponseHead:
        return ()
    whole = plan.compiled.whole_encrypt if plan.compiled is not None else None
    opaque = whole is not None and whole.selector is Whole.BODY and bool(plan.body)
    return added_to_response(head, counts, plan.varies, opaque=opaque, for_caller=plan.for_caller)
