"""Operations of GraphQL: what a field is given is sealed, wherever the client puts it."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import replace
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.compiled.block import CompiledBlock
from proxy.core.errors import (
    BodyTooLarge,
    ForbiddenValue,
    InvalidBody,
    InvalidExpression,
    MessageError,
    MissingValue,
    OpenFailed,
    UnsupportedBody,
)
from proxy.core.expressions.sources import parse_source
from proxy.core.formats.graphql.document import Field, Literal, read
from proxy.core.rules.conditions import text_value
from proxy.core.rules.model import Block, Names, Rule
from proxy.core.transform import apply, plan_message
from tests.core.planning.test_messages import messages, ws
from tests.core.rules.test_conditions import when
from tests.factories import (
    NOW,
    a_block,
    a_message,
    a_rule,
    an_item,
    keys_for,
    sent,
)

CANARY: Final = "canary-5f1c"
NAMES: Final = Names(parse_source("const:clinic"), parse_source("$.fields.send.to"))
TOKEN: Final = re.compile(r"eyJ[A-Za-z0-9_.-]+")


def graphql(block: Block, **conditions: str) -> Block:
    named = [
        one for name, value in conditions.items() for one in when(f"$.{name}", text_value(value))
    ]
    return replace(block, format="graphql", when=tuple(named))


SENDING: Final = graphql(a_block(encrypt=["$.fields.send.note"]), type="mutation", field="send")
RULE: Final = a_rule(request=SENDING, names=NAMES)


def request(query: str | None, variables: object = None, **others: object) -> str:
    members = {"query": query, "variables": variables, **others}
    return json.dumps({name: one for name, one in members.items() if one is not None})


def sealed(body: str, rule: Rule = RULE) -> str:
    return sent(rule, a_message(body)).decode()


def refused(body: str, rule: Rule = RULE) -> MessageError:
    with pytest.raises(MessageError) as error:
        sealed(body, rule)
    assert CANARY not in str(error.value)
    assert CANARY not in (error.value.detail or "")
    return error.value


VARIABLES = {"to": "c1", "note": CANARY}
SPELLINGS: Final = {
    "variables": ("mutation A($to: ID!, $note: String!) {send(to: $to, note: $note)}", VARIABLES),
    "other names": ("mutation ($a: ID!, $b: X) {send(to: $a, note: $b)}", {"a": "c1", "b": CANARY}),
    "literals": (f'mutation {{send(to: "c1", note: "{CANARY}")}}', None),
    "a default": (f'mutation ($n: String = "{CANARY}") {{send(to: "c1", note: $n)}}', {}),
    "an alias": ('mutation ($note: X) {x: send(to: "c1", note: $note) {id}}', {"note": CANARY}),
    "a fragment": (
        'mutation ($note: X) {...F} fragment F on Mutation {send(to: "c1", note: $note) {id}}',
        {"note": CANARY},
    ),
    "an inline fragment": (
        'mutation ($note: X) {... on Mutation {send(to: "c1", note: $note)} __typename}',
        {"note": CANARY},
    ),
    "characters": (f'mutation {{send(\n\tto: "c1", # é 😀 "\n note: "{CANARY} é")}}', None),
}


@pytest.mark.parametrize("name", SPELLINGS)
def test_a_value_is_sealed_wherever_it_is(name: str) -> None:
    query, variables = SPELLINGS[name]
    before = request(query, variables)

    after = sealed(before)

    assert CANARY not in after
    assert len(TOKEN.findall(after)) == 1
    parts = re.split(rf"{CANARY}[^\"\\]*(?:\\u00e9)?", before)
    assert TOKEN.split(after) == parts  # no other byte has changed


def test_a_literal_that_was_sealed_is_one_still() -> None:
    query = json.loads(sealed(request(*SPELLINGS["characters"])))["query"]

    (field,) = read(query).selections
    assert isinstance(field, Field)
    (_, _), (name, value) = field.arguments
    assert name == "note"
    assert isinstance(value, Literal)
    assert TOKEN.fullmatch(json.loads(value.text))


def test_what_is_sealed_in_one_place_opens_in_another() -> None:
    token = TOKEN.findall(sealed(request(*SPELLINGS["literals"])))[0]
    opening = graphql(a_block(decrypt=["$.fields.send.note"]))
    rule = a_rule(request=opening, names=NAMES)
    query, variables = SPELLINGS["variables"]

    assert sealed(request(query, {**VARIABLES, "note": token}), rule) == request(query, variables)
    literal = f'mutation {{send(to: "c1", note: "{token}")}}'
    assert sealed(request(literal), rule) == request(SPELLINGS["literals"][0])


@pytest.mark.parametrize("string", [False, True])
def test_an_enum_that_is_selected_is_refused(string: bool) -> None:  # noqa: FBT001 - a parameter
    item = an_item("$.fields.send.note", min_chars=0 if string else None)
    rule = a_rule(request=graphql(a_block(encrypt=[item])), names=NAMES)

    for query in (
        'mutation {send(to: "c1", note: SECRET)}',
        'mutation {send(to: "c1", note:SECRET)}',
        'mutation ($n: X = SECRET) {send(to: "c1", note: $n)}',
    ):
        assert refused(request(query), rule).reason == "not-a-value"
    beside = f'mutation {{send(kind: NOTE, to: "c1", note: "{CANARY}", urgent: YES)}}'
    assert TOKEN.sub(CANARY, sealed(request(beside), rule)) == request(beside)


@pytest.mark.parametrize("literal", ["7", "true", "2.5"])
def test_a_literal_that_is_no_string_is_sealed_whole(literal: str) -> None:
    before = request(f'mutation {{send(to: "c1", note: {literal})}}')

    after = json.loads(sealed(before))["query"]

    assert TOKEN.sub("TOKEN", after) == 'mutation {send(to: "c1", note: "TOKEN")}'


def test_what_opens_as_no_literal_is_refused() -> None:
    query = SPELLINGS["variables"][0]
    token = TOKEN.findall(sealed(request(query, {"to": "c1", "note": {"a": 1}})))[0]
    rule = a_rule(request=graphql(a_block(decrypt=["$.fields.send.note"])), names=NAMES)

    assert '"note": {"a": 1}' in sealed(request(query, {"to": "c1", "note": token}), rule)
    with pytest.raises(OpenFailed):
        sealed(request(f'mutation {{send(to: "c1", note: "{token}")}}'), rule)


def test_a_value_within_an_input_object_is_sealed() -> None:
    block = graphql(a_block(encrypt=["$.fields.send.input.notes[*].text"]))
    rule = a_rule(request=block, names=Names(parse_source("const:clinic"), parse_source("const:c")))
    note, query = {"text": CANARY}, "mutation ($i: I) {send(input: $i)}"

    assert CANARY not in sealed(request(query, {"i": {"notes": [note, note]}}), rule)
    mixed = "mutation ($n: I, $t: S) {send(input: {kind: X, notes: [$n, {text: $t}]})}"
    after = sealed(request(mixed, {"n": note, "t": CANARY}), rule)
    assert len(TOKEN.findall(after)) == 2
    assert CANARY not in after


@pytest.mark.parametrize("blank", [" ", "\r\n\t"])
def test_white_space_around_a_request_is_none_of_it(blank: str) -> None:
    body = request(*SPELLINGS["variables"])

    assert CANARY not in sealed(f"{blank}{body}{blank}")
    assert CANARY not in sealed(f"{blank}[{blank}{body}{blank}]{blank}")
    message = json.dumps({"id": "1", "type": "start", "payload": json.loads(body)})
    assert CANARY not in sealed_message(f"{blank}{message}{blank}")
    assert isinstance(refused(f"{blank}0"), InvalidBody)


def test_an_operation_that_no_block_takes_is_named() -> None:
    said = refused(request("mutation Nice {createNote(text: 1) other __typename}")).detail
    assert said == "No block of the rule takes mutation createNote, other, __typename."
    said = refused(request(None, documentId="x")).detail
    assert said == "No block of the rule takes this persisted document."


def test_one_value_for_a_list_is_selected_beside_the_list_or_refused() -> None:
    names = Names(parse_source("const:clinic"), parse_source("const:c"))
    one, many = "optional $.fields.send.notes.text", "optional $.fields.send.notes[*].text"
    query, text = "mutation ($n: [Note!]) {send(notes: $n)}", {"text": CANARY}

    strict = replace(graphql(a_block(encrypt=[many])), nothing="refuse")
    lax = replace(graphql(a_block(encrypt=[one, many])), nothing="pass")
    for block in (strict, lax):
        rule = a_rule(request=block, names=names)
        assert CANARY not in sealed(request(query, {"n": [text, text]}), rule)
    found = refused(request(query, {"n": text}), a_rule(request=strict, names=names))
    assert isinstance(found, ForbiddenValue)
    assert CANARY not in sealed(request(query, {"n": text}), a_rule(request=lax, names=names))


@pytest.mark.parametrize(
    ("selector", "value"),
    [("notes[*]", CANARY), ("notes[*]", 7), ("notes[*].text", {"text": CANARY})],
)
def test_one_value_for_a_list_is_refused_beside_one_that_is_sealed(
    selector: str, value: object
) -> None:
    items = ["$.fields.send.title", f"optional $.fields.send.{selector}"]
    block = replace(graphql(a_block(encrypt=items)), nothing="refuse")
    names = Names(parse_source("const:clinic"), parse_source("const:c"))
    query = "mutation ($t: String!, $n: [Note!]) {send(title: $t, notes: $n)}"

    found = refused(request(query, {"t": "x", "n": value}), a_rule(request=block, names=names))
    assert found.reason == "name-hidden"


def test_every_operation_of_a_batch_is_sealed() -> None:
    body = f"[{request(*SPELLINGS['variables'])}, {request(*SPELLINGS['literals'])}]"

    after = sealed(body)

    assert CANARY not in after
    assert len(TOKEN.findall(after)) == 2


@pytest.mark.parametrize(
    ("query", "variables", "error", "reason"),
    [
        # another operation, or one more field
        ("query ($n: X) {send(to: 1, note: $n)}", {"n": CANARY}, UnsupportedBody, None),
        (f'{{send(note: "{CANARY}")}}', None, UnsupportedBody, None),
        (f'mutation {{log(text: "{CANARY}")}}', None, UnsupportedBody, None),
        (f'mutation {{send(to: "a", note: "b") x: log(text: "{CANARY}")}}', None,
         UnsupportedBody, None),
        # twice
        (f'mutation {{send(to: "a", note: "b") x: send(to: "a", note: "{CANARY}")}}', None,
         UnsupportedBody, None),
        # where nothing reads it
        ("mutation {send(to: 1)}", {"note": CANARY}, ForbiddenValue, "variable-undeclared"),
        ("mutation ($n: X) {send(to: 1)}", {"n": CANARY}, ForbiddenValue, "variable-unused"),
        ("mutation ($n: X) {send(to: 1) @skip(if: $n)}", {"n": CANARY}, InvalidBody, "condition"),
        (f'mutation ($n: X = "{CANARY}") {{send(to: "a", note: $n)}}', {"n": "x"},
         ForbiddenValue, "variable-default"),
        (f'mutation ($n: X = [{{a: "{CANARY}"}}]) {{send(to: "a", note: $n)}}', {"n": None},
         ForbiddenValue, "variable-default"),
        ('mutation ($n: X = 1) {send(to: "a", note: $n)}', {"n": CANARY},
         ForbiddenValue, "variable-default"),
        # not there
        ('mutation {send(to: "a")}', None, MissingValue, None),
        ('mutation ($n: X) {send(to: "a", note: $n)}', {"n": None}, MissingValue, None),
        ('mutation ($n: X) {send(to: "a", note: $n)}', None, MissingValue, None),
        # in parts
        ('mutation ($n: X) {send(to: "a", note: ["x", $n])}', {"n": CANARY},
         ForbiddenValue, "not-a-value"),
        (f'mutation {{send(to: "a", note: {{a: "{CANARY}"}})}}', None,
         ForbiddenValue, "not-a-value"),
        # both an argument and a field
        (f'mutation {{send(to: "a", note: "{CANARY}") {{note(x: 1)}}}}', None, InvalidBody, None),
        # no document
        ("", None, ForbiddenValue, "several-operations"),
        ("mutation", None, InvalidBody, "not-graphql"),
    ],
)  # fmt: skip
def test_what_would_go_on_unsealed_is_refused(
    query: str, variables: object, error: type[MessageError], reason: str | None
) -> None:
    found = refused(request(query, variables))

    assert isinstance(found, error)
    assert reason in {None, found.reason}


@pytest.mark.parametrize(
    "body",
    [
        "{}",
        "1",
        '"x"',
        "[1]",
        "[[]]",
        '{"query":1}',
        '{"query":null}',
        '{"query":"{a}","variables":"{}"}',
        '{"query":"{a}","variables":[]}',
        '{"query":"{a}","extensions":1}',
        '{"query":"{a}","query":"{b}"}',
        '{"query":"{a}","Query":"{b}"}',
        '{"query":"{a}","mutation":"{b}"}',
        '{"query":"query A {a}","operationName":"B"}',
        '{"query":"{a}","operationName":"B"}',
        '{"query":"{a}","operationName":1}',
        '{"query":"{a}","extensions":{"persistedQuery":{}}}',
        '{"query":"{a}","extensions":{"persistedQuery":1}}',
        '{"query":"{a}","extensions":{"persistedQuery":{"sha256Hash":"00"}}}',
        '{"query":"{a}","documentId":"00"}',
        '{"extensions":{"persistedQuery":{"sha256Hash":"a"}},"documentId":"a"}',
        '{"query":"query ($a: X) {a(b: $a)}","variables":{"a":1,"a":2}}',
        '{"type":"subscribe","id":"1","payload":{"query":"{a}"}}',
        '{"type":"connection_init","payload":{"note":"x"}}',
    ],
)
def test_what_servers_may_read_in_two_ways_is_refused(body: str) -> None:
    rule = a_rule(request=graphql(a_block(encrypt=["optional $.fields.*.note"])), names=NAMES)

    assert isinstance(refused(body, rule), InvalidBody | ForbiddenValue)


@pytest.mark.parametrize(
    "query", ["query={a}", "x=1&Variables={}", "operationName", "documentId=1"]
)
def test_parts_of_an_operation_in_the_address_are_refused(query: str) -> None:
    optional = a_rule(
        request=replace(graphql(a_block(encrypt=["optional $.fields.*.note"])), nothing="pass"),
        names=NAMES,
    )
    for body in (request(*SPELLINGS["variables"]), ""):
        for rule in (RULE, optional):
            with pytest.raises(ForbiddenValue, match="name-in-query"):
                sent(rule, a_message(body, target=f"/api/messages?{query}"))


def test_what_is_not_said_to_be_json_is_refused() -> None:
    for media in (b"application/graphql", b"application/x-www-form-urlencoded"):
        message = a_message(request(*SPELLINGS["variables"]), headers=((b"Content-Type", media),))
        with pytest.raises(UnsupportedBody):
            sent(RULE, message)
    with pytest.raises(UnsupportedBody):
        sent(RULE, a_message(request(*SPELLINGS["variables"]), headers=()))


def test_conditions_and_defaults_that_are_no_texts_pass() -> None:
    query = "mutation ($n: X, $on: B, $max: Int = 3, $all: B = false)"
    query += ' {send(to: "c1", note: $n, max: $max) {id @include(if: $on) all @skip(if: $all)}}'
    variables = {"n": CANARY, "on": True, "max": 5}

    assert CANARY not in sealed(request(query, variables))


@pytest.mark.parametrize("name", ["variables", "literals"])
def test_a_value_in_a_text_of_json_is_sealed(name: str) -> None:
    block = graphql(a_block(encrypt=["$.fields.send.note json:$.text"]))
    note = json.dumps({"text": CANARY})
    query, variables = SPELLINGS[name]
    literal = query.replace(json.dumps(CANARY), json.dumps(note))

    after = sealed(
        request(literal, variables and {**VARIABLES, "note": note}),
        a_rule(request=block, names=NAMES),
    )

    assert CANARY not in after
    assert len(TOKEN.findall(after)) == 1
    read(json.loads(after)["query"])


def test_an_empty_operation_name_is_none() -> None:
    query, variables = SPELLINGS["literals"]

    assert CANARY not in sealed(request(query, variables, operationName=""))


def test_a_persisted_document_is_taken_by_its_hash_alone() -> None:
    names = Names(parse_source("const:clinic"), parse_source("$.variables.to"))
    listed = graphql(a_block(encrypt=["$.variables.note"], names=names), persisted="sha256:ab")
    rule = a_rule(request=(SENDING, listed), names=NAMES)

    after = sealed(request(None, VARIABLES, documentId="sha256:ab", operationName="A"), rule)
    assert CANARY not in after
    assert len(TOKEN.findall(after)) == 1
    for unlisted in (
        {"documentId": "sha256:cd"},
        {"extensions": {"persistedQuery": {"sha256Hash": "sha256:cd"}}},
    ):
        assert isinstance(refused(request(None, VARIABLES, **unlisted), rule), UnsupportedBody)
    assert isinstance(refused(request(None, None, documentId="sha256:ab"), rule), MissingValue)


def test_a_document_that_is_sent_with_its_hash_is_taken_as_any() -> None:
    query, variables = SPELLINGS["variables"]
    digest = hashlib.sha256(query.encode()).hexdigest()
    hashed = {"persistedQuery": {"version": 1, "sha256Hash": digest}}

    assert CANARY not in sealed(request(query, variables, extensions=hashed))
    query = SPELLINGS["literals"][0]
    hashed["persistedQuery"]["sha256Hash"] = hashlib.sha256(query.encode()).hexdigest()
    assert refused(request(query, extensions=hashed)).reason == "literal-in-persisted"


def test_a_rule_may_refuse_texts_in_documents() -> None:
    block = replace(SENDING, when=(*SENDING.when, *when("$.literals", b"false")))
    rule = a_rule(request=block, names=NAMES)

    assert CANARY not in sealed(request(*SPELLINGS["variables"]), rule)
    for name in ("literals", "a default", "characters"):
        assert isinstance(refused(request(*SPELLINGS[name]), rule), UnsupportedBody)
    listed = f'mutation {{send(to: ["{CANARY}"], note: 1)}}'
    assert isinstance(refused(request(listed), rule), UnsupportedBody)


def test_variables_cannot_multiply() -> None:
    uses = "".join(f"f{at}: log(text: $n) " for at in range(1000))
    rule = a_rule(request=graphql(a_block(encrypt=["optional $.fields.x.y"])), names=NAMES)

    with pytest.raises(BodyTooLarge):
        sealed(request(f"mutation ($n: X) {{{uses}}}", {"n": "x" * 1000}), rule)


def test_fields_of_the_answer_that_are_selected_by_name_have_no_alias() -> None:
    answer = a_block(encrypt=["$.data.send.note"])
    rule = a_rule(request=SENDING, response=answer, names=NAMES)

    assert CANARY not in sealed(request(*SPELLINGS["variables"]), rule)
    for query in ("x: send(to: $to, note: $note)", "send(to: $to, note: $note) {x: note}",
                  "send(to: $to, note: $note) {note: id}"):  # fmt: skip
        body = request(f"mutation ($to: X, $note: X) {{{query}}}", VARIABLES)
        assert refused(body, rule).reason == "field-renamed"
    tokens = a_rule(request=SENDING, response=a_block(decrypt=["tokens"]), names=NAMES)
    assert CANARY not in sealed(request(*SPELLINGS["an alias"]), tokens)


def test_the_format_is_for_requests() -> None:
    with pytest.raises(InvalidExpression):
        CompiledBlock(replace(a_block(decrypt=["$.a"]), format="graphql"), Names(), "response")


def sealed_message(body: str, block: Block = SENDING) -> str:
    plan = plan_message(messages(ws(block, names=NAMES)), body.encode())
    applied = apply(plan, keys_for(plan.needs), NOW)
    assert applied.forwardable.body is not None
    return applied.forwardable.body.decode()


@pytest.mark.parametrize("kind", ["subscribe", "start"])
@pytest.mark.parametrize("name", ["variables", "characters"])
def test_an_operation_in_a_message_is_sealed(kind: str, name: str) -> None:
    payload = json.loads(request(*SPELLINGS[name]))

    after = sealed_message(json.dumps({"id": "1", "type": kind, "payload": payload}))

    assert CANARY not in after
    assert len(TOKEN.findall(after)) == 1


@pytest.mark.parametrize(
    "message",
    [
        {"type": "connection_init"},
        {"type": "connection_init", "payload": {"token": "x"}},
        {"type": "connection_terminate"},
        {"type": "ping"},
        {"type": "pong"},
        {"type": "complete", "id": "1"},
        {"type": "stop", "id": "1"},
    ],
)
def test_other_messages_pass(message: object) -> None:
    assert sealed_message(json.dumps(message)) == json.dumps(message)


@pytest.mark.parametrize(
    "message",
    [
        {"type": "ping", "payload": {"note": CANARY}},
        {"type": "next", "id": "1", "payload": {"query": "{a}"}},
        {"type": "subscribe", "id": "1", "payload": CANARY},
        {"type": "subscribe", "id": "1", "payload": None},
        {"type": "subscribe", "id": "1", "payload": {"query": "{a}"}, "query": CANARY},
        {"type": "subscribe", "payload": {"query": "{a}"}},
        {"type": 1},
        {"query": "{a}"},
        {"Type": "ping", "type": "ping"},
        [{"type": "ping"}],
    ],
)
def test_what_is_no_message_is_refused(message: object) -> None:
    with pytest.raises(MessageError):
        sealed_message(json.dumps(message))


@pytest.mark.parametrize("selector", ["$.name", "$.field", "$.persisted"])
def test_what_an_operation_is_called_is_neither_sealed_nor_opened(selector: str) -> None:
    body = request(*SPELLINGS["variables"])
    named = [an_item(selector, bind=["tenant"])]

    for block in (a_block(encrypt=named), a_block(decrypt=named)):
        if selector != "$.persisted":
            found = refused(body, a_rule(request=graphql(block), names=NAMES))
            assert found.reason == "not-a-value"
    rule = a_rule(request=graphql(a_block(encrypt=named)), names=NAMES)
    assert isinstance(refused(request(None, documentId="x"), rule), MessageError)


names = st.sampled_from(["send", "log", "note", "to", "A", "on", "query", "fragment"])
texts = st.sampled_from([CANARY, "", 'q"uote', "back\\slash", "é😀", "\n", "#", "{", '"""'])


@st.composite
def documents(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    """Return a document that sends a canary in some way, and its variables."""
    variables: dict[str, Any] = {}
    declared: list[str] = []

    def value(text: str) -> str:
        how = draw(st.sampled_from(["literal", "variable", "default", "both"]))
        if how == "literal":
            return json.dumps(text, ensure_ascii=draw(st.booleans()))
        name = f"v{len(declared)}"
        default = f" = {json.dumps(text)}" if how != "variable" else ""
        declared.append(f"${name}: String{default}")
        if how != "default":
            variables[name] = text
        return f"${name}"

    arguments = [f"to: {value('c1')}", f"note: {value(CANARY)}"]
    for name in draw(st.lists(names, max_size=2)):
        arguments += [f"{name}: {value(draw(texts))}"]
    alias = draw(st.sampled_from(["", "x: ", "log: "]))
    space = draw(st.sampled_from([" ", "\n", ", ", " # x\n", "\t\r\n"]))
    below = draw(st.sampled_from(["", "{id}", "{id note}", "{...F}"]))
    field = f"{alias}send({space.join(draw(st.permutations(arguments)))}){space}{below}"
    root = draw(st.sampled_from(["%s", "... {%s}", "... on M {%s}", "%s __typename", "...R"]))
    fragments = "fragment F on T {id}" if "..." in below else ""
    if root == "...R":
        fragments += f" fragment R on M {{{field}}}"
    head = f"mutation{draw(st.sampled_from(['', ' A']))}"
    head += f"({space.join(declared)})" if declared else ""
    inside = root % field if "%" in root else root
    return f"{head}{space}{{{inside}}}{space}{fragments}", variables


@given(drawn=documents())
def test_no_document_takes_the_value_past_the_rule(drawn: tuple[str, dict[str, Any]]) -> None:
    body = request(*drawn)

    try:
        after = sealed(body)
    except (ForbiddenValue, InvalidBody) as error:
        assert error.reason in {"variable-default", "argument-twice", "duplicate-member"}  # noqa: PT017 - refused is as good
        return

    one = json.loads(after)
    pieces = TOKEN.findall(after)
    assert len(pieces) == 1
    note = [*json.loads(body).get("variables", {}).items()]
    assert one["query"].replace(pieces[0], CANARY, 1) == drawn[0] or pieces[0] not in one["query"]
    assert len(one.get("variables", {})) == len(note)
    read(one["query"])
