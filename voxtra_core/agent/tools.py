"""A stand-in until the helper's is merged."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import attrs

from .providers import ToolSpec


@attrs.frozen
class Tool:
    spec: ToolSpec
    function: Callable[..., Any]
    call_parameter: str | None = None

    def bind(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        return dict(arguments)


class Tools:
    def __init__(self, functions: Iterable[Callable[..., Any]]) -> None:
        self.specs: tuple[ToolSpec, ...] = ()

    def find(self, name: str) -> Tool:
        raise LookupError(name)


def result_text(value: object) -> str:
    return str(value)
