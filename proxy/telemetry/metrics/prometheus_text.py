"""Samples as a scraper reads them: Prometheus' text format, version 0.0.4.

It is a few lines, so they are written here: Prometheus' own client brings an HTTP server along, and
holds it in memory for as long as Sealyard runs. The tests read what is written with that client.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate
from typing import Final

from .samples import Labels, Samples, Values
from .table import METRICS, SECONDS, Kind, Metric

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

_TYPES: Final[dict[Kind, str]] = {"counter": "counter", "histogram": "histogram"}
"""What a kind is for a scraper, where it is no gauge."""

_ENDS: Final = (*map(str, SECONDS), "+Inf")
_IN_HELP: Final = str.maketrans({"\\": r"\\", "\n": r"\n"})
_IN_LABEL: Final = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})


def exposed(samples: Samples) -> bytes:
    """Return the samples in the text format, in the order of the table of metrics."""
    by_name: dict[str, list[tuple[Labels, Values]]] = {}
    for name, labels, values in samples:
        by_name.setdefault(name, []).append((labels, values))
    lines: list[str] = []
    for name, metric in METRICS.items():
        if name in by_name:
            lines += _family(metric, by_name[name])
    return "".join(lines).encode()


def _family(metric: Metric, rows: list[tuple[Labels, Values]]) -> Iterator[str]:
    yield f"# HELP {metric.name} {metric.meaning.translate(_IN_HELP)}\n"
    yield f"# TYPE {metric.name} {_TYPES.get(metric.kind, 'gauge')}\n"
    for labels, values in rows:
        told = dict(zip(metric.labels, labels, strict=True))
        if metric.kind == "histogram":
            yield from _histogram(metric.name, told, values)
        else:
            yield _sample(metric.name, told, values[0])


def _histogram(name: str, told: dict[str, str], values: Values) -> Iterator[str]:
    """Yield the counts as Prometheus wants them: each bucket holds all that are below it."""
    counts = list(accumulate(values[:-1]))
    for end, count in zip(_ENDS, counts, strict=True):
        yield _sample(f"{name}_bucket", {**told, "le": end}, count)
    yield _sample(f"{name}_count", told, counts[-1])
    yield _sample(f"{name}_sum", told, values[-1])


def _sample(name: str, told: dict[str, str], value: float) -> str:
    labels = ",".join(f'{key}="{text.translate(_IN_LABEL)}"' for key, text in sorted(told.items()))
    return f"{name}{{{labels}}} {float(value)!r}\n" if labels else f"{name} {float(value)!r}\n"
