"""What servers answer, each a little differently: the same to whoever asked."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.wire.streams import cut, one_by_one
from voxtra_core.agent.providers import ModelItem, ToolCall
from voxtra_core.errors import ProviderFailed, one_line
from voxtra_core.providers import chat_answer
from voxtra_core.providers.chat_answer import StreamedAnswer, WholeAnswer, error_words

from .worlds import delta, sse


def read(pieces: Iterable[bytes]) -> list[ModelItem]:
    """All that a stream says, texts that follow each other as one."""
    answer = StreamedAnswer(one_line, "call_")
    items: list[ModelItem] = []

    def add(more: Iterable[ModelItem]) -> None:
        for item in more:
            if isinstance(item, str) and items and isinstance(last := items[-1], str):
                items[-1] = last + item
            else:
                items.append(item)

    for piece in pieces:
        if not answer.is_done:
            add(answer.receive(piece))
    if not answer.is_done:
        add(answer.finish())
    assert answer.is_done
    return items


def whole(value: object) -> list[ModelItem]:
    answer = WholeAnswer(one_line, "call_")
    data = json.dumps(value).encode()
    assert list(answer.receive(data[:5])) == list(answer.receive(data[5:])) == []
    return list(answer.finish())


def fragment(index: int | None = 0, id: str | None = None, name: str | None = None, arguments: Any = None) -> Any:
    """A piece of a tool call."""
    function = {key: value for key, value in (("name", name), ("arguments", arguments)) if value is not None}
    found = {"index": index, "id": id, "type": "function", "function": function}
    return {key: value for key, value in found.items() if value is not None}


def calling(*deltas: list[Any], finish: str = "tool_calls") -> list[ToolCall]:
    """The calls in a stream of such pieces."""
    items = read(one_by_one(sse(*(delta(tool_calls=fragments) for fragments in deltas), delta(finish=finish))))
    calls = [item for item in items if isinstance(item, ToolCall)]
    assert calls == items
    return calls


def said(call: ToolCall) -> tuple[str, str, dict[str, Any]]:
    assert call.error is None
    return call.id, call.name, dict(call.arguments)


# ---- text ------------------------------------------------------------------------------------------------------------

GREETING = sse(
    delta("", role="assistant"), delta("Hello"), delta(", Gr\u00fc\u00dfe"), delta("!"), delta(finish="stop")
)


@given(cut(st.just(GREETING)))
def test_a_text_in_any_pieces(stream: tuple[bytes, list[bytes]]) -> None:
    assert read(stream[1]) == read(one_by_one(stream[0])) == ["Hello, Gr\u00fc\u00dfe!"]


def test_pieces_come_at_once() -> None:
    answer = StreamedAnswer(one_line, "call_")
    assert list(answer.receive(sse(delta("one"), done=False))) == ["one"]
    assert list(answer.receive(sse(delta("two"), done=False))) == ["two"]


@pytest.mark.parametrize(
    "stream",
    [
        sse(delta("hi"), done=True),  # llama.cpp of old: no reason
        sse(delta("hi"), delta(finish="stop"), done=False),  # no [DONE]
        sse(delta("hi", finish="stop"), done=False),  # all in one
        sse(delta("hi"), delta(finish="eos_token"), done=False),
        sse({"choices": [], "prompt_filter_results": []}, delta("hi"), delta(finish="stop")),  # Azure
        sse(delta("hi"), delta(finish="stop"), {"choices": [], "usage": {}}),  # stream_options
        sse(delta("hi"), {"choices": None}, {"object": "x"}),
        sse(delta("h"), {"choices": [{"delta": {"content": "no"}, "index": 1}]}, delta("i")),  # n=2
        sse({"choices": [{"delta": {"content": "hi"}}]}),
        sse({"choices": [{"delta": None, "message": {"content": "hi"}}]}),
        sse(delta(content=None, refusal="hi")),
        sse({"choices": [{"delta": {"content": [{"type": "thinking"}, {"type": "text", "text": "hi"}]}}]}),
        b": OPENROUTER PROCESSING\n\n" + sse(delta("hi")),
        sse(delta("hi", reasoning_content="hm")),
        sse(delta("hi")) + sse(delta("after the end"), "{"),
    ],
)  # fmt: skip
def test_what_servers_write_for_hi(stream: bytes) -> None:
    assert read([stream]) == read(one_by_one(stream)) == ["hi"]


# ---- tools -----------------------------------------------------------------------------------------------------------


def test_calls_in_fragments_several_at_a_time() -> None:
    calls = calling(
        [fragment(0, "call_a", "book", "")],
        [fragment(0, arguments='{"ta')],
        [fragment(1, "call_b", "sms", '{"to"')],
        [fragment(0, arguments='ble": 2}'), fragment(1, arguments=': "\u00fc"}')],
    )
    assert [said(call) for call in calls] == [("call_a", "book", {"table": 2}), ("call_b", "sms", {"to": "\u00fc"})]


@pytest.mark.parametrize("finish", ["stop", "tool_calls", "function_call", "length"])
def test_the_reason_does_not_matter(finish: str) -> None:
    assert said(*calling([fragment(0, "a", "book", "{}")], finish=finish)) == ("a", "book", {})


@pytest.mark.parametrize(
    "deltas",
    [
        # Ollama: the same number for all, each whole
        [[fragment(0, "a", "one", '{"x": 1}')], [fragment(0, "b", "two", "{}")]],
        [[fragment(0, "a", "one", '{"x": 1}'), fragment(0, "b", "two", "{}")]],
        # no numbers (Gemini), and in fragments
        [[fragment(None, "a", "one", '{"x": 1}'), fragment(None, "b", "two", "{}")]],
        [[fragment(None, "a", "one", '{"x"')], [fragment(None, arguments=": 1}")], [fragment(None, "b", "two")]],
        [[fragment(None, "a", "one", '{"x"')], [fragment(None, "a", arguments=": 1}")], [fragment(None, "b", "two")]],
        # the name in each fragment
        [[fragment(0, "a", "one", '{"x"')], [fragment(0, "a", "one", ": 1}")], [fragment(1, "b", "two", "{}")]],
        # another id in each fragment (vLLM)
        [[fragment(0, "a", "one", '{"x"')], [fragment(0, "zzz", arguments=": 1}")], [fragment(1, "b", "two", "")]],
        # arguments that are no text
        [[fragment(0, "a", "one", {"x": 1})], [fragment(1, "b", "two", {})]],
    ],
)
def test_what_servers_write_for_two_calls(deltas: list[list[Any]]) -> None:
    assert [said(call) for call in calling(*deltas)] == [("a", "one", {"x": 1}), ("b", "two", {})]


@pytest.mark.parametrize(
    "deltas",
    [
        [[fragment(None, name="one"), fragment(None, name="two")]],
        [[fragment(0, "", "one", "{}")], [fragment(0, "", "two", "{}")]],
        [[fragment(0, name="one"), fragment(1, name="two")]],
    ],
)
def test_calls_without_ids_get_some(deltas: list[list[Any]]) -> None:
    assert [said(call) for call in calling(*deltas)] == [("call_1", "one", {}), ("call_2", "two", {})]


def test_what_there_was_before_tools() -> None:
    stream = sse(
        delta(function_call={"name": "book", "arguments": ""}),
        delta(function_call={"arguments": '{"a": 1}'}),
        delta(finish="function_call"),
    )
    assert said(*[item for item in read([stream]) if isinstance(item, ToolCall)]) == ("call_1", "book", {"a": 1})


@pytest.mark.parametrize("arguments", ['{"a": ', "[1]", "nonsense", '{"a": 1}}'])
def test_arguments_that_are_none_are_told_to_the_model(arguments: str) -> None:
    (call,) = calling([fragment(0, "a", "book", arguments)])
    assert call.error is not None
    assert dict(call.arguments) == {}
    assert call.text == arguments


def test_calls_come_when_the_model_has_ended_not_when_the_stream_has() -> None:
    answer = StreamedAnswer(one_line, "call_")
    stream = sse(delta(tool_calls=[fragment(0, "a", "book", "{}")]), delta(finish="tool_calls"), done=False)
    assert [type(item) for item in answer.receive(stream)] == [ToolCall]
    assert list(answer.receive(sse())) == []


# ---- as a whole ------------------------------------------------------------------------------------------------------


def test_an_answer_as_a_whole() -> None:
    calls = [fragment(None, "a", "one", '{"x": 1}'), fragment(None, None, "two"), fragment(None, None, "two")]
    message = {"role": "assistant", "content": "hi", "tool_calls": calls}
    text, *found = whole({"choices": [{"message": message, "finish_reason": "stop"}]})
    assert text == "hi"
    assert [said(call) for call in found if isinstance(call, ToolCall)] == [
        ("a", "one", {"x": 1}),
        ("call_2", "two", {}),
        ("call_3", "two", {}),
    ]


@pytest.mark.parametrize("value", [[], {}, {"choices": []}, {"choices": [{"message": "hi"}]}, {"choices": {}}, 7])
def test_one_that_is_none(value: object) -> None:
    with pytest.raises(ProviderFailed, match="no chat completion"):
        whole(value)


def test_one_that_is_cut_short() -> None:
    answer = WholeAnswer(one_line, "call_")
    assert list(answer.receive(b"{")) == []
    with pytest.raises(ProviderFailed, match="web: lost"):
        list(answer.finish(ProviderFailed("web", "lost")))


# ---- what goes wrong -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stream", "part", "words"),
    [
        (b"", "web", "ended before it was complete"),
        (sse(delta("hi"), done=False), "web", "ended before it was complete"),
        (sse(delta(tool_calls=[fragment(0, "a", "b", "{}")]), done=False), "web", "ended before it was complete"),
        (sse("nonsense"), "llm", "no JSON object: nonsense"),
        (sse("[]"), "llm", "no JSON object"),
        (sse("{" * 100_000), "llm", "no JSON object"),
        (sse({"choices": [{"delta": "hi"}]}), "llm", "a delta that is no object"),
        (sse(delta(tool_calls=7)), "llm", "no list"),
        (sse(delta(tool_calls=["x"])), "llm", "no object"),
        (sse(delta(tool_calls=[{"index": 0, "function": 7}])), "llm", "no object"),
        (sse(delta(tool_calls=[fragment(0, name="x", arguments=7)])), "llm", "no text"),
        (sse(delta(tool_calls=[{"index": [], "function": {"name": "x"}}])), "llm", "no number"),
        (sse(delta(tool_calls=[fragment(0, "a")])), "llm", "without a name"),
        (sse(delta("hi"), {"error": {"message": "boom", "type": "x"}}), "llm", "an error: boom"),
        (sse({"error": "boom"}), "llm", "an error: boom"),
        (sse({"object": "error", "message": "boom", "code": 400}), "llm", "an error: boom"),
        (b"event: error\n" + sse({"message": "boom"}), "llm", "an error: boom"),
        (sse({"error": {}, "choices": []}, {"error": {"weird": 1}}), "llm", "an error: no words"),
    ],
)
def test_what_goes_wrong_in_mid_stream(stream: bytes, part: str, words: str) -> None:
    for pieces in ([stream], one_by_one(stream) if len(stream) < 1000 else [stream]):
        with pytest.raises(ProviderFailed, match=words) as caught:
            read(pieces)
        assert caught.value.part == part
        assert caught.value.__context__ is None


@pytest.mark.parametrize(
    ("error", "status"),
    [
        ({"code": 429, "message": "x"}, 429),
        ({"code": "503"}, 503),
        ({"type": "server_error"}, 500),
        ({"code": "rate_limit_exceeded", "type": "tokens"}, 429),
        ({"code": True, "type": None}, None),
        ({"code": 7}, None),
        ({"code": ["x"], "type": "invalid_request_error"}, None),
    ],
)
def test_which_status_it_would_have_been(error: dict[str, Any], status: int | None) -> None:
    with pytest.raises(ProviderFailed) as caught:
        read([sse({"error": error})])
    assert caught.value.status == status


def test_what_is_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ProviderFailed, match="more than 128 tool calls"):
        calling([fragment(index, f"{index}", "x") for index in range(129)])
    monkeypatch.setattr(chat_answer, "MAX_ARGUMENTS", 10)
    with pytest.raises(ProviderFailed, match="more than 10 characters of arguments"):
        calling([fragment(0, "a", "x", "123456")], [fragment(0, arguments="78901")])
    monkeypatch.setattr(chat_answer, "MAX_BODY", 10)
    with pytest.raises(ProviderFailed, match="more than 10 bytes"):
        whole("a long answer")
    with pytest.raises(ProviderFailed, match="a line of more than"):
        read([b"data: " + b"x" * 1024 * 1024])


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"error": {"message": "boom"}}, "boom"),
        ({"error": "boom"}, "boom"),
        ({"message": "boom"}, "boom"),
        ({"detail": "boom"}, "boom"),
        ([{"error": {"code": 400, "message": "boom"}}], "boom"),
        ({"detail": [{"msg": "boom"}]}, ""),
        ({"error": {"message": {"message": "boom"}}}, "boom"),
        (7, ""),
        ([], ""),
        (None, ""),
    ],
)
def test_the_words_of_an_error(value: object, words: str) -> None:
    assert error_words(value) == words


MEMBERS = (
    "choices delta message content index tool_calls function name arguments id error finish_reason code type".split()
)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(MEMBERS), inner, max_size=4),
    max_leaves=20,
)


@given(value=anything)
@pytest.mark.parametrize("ask", [lambda value: read([sse(json.dumps(value))]), whole], ids=["streamed", "whole"])
def test_whatever_comes_it_is_said_or_failed(ask: Callable[[object], list[ModelItem]], value: object) -> None:
    try:
        items = ask(value)
    except ProviderFailed:
        return
    assert "" not in items
