"""A call as a ladder diagram in text: who told whom what, and when."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import attrs

__all__ = ["Moment", "ladder"]

_WIDTH = 34
"""Columns from one lifeline to the next."""
_TIME = 9


@attrs.frozen
class Moment:
    """One thing that happened: ``source`` told ``target`` something, or did something alone where both are the same.

    They are ``"handler"``, ``"Voxtra"``, ``"Asterisk"`` and ``"caller"``, or an agent's endpoint.
    """

    at: float
    """Seconds since the run began."""
    source: str
    target: str
    text: str

    def __str__(self) -> str:
        if self.source == self.target:
            return f"{self.at:8.3f}  {self.source}: {self.text}"
        return f"{self.at:8.3f}  {self.source} → {self.target}: {self.text}"


def ladder(moments: Iterable[Moment], parties: Sequence[str]) -> str:
    """The diagram. An arrow that would pass a party by goes from one to the other all the same."""
    places = {party: _TIME + 3 + n * _WIDTH for n, party in enumerate(parties)}
    lines = [_header(places)]
    lines += [_line(moment, places) for moment in moments]
    return "\n".join(line.rstrip() for line in lines)


def _header(places: dict[str, int]) -> str:
    line = [" "] * (max(places.values()) + 30)
    for party, place in places.items():
        start = max(place - len(party) // 2, 0)
        line[start : start + len(party)] = party
    line[:4] = "time"
    return "".join(line)


def _line(moment: Moment, places: dict[str, int]) -> str:
    line = [" "] * (max(places.values()) + 1)
    for place in places.values():
        line[place] = "|"
    time = f"{moment.at:{_TIME - 1}.3f}"
    line[: len(time)] = time
    source, target = places[moment.source], places[moment.target]
    if source == target:
        line[source] = "*"
        text = _shortened(moment.text, max(max(places.values()) - source - 3, 40))  # over the others' lines, if need be
        line += [" "] * (source + 2 + len(text) - len(line))
        line[source + 2 : source + 2 + len(text)] = text
        return "".join(line)
    left, right = min(source, target), max(source, target)
    text = f" {_shortened(moment.text, right - left - 5)} "
    shaft = text.center(right - left - 2, "-")
    line[left + 1 : right] = f"{shaft}>" if target > source else f"<{shaft}"
    return "".join(line)


def _shortened(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"
