"""From the keys of a job that are about a backend over HTTP to the backend and its collections.

What the rules of the configuration do to the routes of a job is asked here, so that a job whose
list nothing opens, or whose write nothing seals, is a mistake with its line.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from ...config.declared.addresses import SecretSource
from ...config.declared.kinds import File
from ...config.load import load, place_of
from ...config.schema.tables import Members
from ...config.settings import ListenerSettings, OriginalPort, SecretReference
from ...config.yaml import nodes as yaml
from ...config.yaml.nodes import Problems, show, suggest
from ...config.yaml.scalars import choice, text, whole
from ...core.compiled.rule_table import CompiledRule, RuleTable
from ...core.errors import SealyardError, UnsupportedBody
from ...core.expressions.selectors import Any, JsonSelector, Selector
from ...core.http.message import TOKEN, parse_media_type
from ...core.http.path import canonical
from . import http_keys
from .collections import (
    METHODS,
    NAME,
    CursorPaging,
    Guard,
    HeaderGuard,
    Http,
    HttpCollection,
    LinkPaging,
    PagePaging,
    Paging,
    ReadGuard,
    Template,
    Total,
    WriteMethod,
)
from .readings import selector, text_of, words

_HEADER: Final = re.compile(TOKEN.decode())
_VISIBLE: Final = re.compile(r"[\x21-\x7e]+(?:[ \t]+[\x21-\x7e]+)*")
_OWN: Final = frozenset(
    {
        "accept-encoding", "connection", "content-encoding", "content-length", "content-type",
        "expect", "if-match", "if-unmodified-since", "range", "te", "trailer",
        "transfer-encoding", "upgrade",
    }
)  # fmt: skip
_SAMPLE: Final = "x"


def read_backend(place: yaml.Place, environ: Mapping[str, str], problems: Problems) -> Http | None:
    """Return the backend; None after reporting what is wrong.

    Raises ConfigurationError with the mistakes of the configuration that it names.
    """
    fields = Members(place, http_keys.HTTP, problems)
    headers = _headers(fields.get("headers"), problems)
    named = fields.get("config")
    path = None if named is None else File().read(named, problems)
    if named is None or path is None:
        return None
    settings = load(path, environ).settings
    chosen = _listener(fields, settings.listeners, problems)
    if settings.keys.sessions.mode == "ephemeral":
        where = place_of(path, environ, ("keys", "sessions", "mode"))
        problems.add(named, f"{where}: what is stored is sealed by sessions of mode `durable`")
    if chosen is None:
        return None
    if isinstance(chosen.upstream.address, OriginalPort):
        where = place_of(path, environ, ("listeners", chosen.name, "upstream"))
        problems.add(named, f"{where}: `original-port` is no address to connect to")
    rules = RuleTable(chosen.rules, pass_unmatched=chosen.pass_unmatched)
    return Http(chosen, rules, headers, hashlib.sha256(path.read_bytes()).hexdigest())


def _listener(
    fields: Members, listeners: Sequence[ListenerSettings], problems: Problems
) -> ListenerSettings | None:
    place = fields.get("listener")
    names = [one.name for one in listeners]
    if place is None:
        if len(listeners) == 1:
            return listeners[0]
        problems.add(fields.place, f"lacks `listener`, one of: {', '.join(names)}")
        return None
    name = choice(place, names, problems)
    return next((one for one in listeners if one.name == name), None)


def _headers(
    place: yaml.Place | None, problems: Problems
) -> tuple[tuple[str, str | SecretReference], ...]:
    if place is None:
        return ()
    if not isinstance(place.node, yaml.Mapping):
        problems.add(place, "a mapping of names to texts or secrets is expected")
        return ()
    found: list[tuple[str, str | SecretReference]] = []
    for key, node in place.node.entries:
        at = place.member(key.text, node)
        if not _HEADER.fullmatch(key.text) or key.text.lower() in _OWN:
            problems.add(at, f"{show(key.text)} is not a header that a job may set")
        elif isinstance(node, yaml.Scalar):
            found += _visible(key.text, at, problems)
        else:
            secret = SecretSource().read(at, problems)
            found += [] if secret is None else [(key.text, secret)]
    return tuple(found)


def _visible(name: str, place: yaml.Place, problems: Problems) -> list[tuple[str, str]]:
    """Return a header with its text, which is no credential."""
    if name.lower() in {"authorization", "cookie", "proxy-authorization"}:
        # It is not shown.
        hint = "refer to it: `{env: NAME}` or `{file: path}`"
        problems.at(place.node.position, place.path, f"a secret must not be written here; {hint}")
        return []
    value = text(place, problems)
    if value is not None and not _VISIBLE.fullmatch(value):
        problems.add(place, "is not the value of a header")
    return [] if value is None else [(name, value)]


def read_collection(
    place: yaml.Place, http: Http | None, problems: Problems
) -> HttpCollection | None:
    """Return a collection; None after reporting what is wrong."""
    fields = Members(place, http_keys.COLLECTION, problems)
    read = {key: text_of(fields, key, problems) for key in ("collection", "list", "items", "write")}
    items = selector(fields.get("items"), problems)
    paging = _paging(fields.get("next"), problems)
    guard = _guard(fields.get("guard"), problems)
    method, address = _write(fields.get("write"), problems)
    at = _names_to(fields.get("body"), problems)
    members, without = (words(fields.get(key), problems) for key in ("members", "without"))
    media_type = _media_type(fields.get("type"), problems)
    looks = fields.get("lookalikes")
    seals = bool(looks and choice(looks, http_keys.LOOKALIKES, problems) == "seal")
    total = _total(fields.get("total"), problems)
    if members and without:
        problems.add(fields["without"], "`members` says already what is written", "delete one")
    name, listed = read["collection"], read["list"]
    if items is not None and not _is_list(items):
        hint = "write names and then one `[*]`, as in `$.data[*]`"
        problems.add(fields["items"], f"{show(items.text)} is no list of elements", hint)
    if not name or not listed or items is None or guard is None or address is None:
        return None
    _check_path(listed, fields["list"], problems)
    made = HttpCollection(
        name, listed, items, paging, method, address, guard, at, members, without, media_type,
        seals, total,
    )  # fmt: skip
    return made if http is None else _ruled(made, http.rules, fields, problems)


def _ruled(
    made: HttpCollection, rules: RuleTable, fields: Members, problems: Problems
) -> HttpCollection:
    """Return the collection with the labels of what its rules seal; report what they do not."""
    listing = _rule_of(rules, "GET", made.listed, fields["list"], problems)
    if listing is not None and not listing.opens_response:
        problems.add(fields["list"], f"the rule {show(listing.rule.name)} opens no response")
    sample = made.address.expand(lambda _: _SAMPLE)
    writing = _rule_of(rules, made.method, sample, fields["write"], problems)
    if writing is None:
        return made
    items = [item for one in writing.request for item in one.block.encrypt]
    name = show(writing.rule.name)
    if not items:
        problems.add(fields["write"], f"the rule {name} seals no request")
    for item in items:
        if not isinstance(item.selector, JsonSelector):
            said = f"the rule {name} seals more than JSON values"
            problems.add(fields["write"], said)
        elif item.parties:
            problems.add(fields["write"], f"the rule {name} seals end to end")
    texts_of = dict.fromkeys(
        item.selector.text for item in items if isinstance(item.selector, JsonSelector)
    )
    for item in items:
        left = _left_out(made, item.selector)
        if left:
            said = f"leave {show(left)} out, which the rule {name} seals"
            problems.add(fields["members" if made.members else "without"], said)
    labels = (made.name, *(f"{made.name} {one}" for one in texts_of), f"{made.name} elsewhere")
    return replace(made, labels=labels)


def _left_out(made: HttpCollection, sealed: Selector) -> str:
    """Return the selector of what is sealed in members that the write does not have, if it is."""
    steps = sealed.steps if isinstance(sealed, JsonSelector) else ()
    names = len(made.at)
    if not (made.members or made.without) or tuple(one.key for one in steps[:names]) != made.at:
        return ""
    first = steps[names].key if len(steps) > names and not steps[names].deep else None
    if isinstance(first, str):
        written = first in made.members if made.members else first not in made.without
        if written:
            return ""
    return sealed.text if isinstance(sealed, JsonSelector) else ""


def _rule_of(
    rules: RuleTable, method: str, target: str, place: yaml.Place, problems: Problems
) -> CompiledRule | None:
    """Return the rule of a route, be it in mode `observe`; None after reporting that none is."""
    try:
        decision = rules.decide(method, canonical(target.partition("?")[0]))
    except SealyardError as error:
        problems.add(place, f"the configuration refuses {method} here ({error.reason})")
        return None
    found = decision.compiled_rule or decision.observes
    if found is None:
        problems.add(place, f"no rule of the configuration matches {method} here")
    return found


def _is_list(items: JsonSelector) -> bool:
    *before, last = items.steps or (None,)
    names = all(one is not None and isinstance(one.key, str) and not one.deep for one in before)
    return names and last is not None and isinstance(last.key, Any) and not last.deep


def _paging(place: yaml.Place | None, problems: Problems) -> Paging:
    if place is None:
        return None
    fields = Members(place, http_keys.PAGING, problems)
    kind = fields.alternative(problems)
    name = None if kind is None else text(fields[kind], problems)
    for key, needs in (("first", "page"), ("from", "cursor"), ("last", "cursor")):
        misplaced = fields.get(key)
        if misplaced is not None and kind != needs:
            problems.add(misplaced, f"goes with `{needs}`")
    if name is None:
        return None
    if kind == "page":
        first = fields.get("first")
        number = 1 if first is None else whole(first, problems, low=0, high=1 << 30)
        return PagePaging(name, number or 0)
    if kind == "cursor":
        return _cursor(name, fields, problems)
    return LinkPaging(*_header_or_selector(name, fields["link"], problems))


def _cursor(parameter: str, fields: Members, problems: Problems) -> CursorPaging:
    source, last = selector(fields.get("from"), problems), text_of(fields, "last", problems)
    if (fields.get("from") is None) == (fields.get("last") is None):
        problems.add(fields.place, "a cursor needs one of `from` and `last`")
    if last is not None:
        _check_names((last,), fields["last"], problems)
    return CursorPaging(parameter, source, last)


def _total(place: yaml.Place | None, problems: Problems) -> Total | None:
    written = None if place is None else text(place, problems)
    if place is None or written is None:
        return None
    return Total(*_header_or_selector(written, place, problems))


def _header_or_selector(
    written: str, place: yaml.Place, problems: Problems
) -> tuple[str | None, JsonSelector | None]:
    """Return the name of a header, or the selector; one of the two."""
    if written.startswith("$"):
        return None, selector(place, problems)
    if not _HEADER.fullmatch(written):
        problems.add(place, f"{show(written)} is neither a header nor a selector")
    return written, None


def _guard(place: yaml.Place | None, problems: Problems) -> Guard | None:
    if place is None:
        return None
    fields = Members(place, http_keys.GUARD, problems)
    kind = fields.alternative(problems)
    written = None if kind is None else text(fields[kind], problems)
    if kind is None or written is None:
        return None
    template = Template(written)
    _check_names(template.variables, fields[kind], problems)
    if kind in {"etag", "compare"}:
        _check_path(template.expand(lambda _: _SAMPLE), fields[kind], problems)
        return ReadGuard(template, validated=kind == "etag")
    if not template.variables:
        problems.add(fields[kind], "names no member, so it is the same for every element")
    if kind == "if_match":
        return HeaderGuard("If-Match", template)
    return HeaderGuard("If-Unmodified-Since", template)


def _write(place: yaml.Place | None, problems: Problems) -> tuple[WriteMethod, Template | None]:
    written = None if place is None else text(place, problems)
    if place is None or written is None:
        return "PUT", None
    method, _, path = written.partition(" ")
    if method not in METHODS:
        problems.add(place, f"{show(written)} does not begin with {' or '.join(METHODS)}")
        return "PUT", None
    template = Template(path.strip())
    _check_names(template.variables, place, problems)
    _check_path(template.expand(lambda _: _SAMPLE), place, problems)
    if not template.variables:
        problems.add(place, "names no member, so every element has the same address")
    if "?" in path:
        problems.add(place, "a write has no query")
    return method, template


def _check_names(names: Sequence[str], place: yaml.Place, problems: Problems) -> None:
    for one in names:
        if not NAME.fullmatch(one):
            problems.add(place, f"{show(one)} is not the name of a member")


def _check_path(path: str, place: yaml.Place, problems: Problems) -> None:
    raw, _, query = path.partition("?")
    try:
        spelled = canonical(raw).text == raw and re.fullmatch(r"[!-~]*", query) and "#" not in query
    except SealyardError:
        spelled = False
    if not spelled:
        problems.add(place, f"{show(path)} is not a path as it is sent", "begin it with `/`")


def _names_to(place: yaml.Place | None, problems: Problems) -> tuple[str, ...]:
    found = selector(place, problems)
    if found is None or place is None:
        return ()
    names = tuple(one.key for one in found.steps if isinstance(one.key, str) and not one.deep)
    if len(names) != len(found.steps):
        problems.add(place, f"{show(found.text)} is not one place", "write names alone: `$.data`")
    return names


def _media_type(place: yaml.Place | None, problems: Problems) -> str:
    written = None if place is None else text(place, problems)
    if place is None or written is None:
        return "application/json"
    try:
        media = parse_media_type(written.encode())
    except UnsupportedBody:
        media = None
    if media is None or not media.is_json:
        hint = suggest(written, ("application/json", "application/merge-patch+json"))
        problems.add(place, f"{show(written)} is not a type of JSON", hint)
    return written
