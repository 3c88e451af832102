"""Samples as a scraper reads them: in the text format of Prometheus, or OpenMetrics.

Both formats hold the same metrics; OpenMetrics 1.0 has exemplars as well. A scraper gets the one
that its Accept header prefers (RFC 9110, section 12.5.1), and text where it prefers neither.

https://prometheus.io/docs/instrumenting/exposition_formats/ and
https://prometheus.io/docs/specs/om/open_metrics_spec/ are the formats. The tests hold every byte to
what prometheus-client writes, which would cost each sidecar two mebibytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

from .metric import OPENMETRICS, TEXT, Metric
from .samples import Labels, Samples, TraceExemplar, Values
from .table import METRICS

_VERSIONS: Final = frozenset({"", "1.0.0"})
"""The versions of OpenMetrics in an Accept header that are served as 1.0."""
CONTENT_TYPES: Final = {
    TEXT: f"{TEXT}; version=0.0.4; charset=utf-8",
    OPENMETRICS: f"{OPENMETRICS}; version=1.0.0; charset=utf-8",
}
_TOTAL: Final = "_total"
_DIGITS: Final = 6
"""A number with more digits before its point has an exponent, as Go writes it."""


@dataclass(frozen=True, slots=True)
class Exposition:
    """The body of a response to a scraper, and its Content-Type."""

    body: bytes
    content_type: str


def exposed(samples: Samples, accept: str = "") -> Exposition:
    """Return the samples in the format that `accept` prefers, in the order of the table."""
    openmetrics = _prefers_openmetrics(accept)
    lines = list(_lines(samples, openmetrics=openmetrics))
    if openmetrics:
        lines.append("# EOF")
    body = "".join(f"{one}\n" for one in lines).encode()
    return Exposition(body, CONTENT_TYPES[OPENMETRICS if openmetrics else TEXT])


def _prefers_openmetrics(accept: str) -> bool:
    """Return whether an Accept header prefers OpenMetrics 1.0 to the text format."""
    best = {TEXT: 0.0, OPENMETRICS: 0.0}
    for entry in accept.lower().split(","):
        media, *rest = (part.strip() for part in entry.split(";"))
        parameters = dict(part.partition("=")[::2] for part in rest)
        if media == TEXT or (media == OPENMETRICS and parameters.get("version", "") in _VERSIONS):
            best[media] = max(best[media], _weight(parameters))
    return 0 < best[OPENMETRICS] >= best[TEXT]


def _weight(parameters: Mapping[str, str]) -> float:
    try:
        return float(parameters.get("q", "1"))
    except ValueError:
        return 0.0


def _lines(samples: Samples, *, openmetrics: bool) -> Iterator[str]:
    """Yield the lines of every metric that has a sample."""
    by_name: dict[str, list[tuple[Labels, Values]]] = {}
    for name, labels, values in samples:
        by_name.setdefault(name, []).append((labels, values))
    for name, metric in METRICS.items():
        if name not in by_name:
            continue
        kind = metric.kind if metric.kind in {"counter", "histogram"} else "gauge"
        family = name.removesuffix(_TOTAL) if kind == "counter" else name
        shown = f"{family}{_TOTAL}" if kind == "counter" and not openmetrics else family
        meaning = metric.meaning.replace("\\", r"\\").replace("\n", r"\n")
        yield f"# HELP {shown} {_quoted(metric.meaning) if openmetrics else meaning}"
        yield f"# TYPE {shown} {kind}"
        sample = f"{family}{_TOTAL}" if kind == "counter" else name
        for labels, values in by_name[name]:
            if kind == "histogram":
                yield from _histogram(samples, metric, labels, values, openmetrics=openmetrics)
            else:
                yield f"{sample}{_labels(metric, labels)} {_number(values[0])}"


def _histogram(
    samples: Samples, metric: Metric, labels: Labels, values: Values, *, openmetrics: bool
) -> Iterator[str]:
    """Yield cumulative counts, as Prometheus has them: each bucket includes the lower ones."""
    held = samples.exemplars(metric, labels) if openmetrics else {}
    ends = (*map(str, metric.bounds), "+Inf")
    count = 0.0
    for at, (end, count) in enumerate(zip(ends, accumulate(values[:-1]), strict=True)):
        exemplar = _exemplar(held[at]) if at in held else ""
        yield f"{metric.name}_bucket{_labels(metric, labels, end)} {_number(count)}{exemplar}"
    named = _labels(metric, labels)
    yield f"{metric.name}_count{named} {_number(count)}"
    yield f"{metric.name}_sum{named} {_number(values[-1])}"


def _labels(metric: Metric, labels: Labels, end: str | None = None) -> str:
    """Return the labels of a sample by name; `end` is the upper bound of its bucket."""
    pairs = list(zip(metric.labels, labels, strict=True))
    if end is not None:
        pairs.append(("le", end))
    text = ",".join(f'{name}="{_quoted(str(value))}"' for name, value in sorted(pairs))
    return f"{{{text}}}" if text else ""


def _quoted(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def _exemplar(one: TraceExemplar) -> str:
    return f' # {{trace_id="{_quoted(one.trace_id)}"}} {_number(one.seconds)} {one.at}'


def _number(value: float) -> str:
    """Return a number as Go writes it, and so Prometheus itself."""
    text = repr(float(value))
    point = text.find(".")
    if value > 0 and point > _DIGITS:
        mantissa = f"{text[0]}.{text[1:point]}{text[point + 1 :]}".rstrip("0.")
        return f"{mantissa}e+{point - 1:02d}"
    return {"inf": "+Inf", "-inf": "-Inf", "nan": "NaN"}.get(text, text)
