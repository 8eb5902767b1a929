"""Writes the table of what works from which Asterisk on, as Markdown.

Sphinx calls it (``conf.py``), so that the table in the documentation is the one in the code.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from voxtra_core.app.versions import Feature

__all__ = ["markdown"]


def markdown(features: Iterable[Feature], series: Sequence[int]) -> str:
    """A row for each feature, a column for each series."""
    rows = [["", *(f"{number}" for number in series), "`check --needs`"], ["---"] * (len(series) + 2)]
    rows += [
        [feature.what, *(_first(feature, number) for number in series), f"`{feature.name}`"] for feature in features
    ]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _first(feature: Feature, series: int) -> str:
    first = feature.first_in(series)
    if first is None:
        return "–"
    return f"{first}" if first.minor else "yes"
