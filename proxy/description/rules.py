"""A configuration for a description: a rule for each operation with marked values, as YAML."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ..config.yaml.nodes import show, suggest
from ..core.expressions.name_readings import fold_field
from .blocks import BlockFinder, RuleBlocks, Sealed, WrittenBlock, WrittenItem
from .document import Mistakes, Spot
from .operations import DescribedOperation, Description
from .schemas import WISHES, SchemaReader, constant

RULE_WISHES: Final = frozenset(
    {"tenant", "conversation", "message", "bind", "purpose", "mode", "on_error", "elsewhere"}
)
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PARAMETER: Final = re.compile(r"\{([^{}]*)\}")
_PLAIN: Final = re.compile(
    r"(?:optional )?[A-Za-z$/][A-Za-z0-9_$./*:-]*(?<!:)(?: as [A-Za-z0-9_]+)?"
)
_SPECIAL: Final = frozenset({"true", "false", "null", "yes", "no", "on", "off", "y", "n"})

_HEAD: Final = """\
# Made by `sealyard contract make` from {source}. After each change of either:
# sealyard contract check {source} --config THIS_FILE
# The keys and the admin API are as `sealyard init` makes them.
version: 1

keys:
  keyring: {{file: keyring.jwe, key: {{file: root.key}}}}
  store: memory
  sessions: {{mode: durable, ttl: 1h, grace: 1h}}

admin: {{listen: 127.0.0.1:9901, token: {{file: admin.token}}}}

audit: {{file: audit.log, on_failure: block}}

listeners:
  - name: api
    listen: {listen}
    upstream: {upstream}
    unmatched: {unmatched}
"""

_OPEN: Final = "        others: pass    # the description lists not all that requests hold\n"


@dataclass(frozen=True, slots=True)
class Made:
    """A configuration, and the operations of each of its rules in order."""

    text: str
    operations: tuple[tuple[DescribedOperation, ...], ...]


@dataclass(frozen=True, slots=True)
class ConfigurationFrame:
    """What of a configuration is not in the description."""

    source: str
    listen: str
    upstream: str
    sealed: Sealed
    pass_unmatched: bool


def make(
    description: Description, reader: SchemaReader, wanted: ConfigurationFrame, mistakes: Mistakes
) -> Made:
    """Return a configuration with a rule for each operation that has marked values.

    What no rule can express is reported.
    """
    treater = BlockFinder(reader, mistakes, wanted.sealed)
    treatments = [treater.treatment(one) for one in description.operations]
    treatments.sort(key=_specificity)
    _refuse_unclear(treatments, mistakes)
    lines = [
        _HEAD.format(
            source=wanted.source,
            listen=wanted.listen,
            upstream=wanted.upstream,
            unmatched="pass" if wanted.pass_unmatched else "reject",
        )
    ]
    defaults = _wishes(description.wishes, mistakes)
    lines += ["    defaults:\n"] if defaults else []
    lines += [f"      {name}: {_flow(value)}\n" for name, value in defaults.items()]
    lines.append("    rules:\n")
    made: list[tuple[DescribedOperation, ...]] = []
    for some in _ordered(treatments, everything=not wanted.pass_unmatched):
        if isinstance(some, RuleBlocks):
            wishes = _rule_wishes(some, defaults, mistakes)
            within = "conversation" in {**defaults, **wishes}
            lines += ["\n", *_rule(some, wishes, mistakes, within=within)]
            made.append((some.operation,))
        else:
            lines += ["\n", *_pass_rule(some, len(made))]
            made.append(some)
    if not any(one.acts for one in treatments):
        hint = "write `x-sensitive-data: true` beside the `type` of what is to be sealed"
        mistakes.add(description.root, "nothing is marked", hint)
    return Made("".join(lines), tuple(made))


def _specificity(one: RuleBlocks) -> tuple[tuple[int, ...], str, str]:
    segments = one.operation.segments
    return tuple(int(each == "*") for each in segments), one.operation.path, one.operation.method


def _refuse_unclear(treatments: Sequence[RuleBlocks], mistakes: Mistakes) -> None:
    """Report paths that take requests of each other, and are not sealed alike."""
    groups: defaultdict[tuple[str, int], list[RuleBlocks]] = defaultdict(list)
    for one in treatments:
        groups[one.operation.method, len(one.operation.segments)].append(one)
    for group in groups.values():
        for number, one in enumerate(group):
            for other in group[number + 1 :] if any(each.acts for each in group) else ():
                mine, theirs = one.operation, other.operation
                if (one.request, one.response) == (other.request, other.response):
                    continue
                if mine.meets(theirs) and mine.is_within(theirs) == theirs.is_within(mine):
                    text = f"the same requests are for {theirs.path} ({theirs.spot.where})"
                    hint = "mark both alike, or give one of them a path of its own"
                    mistakes.add(mine.spot, f"{mine.path}: {text}", hint)


def _ordered(
    treatments: Sequence[RuleBlocks], *, everything: bool
) -> Iterator[RuleBlocks | tuple[DescribedOperation, ...]]:
    """Yield what acts, each behind those that are for some of its requests, and what does not.

    Of operations without a mark, those that no rule would take come last; with `everything` alone.
    """
    left = [one.operation for one in treatments if not one.acts]
    for one in treatments:
        if not one.acts:
            continue
        mine = one.operation
        before = [each for each in left if each.method == mine.method and each.is_within(mine)]
        if before:
            yield tuple(before)
            left = [each for each in left if each not in before]
        yield one
    if everything and left:
        yield tuple(left)


def _wishes(wishes: Mapping[str, Spot], mistakes: Mistakes) -> dict[str, Any]:
    for name, spot in wishes.items():
        if name not in RULE_WISHES:
            hint = suggest(name, RULE_WISHES)
            mistakes.add(spot, f"`{WISHES}` of a rule has no {show(name)}", hint)
    return {name: constant(one) for name, one in wishes.items() if name in RULE_WISHES}


def _rule_wishes(
    one: RuleBlocks, defaults: Mapping[str, Any], mistakes: Mistakes
) -> dict[str, Any]:
    """Return the keys that a description gives a rule; labels of the path with what is not them."""
    wishes = _wishes(one.operation.wishes, mistakes)
    for part in ("tenant", "conversation", "message"):
        source = wishes.get(part, defaults.get(part))
        if one.listed is None or not isinstance(source, str) or not source.startswith("path:"):
            continue
        label = fold_field(source.removeprefix("path:"))
        beside = [
            place
            for place in (*one.listed.plain, *(f"query:{each}" for each in one.listed.query))
            if (name := re.split(r"[.:]", place)[-1]).lower().endswith("id")
            or fold_field(name) == label
        ]
        if beside:
            wishes[part] = {"from": source, "unrelated": beside}
    return wishes


def _rule(
    one: RuleBlocks, wishes: Mapping[str, Any], mistakes: Mistakes, *, within: bool
) -> Iterator[str]:
    """Yield the lines of a rule; `within` says that it names a conversation."""
    operation = one.operation
    for segment in operation.path[1:].split("/"):
        if "{" in segment and not _PARAMETER.fullmatch(segment):
            text = f"the segment {show(segment)} is a parameter in part"
            hint = "a rule takes whole segments: give the parameter a segment of its own"
            mistakes.add(operation.spot, text, hint)
    yield f"      # {_comment(f'{operation.method} {operation.path}')}\n"
    items = [item for block in (*one.request, *one.response) for item in block.items]
    for note in dict.fromkeys(item.note for item in items if item.note):
        yield f"      # {_comment(note)}\n"
    for search in one.searches:
        yield from (f"      # {_comment(line)}\n" for line in search.proposal(within=within))
    yield f"      - name: {_line(operation.name)}\n"
    yield f"        match: {_line(pattern(operation))}\n"
    for name, value in wishes.items():
        yield f"        {name}: {_flow(value)}\n"
    if one.listed is None:
        yield _OPEN
    elif one.listed.query:
        searched = {each.parameter for each in one.searches}
        uses = {name: "refuse" if name in searched else "plain" for name in one.listed.query}
        yield f"        query: {_flow(uses)}\n"
    yield from _direction("request", one.request, () if one.listed is None else one.listed.plain)
    yield from _direction("response", one.response)


def _direction(
    name: str, blocks: Sequence[WrittenBlock], plain: Sequence[str] = (), /
) -> Iterator[str]:
    if not blocks:
        return
    yield f"        {name}:\n"
    if len(blocks) == 1:
        yield from (f"          {line}\n" for line in _block(blocks[0]))
        if plain:
            yield f"          plain: {_flow(list(plain))}\n"
        return
    for block in blocks:
        begin = "- "
        for line in _block(block):
            yield f"          {begin}{line}\n"
            begin = "  "


def _block(block: WrittenBlock) -> Iterator[str]:
    if block.statuses:
        yield f"status: {_flow([_number(one) for one in block.statuses])}"
    if block.types:
        yield f"type: {_flow(list(block.types))}"
    if not block.items:
        if not block.statuses and not block.types:
            yield "type: '*/*'"
        return
    if block.records:
        yield f"records: {block.records}"
    sealed = all(one.sealed for one in block.items)  # one direction seals, the other opens
    yield "encrypt:" if sealed else "decrypt:"
    yield from (f"  - {_item(one)}" for one in block.items)
    if sealed and all(one.optional and one.select != "text" for one in block.items):
        yield "nothing: pass"


def _item(item: WrittenItem) -> str:
    if not item.options:
        optional = "optional " if item.optional else ""
        named = f" as {item.field}" if item.field is not None else ""
        return _flow(f"{optional}{item.select}{named}")
    long: dict[str, Any] = {"select": item.select}
    if item.field is not None:
        long["field"] = item.field
    if item.optional:
        long["optional"] = True
    return _flow(long | dict(item.options))


def _number(text: str) -> int | str:
    return int(text) if text.isdecimal() else text


def _pass_rule(operations: Sequence[DescribedOperation], number: int) -> Iterator[str]:
    yield "      # Nothing of these is marked.\n"
    yield f"      - name: not marked {number + 1}\n"
    yield "        match:\n"
    for one in operations:
        yield f"          - {_line(pattern(one))}\n"
    yield "        request: pass\n        response: pass\n"


def pattern(operation: DescribedOperation) -> str:
    """Return the match of a rule for an operation."""
    names: set[str] = set()
    segments = []
    for segment in operation.path[1:].split("/"):
        found = _PARAMETER.fullmatch(segment)
        if found is None:
            segments.append("*" if "{" in segment else segment)
            continue
        name = re.sub(r"[^A-Za-z0-9_]", "_", found[1])
        good = _NAME.fullmatch(name) is not None and name not in names
        names.add(name)
        segments.append(f"{{{name}}}" if good else "*")
    return f"{operation.method} /{'/'.join(segments)}"


def _comment(text: str) -> str:
    return "".join(one if one.isprintable() else "?" for one in text)


def _line(text: str) -> str:
    """Return a text as the value of a key on a line of its own."""
    plain = re.fullmatch(r"[A-Za-z][A-Za-z0-9_.{}/*-]*(?: [A-Za-z0-9_.{}/*-]+)*", text)
    return text if plain and text.lower() not in _SPECIAL else json.dumps(text, ensure_ascii=False)


def _flow(value: Any) -> str:  # noqa: ANN401 - what YAML holds
    """Return a value in YAML's flow style."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_flow(name)}: {_flow(one)}" for name, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_flow, value)) + "]"
    if isinstance(value, str):
        plain = _PLAIN.fullmatch(value) and value.lower() not in _SPECIAL
        return value if plain else json.dumps(value, ensure_ascii=False)
    return json.dumps(value)


def problems_of(made: Made, problems: Iterable[str]) -> Iterator[tuple[DescribedOperation, str]]:
    """Yield the operations of rules with what a configuration may not hold of them."""
    for problem in problems:
        found = re.search(r"listeners\[0\]\.rules\[([0-9]+)\]\S* (.*)", problem)
        number = 0 if found is None else int(found[1])
        yield made.operations[number][0], problem if found is None else found[2]
