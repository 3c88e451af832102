"""A small writer of SVG: text, lines and bars that can be read on light and on dark pages."""

from __future__ import annotations

from html import escape
from typing import Final

_STYLE: Final = """
<style>
  text { font: 12px system-ui, sans-serif; fill: #24292f }
  .title { font-size: 14px; font-weight: 600 }
  .quiet { fill: #57606a }
  .end { text-anchor: end }
  .middle { text-anchor: middle }
  .grid { stroke: #d0d7de; stroke-width: 1 }
  .ours { fill: #0a7d55 }
  .theirs { fill: #8c959f }
  .spread { stroke: #24292f; stroke-width: 1.5 }
  .curve { fill: none; stroke: #0a7d55; stroke-width: 2 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 }
    .quiet { fill: #9198a1 }
    .grid { stroke: #30363d }
    .ours { fill: #2fbf8a }
    .theirs { fill: #6e7681 }
    .spread { stroke: #e6edf3 }
    .curve { stroke: #2fbf8a }
  }
</style>"""


class Drawing:
    """Gathers shapes in pixels, from the left and from the top, and returns them as one SVG."""

    def __init__(self, width: int, height: int, description: str) -> None:
        """Begin empty; the description is for those who cannot see it."""
        self._head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}"'
            f' width="{width}" height="{height}" role="img" aria-label="{escape(description)}">'
        )
        self._shapes: list[str] = []

    def text(self, x: float, y: float, text: str, style: str = "") -> None:
        """Write text that stands on (x, y)."""
        self._shapes.append(f'<text x="{x:.1f}" y="{y:.1f}" class="{style}">{escape(text)}</text>')

    def line(self, x1: float, y1: float, x2: float, y2: float, style: str) -> None:
        """Draw a line."""
        ends = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
        self._shapes.append(f'<line {ends} class="{style}"/>')

    def bar(self, x: float, y: float, width: float, height: float, style: str) -> None:
        """Draw a bar whose upper left corner is (x, y)."""
        size = f'width="{width:.1f}" height="{height:.1f}"'
        self._shapes.append(f'<rect x="{x:.1f}" y="{y:.1f}" {size} rx="2" class="{style}"/>')

    def curve(self, points: list[tuple[float, float]]) -> None:
        """Draw a line through points, and a dot on each."""
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        self._shapes.append(f'<polyline points="{path}" class="curve"/>')
        for x, y in points:
            self._shapes.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" class="ours"/>')

    def render(self) -> str:
        """Return the SVG."""
        return "\n".join([self._head + _STYLE, *self._shapes, "</svg>\n"])
