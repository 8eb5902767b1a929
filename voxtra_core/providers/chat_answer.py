"""What an OpenAI-compatible server answers, read: pieces of text, and calls of tools. No I/O.

Many servers speak this, each a little differently. What is known of them stands where it is dealt with.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

import attrs

from ..agent.providers import ModelItem, ToolCall
from ..errors import ProviderFailed, RemoteProtocolError
from .event_stream import EventStreamParser

__all__ = ["Answer", "StreamedAnswer", "ToolCalls", "WholeAnswer", "error_words", "json_of"]

MAX_BODY = 4 * 1024 * 1024
"""Bytes of an answer that comes as a whole."""
MAX_CALLS = 128
"""Calls of tools in one answer, and"""
MAX_ARGUMENTS = 1024 * 1024
"""… characters of all their arguments."""
_DONE = "[DONE]"
_NOTHING = object()
_STATUS_OF = {"server_error": 500, "overloaded_error": 529, "rate_limit_error": 429, "rate_limit_exceeded": 429}
"""Errors in mid-stream that are named, and the status that they would have had."""


class Answer(Protocol):
    """Reads the body of one answer. Raises :class:`~voxtra_core.errors.ProviderFailed`: of the part ``"web"`` where the
    connection is to blame, and of ``"llm"`` where the server is.
    """

    is_done: bool
    """Whether this was all."""
    is_complete: bool
    """Whether the model has said why it ended. More of it has hardly to be waited for."""

    def receive(self, data: bytes) -> Iterator[ModelItem]:
        """More of it."""

    def finish(self, error: ProviderFailed | None = None) -> Iterator[ModelItem]:
        """No more comes, because of this error or because that was all."""


class StreamedAnswer:
    """One that is told event by event. ``clean`` makes a server's words fit to be shown; ``prefix`` begins the ids of
    calls to which the server gives none.
    """

    def __init__(self, clean: Callable[[str], str], prefix: str) -> None:
        self._clean = clean
        self._events = EventStreamParser()
        self._calls = ToolCalls(prefix)
        self.is_complete = False
        self.is_done = False

    def receive(self, data: bytes) -> Iterator[ModelItem]:
        """More of it."""
        problem = ""
        try:
            self._events.receive_data(data)
        except RemoteProtocolError as error:
            problem = str(error)
        while not self.is_done and (event := self._events.next_event()) is not None:
            if event.data.strip() == _DONE:
                self.is_done = True
                yield from self._calls.take()
            else:
                yield from self._read(event.data, is_error=event.type == "error")
        if problem and not self.is_done:
            raise ProviderFailed("llm", problem)

    def finish(self, error: ProviderFailed | None = None) -> Iterator[ModelItem]:
        """No more comes. Where the model has said why it ended, its server need not end in good order."""
        if not (self.is_done or self.is_complete):
            raise error or ProviderFailed("web", "the answer ended before it was complete")
        self.is_done = True
        yield from self._calls.take()

    def _read(self, text: str, *, is_error: bool) -> Iterator[ModelItem]:
        value = json_of(text)
        if isinstance(value, dict) and (value.get("error") or value.get("object") == "error" or is_error):
            raise _told(value, self._clean)
        if not isinstance(value, dict):
            raise ProviderFailed("llm", f"an event that is no JSON object: {self._clean(text)}")
        choice = _first_choice(value)
        if choice is None:
            return  # what it has cost (OpenAI), or what filters say of the prompt (Azure)
        delta = choice.get("delta") or choice.get("message") or {}
        if not isinstance(delta, dict):
            raise ProviderFailed("llm", f"an event with a delta that is no object: {self._clean(text)}")
        if said := _text_of(delta):
            yield said
        self._calls.add(delta)
        if choice.get("finish_reason"):
            self.is_complete = True
            yield from self._calls.take()


class WholeAnswer:
    """One that comes as a single JSON object, from servers that cannot stream or do not want to."""

    def __init__(self, clean: Callable[[str], str], prefix: str) -> None:
        self.is_done = self.is_complete = False
        self._clean = clean
        self._prefix = prefix
        self._body = bytearray()

    def receive(self, data: bytes) -> Iterator[ModelItem]:
        """More of it."""
        self._body += data
        if len(self._body) > MAX_BODY:
            raise ProviderFailed("llm", f"an answer of more than {MAX_BODY} bytes")
        return iter(())

    def finish(self, error: ProviderFailed | None = None) -> Iterator[ModelItem]:
        """No more comes."""
        if error is not None:
            raise error
        self.is_done = True
        value = json_of(bytes(self._body))
        if isinstance(value, dict) and (value.get("error") or value.get("object") == "error"):
            raise _told(value, self._clean)
        choice = _first_choice(value) if isinstance(value, dict) else None
        message = choice.get("message") if choice is not None else None
        if not isinstance(message, dict):
            raise ProviderFailed("llm", "an answer that is no chat completion")
        if said := _text_of(message):
            yield said
        calls = ToolCalls(self._prefix)
        calls.add(message)
        yield from calls.take()


@attrs.define(eq=False)
class _Call:
    id: str = ""
    name: str = ""
    arguments: list[str] = attrs.field(factory=list)

    @property
    def text(self) -> str:
        return "".join(self.arguments)


class ToolCalls:
    """Calls that come in fragments, several at a time.

    OpenAI numbers them by ``index``, and names one in its first fragment alone. Others give no number (Gemini), the
    same to all (Ollama), or no id; some repeat the name in each fragment, or make up an id for each (vLLM).
    """

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._calls: list[_Call] = []
        self._by_index: dict[object, _Call] = {}
        self._size = 0
        self._taken = 0

    def add(self, delta: Mapping[str, Any]) -> None:
        """The fragments in one delta. Raises :class:`~voxtra_core.errors.ProviderFailed` for what is none."""
        fragments = delta.get("tool_calls") or []
        if function := delta.get("function_call"):  # what OpenAI had before there were tools
            fragments = [{"index": "function_call", "function": function}]
        if not isinstance(fragments, list):
            raise ProviderFailed("llm", "tool calls that are no list")
        begun: list[_Call] = []
        for fragment in fragments:
            function = fragment.get("function") or {} if isinstance(fragment, dict) else None
            if not isinstance(function, dict):
                raise ProviderFailed("llm", "a tool call that is no object")
            begun.append(self._add(fragment, function, begun))

    def take(self) -> Iterator[ToolCall]:
        """All of them, complete now."""
        calls, self._calls = self._calls, []
        self._by_index.clear()
        for call in calls:
            self._taken += 1
            if not call.name:
                raise ProviderFailed("llm", "a tool call without a name")
            yield ToolCall.of_text(call.id or f"{self._prefix}{self._taken}", call.name, call.text)

    def _add(self, fragment: dict[str, Any], function: dict[str, Any], begun: list[_Call]) -> _Call:
        """``begun`` are those that have had a fragment in the same delta, which gives each but one."""
        id, name, arguments = fragment.get("id") or "", function.get("name") or "", function.get("arguments")
        index = fragment.get("index")
        if isinstance(arguments, dict):  # as in Ollama's own API
            arguments = json.dumps(arguments, ensure_ascii=False)
        arguments = arguments or ""
        if not (isinstance(id, str) and isinstance(name, str) and isinstance(arguments, str)):
            raise ProviderFailed("llm", "a tool call whose id, name or arguments are no text")
        if not (index is None or isinstance(index, int | str)):
            raise ProviderFailed("llm", "a tool call whose index is no number")
        call = self._by_index.get(index) if index is not None else self._last_or(id)
        if call is None or (name and (call in begun or _is_another(call, id))):
            if self._taken + len(self._calls) == MAX_CALLS:
                raise ProviderFailed("llm", f"more than {MAX_CALLS} tool calls in one answer")
            call = _Call()
            self._calls.append(call)
        self._by_index[index] = call
        call.id = call.id or id
        call.name = call.name or name
        if arguments:
            self._size += len(arguments)
            if self._size > MAX_ARGUMENTS:
                raise ProviderFailed("llm", f"more than {MAX_ARGUMENTS} characters of arguments in one answer")
            call.arguments.append(arguments)
        return call

    def _last_or(self, id: str) -> _Call | None:
        """Without a number: the one with that id, or the last."""
        same = [call for call in self._calls if id and call.id == id] or self._calls
        return same[-1] if same else None


def _is_another(call: _Call, id: str) -> bool:
    """Whether a fragment with a name begins another call than the one that it would belong to."""
    if id and call.id:
        return id != call.id
    return bool(call.name) and isinstance(json_of(call.text), dict)


def json_of(text: str | bytes) -> object:
    """What it says; something that is no JSON value where it is none. The error, which quotes all of it, stays here."""
    try:
        value: object = json.loads(text)
    except (ValueError, RecursionError):
        return _NOTHING
    return value


def error_words(value: object) -> str:
    """What a server's error says, in whichever of the shapes that are about; ``""`` where it is in none."""
    for _ in range(3):
        if isinstance(value, str):
            return value
        if isinstance(value, list) and value:  # Gemini
            value = value[0]
        elif isinstance(value, dict):
            value = value.get("error") or value.get("message") or value.get("detail")
    return value if isinstance(value, str) else ""


def _told(value: dict[str, Any], clean: Callable[[str], str]) -> ProviderFailed:
    """An error that was sent in place of more."""
    error = value.get("error") or value
    words = clean(error_words(value)) or "no words"
    names = [error.get("code"), error.get("type")] if isinstance(error, dict) else []
    known = [str(name) for name in names]
    codes = [_STATUS_OF.get(name) or (int(name) if re.fullmatch("[0-9]{3}", name) else 0) for name in known]
    status = next((code for code in codes if 400 <= code <= 599), None)
    return ProviderFailed("llm", f"the server reports an error: {words}", status=status)


def _first_choice(value: dict[str, Any]) -> dict[str, Any] | None:
    choices = value.get("choices")
    if not isinstance(choices, list):
        return None
    return next((one for one in choices if isinstance(one, dict) and one.get("index") in (0, None)), None)


def _text_of(message: Mapping[str, Any]) -> str:
    """What is to be said. Mistral writes it in parts, of which some are for itself; OpenAI refuses in a field apart."""
    content = message.get("content") or message.get("refusal")
    if isinstance(content, list):
        texts = [part.get("text") for part in content if isinstance(part, dict) and part.get("type") == "text"]
        return "".join(text for text in texts if isinstance(text, str))
    return content if isinstance(content, str) else ""
