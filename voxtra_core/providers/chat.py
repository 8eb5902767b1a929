"""A model over the network: whatever speaks OpenAI's chat completions, which are most."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from copy import copy
from datetime import UTC, datetime
from itertools import count
from typing import Any, Self
from urllib.parse import urlsplit

import attrs

from ..agent.providers import Message, ModelItem, ProviderWorld, ToolSpec
from ..agent.web import WebReply, WebRequest
from ..errors import AgentNotConfigured, LocalProtocolError, ProviderFailed, one_line
from .chat_answer import Answer, StreamedAnswer, WholeAnswer, error_words, json_of

__all__ = ["DEFAULT_BASE_URL", "OpenAIChat"]

DEFAULT_BASE_URL = "https://api.openai.com/v1"
_BASE_URLS = ["VOXTRA_LLM_BASE_URL", "OPENAI_BASE_URL"]
_KEYS = ["VOXTRA_LLM_API_KEY", "OPENAI_API_KEY"]

MAX_WAIT = 10.0
"""Seconds before another try, whatever the server asks for: somebody is on the telephone."""
FIRST_WAIT = 0.25
"""Seconds before the first other try where the server says nothing; twice as long before each further one."""
MAX_REFUSAL = 16 * 1024
"""Bytes of a refusal that are read, and"""
REFUSAL_TIME = 5.0
"""… seconds after which no more of it is."""
END_WAIT = 0.5
"""Seconds for the end of an answer whose model has said why it ended: some servers never send it, others say more."""

_MENDS = {
    400: "do the model and the options of OpenAIChat suit this server?",
    401: "give api_key, or set VOXTRA_LLM_API_KEY, to a key of this server",
    403: "may this key use this model, and from here?",
    404: "is base_url right, and does this server have the model {model!r}?",
    429: "the key's limit is used up for now, or its credit is",
}
_MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()
_HTTP_DATE = re.compile(r"[A-Za-z]{3}, (\d{2}) ([A-Za-z]{3}) (\d{4}) (\d{2}):(\d{2}):(\d{2}) GMT")
_SECONDS = re.compile(r"\d{1,9}(?:\.\d{1,9})?")


@attrs.frozen(repr=False)
class _Server:
    """Where requests go to, and with which key; made when the environment is known."""

    url: str
    place: str
    key: str

    def hide(self, text: str) -> str:
        """Without the key, should it be in there."""
        return text.replace(self.key, "***") if self.key else text

    def clean(self, text: str) -> str:
        """A server's words, fit to be shown: without the key, short, and on one line."""
        return one_line(self.hide(text))


class OpenAIChat:
    """A :data:`~voxtra_core.agent.providers.Model` over HTTP: ``llm=OpenAIChat("gpt-4.1-mini")``.

    It asks ``{base_url}/chat/completions`` and yields the answer while it comes: pieces of text, and the calls of
    tools as soon as each is complete. OpenAI, vLLM, llama.cpp, Ollama and most others answer to it. It keeps nothing
    from one time to the next, and may serve all calls.

    ``base_url`` is by default that of ``VOXTRA_LLM_BASE_URL`` or ``OPENAI_BASE_URL``, or else OpenAI's; ``api_key``
    that of ``VOXTRA_LLM_API_KEY``, or, where no other server is given, ``OPENAI_API_KEY``. It may be missing for a
    server that wants none; it is sent to that server, and shown nowhere. ``extra`` are more members of each request, or
    others in place of ours, as ``{"max_completion_tokens": 200}`` for OpenAI's models that reason, or
    ``{"stream": False}``.

    ``connect_timeout`` is in seconds, ``idle_timeout`` the seconds in which something has to come. A server that
    cannot be reached, breaks off, has too much to do (429) or fails (5xx) before it has said anything is asked again,
    up to ``retries`` times: when it asks to be (``Retry-After``), but after 10 seconds at the latest; else after 0.25
    seconds, 0.5, and so on. Once a piece of the answer has been handed out it is not: nobody shall hear it twice.

    What does not come raises :class:`~voxtra_core.errors.ProviderFailed`. To close the generator tells the server to
    stop.
    """

    def __init__(
        self,
        model: str,
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        temperature: float | None = None,
        max_tokens: int | None = None,
        extra: Mapping[str, Any] | None = None,
        connect_timeout: float = 10.0,
        idle_timeout: float = 30.0,
        retries: int = 2,
    ) -> None:
        if not model:
            raise ValueError("model must be the name of one, as the server calls it")
        for name, seconds in (("connect_timeout", connect_timeout), ("idle_timeout", idle_timeout)):
            if not seconds > 0:
                raise ValueError(f"{name} must be above 0 seconds, not {seconds!r}")
        if not retries >= 0:
            raise ValueError(f"retries must be 0 or more, not {retries!r}")
        self.model = model
        self._given_url = None if base_url is None else _checked_url("base_url", base_url)
        self._given_key = None if api_key is None else _checked_key("api_key", api_key)
        self._options = {"temperature": temperature, "max_tokens": max_tokens}
        self._extra = dict(extra or {})
        self._connect_timeout = connect_timeout
        self._idle_timeout = idle_timeout
        self._retries = retries
        self._world: ProviderWorld | None = None
        self._server: _Server | None = None

    def __repr__(self) -> str:
        where = f" at {self._server.place}" if self._server is not None else ""
        return f"<OpenAIChat {self.model!r}{where}>"

    def attach(self, world: ProviderWorld) -> Self:
        """The same model on this world, with what was missing from its environment; itself it may serve others.

        Raises :class:`~voxtra_core.errors.AgentNotConfigured` for what cannot be in it, and where OpenAI is to be asked
        and there is no key.
        """
        url, key = self._given_url, self._given_key
        given = [name for name in _BASE_URLS if world.environ.get(name)]
        if url is None and given:
            url = _found(given[0], world, _checked_url)
        # OpenAI's key is for OpenAI, or for whatever its own variable says is that
        is_openais = self._given_url is None and given[:1] != _BASE_URLS[:1]
        for name in _KEYS if is_openais else _KEYS[:1]:
            if key is None and world.environ.get(name):
                key = _found(name, world, _checked_key)
        url = url or DEFAULT_BASE_URL
        parts = urlsplit(url)
        if not key and url == DEFAULT_BASE_URL:
            raise AgentNotConfigured(
                f"no key for {parts.netloc}: give OpenAIChat an api_key, or set {' or '.join(_KEYS)}; for another "
                f"server give base_url, or set {' or '.join(_BASE_URLS)}"
            )
        target = parts._replace(path=f"{parts.path.rstrip('/')}/chat/completions", fragment="")
        own = copy(self)
        own._world, own._server = world, _Server(target.geturl(), parts.netloc, key or "")
        return own

    async def __call__(self, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> AsyncGenerator[ModelItem, None]:
        """The answer to a history."""
        world, server = self._world, self._server
        if world is None or server is None:
            raise LocalProtocolError("attach() it to an application first, and ask what that gives")
        request = self._request(server, messages, tools)
        for attempt in count():
            has_spoken = False
            try:
                reply = await world.web.fetch(request)
                try:
                    if not 200 <= reply.status < 300:
                        raise await self._refusal(reply, world, server)
                    answer = _answer_for(reply, server, prefix=f"call_{len(messages)}_")
                    pieces = aiter(reply)
                    is_limited = False
                    while not answer.is_done:
                        said_more = False
                        for item in await _next_items(pieces, answer):
                            has_spoken = said_more = True
                            yield item
                        if answer.is_complete and (said_more or not is_limited):
                            reply.limit(END_WAIT)
                            is_limited = True
                    reply.finish()
                finally:
                    reply.close()
                return
            except ProviderFailed as error:
                failure = error
            if has_spoken or attempt >= self._retries or not _may_pass(failure):
                raise _as_ours(failure, server)
            wait = FIRST_WAIT * 2**attempt if failure.retry_after is None else failure.retry_after
            await world.sleep(min(wait, MAX_WAIT))

    def _request(self, server: _Server, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> WebRequest:
        body: dict[str, Any] = {"model": self.model, "messages": list(messages), "stream": True}
        body |= {name: value for name, value in self._options.items() if value is not None}
        if tools:
            body["tools"] = [_function(tool) for tool in tools]
        body |= self._extra
        try:
            data = json.dumps(body, separators=(",", ":"), allow_nan=False).encode("ascii")
        except (TypeError, ValueError, RecursionError) as error:
            raise ProviderFailed("llm", f"JSON cannot carry the history, or the options: {error}") from None
        headers = [("Content-Type", "application/json"), ("Accept", "text/event-stream, application/json")]
        if server.key:
            headers.append(("Authorization", f"Bearer {server.key}"))
        return WebRequest(
            "POST",
            server.url,
            tuple(headers),
            data,
            connect_timeout=self._connect_timeout,
            idle_timeout=self._idle_timeout,
        )

    async def _refusal(self, reply: WebReply, world: ProviderWorld, server: _Server) -> ProviderFailed:
        """What it means that the server does not answer, in its words and ours."""
        body = bytearray()
        until = world.time() + REFUSAL_TIME
        with suppress(ProviderFailed):  # of one that is cut short the beginning will do
            async for piece in reply:
                body += piece
                if len(body) > MAX_REFUSAL or world.time() > until:
                    break
        words = error_words(json_of(bytes(body)))
        if not words and "html" not in _field(reply, "content-type"):
            words = body.decode("utf-8", "replace").strip()
        said = f": {server.clean(words)}" if words else ""
        status = reply.status
        mend = _MENDS.get(status, "")
        if 300 <= status < 400:
            mend = "it sends on to somewhere else, which is not followed: give base_url as it is there"
        hint = f" – {mend.format(model=self.model)}" if mend else ""
        return ProviderFailed(
            "llm",
            f"{server.place} answers {status}{said}{hint}",
            status=status,
            retry_after=_retry_after(reply),
        )


async def _next_items(pieces: AsyncIterator[bytes], answer: Answer) -> Iterator[ModelItem]:
    """What is in the next piece, or in what is left at the end."""
    try:
        return answer.receive(await anext(pieces))
    except StopAsyncIteration:
        return answer.finish()
    except ProviderFailed as error:
        return answer.finish(error)


def _function(tool: ToolSpec) -> dict[str, Any]:
    function = {"name": tool.name, "description": tool.description, "parameters": dict(tool.parameters)}
    return {"type": "function", "function": function}


def _answer_for(reply: WebReply, server: _Server, *, prefix: str) -> Answer:
    if (packed := _field(reply, "content-encoding").lower()) not in {"", "identity"}:
        raise ProviderFailed("llm", f"{server.place} compresses its answer ({server.clean(packed)}), unasked")
    kind = _field(reply, "content-type").partition(";")[0].strip().lower()
    if kind == "application/json":
        return WholeAnswer(server.clean, prefix)
    if kind in {"text/event-stream", "text/plain", ""}:
        return StreamedAnswer(server.clean, prefix)
    raise ProviderFailed("llm", f"{server.place} answers with {server.clean(kind)}: is base_url right?")


def _may_pass(failure: ProviderFailed) -> bool:
    """Whether it may be gone by the next time: the connection's failures, and those of a server with too much to do."""
    return failure.part == "web" or failure.status in {408, 429} or (failure.status or 0) >= 500


def _as_ours(failure: ProviderFailed, server: _Server) -> ProviderFailed:
    """Without the key, should it be in there, and of our part, whichever it is of below."""
    words = server.hide(str(failure).removeprefix(f"{failure.part}: "))
    return ProviderFailed("llm", words, status=failure.status, retry_after=failure.retry_after)


def _field(reply: WebReply, name: str) -> str:
    return next((value for found, value in reply.headers if found == name), "")


def _retry_after(reply: WebReply) -> float | None:
    """The seconds in ``Retry-After`` (RFC 9110, 10.2.3). A date in it is compared with the server's own ``Date``: whose
    clock is right does not matter then.
    """
    asked = _field(reply, "retry-after").strip()
    if _SECONDS.fullmatch(asked):
        return float(asked)
    until, now = _http_date(asked), _http_date(_field(reply, "date"))
    return max(0.0, (until - now).total_seconds()) if until is not None and now is not None else None


def _http_date(text: str) -> datetime | None:
    """As all who are not very old write it (RFC 9110, 5.6.7)."""
    found = _HTTP_DATE.fullmatch(text.strip())
    if found is None or found[2] not in _MONTHS:
        return None
    day, year, hour, minute, second = (int(found[number]) for number in (1, 3, 4, 5, 6))
    with suppress(ValueError):
        return datetime(year, _MONTHS.index(found[2]) + 1, day, hour, minute, min(second, 59), tzinfo=UTC)
    return None


def _found(name: str, world: ProviderWorld, checked: Callable[[str, str], str]) -> str:
    """What the environment has by this name."""
    try:
        return checked(name, world.environ[name])
    except ValueError as error:
        raise AgentNotConfigured(f"{error}") from None


def _checked_url(name: str, url: str) -> str:
    """It may hold a password, where that does not belong: what is wrong is told without it."""
    with suppress(ValueError):
        parts = urlsplit(url)
        if parts.scheme in {"http", "https"} and parts.hostname and "@" not in parts.netloc and parts.port != 0:
            return url
    raise ValueError(f"{name} must begin with https:// or http:// and a host, and hold no user or password")


def _checked_key(name: str, key: str) -> str:
    """Files and environments like to have a line's end behind it."""
    key = key.strip()
    if not (key.isascii() and key.isprintable() and " " not in key):
        raise ValueError(f"{name} must be a key: printable ASCII, without spaces")
    return key
