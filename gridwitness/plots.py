"""Line charts as SVG text: small files that any browser and GitHub show.

Decides how a chart looks: axes with round ticks, lines, areas between two lines, a legend. What is
drawn is decided where the figures are made.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 760, 400
LEFT, RIGHT, TOP, BOTTOM = 70, 20, 46, 56
LEGEND_STEP, LEGEND_COLUMNS = 18, 2
COLOURS = ("#1b6ca8", "#c0392b", "#2e8b57", "#8e44ad", "#d68910", "#16a085", "#7f8c8d", "#2c3e50")


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a chart."""

    name: str
    """For the legend; empty: none."""

    points: Sequence[tuple[float, float]]
    """In order of x."""

    colour: str
    """CSS colour."""

    dashed: bool = False
    """Whether it is dashed."""


@dataclass(frozen=True, slots=True)
class Area:
    """The area between two lines."""

    name: str
    """For the legend."""

    points: Sequence[tuple[float, float, float]]
    """x, lower y, upper y."""

    colour: str
    """CSS colour."""


@dataclass(frozen=True, slots=True)
class Chart:
    """Lines and areas over two axes."""

    title: str
    """Above it."""

    x_label: str
    """Quantity and unit."""

    y_label: str
    """Quantity and unit."""

    lines: Sequence[Line]
    """Drawn over the areas."""

    areas: Sequence[Area] = ()
    """Drawn first."""

    logarithmic: bool = False
    """Whether x is logarithmic."""

    @property
    def svg(self) -> str:
        """The chart as an SVG document."""
        axes = _Axes.of(self)
        legend = self._legend()
        height = HEIGHT + LEGEND_STEP * -(-len(legend) // LEGEND_COLUMNS)
        parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}"'
            f' font-family="sans-serif" font-size="12">',
            f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
            f'<text x="{LEFT}" y="20" font-size="15">{escape(self.title)}</text>',
            *axes.grid(self.x_label, self.y_label),
        ]
        for area in self.areas:
            outline = [(x, upper) for x, _, upper in area.points]
            outline += [(x, lower) for x, lower, _ in reversed(area.points)]
            path = axes.path(outline)
            parts.append(f'<path d="{path}Z" fill="{area.colour}" fill-opacity="0.22"/>')
        for line in self.lines:
            dash = ' stroke-dasharray="5 4"' if line.dashed else ""
            parts.append(
                f'<path d="{axes.path(line.points)}" fill="none" stroke="{line.colour}"'
                f' stroke-width="1.6"{dash}/>'
            )
        return "\n".join([*parts, *legend, "</svg>", ""])

    def _legend(self) -> list[str]:
        found = []
        named = [(each.name, each.colour, "") for each in self.areas if each.name]
        named += [(e.name, e.colour, "5 4" if e.dashed else "") for e in self.lines if e.name]
        for number, (name, colour, dash) in enumerate(named):
            row, column = divmod(number, LEGEND_COLUMNS)
            x, y = LEFT + column * (WIDTH - LEFT) // LEGEND_COLUMNS, HEIGHT + LEGEND_STEP * row
            found.append(
                f'<line x1="{x}" x2="{x + 26}" y1="{y}" y2="{y}" stroke="{colour}"'
                f' stroke-width="2.5" stroke-dasharray="{dash}"/>'
                f'<text x="{x + 32}" y="{y + 4}">{escape(name)}</text>'
            )
        return found


@dataclass(frozen=True, slots=True)
class _Axes:
    """Where values lie on the page."""

    x_least: float
    x_most: float
    y_least: float
    y_most: float
    logarithmic: bool

    @classmethod
    def of(cls, chart: Chart) -> "_Axes":
        xs = [x for line in chart.lines for x, _ in line.points]
        ys = [y for line in chart.lines for _, y in line.points]
        ys += [y for area in chart.areas for _, low, high in area.points for y in (low, high)]
        low, high = min(ys), max(ys)
        step = _round_step((high - low) or 1.0)
        low, high = math.floor(low / step) * step, math.ceil(high / step) * step
        return cls(min(xs), max(xs), low, high, chart.logarithmic)

    def x(self, value: float) -> float:
        if self.logarithmic:
            whole = math.log(self.x_most / self.x_least)
            part = math.log(value / self.x_least) / whole
        else:
            part = (value - self.x_least) / (self.x_most - self.x_least)
        return round(LEFT + part * (WIDTH - LEFT - RIGHT), 1)

    def y(self, value: float) -> float:
        part = (value - self.y_least) / (self.y_most - self.y_least)
        return round(HEIGHT - BOTTOM - part * (HEIGHT - TOP - BOTTOM), 1)

    def path(self, points: Sequence[tuple[float, float]]) -> str:
        return "M" + "L".join(f"{self.x(x):g} {self.y(y):g}" for x, y in points)

    def _x_ticks(self) -> list[float]:
        if not self.logarithmic:
            return _ticks(self.x_least, self.x_most)
        decades = range(
            math.floor(math.log10(self.x_least)), 1 + math.ceil(math.log10(self.x_most))
        )
        ticks = [each * 10.0**decade for decade in decades for each in (1, 2, 5)]
        return [each for each in ticks if self.x_least <= each <= self.x_most]

    def grid(self, x_label: str, y_label: str) -> list[str]:
        low, high, middle = HEIGHT - BOTTOM, TOP, (LEFT + WIDTH - RIGHT) / 2
        found = []
        for tick in _ticks(self.y_least, self.y_most):
            y = self.y(tick)
            found.append(
                f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}" stroke="#ddd"/>'
                f'<text x="{LEFT - 6}" y="{y + 4}" text-anchor="end">{tick:g}</text>'
            )
        for tick in self._x_ticks():
            x = self.x(tick)
            found.append(
                f'<line x1="{x}" x2="{x}" y1="{high}" y2="{low}" stroke="#eee"/>'
                f'<text x="{x}" y="{low + 16}" text-anchor="middle">{tick:g}</text>'
            )
        found.append(
            f'<text x="{middle}" y="{HEIGHT - 14}" text-anchor="middle">{escape(x_label)}</text>'
            f'<text transform="translate(18 {(low + high) / 2}) rotate(-90)"'
            f' text-anchor="middle">{escape(y_label)}</text>'
        )
        return found


def _round_step(span: float) -> float:
    """A step of 1, 2 or 5 times a power of ten that divides a span into about six."""
    raw = span / 6
    power = 10.0 ** math.floor(math.log10(raw))
    return next(each * power for each in (1, 2, 5, 10) if each * power >= raw)


def _ticks(least: float, most: float) -> list[float]:
    step = _round_step(most - least)
    first = math.ceil(least / step - 1e-9)
    last = math.floor(most / step + 1e-9)
    return [round(each * step, 10) for each in range(first, last + 1)]
