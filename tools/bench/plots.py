"""The two plots: throughput by peer, and the cost of a message as things grow."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final

from .results import Cell, Curve, Results, spread
from .svg import Drawing
from .targets import OURS
from .works import CONNECTIONS, MANY, ROWS

Plot = Callable[[Results], str]
_WIDTH: Final = 760
_LABELS: Final = 210
_FIGURES: Final = 70
_BAR, _GAP, _HEAD = 18, 8, 44
_PANEL, _PANEL_HEIGHT, _MARGIN = _WIDTH // 2, 230, 46


def throughput(results: Results) -> str:
    """Return the requests a CPU second of each peer at the main kinds of work, as SVG."""
    panels = [
        (title, _sorted(results, case))
        for case, title in (
            (
                "heads-5000",
                f"chat message, heads differ, {MANY:,} conversations, {CONNECTIONS} connections",
            ),
            ("seal", f"1 KiB, one field sealed and opened, {CONNECTIONS} connections"),
            ("list", f"list of {ROWS}, each one's field opened, {CONNECTIONS} connections"),
            ("pass", f"1 KiB passed through, {CONNECTIONS} connections"),
        )
    ]
    height = sum(_HEAD + len(cells) * (_BAR + _GAP) for _, cells in panels) + 24
    drawing = Drawing(_WIDTH, height, "Requests per CPU second, by peer")
    top = 0.0
    for title, cells in panels:
        top = _bars(drawing, top, title, cells)
    drawing.text(8, height - 8, "requests per CPU second; the line is least to most", "quiet")
    return drawing.render()


def _sorted(results: Results, case: str) -> list[Cell]:
    cells = [cell for cell in results.cells if cell.case == case]
    return sorted(cells, key=lambda cell: -cell.of("per_cpu_second").median)


def _bars(drawing: Drawing, top: float, title: str, cells: list[Cell]) -> float:
    """Draw one panel, and return where the next begins."""
    drawing.text(8, top + 26, title, "title")
    y = top + _HEAD
    most = max((cell.of("per_cpu_second").most for cell in cells), default=1.0)
    scale = (_WIDTH - _LABELS - _FIGURES) / most
    for cell in cells:
        rate = cell.of("per_cpu_second")
        middle = y + _BAR / 2
        drawing.text(_LABELS - 8, middle + 4, cell.peer, "end")
        style = "ours" if cell.peer.startswith(OURS) else "theirs"
        drawing.bar(_LABELS, y, rate.median * scale, _BAR, style)
        ends = _LABELS + rate.least * scale, _LABELS + rate.most * scale
        drawing.line(ends[0], middle, ends[1], middle, "spread")
        drawing.text(_LABELS + rate.most * scale + 8, middle + 4, f"{rate.median:,.0f}")
        y += _BAR + _GAP
    return y


def growth(results: Results) -> str:
    """Return the cost of a message against each thing that grows, as SVG."""
    curves = results.curves
    rows = math.ceil(len(curves) / 2)
    drawing = Drawing(_WIDTH, rows * _PANEL_HEIGHT + _HEAD, "Cost of a message as things grow")
    drawing.text(8, 26, "CPU time of a message in µs, both axes in powers of ten", "quiet")
    for number, curve in enumerate(curves):
        _panel(drawing, number % 2 * _PANEL, _HEAD + number // 2 * _PANEL_HEIGHT, curve)
    return drawing.render()


def _panel(drawing: Drawing, left: int, top: int, curve: Curve) -> None:
    """Draw one curve over its logarithm."""
    points = [(point.x, spread(point.costs).median) for point in curve.points]
    x0, x1 = left + _MARGIN, left + _PANEL - 24
    y0, y1 = top + _PANEL_HEIGHT - 44, top + 46
    lowest, highest = _decades([cost for _, cost in points])
    first, last = math.log10(points[0][0]), math.log10(points[-1][0])

    def place(x: float, cost: float) -> tuple[float, float]:
        across = (math.log10(x) - first) / ((last - first) or 1)
        up = (math.log10(cost) - lowest) / (highest - lowest)
        return x0 + across * (x1 - x0), y0 + up * (y1 - y0)

    drawing.text(left + 8, top + 16, curve.title, "title")
    drawing.text(left + 8, top + 33, curve.meaning, "quiet")
    for decade in range(lowest, highest + 1):
        y = place(points[0][0], 10**decade)[1]
        drawing.line(x0, y, x1, y, "grid")
        drawing.text(x0 - 6, y + 4, _short(10**decade), "end quiet")
    for x, _ in points:
        drawing.text(place(x, 10**lowest)[0], y0 + 18, _short(x), "middle quiet")
    drawing.curve([place(x, cost) for x, cost in points])


def _decades(costs: Sequence[float]) -> tuple[int, int]:
    """Return the powers of ten that hold all costs between them."""
    lowest, highest = math.floor(math.log10(min(costs))), math.ceil(math.log10(max(costs)))
    return lowest, max(highest, lowest + 1)


def _short(number: float) -> str:
    for size, unit in ((1 << 20, "Mi"), (1 << 10, "Ki")):
        if number >= size and number % size == 0:
            return f"{number / size:g}{unit}"
    for size, unit in ((10**6, "M"), (10**3, "k")):
        if number >= size:
            return f"{number / size:g}{unit}"
    return f"{number:g}"
