"""One request to ARI, as a value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Generic, TypeAlias, TypeVar, cast
from urllib.parse import quote

import attrs

from . import check

__all__ = ["Request", "build_request", "path_segment"]

T_co = TypeVar("T_co", covariant=True)

Value: TypeAlias = str | int | tuple[str, ...]
"""A parameter's value. (``bool`` is an ``int``.)"""

_LONGEST_TARGET = 3900
"""Asterisk refuses a request line of more than 4095 bytes (``main/http.c``). Beside the target it holds the method,
``/ari``, the version and the prefix of ``http.conf``, which can be 80 bytes long."""


def path_segment(name: str, value: str) -> str:
    """Percent-encode one id or name for use as one segment of a path.

    Raises ``ValueError`` for an empty one: Asterisk stops routing at an empty segment, so that
    ``POST /channels//answer`` would originate a call (``res_ari.c``). The same for NUL, at which Asterisk cuts the
    segment off and so takes another id, and for half of a surrogate pair. ``+`` is encoded as well, since Asterisk
    decodes it to a space. ``.`` and ``..`` are encoded whole: who resolves dots on the way finds none.
    """
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str, not {type(value).__name__}")
    if not check.text(name, value):
        raise ValueError(f"{name} must not be empty")
    if value in {".", ".."}:
        return value.replace(".", "%2E")
    return quote(value, safe="")


@attrs.frozen(repr=False)
class Request(Generic[T_co]):
    """One request to ARI. Made by the builders in :mod:`voxtra_core.ari`, never by hand.

    ``T`` is what a successful reply decodes to. The ``repr`` shows names of parameters and never their values: they
    may be sent DTMF, variables or texts.
    """

    operation: str
    """The builder's name: ``"channels.answer"``."""
    method: str
    path: str
    """Percent-encoded, below ``/ari``, with its leading slash."""
    query: tuple[tuple[str, str], ...] = ()
    """Name and value, not encoded yet."""
    body: Mapping[str, Any] | None = None
    """The JSON object to send, or ``None``."""
    response: str = "void"
    """The model of a successful reply, as Asterisk's own API description names it: ``"Channel"``,
    ``"List[Channel]"``, ``"binary"``, ``"void"``."""

    @property
    def target(self) -> str:
        """Path and query, encoded, relative to ``/ari``."""
        if not self.query:
            return self.path
        pairs = (f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in self.query)
        return f"{self.path}?{'&'.join(pairs)}"

    def decode(self, body: bytes) -> T_co:
        """What a successful reply with this body says.

        Raises :class:`~voxtra_core.errors.RemoteProtocolError` if it is not what ARI promises.
        """
        from .codec import decode_model  # deferred: the codec loads every model

        return cast(T_co, decode_model(self.response, body))

    def __repr__(self) -> str:
        names = [name for name, _ in self.query]
        if self.body is not None:
            names += [f"{name} (body)" for name in self.body]
        return f"<Request {self.operation}: {self.method} {self.path}{' with ' + ', '.join(names) if names else ''}>"


def build_request(
    operation: str,
    method: str,
    path: str,
    *,
    ids: Mapping[str, str] | None = None,
    response: str = "void",
    query: Mapping[str, Value | None] | None = None,
    body: Mapping[str, object] | None = None,
    query_only: bool = False,
) -> Request[Any]:
    """The request for an operation.

    ``path`` names in braces the ``ids`` that belong there. ``query`` holds parameters by their names in ARI, ``None``
    for those not sent. They travel in the query if they fit; if not, all of them go into the JSON body, beside what
    ``body`` holds for it (an empty one is sent, one of nothing but ``None`` is not). Asterisk takes them from either
    for every method, ``GET`` and ``DELETE`` included. Raises ``ValueError`` if what remains is too long all the same.
    """
    path = path.format_map({name: path_segment(name, value) for name, value in (ids or {}).items()})
    given = {name: value for name, value in (query or {}).items() if value is not None}
    content = {name: value for name, value in (body or {}).items() if value is not None}
    pairs = tuple((name, _as_text(value)) for name, value in given.items())
    sent = content if content or body == {} else None
    request: Request[Any] = Request(operation, method, path, pairs, sent, response)
    if not query_only and (len(request.target) > _LONGEST_TARGET or not all(map(_survives_query, given.values()))):
        moved = {name: list(value) if isinstance(value, tuple) else value for name, value in given.items()}
        request = Request(operation, method, path, (), {**moved, **content}, response)
    if len(request.target) > _LONGEST_TARGET:
        raise ValueError(f"{operation}: its path and query are too long for Asterisk's request line")
    return request


def _as_text(value: Value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return ",".join(value) if isinstance(value, tuple) else str(value)


def _survives_query(value: Value) -> bool:
    """Whether Asterisk takes a list apart again as it was put together.

    It splits with ``ast_app_separate_args``, made for dialplan arguments: quotes and backslashes vanish, and a comma
    inside parentheses or brackets does not separate.
    """
    if not isinstance(value, tuple):
        return True
    special = ',"\\' if len(value) == 1 else ',"\\()[]'
    return not any(character in item for item in value for character in special)
