"""What the tests know of ARI without asking the code under test: its description, and values of the shapes it names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TypeAlias

from hypothesis import strategies as st

Json: TypeAlias = bool | int | float | str | list["Json"] | dict[str, "Json"] | None
Facts: TypeAlias = dict[str, Any]

_HERE = Path(__file__).parent
FIXTURES = _HERE.parent / "fixtures"

MODELS: dict[str, Facts] = json.loads((_HERE / "generate" / "models.json").read_text())["models"]
OPERATIONS: list[Facts] = json.loads((_HERE / "generate" / "operations.json").read_text())["operations"]
EVENTS: list[str] = MODELS["Event"]["subtypes"]
WITH_ID = {"Bridge", "Channel", "Playback"}


def fields_of(name: str) -> Facts:
    """The fields of a model or event by name, inherited ones included, without an event's ``type``."""
    facts = MODELS[name]
    inherited = fields_of(facts["extends"]) if "extends" in facts else {}
    own = {field: about for field, about in facts["fields"].items() if (name, field) != ("Message", "type")}
    return {**inherited, **own}


json_values: st.SearchStrategy[Json] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def json_of(kind: str) -> st.SearchStrategy[Any]:
    """Values of a type as the description names it: ``string``, ``List[string]``, ``Channel``."""
    if kind.startswith("List["):
        return st.lists(json_of(kind[5:-1]), max_size=3)
    scalars: dict[str, st.SearchStrategy[Any]] = {
        "string": st.text(max_size=8),
        "Date": st.just("2026-11-22T07:30:37.048+0000"),
        "int": st.integers(),
        "long": st.integers(),
        "double": st.floats(allow_nan=False),
        "boolean": st.booleans(),
        "object": st.dictionaries(st.text(max_size=8), st.text(max_size=8), max_size=3),
    }
    return scalars[kind] if kind in scalars else model_json(kind)


def model_json(name: str) -> st.SearchStrategy[dict[str, Any]]:
    """A model or event with all its required fields and some of the others."""
    required: dict[str, st.SearchStrategy[Any]] = {}
    optional: dict[str, st.SearchStrategy[Any]] = {}
    for field, about in fields_of(name).items():
        of_kind = st.text(min_size=1, max_size=8) if name in WITH_ID and field == "id" else json_of(about["type"])
        (required if about.get("required") else optional)[field] = of_kind
    return st.fixed_dictionaries(required, optional=optional)


def event_json(name: str) -> st.SearchStrategy[dict[str, Any]]:
    """An event as Asterisk would send it."""
    return model_json(name).map(lambda fields: {"type": name, **fields})


any_event_json = st.sampled_from(EVENTS).flatmap(event_json)
