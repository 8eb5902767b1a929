"""Requests and replies of ARI, apart from any transport."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias
from urllib.parse import parse_qsl

import attrs

__all__ = ["NO_CONTENT", "Handler", "Parameters", "Refused", "Reply", "RestRequest", "atoi", "ok", "refuse"]

_YES: Final = frozenset({"yes", "true", "y", "t", "1", "on"})
_REASONS: Final = {
    200: "OK",
    201: "Created",
    204: "No Content",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    409: "Conflict",
    422: "Unprocessable Entity",
    500: "Internal Server Error",
    501: "Not Implemented",
    503: "Service Unavailable",
}


@attrs.frozen
class Reply:
    """Status, reason phrase, body and the headers that matter."""

    status: int
    reason: str
    body: bytes = b""
    headers: Mapping[str, str] = attrs.field(factory=dict)


def _encode(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def atoi(text: str) -> int | None:
    """The integer that a text begins with, as C reads it; of a very long one only the beginning. ``None`` without."""
    match = re.match(r"\s*([+-]?[0-9]{1,9})", text)
    return int(match[1]) if match else None


NO_CONTENT: Final = Reply(204, _REASONS[204])


def ok(model: object, *, status: int = 200, location: str = "") -> Reply:
    """A success with a model as its body."""
    return Reply(status, _REASONS[status], _encode(model), {"Location": location} if location else {})


class Refused(Exception):
    """A handler's way out: the request is answered with this reply, and nothing has happened."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(f"{reply.status} {reply.reason}")
        self.reply = reply


def refuse(
    status: int, message: str, *, reason: str = "", key: str = "message", headers: Mapping[str, str] | None = None
) -> Refused:
    """An error with Asterisk's words. The reason phrase differs from the usual one here and there."""
    return Refused(Reply(status, reason or _REASONS[status], _encode({key: message}), headers or {}))


def _has_nul(value: object) -> bool:
    """Whether a text in it, or a key, has one."""
    if isinstance(value, dict):
        return any(_has_nul(inner) for pair in value.items() for inner in pair)
    return any(map(_has_nul, value)) if isinstance(value, list) else isinstance(value, str) and "\0" in value


class Parameters:
    """The parameters of a request: a JSON body's keys win over the query; of a repeated one the last counts.

    Raises :class:`Refused` (400) if the body is not JSON. JSON that is no object says nothing.
    """

    def __init__(self, query: str, body: bytes) -> None:
        self._query = dict(parse_qsl(query, keep_blank_values=True))
        try:
            parsed = json.loads(body) if body else {}
            json.dumps(parsed, ensure_ascii=False).encode()  # half a surrogate is no text
            if b"\\u0000" in body and _has_nul(parsed):
                raise ValueError("a NUL")
        except (ValueError, RecursionError):
            raise refuse(400, "Error parsing request body") from None
        self._json: dict[str, Any] = parsed if isinstance(parsed, dict) else {}

    def text(self, name: str) -> str | None:
        """A string. In JSON anything else is as good as nothing."""
        if name in self._json:
            value = self._json[name]
            return value if isinstance(value, str) else None
        return self._query.get(name)

    def texts(self, name: str) -> list[str]:
        """A list: separated by commas in a query; an array, or a single string as it is, in JSON."""
        if name in self._json:
            value = self._json[name]
            values = value if isinstance(value, list) else [value]
            return [item for item in values if isinstance(item, str) and item]
        return [item for item in self._query.get(name, "").split(",") if item]

    def number(self, name: str, default: int) -> int:
        """An integer: as C's ``atoi`` reads it in a query, a number in JSON; what is neither is 0."""
        if name in self._json:
            value = self._json[name]
            return value if isinstance(value, int) and not isinstance(value, bool) else 0
        return (atoi(self._query[name]) or 0) if name in self._query else default

    def flag(self, name: str) -> bool:
        """Yes or no: a word that ``ast_true`` takes for yes in a query, ``true`` in JSON."""
        if name in self._json:
            return self._json[name] is True
        return self._query.get(name, "").lower() in _YES

    def variables(self) -> dict[str, str]:
        """``variables`` of a JSON body. Raises :class:`Refused` (400) for one that is no string."""
        given = self._json.get("variables")
        variables = {}
        for name, value in given.items() if isinstance(given, dict) else ():
            text = value.get("value") if isinstance(value, dict) else value
            if not isinstance(text, str):
                message = "must be a string or an object with 'value' and optional 'report_events'"
                raise refuse(400, f"Each value in 'variables' {message}")
            variables[name] = text
        return variables

    def json(self, name: str) -> object:
        """A key of the JSON body as it is; ``None`` if it is not there."""
        return self._json.get(name)

    def __contains__(self, name: str) -> bool:
        return name in self._json or name in self._query


@attrs.frozen
class RestRequest:
    """A request that has found its way."""

    ids: Mapping[str, str]
    """The parameters in the path, by the names that Asterisk's API description gives them."""
    parameters: Parameters
    reply_later: Callable[[Reply], None]
    """For an operation that is answered when it has been done."""


Handler: TypeAlias = Callable[[RestRequest], Reply | None]
"""Does a request. ``None`` means that :attr:`RestRequest.reply_later` will be called. May raise :class:`Refused`."""
