"""Messages of the operations of a description, with the places of their marked values.

Rules and messages name a place alike: `$.list.*.note`, `form:note`, `part:meta $.note`,
`query:note`, `header:x-note`, `text`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal
from urllib.parse import quote, urlencode

from ..core.expressions.selectors import Any as AnyStep
from .document import Spot
from .marks import Steps, spelled
from .operations import DescribedBody, DescribedOperation, DescribedParameter
from .samples import FileText, Leaf, Sample, Sampler

BodyKind = Literal["json", "form", "multipart", "text", "other"]
_JSON: Final = frozenset({"*/*", "application/*", "application/json"})
_BOUNDARY: Final = "a-boundary-of-samples"
FORM: Final = "application/x-www-form-urlencoded"
MULTIPART: Final = "multipart/form-data"
_ITS_NAME: Final = {"form": "form", "multipart": "part"}
IN_FORMS: Final = frozenset(_ITS_NAME)
"""Kinds of bodies in which a list is a name that occurs several times."""


@dataclass(frozen=True, slots=True)
class ExpectedValue:
    """What a message must have at a place: a value that is marked, or one that is not."""

    place: str
    marked: bool
    spot: Spot
    most: int | None = None


@dataclass(frozen=True, slots=True)
class SampleMessage:
    """A message, as far as a sample is one: its body, its query or its headers."""

    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    query: str = ""
    segments: Mapping[str, str] = field(default_factory=dict)
    expected: Sequence[ExpectedValue] = ()


def kind_of(media_type: str) -> BodyKind:
    """Return how values lie in a body of a media type, a range of them included."""
    if media_type in _JSON or media_type.endswith("+json"):
        return "json"
    if media_type == FORM:
        return "form"
    if media_type == MULTIPART:
        return "multipart"
    return "text" if media_type in {"text/plain", "text/*"} else "other"


def place_of(kind: BodyKind, steps: Steps) -> str | None:
    """Return the place of a value of a body, as a selector spells it; None where it has none."""
    if kind == "json":
        return spelled(steps)
    if kind == "text":
        return None if steps else "text"
    if kind == "other" or not steps or not isinstance(steps[0].key, str) or steps[0].deep:
        return None
    rest = steps[1:]
    if rest and (rest[0].key is AnyStep.MEMBER or isinstance(rest[0].key, int)):
        rest = rest[1:]
    name = f"{_ITS_NAME[kind]}:{steps[0].key}"
    return f"{name} {spelled(rest)}" if rest else name


def bodies(sampler: Sampler, content: DescribedBody, *, marked: bool) -> Iterator[SampleMessage]:
    """Yield bodies of a content, some of whose values may be `marked`; the last has the least."""
    kind = kind_of(content.type)
    if kind == "other" or not content.schemas:
        named = content.type.replace("*/*", "application/json").replace("/*", "/octet-stream")
        whole = (ExpectedValue("body", marked=True, spot=content.spot),) if marked else ()
        body = b"{}" if kind == "json" else b"content"
        yield SampleMessage({"Content-Type": named}, body, expected=whole)
        return
    for sample in sampler.samples(content.schemas, in_form=kind in IN_FORMS):
        headers, body = _encoded(kind, content, sample)
        if not body:  # an empty text is no body
            continue
        yield SampleMessage(headers, body, expected=tuple(_expected(kind, sample.leaves)))


def longest_bodies(sampler: Sampler, content: DescribedBody) -> Iterator[SampleMessage]:
    """Yield bodies, in each of which one marked value is as long as the schema allows."""
    kind = kind_of(content.type)
    for sample in sampler.longest(content.schemas) if kind != "other" and content.schemas else ():
        headers, body = _encoded(kind, content, sample)
        yield SampleMessage(headers, body, expected=tuple(_expected(kind, sample.leaves)))


def _expected(kind: BodyKind, leaves: Sequence[Leaf]) -> Iterator[ExpectedValue]:
    for leaf in leaves:
        place = place_of(kind, leaf.steps)
        if place is not None:
            yield ExpectedValue(place, leaf.marked, leaf.spot, leaf.most)


def _encoded(
    kind: BodyKind, content: DescribedBody, sample: Sample
) -> tuple[dict[str, str], bytes]:
    value = sample.value
    if kind == "json":
        named = content.type if "*" not in content.type else "application/json"
        return {"Content-Type": named}, json.dumps(value, ensure_ascii=False).encode()
    if kind == "text":
        return {"Content-Type": "text/plain"}, _text(value).encode()
    pairs = list(_pairs(value))
    if kind == "form":
        texts = [(name, _text(one)) for name, one in pairs]
        return {"Content-Type": FORM}, urlencode(texts).encode()
    lines: list[str] = []
    for number, (name, one) in enumerate(pairs):
        named = content.encodings.get(name, "").partition(",")[0]
        if not named:
            named = "application/json" if isinstance(one, dict | list) else ""
        file = f'; filename="file{number}.bin"' if isinstance(one, FileText) else ""
        lines += [f"--{_BOUNDARY}", f'Content-Disposition: form-data; name="{name}"{file}']
        lines += [f"Content-Type: {named}"] if named else []
        lines += ["", _text(one)]
    lines += [f"--{_BOUNDARY}--", ""]
    return {"Content-Type": f"{MULTIPART}; boundary={_BOUNDARY}"}, "\r\n".join(lines).encode()


def _pairs(value: Any) -> Iterator[tuple[str, Any]]:  # noqa: ANN401 - any JSON value
    for name, one in (value if isinstance(value, dict) else {}).items():
        if isinstance(one, list):
            yield from ((name, each) for each in one)
        elif one is not None:
            yield name, one


def _text(value: Any) -> str:  # noqa: ANN401 - any JSON value
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def parameters(
    sampler: Sampler,
    operation: DescribedOperation,
    *,
    all_of_them: bool,
    longest: DescribedParameter | None = None,
) -> SampleMessage:
    """Return the parameters of a request: all of them, or those that it needs.

    The value of the `longest` one is as long as its schema allows.
    """
    query: list[tuple[str, str]] = []
    headers: dict[str, str] = {}
    segments: dict[str, str] = {}
    expected: list[ExpectedValue] = []
    for one in operation.parameters:
        if one.place == "cookie" or not (all_of_them or one.needed):
            continue
        if one.place == "path":
            segments[one.name] = f"v{len(segments) + 1}"
            continue
        values, leaf = _values_of(sampler, one, longest=one is longest)
        if one.place == "query":
            query += [(one.name, each) for each in values]
        else:
            headers[one.name] = ",".join(values)
        if leaf is not None:
            name = one.name if one.place == "query" else one.name.lower()
            expected.append(ExpectedValue(f"{one.place}:{name}", leaf.marked, leaf.spot, leaf.most))
    return SampleMessage(headers, b"", urlencode(query), segments, tuple(expected))


def headers_of(sampler: Sampler, headers: Sequence[DescribedParameter]) -> SampleMessage:
    """Return the headers of a response, all of them."""
    made: dict[str, str] = {}
    expected: list[ExpectedValue] = []
    for one in headers:
        if one.name.lower() == "content-type":
            continue
        values, leaf = _values_of(sampler, one, longest=False)
        made[one.name] = ",".join(values)
        if leaf is not None:
            place = f"header:{one.name.lower()}"
            expected.append(ExpectedValue(place, leaf.marked, leaf.spot, leaf.most))
    return SampleMessage(made, expected=tuple(expected))


def _values_of(
    sampler: Sampler, parameter: DescribedParameter, *, longest: bool
) -> tuple[list[str], Leaf | None]:
    """Return the texts of a parameter, and its leaf if it has one."""
    samples = sampler.samples(parameter.schemas)[:1] if parameter.schemas else []
    if longest:
        samples = [*sampler.longest(parameter.schemas), *samples]
    if not samples:
        return ["value"], None
    sample = samples[0]
    leaf = next((one for one in sample.leaves if one.marked), None)
    leaf = leaf or next(iter(sample.leaves), None)
    value = sample.value
    if isinstance(value, list) and value:
        texts = [_text(one) for one in value]
        return (texts if parameter.exploded else [",".join(texts)]), leaf
    return [_text(value) if value not in (None, "") else "value"], leaf


def target(operation: DescribedOperation, part: SampleMessage) -> str:
    """Return the target of a request with these parameters."""
    path = operation.path
    for name, value in part.segments.items():
        path = path.replace(f"{{{name}}}", quote(value))
    while "{" in path:  # a parameter that nothing describes
        before, _, rest = path.partition("{")
        path = f"{before}v0{rest.partition('}')[2]}"
    return f"{path}?{part.query}" if part.query else path


def both(one: SampleMessage, other: SampleMessage) -> SampleMessage:
    """Return a message that has what both have."""
    return SampleMessage(
        {**one.headers, **other.headers},
        one.body or other.body,
        one.query or other.query,
        {**one.segments, **other.segments},
        (*one.expected, *other.expected),
    )
