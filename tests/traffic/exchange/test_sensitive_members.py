"""Members that look sensitive: found beside what rules take, and reported without a value."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.ladder_settings import LadderSettings
from proxy.core.compiled.rule_table import RuleTable
from proxy.core.expressions.routes import parse_pattern
from proxy.core.expressions.selectors import parse_selector
from proxy.core.http.message import RequestHead
from proxy.core.rules.model import Block, Item, Rule
from proxy.traffic.exchange.sensitive_members import SensitiveMembers, exposed, shown
from proxy.traffic.exchange.uncovered import PathShapes
from proxy.traffic.message_record import MessageRecord
from proxy.traffic.policy import SCANNED_BYTES, SCANNED_PER_SECOND
from tests.factories import Ear
from tests.traffic.ours import PASSING, local, proxied
from tests.traffic.wire import Origin, Peer, connected, eventually, post, running, talk

CANARY = "canary-7f3a"
JSON = (b"Content-Type", b"application/json")


def a_head(*headers: tuple[bytes, bytes]) -> RequestHead:
    return RequestHead("POST", "/visits/7", None, headers or (JSON,))


def found(body: object, *selectors: str) -> list[tuple[str, str]]:
    steps = [parse_selector(one).steps for one in selectors]  # type: ignore[union-attr]  # none is of a whole body
    text = json.dumps(body).encode()
    return sorted((shown(path, frozenset()), kind) for path, kind in exposed(a_head(), text, steps))


BODY = {
    "patient": {"diagnosis": CANARY, "id": 7},
    "Ada": [{"email": CANARY}, {"note": "ada@example.org"}],
    "card": 4111111111111111,
    "active": True,
    "password": None,
    "secret": "sy1.AAAA",
}


def test_members_are_found_by_name_and_shape_and_told_by_usual_words() -> None:
    assert found(BODY) == [
        ("$.*[*].email", "name: contact"),
        ("$.*[*].note", "shape: e-mail"),
        ("$.card", "shape: card-number"),
        ("$.patient.diagnosis", "name: health"),
    ]


@pytest.mark.parametrize(
    "selectors",
    [
        ("$.patient", "$.Ada", "$.card"),
        ("$.patient.diagnosis", "$.Ada[*].*", "$.*"),
        ("$..diagnosis", "$..email", "$..note", "$..card"),
        ("$.patient json:$.x", "$.Ada[0].email", "$.Ada[1]", "$.card"),
        ("$..*",),
    ],
)
def test_what_a_rule_takes_is_not_found(selectors: tuple[str, ...]) -> None:
    assert found(BODY, *selectors) == []


def test_beside_what_a_rule_takes_the_rest_is_found() -> None:
    assert found(BODY, "$.patient.diagnosis", "$.Ada[0].email", "$.cards") == [
        ("$.*[*].note", "shape: e-mail"),
        ("$.card", "shape: card-number"),
    ]


FORM = (b"Content-Type", b"application/x-www-form-urlencoded")


@pytest.mark.parametrize(
    ("head", "body", "number"),
    [
        (a_head(FORM), b"email=x&note=y&iban=GB82WEST12345698765432", 2),
        (a_head(FORM), b"&".join(b"email=%d" % one for one in range(500)), 0),
        (a_head(JSON, (b"Content-Encoding", b"gzip")), b'{"email": "x"}', 0),
        (a_head((b"Content-Type", b"text/plain")), b"ada@example.org", 0),
        (a_head(), b'{"email": "x"', 0),
        (a_head(), b"[" * 20_000, 0),
        (a_head(), b'{"email": "%b"}' % (b"x" * SCANNED_BYTES), 0),
        (a_head(), b"", 0),
        (a_head(), b"[" + b",".join([b'{"email": "x"}'] * 150) + b"]", 150),
    ],
)
def test_only_small_bodies_that_can_be_read_are_looked_at(
    head: RequestHead, body: bytes, number: int
) -> None:
    assert len(list(exposed(head, body, ()))) == number


def test_a_rule_for_the_whole_body_leaves_nothing() -> None:
    assert list(exposed(a_head(), b'{"email": "x"}', ((),))) == []


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=30,
    )
)
def test_any_json_is_looked_at_and_no_text_of_it_is_shown(body: object) -> None:
    for name, kind in found(body):
        assert kind.startswith(("name: ", "shape: "))
        assert set(name) <= set("$.[*]_- abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")


def looking(ear: Ear, clock: Callable[[], float] = lambda: 5.0) -> SensitiveMembers:
    block = Block(encrypt=(Item(parse_selector("$.diagnosis"), "diagnosis", frozenset()),))
    rule = Rule("visits", (parse_pattern("/visits/{id}"),), request=(block,))
    return SensitiveMembers(ear, "api", (rule,), PathShapes(), clock)


def a_record(rule: str | None) -> MessageRecord:
    record = MessageRecord("r", "api")
    record.method, record.rule = "POST", rule
    return record


def test_what_is_reported_names_the_rule_or_the_shape_of_the_path() -> None:
    ear = Ear()
    body = {"diagnosis": CANARY, "email": CANARY}
    bodies = {"request": (a_head(), json.dumps(body).encode())}
    for rule in ("visits", None):
        looking(ear).look(a_record(rule), "/visits/7", bodies)  # type: ignore[arg-type]  # a literal
    told = [(one["rule"], one["shape"], one["member"]) for _, one in ear.heard]
    assert told == [
        ("visits", None, "$.email"),
        (None, "/visits/*", "$.email"),
        (None, "/visits/*", "$.diagnosis"),
    ]
    assert CANARY not in repr(ear.heard)


def test_of_a_second_only_a_few_messages_are_looked_at() -> None:
    ear, now = Ear(), [1.0]
    members = looking(ear, lambda: now[0])
    taken = []
    for now[0] in (1.0, 2.5):
        taken.append([members.takes() for _ in range(3 * SCANNED_PER_SECOND)].count(True))
    assert taken == [SCANNED_PER_SECOND] * 2
    assert ear.heard == []


@pytest.mark.parametrize("wanted", [True, False])
async def test_a_listener_looks_only_where_it_is_asked_to(*, wanted: bool) -> None:
    body = b'{"email": "%b"}' % CANARY.encode()
    kind = b"Content-Type: application/json"
    reply = b"HTTP/1.1 200 OK\r\n%b\r\nContent-Length: %d\r\n\r\n%b" % (kind, len(body), body)
    async with (
        running(Origin(reply=reply)) as backend,
        proxied(
            local(backend.port), rule_table=PASSING, ladder=LadderSettings(finds_sensitive=wanted)
        ) as ours,
    ):
        request = post(body, kind).replace(b"Connection: close\r\n", b"")
        async with connected(ours.port) as client:
            for _ in range(2):  # the first one has to wait for a connection to the backend
                client.send(request)
                assert (await client.response()).body == body
        await eventually(lambda: ours.ear.heard[-1][0] == "message.handled")
        told = [fields for name, fields in ours.ear.heard if name == "member.unruled"]
    assert {(one["direction"], one["member"]) for one in told} == (
        {("request", "$.email"), ("response", "$.email")} if wanted else set()
    )
    assert CANARY not in repr(ours.ear.heard)


async def in_pieces(peer: Peer, origin: Origin) -> None:
    origin.seen.append(await peer.request())
    peer.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n")
    peer.send(b"Transfer-Encoding: chunked\r\n\r\n")
    for piece in (b'{"email": "', CANARY.encode(), b'"}', b""):
        peer.send(b"%x\r\n%b\r\n" % (len(piece), piece))
        await peer.writer.drain()


@pytest.mark.parametrize("observed", [True, False])
async def test_messages_without_a_lane_are_looked_at_as_well(*, observed: bool) -> None:
    """Those of a connection that ends with them, and those under a rule that only observes."""
    block = Block(encrypt=(Item(parse_selector("$.diagnosis"), "diagnosis", frozenset()),))
    rule = Rule("visits", (parse_pattern("/"),), request=(block,), observes=True)
    body = json.dumps({"email": CANARY, "diagnosis": CANARY}).encode()
    async with (
        running(Origin(in_pieces)) as backend,
        proxied(
            local(backend.port),
            rule_table=RuleTable((rule,) if observed else (), pass_unmatched=True),
            ladder=LadderSettings(finds_sensitive=True),
        ) as ours,
    ):
        response = await talk(ours.port, post(body, b"Content-Type: application/json"))
        assert CANARY.encode() in response.body
        await eventually(lambda: ours.ear.heard[-1][0] == "message.handled")
        told = ours.ear.all("member.unruled")
    expected = {("request", "$.email"), ("response", "$.email")}
    if not observed:
        expected.add(("request", "$.diagnosis"))
    assert {(one["direction"], one["member"]) for one in told} == expected
    assert {one["rule"] for one in told} == {"visits" if observed else None}
    assert backend.seen[0].body == body
    assert CANARY not in repr(ours.ear.heard)
