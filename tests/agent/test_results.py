"""What a tool has returned, as text for a model: always some, never too long, nothing that was to stay hidden."""

from __future__ import annotations

import dataclasses
import json
from datetime import date, time
from enum import Enum
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxtra_core.agent.results import result_text


class Colour(Enum):
    RED = "red"


@attrs.frozen
class Guest:
    name: str
    secret: str = attrs.field(default="1234", repr=False)


@dataclasses.dataclass
class Table:
    guests: tuple[Guest, ...]
    key: str = dataclasses.field(default="1234", repr=False)


class Hostile(dict[str, object]):
    def items(self) -> Any:
        raise RuntimeError("1234")


class Opaque:
    def __repr__(self) -> str:
        return "1234"


circle: list[object] = [1]
circle.append(circle)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("as it is", "as it is"),
        ("", ""),
        (None, "null"),
        (True, "true"),
        (2.5, "2.5"),
        (float("nan"), '"nan"'),
        ({"größe": [1, "x"]}, '{"größe": [1, "x"]}'),
        ({1: 2, None: 3, Colour.RED: 4, date(2025, 1, 31): 5}, '{"1": 2, "None": 3, "red": 4, "2025-01-31": 5}'),
        ((1, {2}), "[1, [2]]"),
        (Colour.RED, '"red"'),
        (time(9, 30), '"09:30:00"'),
        (Guest("Ann"), '{"name": "Ann"}'),
        (Table((Guest("Ann"),)), '{"guests": [{"name": "Ann"}]}'),
        (b"1234", '"<bytes>"'),
        (Opaque(), '"<Opaque>"'),
        (Guest, '"<type>"'),
        ({Opaque: Opaque()}, '{"<type>": "<Opaque>"}'),
        (circle, '[1, "…"]'),
        (Hostile(), '"<Hostile>"'),
        pytest.param(10**5000, '"<int>"', id="too large"),
        ("\ud800", "?"),
        ([], "[]"),
    ],
)
def test_what_a_model_reads(value: object, text: str) -> None:
    assert result_text(value) == text


def test_what_lies_too_deep_is_left_out() -> None:
    value: object = 1
    for _ in range(100_000):
        value = [value]
    assert result_text(value) == "[" * 32 + '"…"' + "]" * 32


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.builds(Guest, st.text()),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner) | st.builds(Table, inner),
    max_leaves=20,
)


@given(values, st.integers(40, 200))
def test_it_is_never_too_long_and_never_hidden_things(value: object, limit: int) -> None:
    text = result_text(value, limit=limit)
    assert len(text) <= limit
    whole = result_text(value)
    if text != whole:
        assert text.endswith(f"… [cut: {len(whole)} characters in all]")
        assert whole.startswith(text[: text.rindex("… [cut")])
    elif not isinstance(value, str):
        json.loads(text)


def test_sixteen_thousand_characters_will_do() -> None:
    assert result_text("x" * 16_000) == "x" * 16_000
    assert len(result_text("x" * 16_001)) == 16_000
