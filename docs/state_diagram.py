"""Draws a table of states and their transitions, whatever it holds, as Markdown with an inline SVG.

Sphinx calls it (``conf.py``), so that the picture in the documentation is the table in the code.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from html import escape
from itertools import groupby
from math import hypot
from typing import TypeAlias, TypeVar

__all__ = ["markdown"]

State = TypeVar("State", bound=Enum)
Trigger = TypeVar("Trigger", bound=Enum)
Table: TypeAlias = Mapping[tuple[Enum, Enum], Enum]
Point: TypeAlias = tuple[float, float]

WIDTH, HEIGHT = 130, 44  # of a state's box, in SVG units, as all below
STEP_X, STEP_Y = 250, 130  # from one box's corner to the next one's
MARGIN = 30
ASIDE = 11  # how far two arrows in opposite directions stand apart from the middle
LINE = 15  # from one line of a label to the next


def markdown(transitions: Mapping[tuple[State, Trigger], State]) -> str:
    """The picture, then the table. States and triggers are shown by their values."""
    table: Table = {(state, trigger): target for (state, trigger), target in transitions.items()}
    return f"```{{raw}} html\n{_svg(table)}\n```\n\n{_table(table)}"


def _states(transitions: Table) -> list[Enum]:
    """Every state once, in the order in which the table names them."""
    return list(dict.fromkeys([state for state, _ in transitions] + list(transitions.values())))


def _table(transitions: Table) -> str:
    """A row for each state, a column for each trigger; ``·`` where the state stays, empty where that can't happen."""
    triggers = list(dict.fromkeys(trigger for _, trigger in transitions))
    rows = [["", *(f"{trigger.value}" for trigger in triggers)], ["---"] * (len(triggers) + 1)]
    for state in _states(transitions):
        targets = [transitions.get((state, trigger)) for trigger in triggers]
        cells = ["" if target is None else "·" if target is state else f"{target.value}" for target in targets]
        rows.append([f"**{state.value}**", *cells])
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _arrows(transitions: Table) -> dict[tuple[Enum, Enum], list[str]]:
    """What leads from one state to another, by the two. What changes nothing is left to the table."""
    arrows: dict[tuple[Enum, Enum], list[str]] = {}
    for (state, trigger), target in transitions.items():
        if target is not state:
            arrows.setdefault((state, target), []).append(f"{trigger.value}")
    return arrows


def _places(states: list[Enum], arrows: Mapping[tuple[Enum, Enum], list[str]]) -> dict[Enum, Point]:
    """The middle of each state's box: columns by the number of steps from the first state, in the table's order."""
    steps = {states[0]: 0}
    for state in (queue := [states[0]]):  # grows while it is read: breadth first
        for source, target in arrows:
            if source is state and target not in steps:
                steps[target] = steps[state] + 1
                queue.append(target)
    unreached = max(steps.values()) + 1
    column = {state: steps.get(state, unreached) for state in states}
    return {
        state: (MARGIN + x * STEP_X + WIDTH / 2, MARGIN + y * STEP_Y + HEIGHT / 2)
        for x, members in groupby(sorted(states, key=column.__getitem__), key=column.__getitem__)
        for y, state in enumerate(members)
    }


def _edge(middle: Point, towards: Point) -> Point:
    """Where the line from the middle of a box leaves it, with a little room for the arrow's head."""
    dx, dy = towards[0] - middle[0], towards[1] - middle[1]
    scale = min((WIDTH / 2 + 4) / abs(dx) if dx else 1, (HEIGHT / 2 + 4) / abs(dy) if dy else 1)
    return middle[0] + dx * scale, middle[1] + dy * scale


def _text(x: float, y: float, lines: list[str], anchor: str = "middle") -> str:
    """Lines of text, the first with its base line at ``y``."""
    spans = (f'<tspan x="{x:.0f}" y="{y + LINE * n:.0f}">{escape(line)}</tspan>' for n, line in enumerate(lines))
    return f'<text text-anchor="{anchor}" fill="currentColor" stroke="none">{"".join(spans)}</text>'


def _arrow(start: Point, end: Point, labels: list[str], *, two_way: bool) -> str:
    """One arrow with its labels. Of two in opposite directions each keeps to its left."""
    (x1, y1), (x2, y2) = _edge(start, end), _edge(end, start)
    length = hypot(x2 - x1, y2 - y1)
    aside = ASIDE if two_way else 0
    dx, dy = (y2 - y1) / length * aside, (x1 - x2) / length * aside
    x, y = (x1 + x2) / 2 + dx, (y1 + y2) / 2 + dy
    if y1 != y2:  # to the right of the line, and clear of it where it slopes
        clear = 0 if x1 == x2 else -8 if (x2 > x1) == (y2 > y1) else 8
        text = _text(x + 8, y + 4 + clear - LINE * (len(labels) - 1) / 2, labels, "start")
    elif dy > 0:
        text = _text(x, y + LINE, labels)
    else:
        text = _text(x, y - 5 - LINE * (len(labels) - 1), labels)
    line = f"M{x1 + dx:.1f} {y1 + dy:.1f}L{x2 + dx:.1f} {y2 + dy:.1f}"
    return f'<path d="{line}" marker-end="url(#arrow-head)"/>{text}'


def _box(middle: Point, name: str) -> str:
    x, y = middle
    return (
        f'<rect x="{x - WIDTH / 2:.0f}" y="{y - HEIGHT / 2:.0f}" width="{WIDTH}" height="{HEIGHT}" rx="10"/>'
        + _text(x, y + 5, [name])
    )


def _svg(transitions: Table) -> str:
    """In ``currentColor``, so that it is readable on a light and on a dark page."""
    states, arrows = _states(transitions), _arrows(transitions)
    places = _places(states, arrows)
    width = max(x for x, _ in places.values()) + WIDTH / 2 + MARGIN
    height = max(y for _, y in places.values()) + HEIGHT / 2 + MARGIN
    shapes = [_box(places[state], f"{state.value}") for state in states]
    shapes += [
        _arrow(places[source], places[target], labels, two_way=(target, source) in arrows)
        for (source, target), labels in arrows.items()
    ]
    return "\n".join(
        [
            f'<svg viewBox="0 0 {width:.0f} {height:.0f}" role="img" style="max-width:{width:.0f}px" '
            'fill="none" stroke="currentColor" stroke-width="1.4" font-size="14">',
            "<title>States and transitions</title>",
            '<defs><marker id="arrow-head" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="8" markerHeight="8" '
            'orient="auto"><path d="M0 0L10 5L0 10z" fill="currentColor" stroke="none"/></marker></defs>',
            *shapes,
            "</svg>",
        ]
    )
