"""Whether rules do what a description marks: its messages, through the code that `serve` runs."""

from __future__ import annotations

import json
import re
from base64 import urlsafe_b64encode
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from ...config.settings import ListenerSettings
from ...core.compiled.rule_table import Decision, RuleTable
from ...core.errors import SealyardError, TrafficError
from ...core.explain.explanation import Explained, Explanation, PlayedAnswer, Wanted
from ...core.expressions.selectors import Whole
from ...core.expressions.sources import NameSource, name_sources
from ...core.http import path as paths
from ...core.http.message import Direction
from ...core.rules.model import NAMED_PARTS, Rule
from ...description import messages
from ...description.blocks import Sealed
from ...description.document import Mistakes, Spot
from ...description.marks import MarkFinder
from ...description.messages import ExpectedValue, SampleMessage
from ...description.operations import (
    DescribedBody,
    DescribedOperation,
    DescribedParameter,
    Description,
    Response,
)
from ...description.samples import Sampler
from ...description.schemas import SchemaReader
from ...description.searches import searched_field
from ...explaining import trial
from ...explaining.plays import for_reader
from .rule_cases import SEALED, with_tokens
from .rule_mutants import items, shown, without
from .rule_outcomes import ABSENT, KEPT, PASSES, outcomes_at, sizes_at

_NO_BODY: Final = frozenset({204, 304})
_SEARCHED: Final = "searched"
"""The outcome of what a client searches for, marked or not: the backend gets a tag of it."""
_SEVERAL: Final = re.compile(r"\[[0-9]+\]")
_ELEMENT: Final = re.compile(r"\[\d+\]")
_LAST_STEP: Final = re.compile(r"(?:\.[^.\[ ]+|\[[^\]]*\]| json:\$| \$)$")


@dataclass(frozen=True, slots=True)
class Difference:
    """Something in which rules and description differ, and where: an operation, or a rule."""

    name: str
    spot: Spot | None
    text: str


@dataclass(frozen=True, slots=True)
class _Asked:
    """A message, and what happened to it by all rules."""

    wanted: Wanted
    told: Explained


class Contract:
    """Compares the rules of a listener with a description."""

    def __init__(
        self,
        listener: ListenerSettings,
        keys: trial.TrialKeys,
        reader: SchemaReader,
        mistakes: Mistakes,
        sealed: Sealed,
    ) -> None:
        """Compare the rules of `listener`; values are `sealed` in requests or in responses."""
        self._listener = listener
        self._keys = keys
        self._reader = reader
        self._table = RuleTable(listener.rules, pass_unmatched=listener.pass_unmatched)
        token = with_tokens(SEALED)
        self._seals: dict[Direction, bool] = {
            "request": sealed == "requests",
            "response": sealed == "responses",
        }
        self._samplers = {
            direction: Sampler(reader, direction, mistakes, None if seals else token)
            for direction, seals in self._seals.items()
        }
        self._alone: dict[Rule | None, tuple[ListenerSettings, RuleTable]] = {}
        self._asked: defaultdict[str, list[_Asked]] = defaultdict(list)

    async def findings(
        self, description: Description
    ) -> dict[DescribedOperation, list[Difference]]:
        """Return what of each operation differs."""
        found: dict[DescribedOperation, list[Difference]] = {}
        for one in description.operations:
            found[one] = list(dict.fromkeys(await self._operation(one)))
        return found

    async def rule_findings(self) -> list[Difference]:
        """Return the rules, and the selectors, that are for nothing in the description.

        The operations must have been asked for before.
        """
        found = []
        for rule in self._listener.rules:
            if all(one.websocket for one in rule.patterns) or not rule.blocks:
                continue
            asked = self._asked.get(rule.name)
            if asked is None:
                found.append(Difference(rule.name, None, "no operation has requests for the rule"))
                continue
            for at, item in items(rule):
                if isinstance(item.selector, Whole) or await self._needed(rule, at, asked):
                    continue
                text = f"{at[0]}: {shown(item.selector)} is in no message of its operations"
                found.append(Difference(rule.name, None, text))
        return found

    async def _needed(
        self, rule: Rule, at: tuple[Direction, int, str, int], asked: Iterable[_Asked]
    ) -> bool:
        """Return whether something would happen to a message otherwise without an item."""
        rule = opened(rule)
        alone = replace(self._listener, rules=(rule,))
        try:
            listener = without(alone, rule, at)
            table = RuleTable(listener.rules, pass_unmatched=listener.pass_unmatched)
        except SealyardError:  # the rule cannot be so
            return True
        for one in asked:
            if (at[0] == "response") == (one.wanted.answer is not None):
                told = await trial.explain(listener, one.wanted, self._keys, table)
                if _outcome(told) != _outcome(one.told):
                    return True
        return False

    async def _operation(self, operation: DescribedOperation) -> list[Difference]:
        """Return what of the messages of an operation differs."""
        head = messages.parameters(self._samplers["request"], operation, all_of_them=True)
        target = messages.target(operation, head)
        try:
            path = paths.canonical(target.partition("?")[0])
            decision = self._table.decide(operation.method, path)
        except TrafficError as error:
            text = f"requests are refused: {error.code} ({error.reason})"
            return [Difference(operation.name, operation.spot, text)]
        blocks = decision.compiled_rule and (
            decision.compiled_rule.request or decision.compiled_rule.response
        )
        if not blocks and not self._marks(operation):
            return []
        operation = _without_searches(operation, decision)
        head = messages.parameters(self._samplers["request"], operation, all_of_them=True)
        asked: list[_Asked] = []
        found = [*self._unfit(operation), *self._seeking(operation, decision)]
        for part, longest in self._requests(operation, head):
            one = await self._ask(operation, decision, part)
            asked.append(one)
            found += self._judged(operation, "request", part, one.told.request, longest=longest)
            found += await self._unlisted(operation, decision.rule, one.wanted, part)
        if asked and asked[0].told.request.refusal is None:
            for answer, part in self._answers(operation):
                wanted = replace(asked[0].wanted, answer=answer)
                told = await self._explained(decision.rule, wanted)
                asked.append(_Asked(wanted, told))
                if told.response is not None:
                    found += self._judged(operation, "response", part, told.response)
        if decision.rule is not None:
            self._asked[decision.rule.name] += asked
        return found

    def _marks(self, operation: DescribedOperation) -> bool:
        """Return whether something of an operation's messages is marked."""
        held: list[DescribedBody | DescribedParameter] = [
            *operation.contents,
            *operation.parameters,
        ]
        for one in operation.responses:
            held += [*one.contents, *one.headers]
        return any(self._reader.may_mark(one.schemas) for one in held)

    def _unfit(self, operation: DescribedOperation) -> Iterator[Difference]:
        """Yield the marks that no rule can be for, or where the backend takes no token."""
        for one in operation.parameters:
            if one.place in {"path", "cookie"} and self._reader.may_mark(one.schemas):
                text = f"the parameter `{one.name}` is in the {one.place}, where nothing is sealed"
                yield Difference(operation.name, one.spot, text)
        mistakes = Mistakes()
        for direction, seals in self._seals.items():
            marker = MarkFinder(self._reader, direction, mistakes, sealed=seals)
            for held in _messages(operation, direction):
                marker.marks(held.schemas)
        for spot, text in mistakes.each():
            yield Difference(operation.name, spot, text)

    def _seeking(self, operation: DescribedOperation, decision: Decision) -> Iterator[Difference]:
        """Yield the values of parameters that name a sealed field, to sort or filter by it."""
        query = decision.compiled_rule and decision.compiled_rule.query
        for one in operation.parameters if query else ():
            shapes = self._reader.shapes(one.schemas)
            for value in (each.text for shape in shapes for each in shape.constants):
                if query and query.seeks_sealed(one.name, value):
                    text = f"`{one.name}` may be `{value}`, which names a sealed field: refused"
                    yield Difference(operation.name, one.spot, text)

    def _requests(
        self, operation: DescribedOperation, head: SampleMessage
    ) -> Iterator[tuple[SampleMessage, bool]]:
        """Yield the requests of an operation; whether a marked value is as long as may be."""
        sampler = self._samplers["request"]
        least = messages.parameters(sampler, operation, all_of_them=False)
        bodies = [one for each in operation.contents for one in self._bodies(sampler, each)]
        for number, body in enumerate(bodies or [SampleMessage()]):
            yield messages.both(head if number == 0 else least, body), False
        if not operation.contents:
            yield least, False
        if not self._seals["request"]:
            return
        for one in operation.parameters:
            if one.place in {"query", "header"} and self._reader.may_mark(one.schemas):
                long = messages.parameters(sampler, operation, all_of_them=True, longest=one)
                yield messages.both(long, (bodies or [SampleMessage()])[0]), True
        for content in operation.contents:
            for body in messages.longest_bodies(sampler, content):
                yield messages.both(least, body), True

    def _bodies(self, sampler: Sampler, content: DescribedBody) -> Iterator[SampleMessage]:
        return messages.bodies(sampler, content, marked=self._reader.may_mark(content.schemas))

    def _answers(
        self, operation: DescribedOperation
    ) -> Iterator[tuple[PlayedAnswer, SampleMessage]]:
        """Yield the responses of an operation."""
        sampler = self._samplers["response"]
        for response in operation.responses:
            status = _status(response, operation.responses)
            head = messages.headers_of(sampler, response.headers)
            if status < 200:  # noqa: PLR2004 - what comes before the answer
                continue
            parts: list[SampleMessage] = []
            if operation.method != "HEAD" and status not in _NO_BODY:
                parts = [one for each in response.contents for one in self._bodies(sampler, each)]
            for part in parts or [SampleMessage()]:
                whole = messages.both(head, part)
                yield PlayedAnswer(status, _headers(whole), whole.body), whole

    async def _ask(
        self, operation: DescribedOperation, decision: Decision, part: SampleMessage
    ) -> _Asked:
        named = _with_names(part, decision.rule)
        wanted = Wanted(
            operation.method, messages.target(operation, named), _headers(named), named.body
        )
        if decision.rule is not None:
            wanted = for_reader(decision.rule, wanted)
        return _Asked(wanted, await self._explained(decision.rule, wanted))

    async def _explained(self, rule: Rule | None, wanted: Wanted) -> Explained:
        """Return what happens to a message of which all rules have decided that this one takes it.

        To hand over the others as well would take as long as there are many. What the rule does not
        list passes here: it is looked for by itself.
        """
        return await self._by(None if rule is None else opened(rule), wanted)

    async def _by(self, rule: Rule | None, wanted: Wanted) -> Explained:
        if rule not in self._alone:
            alone = replace(self._listener, rules=() if rule is None else (rule,))
            table = RuleTable(alone.rules, pass_unmatched=alone.pass_unmatched)
            self._alone[rule] = alone, table
        listener, table = self._alone[rule]
        return await trial.explain(listener, wanted, self._keys, table)

    async def _unlisted(
        self, operation: DescribedOperation, rule: Rule | None, wanted: Wanted, part: SampleMessage
    ) -> list[Difference]:
        """Return that a rule does not list what a request holds; a mark is told by itself."""
        if rule is None or opened(rule) == rule:
            return []
        refusal = (await self._by(rule, wanted)).request.refusal
        if refusal is None or refusal.code != "unlisted-name":
            return []
        place = _ELEMENT.sub("[*]", refusal.detail.rpartition(": ")[2])
        if any(one.marked and _shown(one.place) == place for one in part.expected):
            return []
        text = f"a valid request is refused: {refusal.code} {refusal.detail}"
        return [Difference(operation.name, operation.spot, text)]

    def _judged(
        self,
        operation: DescribedOperation,
        direction: Direction,
        part: SampleMessage,
        told: Explanation,
        *,
        longest: bool = False,
    ) -> Iterator[Difference]:
        """Yield what of a message is not as the description says."""
        refusal = told.refusal
        if refusal is not None:
            if longest and refusal.code in {"value-too-long", "body-too-large"}:
                return  # the backend would refuse it too
            detail = f" {refusal.detail}" if refusal.detail else ""
            kind = part.headers.get("Content-Type", "").partition(";")[0]
            text = f"a valid {direction} {f'({kind}) ' if kind else ''}is refused:"
            text += f" {refusal.code} ({refusal.reason}){detail}"
            yield Difference(operation.name, operation.spot, text)
            return
        aim = "sealed" if self._seals[direction] else "opened"
        for expected in part.expected:
            differs = _differs(expected, aim, told)
            if differs is None and longest:
                differs = _too_long(expected, told)
            if differs is not None:
                yield Difference(operation.name, expected.spot, f"{direction}: {differs}")


def _without_searches(operation: DescribedOperation, decision: Decision) -> DescribedOperation:
    """Return an operation without parameters that search what is sealed, and that are refused.

    A rule that lists them would tell the backend the words, and an empty answer would look true.
    """
    query = decision.compiled_rule and decision.compiled_rule.query
    if not query or decision.rule is None:
        return operation
    answers = decision.rule.blocks_of("response")
    fields = [item.field for block in answers for item in block.decrypt]
    asked = [
        one
        for one in operation.parameters
        if one.place != "query" or query.lists(one.name) or not searched_field(one.name, fields)
    ]
    return replace(operation, parameters=asked)


def opened(rule: Rule) -> Rule:
    """Return a rule that lets pass what it would refuse because it does not list it."""
    request = rule.request
    if isinstance(request, tuple):
        request = tuple(
            replace(one, others="pass", query=None) if one.others == "refuse" else one
            for one in request
        )
    return replace(rule, request=request, query=None)


def _too_long(expected: ExpectedValue, told: Explanation) -> str | None:
    """Return how much longer a token is than what the backend takes; None: it is not."""
    size = max(sizes_at(expected.place, told), default=0)
    if not expected.marked or expected.most is None or size <= expected.most:
        return None
    return (
        f"{_shown(expected.place)}: a token has {size} characters, and the backend takes"
        f" {expected.most}: set `max_chars`, or raise `maxLength`"
    )


def _messages(
    operation: DescribedOperation, direction: Direction
) -> Iterator[DescribedBody | DescribedParameter]:
    """Yield what the messages of a direction consist of."""
    if direction == "request":
        yield from operation.contents
        yield from operation.parameters
        return
    for one in operation.responses:
        yield from one.contents
        yield from one.headers


def _differs(expected: ExpectedValue, aim: str, told: Explanation) -> str | None:
    """Return how the value at a place differs from what the description says; None: it does not."""
    words = set(_outcomes(expected.place, told))
    place = _shown(expected.place)
    if not expected.marked:
        changed = sorted(words - {PASSES, ABSENT, _SEARCHED})
        return (
            f"{place} is {', '.join(changed)}, and the description does not mark it"
            if changed
            else None
        )
    if words == {aim} or (aim == "sealed" and words == {_SEARCHED}):
        return None
    if words & {PASSES, ABSENT, KEPT}:
        return f"{place} is marked, and no rule {'seals' if aim == 'sealed' else 'opens'} it"
    return f"{place} is marked, and is {', '.join(sorted(words))}"


def _outcomes(place: str, told: Explanation) -> Sequence[str]:
    """Return what became of the values at a place, or of what holds them as one value."""
    while not (found := outcomes_at(place, told)):
        shorter = _LAST_STEP.sub("", place)
        if shorter == place:
            whole = outcomes_at("body", told) if place.startswith("$") else ()
            return whole or [ABSENT]
        place = shorter
    return found


def _shown(place: str) -> str:
    """Return a place for people: that of each element is one."""
    return _SEVERAL.sub("[*]", place)


def _headers(part: SampleMessage) -> tuple[tuple[bytes, bytes], ...]:
    return tuple((name.encode(), value.encode()) for name, value in part.headers.items())


def _status(response: Response, all_of_them: Sequence[Response]) -> int:
    """Return a status that a response is for, and no other."""
    named = {one.status for one in all_of_them}
    if response.status.isdecimal():
        return int(response.status)
    if response.status.endswith("XX"):
        first = int(response.status[0]) * 100
        return next(one for one in range(first, first + 100) if str(one) not in named)
    free = (one for one in range(500, 600) if str(one) not in named and "5XX" not in named)
    others = (one for one in range(200, 500) if f"{one // 100}XX" not in named)
    return next((one for one in (*free, *others) if str(one) not in named | {"204", "304"}), 599)


def _with_names(part: SampleMessage, rule: Rule | None) -> SampleMessage:
    """Return a request with the names that its rule reads outside of what is described."""
    headers, query = dict(part.headers), part.query
    present = {name.lower() for name in headers}
    claims: dict[str, str] = {}
    for one in _names(rule):
        value = f"{one.name}-of-a-sample"
        if one.place == "header" and one.name.lower() not in present:
            headers[one.name] = value
        elif one.place == "query" and f"{one.name}=" not in f"&{query}":
            query = f"{query}&{one.name}={value}".lstrip("&")
        elif one.place == "jwt-unverified":
            claims[one.name] = value
    if claims and "authorization" not in present:
        payload = urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
        headers["Authorization"] = f"Bearer e30.{payload}.AA"
    return replace(part, headers=headers, query=query)


def _names(rule: Rule | None) -> Iterator[NameSource]:
    if rule is not None:
        for names in (rule.names, *(one.names for one in rule.blocks)):
            for part in NAMED_PARTS:
                yield from name_sources(names.get(part))


def _outcome(told: Explained) -> tuple[object, ...]:
    """Return what happened to a message, so that two may be compared."""
    return tuple(
        None
        if one is None
        else (one.rule, one.outgoing, one.target, one.headers, one.refusal and one.refusal.code)
        for one in (told.request, told.response)
    )
