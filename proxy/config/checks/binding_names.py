"""Whether the names that bind a rule's values can be read where the rule reads them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ...core.expressions.name_readings import fold_field, tells_of_client
from ...core.expressions.selectors import Any, NamedSelector, Whole
from ...core.expressions.sources import (
    AskSource,
    ComposedSource,
    FirstSource,
    JsonSource,
    NameSource,
    SameSource,
    Source,
    ask_sources,
    giving,
    json_sources,
    name_sources,
)
from ...core.rules.model import NAMED_PARTS, NamedPart, value_place
from ..rules.blocks import BlockSyntax
from ..rules.options import NamedInQuery, SourceSyntax
from ..rules.resolve import PlacedItem, ResolvedRule
from ..yaml.nodes import Problems, show, suggest

_BODILESS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_HOP_BY_HOP: Final = frozenset(
    {
        "connection",
        "http2-settings",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
"""Hop-by-hop headers (RFC 9110 section 7.6.1): the backend gets another value, or none."""
_CHOSEN_BY_CLIENTS: Final = frozenset({"header", "query", "jwt-unverified"})


def check(resolved: ResolvedRule, *, trusted_names: bool, problems: Problems) -> None:
    """Report sources that cannot give what the rule needs, or that should not be trusted."""
    for source in _sources(resolved):
        _check_captures(source, resolved, problems)
        _check_headers(source, problems)
    _check_asked(resolved, problems)
    _check_queries(resolved, problems)
    for part in NAMED_PARTS:
        _check_bodies(part, resolved, problems)
        _check_labels(part, resolved, problems)
    _check_elements(resolved, problems)
    if not trusted_names:
        _check_trust(resolved, problems)
    _warn_of_unbound(resolved, problems)


def _sources(resolved: ResolvedRule) -> Iterator[SourceSyntax]:
    """Yield the sources that the rule gives itself, and those of its defaults that it needs."""
    own = resolved.syntax.shared.names
    for part in NAMED_PARTS:
        inherited = resolved.shared.names.get(part)
        if inherited is not None and (own.get(part) is not None or any(_from_rule(part, resolved))):
            yield inherited
    for block in resolved.shared.blocks:
        for part in NAMED_PARTS:
            source = block.names.get(part)
            if source is not None:
                yield source


def _check_captures(syntax: SourceSyntax, resolved: ResolvedRule, problems: Problems) -> None:
    routes = [(one, {name for _, name in one.names}) for one in resolved.rule.patterns]
    for name, everywhere in _captures(syntax.source, everywhere=True):
        lacking = [one.text for one, names in routes if name not in names]
        if not lacking or (not everywhere and len(lacking) < len(routes)):
            continue
        known = {one for _, names in routes for one in names}
        hint = suggest(name, known) if known else f"write `{{{name}}}` in its `match`"
        problems.add(
            syntax.place,
            f"{show(lacking[0])} of rule {show(resolved.rule.name)} does not capture `path:{name}`",
            hint,
        )


def _check_headers(syntax: SourceSyntax, problems: Problems) -> None:
    for source in name_sources(syntax.source):
        if source.place != "header":
            continue
        complaint = ""
        if source.name in _HOP_BY_HOP:
            complaint = "is a hop-by-hop header: the backend never gets it"
        elif source.name == "via" or tells_of_client(source.name.encode()):
            complaint = "is rewritten by Sealyard: the backend gets another value"
        if complaint:
            hint = "use another header, or `caller:`"
            problems.add(syntax.place, f"the header {show(source.name)} {complaint}", hint)


def _check_asked(resolved: ResolvedRule, problems: Problems) -> None:
    """Report what the backend is asked for a response, and with what the rule seals."""
    sealed = {
        one.item.selector.name
        for one in resolved.items
        if isinstance(one.item.selector, NamedSelector) and one.item.selector.place == "query"
    }
    sockets = any(one.websocket for one in resolved.rule.patterns)
    for source in _sources(resolved):
        for ask in ask_sources(source.source):
            if sockets:
                told = "a WebSocket outlives a name that the backend was asked for"
                problems.add(source.place, told, "use `path:` or `query:`")
            shown = {one.name for one in ask.parts if one.place == "query"} & sealed
            for name in sorted(shown):
                told = f"would show the backend `query:{name}`, which the rule seals"
                problems.add(source.place, told, "ask with another name")
    answers = resolved.shared.response
    for block in answers if isinstance(answers, tuple) else ():
        for part in NAMED_PARTS:
            own = block.names.get(part)
            if own is not None and any(True for _ in ask_sources(own.source)):
                told = "`ask` is for what a request lacks, and this is of its answer"
                problems.add(
                    own.place, told, "write it in the rule, or read the name from `$.path`"
                )


def _check_queries(resolved: ResolvedRule, problems: Problems) -> None:
    """Report names of the query that would bind the messages of one block alone."""
    for block in resolved.shared.blocks:
        for use in (block.options.query or {}).values():
            if isinstance(use, NamedInQuery):
                problems.add(
                    use.place, "names what the whole rule is about", "write it in the rule"
                )


def _captures(source: Source, *, everywhere: bool) -> Iterator[tuple[str, bool]]:
    if isinstance(source, NameSource):
        if source.place == "path":
            yield source.name, everywhere
    elif not isinstance(source, JsonSource):
        for part in source.parts:
            yield from _captures(
                part, everywhere=everywhere and not isinstance(source, FirstSource)
            )


def _check_labels(part: NamedPart, resolved: ResolvedRule, problems: Problems) -> None:
    """Report plain places that may name what a label of the path names.

    A backend may take the name from there: labels are the operator's words.
    """
    syntax = resolved.shared.names.get(part)
    source = None if syntax is None else syntax.source
    same = source if isinstance(source, SameSource) else SameSource(source)  # type: ignore[arg-type]  # looked at next
    own: Source = same.source
    own = own.hole if isinstance(own, ComposedSource) else own
    if isinstance(own, AskSource):
        names = [own.selector.field or "", *(one.name for one in own.parts)]
        told, spelled = own.text, f"ask: '{own.text}'"
    elif isinstance(own, NameSource) and own.place == "path":
        names, told, spelled = [own.name], f"path:{own.name}", f"from: path:{own.name}"
    else:
        return
    assert syntax is not None  # noqa: S101 - it has a source
    needed = any(part in placed.item.bind for placed in resolved.items)
    labels = set(map(fold_field, names))
    said = {one.selector.text for one in same.also if isinstance(one, JsonSource)}
    said |= {f"query:{one.name}" for one in same.also if isinstance(one, NameSource)}
    said |= {one.value if isinstance(one, Whole) else one.text for one in same.unrelated}
    for text, plain in _plain(resolved) if needed else ():
        if text not in said and (plain.lower().endswith("id") or fold_field(plain) in labels):
            problems.add(
                syntax.place,
                f"{show(text)} stays plain and may name what `{told}` names",
                f"write `{{{spelled}, also: ['{text}']}}`, or `unrelated`",
            )


def _plain(resolved: ResolvedRule) -> Iterator[tuple[str, str]]:
    """Yield the plain places of a rule's requests with their last names, and those of its query."""
    seen: set[str] = set()
    blocks = resolved.rule.blocks_of("request")
    lists = [block.query or () for block in blocks] or [resolved.rule.query or ()]
    plain = [(one.text, one.field or "") for block in blocks for one in block.plain]
    plain += [(f"query:{name}", name) for names in lists for name in names]
    for text, name in plain:
        if text not in seen:
            seen.add(text)
            yield text, name


def _check_bodies(part: NamedPart, resolved: ResolvedRule, problems: Problems) -> None:
    kept = resolved.shared.names.get(part)
    if kept is not None and _needs_body(giving(kept.source)):
        answers = any(one.direction == "response" for one in _from_rule(part, resolved))
        methods = [one.methods for one in resolved.rule.patterns]
        if answers and methods and all(one and one <= _BODILESS for one in methods):
            problems.add(
                kept.place,
                f"is read from a request body, which rule {show(resolved.rule.name)} does not have",
                "give the source in the block of the response, or use `path:` or `query:`",
            )
    for placed in resolved.items:
        source = placed.block.names.get(part)
        if source is None and placed.direction == "request":
            source = kept
        if source is not None and _opens_whole(placed, part) and _needs_body(source.source):
            problems.add(
                source.place,
                f"cannot be read from a sealed body, but rule {show(resolved.rule.name)} needs it",
                "use `path:`, `query:`, `header:` or `caller:`",
            )
        if (
            kept is not None
            and source is kept
            and _in_form(placed, part)
            and _needs_body(kept.source)
            and not isinstance(giving(kept.source), AskSource)
            and not _in_same_form(placed, kept.source)
        ):
            problems.add(
                kept.place,
                f"cannot be read from a form, but rule {show(resolved.rule.name)} needs it",
                "use `path:`, `query:`, `header:` or `caller:`",
            )
        elif source is not None and _of_other_form(placed, part, source.source):
            problems.add(
                source.place,
                f"is in a form, but rule {show(resolved.rule.name)} needs it in another body",
                "give the source in the block of each kind of body",
            )


def _check_elements(resolved: ResolvedRule, problems: Problems) -> None:
    """Report tokens that open by names of their elements, where nothing else binds them.

    The answer is the backend's: a row that is moved takes its names along.
    """
    answers = resolved.shared.response
    for block in answers if isinstance(answers, tuple) else ():
        own = _names_of_tokens(block, resolved)
        for syntax in own:
            if any(step.deep for one in json_sources(syntax.source) for step in one.selector.steps):
                told = "`..` leads to no one element, so that no token has its name"
                problems.add(syntax.place, told, "write the path")
        moved = [one for one in own if _is_of_element(one.source, block)]
        moved = [] if _is_bound(block, resolved) else moved
        if block.unbound_accepted and not moved:
            problems.add(block.place, "`accept_unbound` accepts nothing here", "delete it")
        elif moved and not block.unbound_accepted:
            problems.add(
                moved[0].place,
                "names each token by the answer alone: a value that is moved with its names opens",
                "read the tenant, or another part, from `path:` or `caller:`; or write"
                " `accept_unbound: true`",
            )


def _names_of_tokens(block: BlockSyntax, resolved: ResolvedRule) -> list[SourceSyntax]:
    """Return the names that a block itself gives to what its `tokens` opens."""
    own = ((part, block.names.get(part)) for part in NAMED_PARTS)
    return [one for part, one in own if one is not None and _binds_tokens(part, block, resolved)]


def _binds_tokens(part: NamedPart, block: BlockSyntax, resolved: ResolvedRule) -> bool:
    return any(
        placed.block is block and placed.item.selector is Whole.TOKENS and placed.item.needs(part)
        for placed in resolved.items
    )


def _is_bound(block: BlockSyntax, resolved: ResolvedRule) -> bool:
    """Return whether a part of what binds tokens is of the request, and no client chooses it."""
    for part in NAMED_PARTS:
        own = block.names.get(part)
        syntax = own or resolved.shared.names.get(part)
        if syntax is None or not _binds_tokens(part, block, resolved):
            continue
        given = giving(syntax.source)
        places = {one.place for one in name_sources(given)}
        trusted = {"path", "caller"} | (_CHOSEN_BY_CLIENTS if part == "tenant" else set())
        in_body = any(True for _ in json_sources(given))
        # What a rule names in a body was kept from the request.
        if (
            (own is None)
            if in_body
            else (places & trusted or any(True for _ in ask_sources(given)))
        ):
            return True
    return False


def _is_of_element(source: Source, block: BlockSyntax) -> bool:
    """Return whether a source has a name for each element."""
    steps = (step for one in json_sources(source) for step in one.selector.steps)
    return block.records is not None or any(step.key is Any.MEMBER for step in steps)


def _check_trust(resolved: ResolvedRule, problems: Problems) -> None:
    """Report tenants that clients choose, and any name of a claim that nobody has verified."""
    own = [resolved.shared.names, *(one.names for one in resolved.shared.blocks)]
    for part, syntax in ((part, one.get(part)) for one in own for part in NAMED_PARTS):
        chosen = _CHOSEN_BY_CLIENTS if part == "tenant" else {"jwt-unverified"}
        for source in name_sources(None if syntax is None else syntax.source):
            if syntax is not None and source.place in chosen:
                problems.add(
                    syntax.place,
                    f"a {part} from `{source.place}:` is chosen by the client",
                    "read it from `caller:`; or, if a proxy before Sealyard checks it, write"
                    " `trusted_names: true` on the listener",
                )


def _warn_of_unbound(resolved: ResolvedRule, problems: Problems) -> None:
    own = resolved.syntax.shared
    bound = {part for one in resolved.items for part in one.item.bind}
    message = own.names.message
    if message is not None and "message" not in bound:
        problems.warn(message.place, "is read but not bound to any value; add `message` to `bind`")
    if own.purpose is not None and "purpose" not in bound:
        problems.warn(own.purpose[1], "is not bound to any value; add `purpose` to `bind`")


def _from_rule(part: NamedPart, resolved: ResolvedRule) -> Iterator[PlacedItem]:
    """Yield the items that bind a part whose source the rule gives, not their block."""
    for placed in resolved.items:
        if placed.item.needs(part) and placed.block.names.get(part) is None:
            yield placed


def _opens_whole(placed: PlacedItem, part: NamedPart) -> bool:
    opens = placed.action == "decrypt" and placed.item.selector in {Whole.BODY, Whole.TEXT}
    return opens and placed.item.needs(part)


def _in_form(placed: PlacedItem, part: NamedPart) -> bool:
    selector = placed.item.selector
    in_form = isinstance(selector, NamedSelector) and not selector.of_head
    return in_form and placed.item.needs(part)


def _in_same_form(placed: PlacedItem, source: Source) -> bool:
    """Return whether a source is read from JSON in the kind of form that an item is in."""
    place = value_place(placed.item.selector)
    return all(value_place(one.selector) == place for one in json_sources(source))


def _of_other_form(placed: PlacedItem, part: NamedPart, source: Source) -> bool:
    """Return whether a source is in a form that is not the body which an item selects from."""
    place = value_place(placed.item.selector)
    if place is None or not placed.item.needs(part):
        return False
    return any(value_place(one.selector) not in {"$", place} for one in json_sources(source))


def _needs_body(source: Source | None) -> bool:
    return not isinstance(source, FirstSource) and any(True for _ in json_sources(source))
