"""What honest clients send passes: no name of these is taken for another."""

from __future__ import annotations

from dataclasses import dataclass, replace
from urllib.parse import quote

import pytest

from proxy.core.expressions.selectors import parse_json_selector
from proxy.core.expressions.sources import MembersSource, parse_source
from proxy.core.http.message import Headers
from proxy.core.rules.conditions import Condition, text_value
from proxy.core.rules.model import Names, Rule
from proxy.core.transform import pass_request
from tests.factories import JSON_TYPE, Message, Trip, a_block, a_message, a_rule, send

CONST = Names(parse_source("const:clinic"), parse_source("const:c1"))
FORM: Headers = ((b"Content-Type", b"application/x-www-form-urlencoded"),)
PARTS: Headers = ((b"Content-Type", b"multipart/form-data; boundary=of-parts"),)
BROWSER: Headers = (
    (b"Accept", b"*/*"),
    (b"Accept-Language", b"de,en;q=0.8"),
    (b"Cookie", b"_ga=GA1.1.17; session_id=s%3Aabc.def; theme=dark; prefs={%22lang%22:%22de%22}"),
    (b"X-Requested-With", b"XMLHttpRequest"),
    (b"Connection", b"keep-alive"),
)


@dataclass(frozen=True)
class Honest:
    """A rule, a request, and how many of its values are sealed."""

    rule: Rule
    body: str
    sealed: int
    target: str = "/api/messages"
    headers: Headers = JSON_TYPE


def seals(*selectors: str, conversation: str = "const:c1", pattern: str = "/**") -> Rule:
    names = Names(parse_source("const:clinic"), parse_source(conversation))
    return a_rule(pattern, request=a_block(encrypt=selectors), names=names)


def form(*pairs: tuple[str, str]) -> str:
    return "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in pairs)


def part(name: str, text: str) -> str:
    return f'--of-parts\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{text}\r\n'


CORPUS = {
    "Stripe's nested forms": Honest(
        seals("form:description", "optional form:metadata[note]"),
        form(
            ("amount", "2000"), ("currency", "usd"), ("description", "x"),
            ("metadata[order_id]", "6735"), ("metadata[note]", "y"), ("expand[]", "customer"),
            ("expand[]", "charges"), ("items[0][price]", "p1"), ("items[1][price]", "p2"),
            ("payment_method_types[]", "card"), ("shipping[address][line1]", "z"),
        ),
        2,
        headers=FORM,
    ),
    "Rails' nested forms": Honest(
        seals("form:message[content]"),
        form(
            ("utf8", "✓"), ("_method", "patch"), ("authenticity_token", "a+b/c=="),
            ("message[content]", "x"), ("message[title]", "y"), ("message[tag_ids][]", ""),
            ("message[tag_ids][]", "1"), ("message[sent_on(1i)]", "2026"),
            ("message[sent_on(2i)]", "11"), ("message[parts_attributes][0][body]", "z"),
            ("commit", "Save"),
        ),
        1,
        headers=FORM,
    ),
    "honest arrays": Honest(
        seals("form:content"), "content=x&tags[]=a&tags[]=b&ids=1&ids=2", 1, headers=FORM
    ),
    "dates and checkboxes": Honest(
        seals("form:note"), "note=x&date.day=1&date.month=2&_active=on&active=on", 1, headers=FORM
    ),
    "pagination": Honest(
        seals("$.content"),
        '{"content":"x"}',
        1,
        "/api/messages?page=2&per_page=50&sort=-created_at&fields[messages]=id,title",
        (*JSON_TYPE, *BROWSER),
    ),
    "JSON:API": Honest(
        seals("$.data.attributes.content"),
        '{"data":{"type":"messages","id":"1","attributes":{"content":"x","created-at":"y"}}}',
        1,
        "/api/messages?include=author&filter[status]=open&page[number]=2",
    ),
    "OData": Honest(
        seals("$.Content"),
        '{"@odata.type":"#a","Content":"x","ContentType":"text"}',
        1,
        "/api/messages?$filter=startswith(Title,%27a%27)&$select=Id,Title&$orderby=Id%20desc",
    ),
    "documents with _id and id": Honest(
        seals("$.content", conversation="$.id"),
        '{"_id":"65f0","id":"17","__v":0,"content":"x","_content":"y"}',
        1,
    ),
    "the same room in path and body": Honest(
        seals("$.content", conversation="path:roomId", pattern="POST /rooms/{roomId}/messages"),
        '{"roomId":"r1","room_id":"r1","content":"x"}',
        1,
        "/rooms/r1/messages?id=5",
    ),
    "the same conversation in query and body": Honest(
        seals("$.content", conversation="$.conversationId"),
        '{"conversationId":"c9","content":"x","parentId":"c8"}',
        1,
        "/api/messages?conversationId=c9",
    ),
    "GraphQL": Honest(
        seals("$.variables.content", conversation="$.variables.conversationId"),
        '{"operationName":"SendMessage","query":"mutation SendMessage($content: String!) {\\n x }",'
        '"variables":{"conversationId":"c1","content":"x"},"extensions":{"persistedQuery":'
        '{"version":1,"sha256Hash":"ab"}}}',
        1,
        "/graphql?op=SendMessage",
    ),
    "Kinto's batches": Honest(
        seals("optional $.requests.*.body.data.content", "optional $.defaults.body.data.content"),
        '{"defaults":{"method":"POST","path":"/v1/buckets/a/collections/b/records"},"requests":['
        '{"body":{"data":{"content":"x","subject":"s"}}},{"body":{"data":{"title":"y"}}},'
        '{"method":"GET","path":"/v1/?_limit=1"}]}',
        1,
        "/v1/batch",
    ),
    "Matrix": Honest(
        seals(
            "$.body", "optional $['m.new_content'].body", conversation="path:room",
            pattern="PUT /rooms/{room}/send/m.room.message/{txn}",
        ),
        '{"msgtype":"m.text","body":"* x","m.new_content":{"msgtype":"m.text","body":"x"},'
        '"m.relates_to":{"rel_type":"m.replace","event_id":"$e"},"m.mentions":{}}',
        2,
        "/rooms/%21a%3Ahost/send/m.room.message/m1?user_id=%40a%3Ahost",
    ),
    "FHIR": Honest(
        seals(
            "optional $.payload.*.contentString", conversation="$.subject.reference"
        ),
        '{"resourceType":"Communication","id":"1","meta":{"versionId":"1"},"_status":{"id":"a"},'
        '"status":"completed","subject":{"reference":"Patient/1"},'
        '"payload":[{"contentString":"x"},{"contentReference":{"reference":"D/1"}}]}',
        1,
        "/fhir/Communication?_format=json&_pretty=true",
    ),
    "a FHIR search": Honest(
        replace(
            seals(),
            request=(
                replace(
                    a_block(plain=["form:subject", "form:sent", "form:_sort", "form:_include"]),
                    query=frozenset({"name:exact", "subject:Patient.name", "_count"}),
                ),
            ),
        ),
        "subject=Patient/1&sent=ge2026&_sort=-sent&_include=Communication:subject",
        0,
        "/fhir/Communication/_search?name:exact=x&subject:Patient.name=peter&_count=10",
        FORM,
    ),
    "members of one conversation": Honest(
        a_rule(
            request=a_block(encrypt=["$.content"]),
            names=Names(
                parse_source("const:clinic"),
                MembersSource((parse_source("$.from"), parse_source("$.to"))),
            ),
        ),
        '{"from":"alice","to":"bob","fromName":"Alice","toName":"Bob","content":"x"}',
        1,
    ),
    "a racing team": Honest(
        seals("$.note"), '{"note":"x","constructor":"Ferrari","prototype":"SF-26"}', 1
    ),
    "i18n": Honest(
        seals("$.nachricht"), '{"nachricht":"x","Größe":1,"straße":"y","名前":"z","İl":"w"}', 1
    ),
    "many files under one name": Honest(
        seals("part:files", "optional part:note"),
        part("note", "n") + part("files", "a") + part("files", "b") + part("tags[]", "c")
        + "--of-parts--\r\n",
        3,
        headers=PARTS,
    ),
    "emails in values": Honest(
        seals("$.content", conversation="$.to.id"),
        '{"content":"mail a.content@b.example, \\"content\\"","to":{"id":"c1","email":"a@b"}}',
        1,
    ),
    "a parameter that is sealed": Honest(
        seals("query:q"), '{"query":"x","qs":1}', 1, "/search?q=x&page=1&sort=q"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CORPUS)
@pytest.mark.parametrize("more", [(), BROWSER], ids=["bare", "browser"])
def test_honest_messages_pass(name: str, more: Headers) -> None:
    one = CORPUS[name]
    headers = one.headers if len(one.headers) > 1 else (*one.headers, *more)
    method = one.rule.patterns[0].text.partition(" ")[0]
    message = a_message(
        one.body,
        method=method if method.isalpha() else "POST",
        target=one.target,
        headers=headers,
    )
    assert send(one.rule, message).counts.get("sealed", 0) == one.sealed


@pytest.mark.parametrize("kind", ["send", "sent", "typing", "seen"])
def test_honest_events_choose_their_block(kind: str) -> None:
    when = (Condition(parse_json_selector("$[0]"), frozenset({text_value("send")})),)
    first = replace(a_block(encrypt=["$[1].content"]), format="socketio", when=when)
    other = replace(a_block(encrypt=["optional $[1].content"]), format="socketio")
    rule = a_rule("POST /socket.io/", request=(first, other), names=CONST)
    body = f'42["{kind}",{{"content":"x","recipientIds":["a"],"metadata":{{}}}}]'
    target = "/socket.io/?EIO=4&transport=polling&t=Oabc&sid=x-y_z"
    message = a_message(body, target=target, headers=((b"Content-Type", b"text/plain"),))
    assert send(rule, message).counts == {"sealed": 1}


def test_an_honest_list_is_opened_for_a_client_with_parameters() -> None:
    rule = a_rule(
        "GET /rooms/{roomId}/messages",
        response=a_block(decrypt=["optional $.data.*.content"]),
        names=Names(parse_source("const:clinic"), parse_source("path:roomId")),
    )
    message = Message(
        a_message("", method="GET", target="/rooms/r1/messages?roomId=r1&limit=50").head, b""
    )
    trip = Trip((rule,), message)
    assert pass_request(trip.exchange).body is None
    answer = trip.response('{"data":[{"_id":"1","id":"1","roomId":"r1"}],"room_id":"r1"}')
    assert answer is not None
    assert answer.counts == {}
