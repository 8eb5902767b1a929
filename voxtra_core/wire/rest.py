"""Requests and responses as text messages of the event socket, both ends; Asterisk from 20.14, 21.9 and 22.4 on.

They carry what those of HTTP would, but for header fields and for bodies that are not JSON.
"""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import attrs

from ..ari.request import Request

__all__ = [
    "BadRestRequest",
    "RestRequest",
    "RestResponse",
    "read_request",
    "read_response",
    "request_members",
    "request_text",
    "response_text",
]

_METHODS = frozenset({"GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD"})
_FORM = "application/x-www-form-urlencoded"
_JSON = "application/json"


def _read_object(text: str) -> dict[str, Any] | None:
    """A JSON object, or ``None`` if the text is not one."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


# ---- the client's end ----


def request_members(request: Request[Any], body: str | None) -> str:
    """All of a ``RESTRequest`` but what :func:`request_text` puts before it."""
    members = {"method": request.method, "uri": request.target.removeprefix("/")}  # a slash in front is a 405
    if body is not None:
        members |= {"content_type": _JSON, "message_body": body}
    return json.dumps(members, separators=(",", ":"))[1:]


def request_text(request_id: str, members: str) -> str:
    """A whole ``RESTRequest``. The id is made of letters and digits."""
    return f'{{"type":"RESTRequest","request_id":"{request_id}",{members}'


@attrs.frozen
class RestResponse:
    """A ``RESTResponse``. ``status`` is ``None`` if there is none in it; ``request_id`` then may be ``""`` as well."""

    request_id: str
    status: int | None
    reason: str
    body: bytes = attrs.field(default=b"", repr=lambda body: f"<{len(body)} bytes>")


def read_response(text: str) -> RestResponse | None:
    """A message of the event socket, if it is a ``RESTResponse``, however badly made; ``None`` for an event."""
    if '"RESTResponse"' not in text:  # spares an event from being parsed twice
        return None
    members = _read_object(text)
    if members is None or members.get("type") != "RESTResponse":
        return None
    status = members.get("status_code")
    return RestResponse(
        _text(members.get("request_id")),
        status if isinstance(status, int) and 100 <= status <= 999 else None,
        _text(members.get("reason_phrase")),
        _text(members.get("message_body")).encode("utf-8", "replace"),
    )


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


# ---- the server's end ----


@attrs.frozen
class RestRequest:
    """A ``RESTRequest``. ``target`` is path and query, encoded, with a slash in front."""

    request_id: str
    transaction_id: str
    method: str
    target: str = attrs.field(repr=lambda target: repr(target.partition("?")[0]))
    content_type: str = ""
    body: bytes = attrs.field(default=b"", repr=lambda body: f"<{len(body)} bytes>")


class BadRestRequest(Exception):
    """A text message that is no ``RESTRequest``, and what Asterisk answers to it, with the status 400."""

    def __init__(self, request: RestRequest, reason: str, message: str) -> None:
        super().__init__(message or reason)
        self.request = request
        self.reason = reason
        self.message = message


def read_request(text: str) -> RestRequest:
    """A text message from a client. Raises :class:`BadRestRequest`; the checks and their words are Asterisk's."""
    request = RestRequest("", "", "", "/")

    def bad(message: str) -> BadRestRequest:
        return BadRestRequest(request, "Bad request", message)

    try:
        members = json.loads(text)
        json.dumps(members, ensure_ascii=False).encode()  # half a surrogate is no text
    except (ValueError, RecursionError):
        raise BadRestRequest(request, "Failed to parse request message JSON", "") from None
    if not isinstance(members, dict):
        raise bad("No 'type' property.")
    request = attrs.evolve(
        request, request_id=_text(members.get("request_id")), transaction_id=_text(members.get("transaction_id"))
    )
    kind = members.get("type")
    if not isinstance(kind, str):
        raise bad("No 'type' property.")
    if kind != "RESTRequest":
        raise bad("Unknown request type.")
    uri = _text(members.get("uri"))
    if not uri:
        raise bad("Empty or missing 'uri' property.")
    request = attrs.evolve(request, target=f"/{_with_query(uri, members.get('query_strings'))}")
    method = _text(members.get("method"))
    if method not in _METHODS:
        raise bad("Unknown or missing 'method' property.")
    request = attrs.evolve(request, method=method)
    body, content_type = members.get("message_body"), _text(members.get("content_type"))
    if not isinstance(body, str):
        return request
    if not content_type:
        raise bad("No 'content_type' for 'message_body'.")
    if content_type not in {_JSON, _FORM}:
        raise bad("Unknown content type.")
    if content_type == _JSON and not _is_json(body):
        raise bad("Unable to parse 'message_body' as 'application/json'.")
    return attrs.evolve(request, content_type=content_type, body=body.encode())


def response_text(
    request: RestRequest, status: int, reason: str, body: bytes, *, application: str, timestamp: str, asterisk_id: str
) -> str:
    """A whole ``RESTResponse``, its members in Asterisk's order."""
    members: dict[str, object] = {
        "type": "RESTResponse",
        "transaction_id": request.transaction_id,
        "request_id": request.request_id,
        "status_code": status,
        "reason_phrase": reason,
        "uri": request.target.partition("?")[0][1:],
    }
    if body:
        members |= {"content_type": _JSON, "message_body": body.decode("utf-8", "replace")}
    members |= {"application": application, "timestamp": timestamp, "asterisk_id": asterisk_id}
    return json.dumps(members, separators=(",", ":"), ensure_ascii=False)


def _with_query(uri: str, query_strings: object) -> str:
    """The uri with its ``query_strings``, which come unencoded, behind its own query."""
    pairs = [
        f"{quote(_text(pair.get('name')), safe='')}={quote(_text(pair.get('value')), safe='')}"
        for pair in (query_strings if isinstance(query_strings, list) else [])
        if isinstance(pair, dict)
    ]
    path, _, query = uri.partition("?")
    query = "&".join([query, *pairs] if query else pairs)
    return f"{path}?{query}" if query else path


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True
