"""Joined conversations before, while and after a keyring sets them apart: only like opens like."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from proxy.core.crypto import token
from proxy.core.crypto.context import Context, Parties, Scope
from proxy.core.crypto.joined_names import Joined, Name
from proxy.core.crypto.token import Form
from proxy.core.edits.edits import KeysInUse
from proxy.core.edits.key_needs import Needs
from proxy.core.errors import ForbiddenValue, OpenFailed
from proxy.keys.operations import token_check, values
from proxy.keys.operations.session_calls import SessionCall, SessionResult
from proxy.keys.operations.session_operations import SessionOperations
from proxy.keys.operations.values import ToOpen, ToSeal
from proxy.keys.sessions import session_control
from proxy.keys.sessions.joined_scopes import NEVER, forms, set_apart
from proxy.keys.sessions.settings import MAX_SKEW_SECONDS, SessionMode
from proxy.keys.stores.records import record_name
from tests.keys.builders import NOW, SharedStore, World, a_keyring, a_world, an_old_keyring
from tests.keys.end_to_end.builders import Process, a_fleet

SCALAR = "5:alice3:bob"
LIST = Joined("list", ("alice", "bob"))
MEMBERS = Joined("members", ("bob", "alice"))
NAMES: dict[str, Name] = {"scalar": SCALAR, "list": LIST, "members": MEMBERS}
MODES: tuple[SessionMode, ...] = ("durable", "ephemeral")
SINCE = NOW + 10_000
TURN = SINCE - MAX_SKEW_SECONDS


def a_context(name: Name, place: str = "conversation") -> Context:
    named: dict[str, Name] = {
        "tenant": "clinic",
        "conversation": "c1",
        "message": "m1",
        place: name,
    }
    scope = Scope(named["tenant"], named["conversation"])
    return Context(scope, "content", named["message"])


def before(mode: SessionMode = "durable", *, joins: bool = True) -> World:
    """Return a process whose keyring sets nothing apart, and one of whose rules joins names."""
    world = a_world(keyring=replace(a_keyring(), joined_since=None, highest_number=9), mode=mode)
    world.sessions.joins = joins
    return world


def upgrade(world: World, since: int = SINCE) -> None:
    """Give the process the keyring that sets joined names apart, and let that time come."""
    world.sessions.replace_keyring(replace(world.keyring, joined_since=since, highest_number=0))
    world.time.now = float(since)


async def sealed(world: World, context: Context, form: Form = "jwe") -> bytes:
    (text,) = await values.seal(world.sessions, [ToSeal(b"x", context, form=form)])
    return text


async def reason(world: World, context: Context, text: bytes) -> str:
    """Return why a token does not open; an empty text where it does."""
    try:
        await values.open_tokens(world.sessions, [ToOpen(text, context)])
    except OpenFailed as failed:
        return " ".join(one.reason for one in failed.unopened)
    return ""


def test_a_keyring_without_the_time_sets_nothing_apart() -> None:
    assert not set_apart(before().keyring, NEVER - MAX_SKEW_SECONDS - 1)
    keyring = replace(before().keyring, joined_since=SINCE, highest_number=0)
    assert [set_apart(keyring, now) for now in (TURN - 1, TURN, SINCE)] == [False, True, True]
    scope = Scope("clinic", LIST)
    assert forms(scope, keyring, TURN - 1) == (Scope("clinic", SCALAR), scope)
    assert forms(scope, keyring, TURN) == (scope, Scope("clinic", SCALAR))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("place", ["tenant", "conversation", "message"])
async def test_only_like_opens_like_before_and_after(mode: SessionMode, place: str) -> None:
    world = before(mode)
    contexts = {kind: a_context(name, place) for kind, name in NAMES.items()}
    with pytest.raises(ForbiddenValue, match="name-reads-as-joined"):
        await sealed(world, contexts["scalar"])
    old = {kind: await sealed(world, contexts[kind]) for kind in ("list", "members")}
    for (_, text), kind in itertools.product(old.items(), contexts):
        # 0.1.0 told lists and members not from each other, nor can anybody else.
        assert (await reason(world, contexts[kind], text) == "") == (kind != "scalar")
    if mode == "ephemeral":
        world.time.now = TURN - 100  # else they are over by then
        old = {kind: await sealed(world, contexts[kind]) for kind in ("list", "members")}
    upgrade(world)
    new = {kind: await sealed(world, contexts[kind]) for kind in contexts}
    for (one, text), other in itertools.product(new.items(), contexts):
        assert (await reason(world, contexts[other], text) == "") == (one == other), (one, other)
    for (_, text), kind in itertools.product(old.items(), contexts):
        assert (await reason(world, contexts[kind], text) == "") == (kind != "scalar")
    assert all(token.decode(text).key_id.created >= SINCE for text in new.values())
    assert all(token.decode(text).key_id.created < SINCE for text in old.values())


@pytest.mark.parametrize("form", ["jwe", "short"])
async def test_texts_that_read_as_joined_are_as_any_other_where_no_rule_joins(form: Form) -> None:
    world = before(joins=False)
    context = a_context("1:5")
    old = await sealed(world, context, form)
    assert await reason(world, context, old) == ""
    upgrade(world)
    assert await reason(world, context, old) == ""
    assert await reason(world, context, await sealed(world, context, form)) == ""


async def test_what_0_1_0_sealed_for_a_text_is_opened_by_no_joined_source_later() -> None:
    """After the upgrade a text has new sessions, whatever it reads as."""
    world = before(joins=False)
    context = a_context(SCALAR)
    upgrade(world)
    text = await sealed(world, context)
    world.sessions.joins = True
    assert await reason(world, a_context(MEMBERS), text) != ""
    assert await reason(world, context, text) == ""


async def test_a_session_of_before_seals_no_more_once_names_are_set_apart() -> None:
    world = before()
    context = a_context("c1")
    since = NOW + 600  # while the first session would still seal
    world.sessions.replace_keyring(replace(world.keyring, joined_since=since, highest_number=0))
    first = await sealed(world, context)
    world.time.now = float(since - MAX_SKEW_SECONDS - 1)
    second = await sealed(world, context)
    world.time.now = float(since - MAX_SKEW_SECONDS)
    third = await sealed(world, context)
    ids = [token.decode(one).key_id for one in (first, second, third)]
    assert ids[0] == ids[1]
    assert ids[2].created == since


async def test_a_process_that_does_not_know_of_it_yet_opens_the_new_form() -> None:
    store = SharedStore(lambda: 0.0)
    keyring = replace(a_keyring(), joined_since=None, highest_number=9)
    late = a_world(keyring=keyring, store=store)
    late.sessions.joins = True
    early = late.another_process(replace(keyring, joined_since=NOW - 100, highest_number=0))
    context = a_context(MEMBERS)
    assert await reason(late, context, await sealed(early, context)) == ""
    assert await reason(late, a_context(SCALAR), await sealed(early, context)) != ""


@pytest.mark.parametrize("mode", MODES)
async def test_rotation_goes_on_in_the_form_of_the_day(mode: SessionMode) -> None:
    world = before(mode)
    context = a_context(LIST)
    desk = SessionOperations(world.sessions, lambda *_: None)
    for _ in range(2):
        first = await sealed(world, context)
        rotated = await desk.run(SessionCall("rotate", context.scope))
        second = await sealed(world, context)
        assert token.decode(first).key_id != token.decode(second).key_id
        assert await reason(world, context, first) == await reason(world, context, second) == ""
        shown = await desk.run(SessionCall("show", context.scope))
        assert shown.sessions[0].sid == rotated.sessions[0].sid
        upgrade(world)


class Kept:
    """What was written into the keyring."""

    def __init__(self) -> None:
        self.names: dict[str, int] = {}

    def __call__(self, name: str, not_before: int) -> None:
        self.names[name] = not_before


async def revoked(world: World, kept: Kept, scope: Scope) -> SessionResult:
    return await SessionOperations(world.sessions, kept).run(
        SessionCall("revoke", scope, int(world.time.now) + 1)
    )


@pytest.mark.parametrize("mode", MODES)
async def test_revoking_a_joined_conversation_binds_tokens_of_both_forms(mode: SessionMode) -> None:
    world = before(mode)
    context, kept = a_context(MEMBERS), Kept()
    world.time.now = TURN - 100
    old = await sealed(world, context)
    upgrade(world)
    new, text = await sealed(world, context), await sealed(world, a_context(SCALAR))
    world.time.advance(5)
    answer = await revoked(world, kept, context.scope)
    assert answer.durable
    assert await reason(world, context, old) == "revoked-session"
    assert await reason(world, context, new) == "revoked-session"
    # The text that reads so is another conversation, and goes on.
    assert await reason(world, a_context(SCALAR), text) == ""
    names = [
        record_name(world.keyring.name_key, one) for one in (context.scope, Scope("clinic", SCALAR))
    ]
    assert kept.names == dict(zip(names, (int(world.time.now) + 1, SINCE), strict=True))
    assert await reason(world, context, await sealed(world, context)) == ""


@pytest.mark.parametrize("name", ["c1", "1:5"])
async def test_revoking_a_text_binds_all_its_sessions(name: str) -> None:
    world = before(joins=False)
    upgrade(world)
    text = await sealed(world, a_context(name))
    world.time.advance(5)
    answer = await revoked(world, Kept(), a_context(name).scope)
    assert answer.not_before == int(world.time.now) + 1
    assert await reason(world, a_context(name), text) == "revoked-session"


@pytest.mark.parametrize("upgraded", [False, True])
async def test_another_process_hears_of_the_revocation_of_a_joined_conversation(
    *, upgraded: bool
) -> None:
    store = SharedStore(lambda: 0.0)
    world = a_world(keyring=an_old_keyring(), store=store)
    other = world.another_process()
    for one in (world, other):
        one.sessions.joins = True
        await one.sessions.open()
    context = a_context(MEMBERS)
    world.time.now = TURN - 100
    old = await sealed(world, context)
    tokens = [old]
    if upgraded:
        for one in (world, other):
            upgrade(one)
        tokens.append(await sealed(world, context))
    assert [await reason(other, context, one) for one in tokens] == [""] * len(tokens)
    world.time.advance(5)
    await revoked(world, Kept(), context.scope)
    assert {await reason(other, context, one) for one in tokens} == {"revoked-session"}


@pytest.mark.parametrize("upgraded", [False, True])
async def test_a_revocation_that_0_1_0_made_is_honoured(*, upgraded: bool) -> None:
    world = before()
    context = a_context(LIST)
    old = await sealed(world, context)
    world.time.advance(5)
    await session_control.revoke(world.sessions, Scope("clinic", SCALAR), int(world.time.now) + 1)
    if upgraded:
        upgrade(world)
    assert await reason(world, context, old) == "revoked-session"
    world.time.advance(5)
    assert await reason(world, context, await sealed(world, context)) == ""


async def test_what_is_revoked_before_the_upgrade_0_1_0_honours_as_well() -> None:
    world, kept = before(), Kept()
    context = a_context(LIST)
    await sealed(world, context)
    await revoked(world, kept, context.scope)
    assert record_name(world.keyring.name_key, Scope("clinic", SCALAR)) in kept.names


async def test_erasing_destroys_the_keys_of_both_forms() -> None:
    world, kept = before("ephemeral"), Kept()
    context = a_context(LIST)
    world.time.now = TURN - 100
    old = await sealed(world, context)
    upgrade(world)
    new = await sealed(world, context)
    world.time.advance(5)
    desk = SessionOperations(world.sessions, kept)
    answer = await desk.run(SessionCall("erase", context.scope, int(world.time.now) + 1))
    assert len(answer.erased or ()) == 2
    for text in (old, new):
        assert await reason(world, context, text) in {"revoked-session", "unknown-key"}


def test_another_process_is_told_of_joined_names() -> None:
    call = SessionCall("show", Scope(LIST, Joined("members", (MEMBERS, "c"))))
    assert SessionCall.from_json(call.to_json()) == call


async def test_the_keyring_alone_tells_of_tokens_of_both_forms() -> None:
    world = before()
    context = a_context(LIST)
    old = await sealed(world, context)
    upgrade(world)
    new = await sealed(world, context)
    keyring = world.sessions.keyring
    for text in (old, new):
        assert token_check.verify(keyring, text, context, now=NOW).opens
        assert not token_check.verify(keyring, text, a_context("c2"), now=NOW).opens
        assert token_check.session_jwk(keyring, text, context.scope)
        with pytest.raises(OpenFailed):
            token_check.session_jwk(keyring, text, Scope("clinic", "c2"))
    assert not token_check.verify(keyring, new, a_context(SCALAR), now=NOW).opens


# ---- end to end


def change(process: Process, since: int | None) -> None:
    number = 0 if since is not None else 9
    keyring = replace(process.sessions.keyring, joined_since=since, highest_number=number)
    process.sessions.replace_keyring(keyring)
    process.keys.replace_identities(process.identities)


async def sealed_for_bob(process: Process, name: Name) -> bytes:
    context = a_context(name)
    scope = context.scope._replace(parties=Parties("alice", ("bob",)))
    needs = Needs({scope: 1}, joined=scope.joined)
    at_hand = KeysInUse(await process.keys.resolve(needs))
    session, written = at_hand.seal_for(context._replace(scope=scope))
    return session.seal(b"x", written)


async def reason_for_bob(process: Process, text: bytes, name: Name) -> str:
    context = a_context(name)
    scope, sealed = context.scope._replace(parties=Parties(reader="bob")), token.decode(text)
    needs = Needs({}, frozenset({(scope, sealed.key_id)}), scope.joined)
    at_hand = KeysInUse(await process.keys.resolve(needs))
    try:
        at_hand.open(sealed, context._replace(scope=scope), process.time.now)
    except OpenFailed as failed:
        return failed.reason
    return ""


async def test_packages_of_a_joined_conversation_are_for_no_other() -> None:
    (process,) = await a_fleet()
    process.sessions.joins = True
    texts = {kind: await sealed_for_bob(process, name) for kind, name in NAMES.items()}
    for (one, text), other in itertools.product(texts.items(), NAMES):
        opened = await reason_for_bob(process, text, NAMES[other]) == ""
        assert opened == (one == other), (one, other)


async def test_packages_of_before_open_for_their_conversation_later() -> None:
    (process,) = await a_fleet()
    process.sessions.joins = True
    change(process, None)
    old = await sealed_for_bob(process, MEMBERS)
    change(process, int(process.time.now) + MAX_SKEW_SECONDS)
    process.time.advance(1)
    new = await sealed_for_bob(process, MEMBERS)
    assert token.decode(old).key_id != token.decode(new).key_id
    for text in (old, new):
        assert await reason_for_bob(process, text, MEMBERS) == ""
        assert await reason_for_bob(process, text, SCALAR) != ""
    found = await process.keys.packages(Scope("clinic", MEMBERS), "bob")
    assert [one.sid for one in found] == [token.decode(one).key_id.sid for one in (new, old)]
