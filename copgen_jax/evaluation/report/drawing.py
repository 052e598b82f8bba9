"""Figures as SVG text: no library, no script, colours from the page's style sheet so that light and dark both work.

Classes: `axis` and `grid` lines, `label` text, `s0` .. `s7` series (fill and stroke from the palette).
"""

import html
import math
from collections.abc import Mapping, Sequence

import numpy as np

SERIES = 8
"""Colours of the palette; further series begin again."""

WIDE = 700

Point = tuple[float, float]


def svg(width: float, height: float, body: str, title: str) -> str:
    """An SVG element that scales with the page; a wide one keeps its words readable and is scrolled on a phone."""
    kind = ' class="wide"' if width > WIDE else ""
    return (
        f'<svg{kind} viewBox="0 0 {width:g} {height:g}" width="{width:g}" role="img" aria-label="{html.escape(title)}" '
        f'xmlns="http://www.w3.org/2000/svg">{body}</svg>'
    )


def text(x: float, y: float, words: str, anchor: str = "start", kind: str = "label") -> str:
    """One line of text."""
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{html.escape(words)}</text>'


def rank_bars(counts: Mapping[str, np.ndarray]) -> str:
    """A small histogram per source, with the flat line of a perfect model; as many in a line as the page is wide."""
    drawn = "".join(_bars(i, name, count) for i, (name, count) in enumerate(counts.items()))
    return f'<div class="bars">{drawn}</div>' if counts else ""


def _bars(series: int, name: str, count: np.ndarray) -> str:
    width, height, head = 220, 120, 24
    share = count / max(count.sum(), 1) * len(count)
    high = max(2.0, float(share.max()))
    bar = width / len(count)
    body = [text(0, 14, name, kind="label strong")]
    for k, value in enumerate(share):
        tall = value / high * height
        body.append(
            f'<rect class="s{series % SERIES} fill" x="{k * bar + 0.5:.1f}" y="{head + height - tall:.1f}" '
            f'width="{bar - 1:.1f}" height="{tall:.1f}"/>'
        )
    flat = head + height * (1 - 1 / high)
    body.append(f'<line class="ideal" x1="0" x2="{width}" y1="{flat:.1f}" y2="{flat:.1f}"/>')
    return svg(width, height + head, "".join(body), f"rank histogram of {name}")


class Plot:
    """Axes with ticks, to which lines, bands, points and labels are added; `svg()` gives the picture."""

    def __init__(
        self,
        x: tuple[float, float],
        y: tuple[float, float],
        *,
        width: int = 640,
        height: int = 300,
        x_label: str = "",
        y_label: str = "",
        x_ticks: Sequence[tuple[float, str]] | None = None,
        y_ticks: Sequence[float] | None = None,
    ):
        """Axes over the ranges x and y; round numbers are marked if no ticks are given."""
        self.x, self.y = _not_empty(x), _not_empty(y)
        self.left, self.top, self.width, self.height = 56, 14, width - 70, height - 62
        self._size = width, height
        self._body: list[str] = []
        self._axes(x_label, y_label, x_ticks, ticks(*self.y) if y_ticks is None else y_ticks)
        self._legend: list[tuple[str, str]] = []

    def at(self, x: float, y: float) -> Point:
        """Pixel of a point."""
        across = (x - self.x[0]) / (self.x[1] - self.x[0])
        up = (y - self.y[0]) / (self.y[1] - self.y[0])
        return self.left + across * self.width, self.top + (1 - up) * self.height

    def line(self, points: Sequence[Point], series: int, label: str = "", *, dashed: bool = False) -> None:
        """A line through points; gaps where y is NaN."""
        runs: list[list[Point]] = [[]]
        for x, y in points:
            if math.isnan(y):
                runs.append([])
            else:
                runs[-1].append(self.at(x, y))
        dash = " dashed" if dashed else ""
        for run in runs:
            path = " ".join(f"{x:.1f},{y:.1f}" for x, y in run)
            self._body.append(f'<polyline class="s{series % SERIES} stroke{dash}" points="{path}"/>')
        if label:
            self._legend.append((f"s{series % SERIES} fill", label))

    def band(self, x: Sequence[float], low: Sequence[float], high: Sequence[float], series: int) -> None:
        """A filled band between two lines."""
        edge = [self.at(a, b) for a, b in zip(x, low, strict=True)]
        edge += [self.at(a, b) for a, b in zip(reversed(x), reversed(high), strict=True)]
        path = " ".join(f"{a:.1f},{b:.1f}" for a, b in edge)
        self._body.append(f'<polygon class="s{series % SERIES} band" points="{path}"/>')

    def points(self, points: Sequence[Point], series: int, label: str = "", radius: float = 3.5) -> None:
        """Dots."""
        for x, y in points:
            a, b = self.at(x, y)
            self._body.append(f'<circle class="s{series % SERIES} fill" cx="{a:.1f}" cy="{b:.1f}" r="{radius:g}"/>')
        if label:
            self._legend.append((f"s{series % SERIES} fill", label))

    def cross(self, x: float, y: float) -> None:
        """A cross in the ink of the page, for the truth."""
        a, b = self.at(x, y)
        self._body.append(f'<path class="truth" d="M{a - 6:.1f} {b:.1f}h12M{a:.1f} {b - 6:.1f}v12"/>')

    def level(self, y: float) -> None:
        """The value of a perfect model."""
        (a, b), (c, _) = self.at(self.x[0], y), self.at(self.x[1], y)
        self._body.append(f'<line class="ideal" x1="{a:.1f}" x2="{c:.1f}" y1="{b:.1f}" y2="{b:.1f}"/>')

    def shape(self, rings: Sequence[Sequence[Point]], kind: str) -> None:
        """A filled polygon in a class of the style sheet."""
        path = "".join("M" + "L".join(f"{a:.1f} {b:.1f}" for a, b in (self.at(*p) for p in r)) + "Z" for r in rings)
        self._body.append(f'<path class="{kind}" fill-rule="evenodd" d="{path}"/>')

    def key(self, entries: Sequence[tuple[str, str]]) -> None:
        """Further entries of the legend: (classes of the style sheet, words)."""
        self._legend += entries

    def svg(self, title: str) -> str:
        """The picture, its legend below."""
        width, height = self._size
        x, y, entries = float(self.left), float(height - 2), []
        lines = 1
        for kind, label in self._legend:
            wide = 24 + 7.2 * len(label)
            if x + wide > width and x > self.left:
                x, y, lines = float(self.left), y + 18, lines + 1
            entries.append(f'<rect class="{kind}" x="{x:.1f}" y="{y - 9:.1f}" width="11" height="11"/>')
            entries.append(text(x + 16, y, label))
            x += wide + 8
        return svg(width, height + 18 * lines - 10, "".join(self._body + entries), title)

    def _axes(
        self, x_label: str, y_label: str, x_ticks: Sequence[tuple[float, str]] | None, y_ticks: Sequence[float]
    ) -> None:
        right, bottom = self.left + self.width, self.top + self.height
        for value in y_ticks:
            _, b = self.at(self.x[0], value)
            self._body.append(f'<line class="grid" x1="{self.left}" x2="{right}" y1="{b:.1f}" y2="{b:.1f}"/>')
            self._body.append(text(self.left - 6, b + 4, f"{value:g}", "end"))
        for value, label in x_ticks if x_ticks is not None else [(v, f"{v:g}") for v in ticks(*self.x)]:
            a, _ = self.at(value, self.y[0])
            self._body.append(text(a, bottom + 16, label, "middle"))
        self._body.append(f'<line class="axis" x1="{self.left}" x2="{right}" y1="{bottom}" y2="{bottom}"/>')
        if x_label:
            self._body.append(text(right, bottom + 32, x_label, "end"))
        if y_label:
            self._body.append(text(self.left, self.top - 3, y_label))


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round numbers between two, about so many."""
    step = 10 ** math.floor(math.log10((high - low) / about))
    step *= next(f for f in (1, 2, 5, 10) if (high - low) / (step * f) <= about)
    first = math.ceil(low / step - 1e-9)
    return [round(k * step, 10) for k in range(first, math.floor(high / step + 1e-9) + 1)]


def _not_empty(limits: tuple[float, float]) -> tuple[float, float]:
    low, high = limits
    if not (math.isfinite(low) and math.isfinite(high)):
        return 0.0, 1.0
    return (low, high) if high > low else (low - 0.5, low + 0.5)
