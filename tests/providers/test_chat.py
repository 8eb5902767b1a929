"""The chat model on a scripted web: what it asks, when it asks again, and that nobody is ever shown its key."""

from __future__ import annotations

import json
import logging
import traceback
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from voxtra_core.agent.providers import Attachable, Message, Model, ModelItem, ToolCall, ToolSpec, part_for_a_call
from voxtra_core.errors import AgentNotConfigured, LocalProtocolError, ProviderFailed
from voxtra_core.providers.chat import END_WAIT, MAX_WAIT, OpenAIChat

from .worlds import KEY, DeadWeb, Reply, ScriptedWeb, World, delta, sse

pytestmark = pytest.mark.anyio

MESSAGES: list[Message] = [
    {"role": "system", "content": "Be kind."},
    {"role": "user", "content": "Hallo, Gr\u00fc\u00dfe"},
]
TOOL = ToolSpec("book", "Books a table.", {"type": "object", "properties": {"n": {"type": "integer"}}})
HI = sse(delta("hi"), delta(finish="stop"))
REFUSED = ProviderFailed("web", "no connection to api.example:443: connection refused")


async def said(
    model: OpenAIChat, messages: Sequence[Message] = MESSAGES, tools: Sequence[ToolSpec] = ()
) -> list[ModelItem]:
    return [item async for item in model(messages, tools)]


def attached(web: ScriptedWeb, *, retries: int = 2, **options: Any) -> tuple[OpenAIChat, World]:
    model = OpenAIChat("gpt-x", base_url="https://api.example/v1", api_key=KEY, retries=retries, **options)
    world = World(web)
    return model.attach(world), world


# ---- what it asks ----------------------------------------------------------------------------------------------------


async def test_a_question_and_its_answer() -> None:
    reply = Reply(HI)
    web = ScriptedWeb(reply)
    model, _ = attached(web, temperature=0.5, max_tokens=100, extra={"seed": 7}, connect_timeout=3.0, idle_timeout=4.0)
    assert await said(model, tools=[TOOL]) == ["hi"]
    (request,) = web.requests
    assert (request.method, request.url) == ("POST", "https://api.example/v1/chat/completions")
    assert dict(request.headers)["Authorization"] == f"Bearer {KEY}"
    assert (request.connect_timeout, request.idle_timeout) == (3.0, 4.0)
    function = {"name": "book", "description": "Books a table.", "parameters": TOOL.parameters}
    assert web.body == {
        "model": "gpt-x",
        "messages": MESSAGES,
        "stream": True,
        "tools": [{"type": "function", "function": function}],
        "temperature": 0.5,
        "max_tokens": 100,
        "seed": 7,
    }
    assert reply.left == ["finish", "close"]


async def test_what_is_not_given_is_not_sent() -> None:
    web = ScriptedWeb(Reply(HI))
    model, _ = attached(web)
    await said(model)
    assert set(web.body) == {"model", "messages", "stream"}


async def test_an_answer_that_is_not_streamed() -> None:
    body = json.dumps({"choices": [{"message": {"content": "hi"}}]}).encode()
    web = ScriptedWeb(Reply(body[:7], body[7:], kind="application/json; charset=utf-8"))
    model, _ = attached(web, extra={"stream": False})
    assert await said(model) == ["hi"]
    assert web.body["stream"] is False


async def test_made_up_ids_differ_from_turn_to_turn() -> None:
    call = {"index": 0, "function": {"name": "book", "arguments": "{}"}}
    web = ScriptedWeb(*(Reply(sse(delta(tool_calls=[call], finish="stop"))) for _ in range(2)))
    model, _ = attached(web)
    assert await said(model) == [ToolCall("call_2_1", "book", text="{}")]
    assert await said(model, [*MESSAGES, MESSAGES[1]]) == [ToolCall("call_3_1", "book", text="{}")]


async def test_it_reads_no_further_than_the_end() -> None:
    reply = Reply(HI, b"data: {\n\n", error=ProviderFailed("web", "late"))
    model, _ = attached(ScriptedWeb(reply))
    assert await said(model) == ["hi"]
    assert reply.taken == 1


async def test_when_the_model_has_ended_its_server_has_a_moment() -> None:
    """A new one, if it says more all the same; what says nothing is none."""
    pieces = [
        sse(delta("one"), done=False),
        sse(delta("two", finish="stop"), done=False),
        b": ping\n\n",
        sse(delta("three", finish="stop"), done=False),
        sse({"choices": [], "usage": {}}, done=False),
    ]
    for error in (None, ProviderFailed("web", "it had not ended in time")):
        reply = Reply(*pieces, error=error)
        model, _ = attached(ScriptedWeb(reply))
        assert await said(model) == ["one", "two", "three"]
        assert reply.limits == [END_WAIT] * 2
        assert reply.left == ["finish", "close"]


async def test_who_has_heard_enough_tells_the_server_to_stop() -> None:
    reply = Reply(sse(delta("one"), done=False), sse(delta("two")))
    model, _ = attached(ScriptedWeb(reply))
    answer = model(MESSAGES, ())
    assert await anext(answer) == "one"
    assert reply.left == []
    await answer.aclose()
    assert reply.left == ["close"]


async def test_a_history_that_json_cannot_carry() -> None:
    model, _ = attached(ScriptedWeb())
    for content in (object(), float("nan")):
        with pytest.raises(ProviderFailed, match="llm: JSON cannot carry"):
            await said(model, [{"role": "user", "content": content}])


# ---- where, and with which key ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "environ", "url", "key"),
    [
        ({"api_key": "a"}, {}, "https://api.openai.com/v1/chat/completions", "a"),
        ({"api_key": " a\n"}, {"VOXTRA_LLM_API_KEY": "b"}, "https://api.openai.com/v1/chat/completions", "a"),
        ({}, {"VOXTRA_LLM_API_KEY": "b\n", "OPENAI_API_KEY": "c"}, "https://api.openai.com/v1/chat/completions", "b"),
        ({}, {"OPENAI_API_KEY": "c"}, "https://api.openai.com/v1/chat/completions", "c"),
        ({"base_url": "http://localhost:11434/v1/"}, {}, "http://localhost:11434/v1/chat/completions", None),
        ({}, {"VOXTRA_LLM_BASE_URL": "http://a", "OPENAI_BASE_URL": "http://b"}, "http://a/chat/completions", None),
        ({}, {"OPENAI_BASE_URL": "http://b"}, "http://b/chat/completions", None),
        ({"base_url": "http://a"}, {"VOXTRA_LLM_BASE_URL": "http://b"}, "http://a/chat/completions", None),
        ({"base_url": "http://a/v1?version=1"}, {}, "http://a/v1/chat/completions?version=1", None),
        ({"base_url": "http://a"}, {"OPENAI_API_KEY": "c"}, "http://a/chat/completions", None),
        ({"base_url": "http://a"}, {"VOXTRA_LLM_API_KEY": "c"}, "http://a/chat/completions", "c"),
        ({}, {"VOXTRA_LLM_BASE_URL": "http://a", "OPENAI_API_KEY": "c"}, "http://a/chat/completions", None),
        ({}, {"OPENAI_BASE_URL": "http://b", "OPENAI_API_KEY": "c"}, "http://b/chat/completions", "c"),
        ({"base_url": "http://a", "api_key": ""}, {"OPENAI_API_KEY": "c"}, "http://a/chat/completions", None),
    ],
)  # fmt: skip
async def test_where_it_asks(options: dict[str, str], environ: dict[str, str], url: str, key: str | None) -> None:
    web = ScriptedWeb(Reply(HI))
    model = OpenAIChat("gpt-x", **options)  # type: ignore[arg-type]
    await said(model.attach(World(web, environ)))
    assert web.requests[0].url == url
    assert dict(web.requests[0].headers).get("Authorization") == (f"Bearer {key}" if key else None)


def test_openai_wants_a_key() -> None:
    with pytest.raises(AgentNotConfigured, match=r"no key for api\.openai\.com: give OpenAIChat an api_key, or set"):
        OpenAIChat("gpt-x").attach(World(DeadWeb()))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"model": ""}, "model must be"),
        ({"base_url": "s3cret"}, "base_url must begin with"),
        ({"base_url": "https://user:s3cret@host"}, "hold no user or password"),
        ({"base_url": "https://host:s3cret"}, "base_url must begin with"),
        ({"api_key": "s3cret value"}, "api_key must be a key"),
        ({"api_key": "s3cret\r\nX: y"}, "api_key must be a key"),
        ({"api_key": "s3cret\u2026"}, "api_key must be a key"),
        ({"connect_timeout": 0}, "connect_timeout must be above 0"),
        ({"idle_timeout": float("nan")}, "idle_timeout must be above 0"),
        ({"retries": -1}, "retries must be 0 or more"),
    ],
)
def test_what_cannot_be(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        OpenAIChat(**{"model": "gpt-x", **options})
    assert "s3cret" not in "".join(traceback.format_exception(caught.value))
    assert caught.value.__context__ is None


@pytest.mark.parametrize("environ", [{"VOXTRA_LLM_BASE_URL": "ftp://s3cret"}, {"OPENAI_API_KEY": "s3 cret"}])
def test_what_cannot_be_in_the_environment(environ: Mapping[str, str]) -> None:
    with pytest.raises(AgentNotConfigured, match=next(iter(environ))) as caught:
        OpenAIChat("gpt-x").attach(World(DeadWeb(), environ))
    assert "cret" not in str(caught.value)


async def test_it_has_to_be_attached_first() -> None:
    with pytest.raises(LocalProtocolError, match="attach"):
        await said(OpenAIChat("gpt-x"))


async def test_one_serves_two_applications() -> None:
    """Each over its own network, and with its own key."""
    webs = [ScriptedWeb(Reply(HI)), ScriptedWeb(Reply(HI))]
    model = OpenAIChat("gpt-x")
    for model_there in [model.attach(World(web, {"OPENAI_API_KEY": f"key-{n}"})) for n, web in enumerate(webs)]:
        assert await said(model_there) == ["hi"]
    keys = [[dict(request.headers)["Authorization"] for request in web.requests] for web in webs]
    assert keys == [["Bearer key-0"], ["Bearer key-1"]]


def test_it_is_a_part_that_serves_all_calls() -> None:
    model = OpenAIChat("gpt-x")
    part: Model = model
    assert isinstance(model, Attachable)
    assert part_for_a_call(part) is model


# ---- when it asks again ----------------------------------------------------------------------------------------------


def refusal(status: int, message: str = "no", headers: Mapping[str, str] | None = None) -> Reply:
    body = json.dumps({"error": {"message": message}}).encode()
    return Reply(body, status=status, headers=headers, kind="application/json")


CUT = ProviderFailed("web", "api.example:443 closed the connection in the middle of its reply")
DATES = {"date": "Sun, 06 Nov 1994 08:49:37 GMT", "retry-after": "Sun, 06 Nov 1994 08:49:40 GMT"}


@pytest.mark.parametrize(
    ("first", "waits"),
    [
        ([REFUSED], [0.25]),
        ([REFUSED, REFUSED], [0.25, 0.5]),
        ([refusal(500)], [0.25]),
        ([refusal(503, headers={"retry-after": "2"})], [2.0]),
        ([refusal(429, headers={"retry-after": "1.5"}), refusal(429)], [1.5, 0.5]),
        ([refusal(429, headers={"retry-after": "100000"})], [MAX_WAIT]),
        ([refusal(429, headers=DATES)], [3.0]),
        ([refusal(429, headers={**DATES, "retry-after": DATES["date"]})], [0.0]),
        ([refusal(429, headers={"retry-after": DATES["retry-after"]})], [0.25]),  # without a date of its own
        ([refusal(429, headers={**DATES, "retry-after": "Sun, 31 Feb 1994 08:49:37 GMT"})], [0.25]),
        ([refusal(429, headers={**DATES, "retry-after": "Sun, 06 Foo 1994 08:49:37 GMT"})], [0.25]),
        ([refusal(429, headers={"retry-after": "-1"})], [0.25]),
        ([refusal(408)], [0.25]),
        ([Reply(error=CUT)], [0.25]),
        ([Reply(sse(delta(""), done=False))], [0.25]),
        ([Reply(b": ping\n\n", error=CUT)], [0.25]),
        ([Reply(sse({"error": {"message": "busy", "code": 503}}))], [0.25]),
    ],
)  # fmt: skip
async def test_what_may_pass_is_asked_again(first: list[Reply | ProviderFailed], waits: list[float]) -> None:
    web = ScriptedWeb(*first, Reply(HI))
    model, world = attached(web)
    assert await said(model) == ["hi"]
    assert world.slept == waits
    assert len({request.body for request in web.requests}) == 1
    for reply in first:
        if isinstance(reply, Reply):
            assert reply.left[-1] == "close"
            reply.left.clear()


async def test_but_not_for_ever() -> None:
    for retries in (0, 1, 3):
        web = ScriptedWeb(*[refusal(429, "slow down", {"retry-after": "7"}) for _ in range(retries + 1)])
        model, world = attached(web, retries=retries)
        with pytest.raises(ProviderFailed, match=r"api\.example answers 429: slow down") as caught:
            await said(model)
        assert (caught.value.part, caught.value.status, caught.value.retry_after) == ("llm", 429, 7.0)
        assert world.slept == [7.0] * retries


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (refusal(400, "bad"), "answers 400: bad – do the model and the options"),
        (refusal(401, "bad key"), "answers 401: bad key – give api_key, or set VOXTRA_LLM_API_KEY"),
        (refusal(403, "no"), "answers 403: no – may this key"),
        (refusal(404, "no"), "answers 404: no – is base_url right, and does this server have the model 'gpt-x'"),
        (refusal(422, "no"), "answers 422: no$"),
        (Reply(b"plain words\n", status=400, kind="text/plain"), "answers 400: plain words – "),
        (Reply(b"<html>s3cret</html>", status=404, kind="text/html"), "answers 404 – "),
        (Reply(status=302, kind="", headers={"location": "https://s3cret/"}), "answers 302 – it sends on to"),
        (Reply(b"{" * 100_000, status=400), "answers 400: '{{{{"),
        (Reply(b"half", status=400, error=CUT), "answers 400: half – "),
        (Reply(b"<html>", kind="text/html"), "answers with text/html: is base_url right"),
        (Reply(HI, headers={"content-encoding": "gzip"}), r"compresses its answer \(gzip\)"),
        (Reply(sse("nonsense")), "no JSON object: nonsense"),
        (Reply(sse({"error": {"message": "bad"}})), "an error: bad"),
        (Reply(b"data: " + b"x" * 2_000_000), "a line of more than"),
    ],
)
async def test_what_stays_is_told_at_once(reply: Reply, words: str) -> None:
    model, world = attached(ScriptedWeb(reply))
    with pytest.raises(ProviderFailed, match=words) as caught:
        await said(model)
    assert caught.value.part == "llm"
    assert len(str(caught.value)) < 600
    assert "s3cret" not in str(caught.value)
    assert world.slept == []
    assert reply.left[-1] == "close"
    reply.left.clear()


@pytest.mark.parametrize(
    "reply",
    [
        Reply(sse(delta("on"), done=False), error=CUT),
        Reply(sse(delta("on"), done=False)),
        Reply(sse(delta("on"), {"error": {"message": "busy", "code": 503}})),
    ],
)
async def test_nobody_hears_anything_twice(reply: Reply) -> None:
    model, world = attached(ScriptedWeb(reply))
    heard: list[ModelItem] = []

    async def listen() -> None:
        async for item in model(MESSAGES, ()):
            heard.append(item)  # noqa: PERF401 - what was heard before the error counts

    with pytest.raises(ProviderFailed) as caught:
        await listen()
    assert heard == ["on"]
    assert caught.value.part == "llm"
    assert world.slept == []


async def test_a_refusal_that_drips_is_not_read_for_ever() -> None:
    pieces = [b"x"] * 100
    reply = Reply(*pieces, status=400)
    web = ScriptedWeb(reply)
    model, world = attached(web)
    clock = iter(range(1000))
    world.time = lambda: float(next(clock))  # type: ignore[method-assign]
    with pytest.raises(ProviderFailed):
        await said(model)
    assert reply.taken < 10


# ---- the key ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [
        refusal(401, f"Incorrect API key provided: {KEY}."),
        refusal(400, "x" * 190 + KEY),
        Reply(f"who is {KEY}?".encode(), status=500, kind="text/plain"),
        Reply(b"x", kind=f"text/{KEY}"),
        Reply(sse({"error": {"message": f"{KEY} is too expensive"}})),
        Reply(sse(f"no JSON, but {KEY}")),
        Reply(sse({"choices": [{"delta": KEY}]})),
        Reply(json.dumps({"error": KEY}).encode(), kind="application/json"),
        ProviderFailed("web", f"something below says {KEY}"),
    ],
)
async def test_the_key_is_nowhere(answer: Reply | ProviderFailed, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    web = ScriptedWeb(answer)
    model, _ = attached(web, retries=0)
    with pytest.raises(ProviderFailed) as caught:
        await said(model)
    shown = [str(caught.value), repr(caught.value), "".join(traceback.format_exception(caught.value)), caplog.text]
    shown += [repr(model), repr(web.requests), repr(model._server)]
    assert caught.value.__cause__ is caught.value.__context__ is None
    for text in shown:
        assert KEY[:8] not in text


def test_a_repr_says_what_it_is() -> None:
    model, _ = attached(ScriptedWeb())
    assert repr(model) == "<OpenAIChat 'gpt-x' at api.example>"
    assert repr(OpenAIChat("gpt-x", base_url="https://host/?key=s3cret", api_key=KEY)) == "<OpenAIChat 'gpt-x'>"
