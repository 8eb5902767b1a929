"""JSON to events and models. Pure, and never surprised: whatever comes in, a value comes out.

Tolerant of every Asterisk from 18 to the next: unknown fields are ignored, unknown events kept as
:class:`UnknownEvent`, a scalar of another type is coerced to the declared one, and what an old Asterisk does not send
yet is empty. Only what an event cannot do without makes it a :class:`MalformedEvent`: its top-level required
fields, and the id of a channel, bridge or playback.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

import attrs

from ..errors import RemoteProtocolError
from . import coerce, decoders
from .coerce import Malformed, Object
from .event_types import Event

__all__ = ["MalformedEvent", "UnknownEvent", "decode_event", "decode_model", "parse_object", "reason_of"]

_NOT_ARI = "does this URL lead to an Asterisk's ARI?"
_LONGEST_REASON = 300

_JSON = json.JSONDecoder()
"""Its ``raw_decode`` takes 1 µs less than ``json.loads``, a fifth of the whole for an event."""


def _clip(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[:longest]}…"


def _outline(raw: object) -> str:
    """Raw data for a ``repr``: how much there is, and never a value, which may be a digit or a variable."""
    if isinstance(raw, Mapping):
        keys = [_clip(str(key), 30) for key in list(raw)[:12]]
        return f"<object of {', '.join(keys)}{', …' if len(raw) > len(keys) else ''}>"
    return f"<{len(raw)} characters>" if isinstance(raw, str | bytes | bytearray) else f"<{type(raw).__name__}>"


@attrs.frozen
class UnknownEvent:
    """An event of a type this version does not know: from a newer Asterisk, most likely. To be ignored."""

    type: str = attrs.field(repr=lambda name: repr(_clip(name, 60)))
    raw: Mapping[str, object] = attrs.field(repr=_outline)
    """The whole event, parsed."""


@attrs.frozen
class MalformedEvent:
    """What cannot be an event. To be logged and ignored: the next one is most likely sound."""

    reason: str
    """What is wrong with it, in a few words."""
    raw: str | bytes | bytearray | Mapping[str, object] = attrs.field(repr=_outline)
    """The data as it was given."""


def _parse(data: str | bytes | bytearray) -> object:
    """JSON in UTF-8. Raises ``ValueError``, or ``RecursionError`` for nesting deeper than Python takes.

    Escapes of lone surrogates become question marks: nobody could encode them again.
    """
    source = (data if isinstance(data, str) else str(data, "utf-8")).strip(" \t\r\n")
    value: object
    value, end = _JSON.raw_decode(source)
    if end != len(source):
        raise ValueError(f"something follows at character {end}")
    if "\\" in source and ("\\ud" in source or "\\uD" in source):
        value = json.loads(json.dumps(value, ensure_ascii=False).encode(errors="replace"))
    return value


def parse_object(data: str | bytes | bytearray) -> Mapping[str, object] | None:
    """The JSON object that :func:`decode_event` takes in place of its text; ``None`` if it is not one."""
    try:
        value = _parse(data)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def decode_event(data: str | bytes | bytearray | Mapping[str, object]) -> Event | UnknownEvent | MalformedEvent:
    """One message of the event socket, as text, or parsed already and not changed any more. Never raises for what is
    in it.
    """
    try:
        raw = _parse(data) if isinstance(data, (str, bytes, bytearray)) else data
        if type(raw) is not dict and not isinstance(raw, Mapping):
            return MalformedEvent("not a JSON object", data)
        kind = raw["type"]
        if type(kind) is not str:
            return MalformedEvent("'type' is not a string", data)
        decode = decoders.EVENTS.get(kind)
        return UnknownEvent(kind, raw) if decode is None else decode(raw)
    except KeyError as missing:
        return MalformedEvent(f"no {missing.args[0]!r}", data)
    except Malformed as error:
        return MalformedEvent(str(error), data)
    except RecursionError:
        return MalformedEvent("nested too deeply", data)
    except ValueError as error:  # JSONDecodeError and UnicodeDecodeError; an integer of more digits than Python takes
        return MalformedEvent(f"not JSON: {_clip(str(error), _LONGEST_REASON)}", data)


def decode_model(response: str, body: bytes) -> object:
    """The body of a successful reply, as the model that Asterisk's API description names.

    ``"Channel"`` gives a :class:`~voxtra_core.ari.models.Channel`, ``"List[Channel]"`` a tuple of them, ``"void"``
    ``None`` whatever the body, ``"binary"`` the bytes, ``"Message"`` an event. Raises
    :class:`~voxtra_core.errors.RemoteProtocolError` if the body is something else.
    """
    if response == "void":
        return None
    if response == "binary":
        return bytes(body)
    if response == "Message":
        event = decode_event(body)
        if isinstance(event, MalformedEvent):
            raise RemoteProtocolError(f"the reply is not an event: {event.reason}", hint=_NOT_ARI)
        return event
    try:
        value = _parse(body)
        if response.startswith("List["):
            decode = decoders.MODELS[response[5:-1]]
            if not isinstance(value, list):
                raise Malformed("not a list")
            return tuple([decode(_object(item)) for item in value])
        return decoders.MODELS[response](_object(value))
    except Malformed as error:
        reason = str(error)
    except RecursionError:
        reason = "nested too deeply"
    except ValueError as error:
        reason = f"not JSON: {_clip(str(error), _LONGEST_REASON)}"
    raise RemoteProtocolError(f"the reply is not a {response}: {reason}", hint=_NOT_ARI)


def _object(value: object) -> Object:
    if not isinstance(value, Mapping):
        raise Malformed("not an object")
    return value


def reason_of(status_phrase: str, body: bytes) -> str:
    """Why Asterisk refused a request, in its own words.

    They are the body's ``message``, or its ``error`` when memory ran out; without either, the status phrase, which
    varies from handler to handler ("404 Variable Not Found") and is good for reading only.
    """
    try:
        value = _parse(body)
    except (ValueError, RecursionError):
        return status_phrase
    if isinstance(value, Mapping):
        for key in ("message", "error"):
            words = coerce.text(value.get(key))
            if words:
                return _clip(words, _LONGEST_REASON)
    return status_phrase
