"""What a part is attached to, where nothing is real: replies are scripted, and time passes when somebody sleeps."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Self, TypeVar

from voxtra_core.agent import Web, WebReply, WebRequest
from voxtra_core.errors import ProviderFailed

__all__ = ["KEY", "DeadWeb", "Reply", "ScriptedWeb", "World", "chunk", "delta", "sse"]

T = TypeVar("T")

KEY = "sk-verysecret-0123456789"
Headers = Mapping[str, str]


class World:
    """A ``ProviderWorld``."""

    def __init__(self, web: Web, environ: Mapping[str, str] | None = None) -> None:
        self.web = web
        self.environ: Mapping[str, str] = environ or {}
        self.slept: list[float] = []
        self.now = 0.0

    def time(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def in_worker(self, function: Callable[[], T]) -> Awaitable[T]:
        raise NotImplementedError


class Reply:
    """A ``WebReply`` of these pieces, and then, if given, an error."""

    def __init__(
        self,
        *pieces: bytes,
        status: int = 200,
        headers: Headers | None = None,
        kind: str = "text/event-stream",
        error: ProviderFailed | None = None,
    ) -> None:
        self.status = status
        self.headers = (("content-type", kind), *(headers or {}).items())
        self.left: list[str] = []
        """What was done with it in the end."""
        self.limits: list[float] = []
        self.taken = 0
        self._pieces = pieces
        self._error = error

    def __aiter__(self) -> Self:
        self._left = list(self._pieces)
        return self

    async def __anext__(self) -> bytes:
        if self._left:
            self.taken += 1
            return self._left.pop(0)
        if self._error is not None:
            raise self._error
        raise StopAsyncIteration

    def limit(self, seconds: float) -> None:
        self.limits.append(seconds)

    def finish(self) -> None:
        self.left.append("finish")

    def close(self) -> None:
        self.left.append("close")


class ScriptedWeb:
    """A ``Web`` that answers with these, in order."""

    def __init__(self, *answers: Reply | ProviderFailed) -> None:
        self.requests: list[WebRequest] = []
        self._answers = list(answers)

    async def fetch(self, request: WebRequest) -> WebReply:
        self.requests.append(request)
        answer = self._answers.pop(0)
        if isinstance(answer, ProviderFailed):
            raise answer
        return answer

    @property
    def body(self) -> dict[str, Any]:
        """That of the last request."""
        body = json.loads(self.requests[-1].body)
        assert isinstance(body, dict)
        return body


class DeadWeb:
    """A ``Web`` that nobody may use."""

    async def fetch(self, request: WebRequest) -> WebReply:
        raise AssertionError("nothing is to be asked")


def delta(content: str | None = None, *, finish: str | None = None, **more: Any) -> dict[str, Any]:
    """A chunk of a chat completion."""
    body = {**({} if content is None else {"content": content}), **more}
    return {"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": body, "finish_reason": finish}]}


def chunk(value: Mapping[str, Any] | str) -> bytes:
    """One event."""
    return b"data: " + (value if isinstance(value, str) else json.dumps(value)).encode() + b"\n\n"


def sse(*values: Mapping[str, Any] | str | Sequence[Any], done: bool = True) -> bytes:
    """A stream of events."""
    texts = [*values, "[DONE]"] if done else values
    return b"".join(chunk(value) for value in texts if isinstance(value, str | Mapping))
