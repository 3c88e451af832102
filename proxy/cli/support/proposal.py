"""Rules proposed from requests that were recorded: what to seal, what may stay plain.

A proposal is a file to be read by a person. Values are looked at while they are parsed, and not
kept. Requests of strangers may be hostile: a name that they send is proposed as plain only where
many requests of several clients had it, and never where it could stand for what is sealed.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

from ...config.checks.likely_mistakes import SEARCHING
from ...core.errors import TrafficError
from ...core.expressions.name_readings import are_twins
from ...core.http.path import canonical
from ...description.searches import searched_field
from ...telemetry.sensitive import kind_of_name, kind_of_text
from ..policy import ExitCode
from . import console
from .page_links import pages, scalars

_NAME: Final = re.compile(r"[A-Za-z_$][A-Za-z0-9_.-]{0,63}")
_PLAIN_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_IDENTIFIER: Final = re.compile(r"[0-9]+|[0-9a-fA-F-]{16,}|[!@$:%+]\S*")
_TEXTS: Final = frozenset(
    {"body", "comment", "content", "description", "message", "note", "subject", "text", "title"}
)
_CONVERSATIONS: Final = ("conversation", "room", "channel", "chat", "thread", "ticket")
_READS: Final = frozenset({"GET", "HEAD"})
_SUCCESS: Final = range(200, 300)


@dataclass(frozen=True, slots=True)
class Least:
    """How many requests that succeeded, and of how many clients, a name needs to be proposed.

    `share` is the part of the requests of a route that must have it, from 0 to 1.
    """

    requests: int
    clients: int
    share: float


RECORDED: Final = Least(1, 1, 0.0)
"""For what an operator recorded."""
UNVETTED: Final = Least(20, 3, 0.15)
"""For what anyone sent; a tenth of the requests may be hostile, from however many clients."""


@dataclass(slots=True)
class SeenPlace:
    """A place of some requests: how many succeeded with it, of whom, and what it looked like."""

    count: int = 0
    clients: set[str] = field(default_factory=set)
    sensitive: bool = False

    def add(self, client: str, *, sensitive: bool) -> None:
        """Count a request of a client, and whether its value looks sensitive."""
        self.count += 1
        self.clients.add(client)
        self.sensitive |= sensitive


@dataclass(slots=True)
class SeenRoute:
    """The requests of one method and path; `query` and `body` are their places."""

    pattern: str
    count: int = 0
    query: dict[str, SeenPlace] = field(default_factory=dict)
    body: dict[tuple[str, ...], SeenPlace] = field(default_factory=dict)
    form: bool = False


def rules_from(text: bytes, least: Least) -> str:
    """Return the rules that a file proposes, a HAR or the counts of `observe`; empty where none is.

    Raises Failure where it is neither.
    """
    with contextlib.suppress(ValueError, RecursionError):
        document = json.loads(text)
        if isinstance(document, dict) and "rules" in document:
            return observed(document)
    return rules(routes_of(text), least)


def routes_of(text: bytes) -> list[SeenRoute]:
    """Return the routes of the requests in a HAR file; raise Failure where it is none."""
    try:
        entries = json.loads(text)["log"]["entries"]
        found: dict[str, SeenRoute] = {}
        for entry in entries:
            _take(found, entry)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        text_ = "the file is no HAR; export one in the network view of a browser"
        raise console.Failure(text_, ExitCode.ENVIRONMENT) from None
    return [found[one] for one in sorted(found)]


def _take(found: dict[str, SeenRoute], entry: Mapping[str, Any]) -> None:
    request, status = entry["request"], entry["response"]["status"]
    client = str(entry.get("_client", entry.get("connection", "")))
    url = urlsplit(request["url"])
    method = request["method"]
    if status not in _SUCCESS or not re.fullmatch(r"[A-Z]+", method) or method == "OPTIONS":
        return
    try:
        path = canonical(url.path or "/").text
    except TrafficError:
        return
    pattern = f"{method} {_template(path)}"
    route = found.setdefault(pattern, SeenRoute(pattern))
    route.count += 1
    asked = dict(parse_qsl(url.query, keep_blank_values=True))
    answer = entry["response"]
    heads = [one["value"] for one in answer.get("headers", ()) if one["name"].lower() == "link"]
    text = (answer.get("content") or {}).get("text") or ""
    linked = "&".join(pages(request["url"], heads, text))
    for name, text in (dict(parse_qsl(linked, keep_blank_values=True)) | asked).items():
        route.query.setdefault(name, SeenPlace()).add(client, sensitive=_is_sensitive(name, text))
    data = request.get("postData") or {}
    media, body = str(data.get("mimeType", "")).partition(";")[0], data.get("text") or ""
    seen: dict[tuple[str, ...], bool] = {}
    if media == "application/x-www-form-urlencoded":
        route.form = True
        for name, value in parse_qsl(body, keep_blank_values=True):
            seen[name,] = seen.get((name,), False) or _is_sensitive(name, value)
    elif media == "application/json" or media.endswith("+json"):
        for steps, value in scalars(json.loads(body or "null"), ()):
            seen[steps] = seen.get(steps, False) or _is_sensitive(_last(steps), value)
    for steps, sensitive in seen.items():
        route.body.setdefault(steps, SeenPlace()).add(client, sensitive=sensitive)


def _is_sensitive(name: str, value: object) -> bool:
    by_text = isinstance(value, str) and kind_of_text(value) is not None
    return by_text or kind_of_name(name) is not None


def _last(steps: Sequence[str]) -> str:
    return next((one for one in reversed(steps) if one != "*"), "")


def _template(path: str) -> str:
    """Return a path with its identifiers as captures."""
    number = 0
    made = []
    for segment in path[1:].split("/"):
        if _IDENTIFIER.fullmatch(segment):
            number += 1
            made.append("{id}" if number == 1 else f"{{id{number}}}")
        else:
            made.append(segment)
    return "/" + "/".join(made)


@dataclass(slots=True)
class Proposal:
    """What is proposed for the requests of a route; `left` is what is not, with its counts."""

    conversation: str
    encrypt: list[str]
    plain: list[str]
    query: list[str]
    left: list[str]
    unrelated: list[str]


def proposed(route: SeenRoute, least: Least) -> Proposal:
    """Return what a rule may say of a route, by the evidence that there is."""
    names = {steps: _last(steps) for steps in route.body}
    good = {steps for steps in names if _is_sure(route, route.body[steps], least, steps)}
    by_path = "{id}" in route.pattern
    binding = None if by_path else next(iter(sorted(filter(_names_conversation, good))), None)
    sealed = sorted(
        one for one in good - {binding} if route.body[one].sensitive or names[one] in _TEXTS
    )
    taken = [names[one] for one in (*sealed, *([binding] if binding else []))]
    plain = sorted(
        one
        for one in good - {binding} - set(sealed)
        if not (_searches(names[one]) or any(are_twins(names[one], other) for other in taken))
    )
    query = sorted(
        name
        for name, place in route.query.items()
        if _is_sure(route, place, least, (name,)) and not place.sensitive
        if not (_searches("?" + name) or any(are_twins(name, other) for other in taken))
    )
    spelled = {one: _selector(one, form=route.form) for one in good}
    others = {one: route.body[one] for one in names if one not in {*sealed, *plain, binding}}
    left = [_told(one, place) for one, place in sorted(others.items())]
    left += [
        _told(("?" + name,), route.query[name]) for name in sorted(route.query) if name not in query
    ]
    labels = [one for one in plain if names[one].lower().endswith("id")] if by_path else []
    conversation = "path:id" if by_path else spelled[binding] if binding else "const:all"
    return Proposal(
        conversation,
        [
            spelled[one] if route.body[one].count == route.count else f"optional {spelled[one]}"
            for one in sealed
        ],
        [spelled[one] for one in plain],
        query,
        left,
        [spelled[one] for one in labels],
    )


def _is_sure(route: SeenRoute, place: SeenPlace, least: Least, steps: Sequence[str]) -> bool:
    named = all(_NAME.fullmatch(one) for one in steps if one != "*")
    enough = place.count >= max(least.requests, least.share * route.count)
    return named and enough and len(place.clients) >= least.clients


def _names_conversation(steps: Sequence[str]) -> bool:
    name = steps[-1].lower().replace("_", "") if steps else ""
    return len(steps) == 1 and any(name in {one, f"{one}id"} for one in _CONVERSATIONS)


def _selector(steps: Sequence[str], *, form: bool) -> str:
    if form:
        return f"form:{steps[0]}"
    made = "$"
    for one in steps:
        plain = one == "*" or _PLAIN_NAME.fullmatch(one)
        made += f".{one}" if plain else f"[{json.dumps(one)}]"
    return made


def _told(steps: Sequence[str], place: SeenPlace) -> str:
    """Return what stands in a comment for a place that is not proposed; names may be data."""
    named = all(_NAME.fullmatch(one.lstrip("?")) for one in steps if one != "*")
    shown = ".".join(steps) if named else "a name that is none but data"
    looks = _looks(_last(steps), sensitive=place.sensitive)
    return f"{shown}: {place.count} requests of {len(place.clients)} clients{looks}"


def _looks(place: str, *, sensitive: bool) -> str:
    seeks = ", may have the words of a search" if _searches(place) else ""
    return ", looks sensitive" if sensitive else seeks


def _searches(place: str) -> bool:
    """Return whether clients may search at a place: a selector, `?` and a parameter, or a name."""
    if place[:1] == "?":
        return searched_field(place[1:], _TEXTS) is not None
    return re.split(r"[.:]", place)[-1].lower() in SEARCHING


def rules(routes: Iterable[SeenRoute], least: Least) -> str:
    """Return the rules that are proposed, as a listener lists them."""
    made = (_rule(one.pattern.lower(), one.pattern, proposed(one, least)) for one in routes)
    return "\n".join("\n".join(lines) + "\n" for lines in made)


def observed(document: Mapping[str, Any]) -> str:
    """Return rules with what was counted while they observed, as a listener lists them.

    `document` is the file `admin.ladder_file`, or the answer of `GET /v1/status/steps`. Raises
    Failure where it is neither, or has no rule that can be written.
    """
    try:
        rows = [one for one in document["rules"] if one["mode"] == "observe" and one["lists"]]
        made = [_rule(one["rule"], one["lists"]["match"], _of_observed(one)) for one in rows]
        text = "\n".join("\n".join(lines) + "\n" for lines in made)
    except (KeyError, TypeError, AttributeError):
        said = "neither a HAR nor the counts of rules"
        raise console.Failure(said, ExitCode.ENVIRONMENT) from None
    if not text:
        said = "no rule in mode `observe` in it that has one block of requests and one path"
        raise console.Failure(said, ExitCode.ENVIRONMENT)
    return text


def _of_observed(row: Mapping[str, Any]) -> Proposal:
    """Return what a rule says already, with the names of which there is evidence."""
    said, seen = row["lists"], sorted(row["unlisted"], key=lambda one: -one["messages"])
    sure = [one["selector"] for one in seen if _is_proof(one)]
    sealed = (str(one).removeprefix("optional ") for one in said["encrypt"])
    place = _place_of(next(sealed, "$"))
    own = [one for one in sure if _place_of(one) == place]
    texts = [one for one in own if re.split(r"[.:]", one)[-1] in _TEXTS]
    plain = [*said["plain"], *(one for one in own if one not in texts)]
    query = [one[1:] for one in sure if one[:1] == "?"]
    taken = {*own, *(f"?{one}" for one in query)}
    left = [
        f"{json.dumps(one['selector'] or one['place'])[1:-1]}: {one['messages']} requests of"
        f" {len(one['clients'])} clients{_looks(one['selector'], sensitive=one['sensitive'])}"
        for one in seen
        if one["selector"] not in taken
    ]
    by_path = said["conversation"].startswith("path:")
    return Proposal(
        said["conversation"],
        [*said["encrypt"], *(f"optional {one}" for one in texts)],
        plain,
        [*said["query"], *query],
        left,
        [one for one in plain if by_path and one.lower().endswith("id")],
    )


def _place_of(selector: str) -> str:
    """Return where a selector selects: `$`, `form`, `part`, `?`."""
    return selector[:1] if selector[:1] in {"$", "?"} else selector.partition(":")[0]


def _is_proof(one: Mapping[str, Any]) -> bool:
    enough = one["messages"] >= UNVETTED.requests and len(one["clients"]) >= UNVETTED.clients
    looks = _looks(one["selector"], sensitive=one["sensitive"])
    return bool(one["selector"]) and enough and not looks


def _rule(name: str, pattern: str, found: Proposal) -> Iterator[str]:
    source = json.dumps(found.conversation)
    if found.unrelated:
        source = f"{{from: {source}, unrelated: {_flow(found.unrelated)}}}"
    yield f"      - name: {json.dumps(name)}"
    yield f"        match: {json.dumps(pattern)}"
    yield f"        conversation: {source}"
    if found.unrelated:
        yield "        # Say `also` for those that name the same as the path: they must be equal."
    if found.query:
        yield f"        query: {{{', '.join(f'{json.dumps(one)}: plain' for one in found.query)}}}"
    if found.encrypt or found.plain:
        yield "        request:"
    elif pattern.partition(" ")[0] not in _READS:
        yield "        request: pass"
    if found.encrypt:
        yield f"          encrypt: {_flow(found.encrypt)}"
        if all(one.startswith("optional ") for one in found.encrypt):
            yield "          nothing: pass"
    if found.plain:
        yield f"          plain: {_flow(found.plain)}"
    if found.left:
        yield "        # Not proposed, and so refused:"
        yield from (f"        #   {one}" for one in found.left)


def _flow(values: Sequence[str]) -> str:
    return f"[{', '.join(map(json.dumps, values))}]"
