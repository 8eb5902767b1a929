"""The agent of rules: the first that fits answers, the same always, whatever the history holds."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxtra_core.agent.providers import Message, ModelItem, ToolCall, ToolSpec
from voxtra_core.providers.local import Rule, RuleBasedModel

BOOK = ToolSpec("book", "Books an appointment", {"type": "object", "properties": {"day": {"type": "string"}}})
MODEL = RuleBasedModel(
    [
        Rule(r"\b(?:open|opening hours)\b", "We are open from nine to five."),
        Rule(r"my name is (?P<name>\w+)(?: (\w+))?", "Hello, {name} {2}{nobody}."),
        Rule(r"appointment on (\w+day)", "One moment.", call="book", arguments={"day": "{1}", "minutes": 20}),
        Rule(r"appointment", "I cannot book now."),
        Rule(r"^no\b", "There is nothing free.", after="book"),
        Rule(r"", "It is made: {result}.", after="book"),
    ],
    fallback="Sorry?",
)


def user(text: str) -> Message:
    return {"role": "user", "content": text}


def said(*history: Message, tools: Sequence[ToolSpec] = (BOOK,)) -> list[ModelItem]:
    return list(MODEL(history, tools))


def result_of(tool: str, content: Any) -> list[Message]:
    call = {"id": "1", "type": "function", "function": {"name": tool, "arguments": "{}"}}
    return [
        user("An appointment on Friday"),
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "1", "content": content},
    ]


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("When are you OPEN?", "We are open from nine to five."),
        ("my name is Ann Lee", "Hello, Ann Lee{nobody}."),
        ("My name is Ann.", "Hello, Ann {nobody}."),
        ("my name is {result}", "Sorry?"),
        ("an appointment", "I cannot book now."),
        ("what?", "Sorry?"),
        ("", "Sorry?"),
    ],
)
def test_the_first_rule_that_fits_answers(text: str, answer: str) -> None:
    assert said(user(text)) == [answer]


def test_what_was_said_last_counts() -> None:
    assert said(user("open?"), {"role": "assistant", "content": "Yes."}, user("what?")) == ["Sorry?"]


def test_a_rule_may_use_a_tool_that_is_there() -> None:
    answer, call = said(user("An appointment on Friday, please"))
    assert answer == "One moment."
    assert isinstance(call, ToolCall)
    assert (call.name, call.arguments) == ("book", {"day": "Friday", "minutes": 20})
    assert said(user("An appointment on Friday, please"), tools=()) == ["I cannot book now."]


def test_calls_of_one_history_have_ids_of_their_own() -> None:
    first = said(user("appointment on Friday"))[1]
    assert isinstance(first, ToolCall)
    called = {"id": first.id, "type": "function", "function": {"name": "book", "arguments": "{}"}}
    for history in (
        [{"role": "assistant", "tool_calls": [called]}, user("appointment on Monday")],
        [user("appointment on Monday") | {"tool_calls": [called]}],
    ):
        again = said(*history)[1]
        assert isinstance(again, ToolCall)
        assert again.id != first.id


def test_a_tools_result_has_rules_of_its_own() -> None:
    assert said(*result_of("book", "Friday at ten")) == ["It is made: Friday at ten."]
    assert said(*result_of("book", "no appointment is open")) == ["There is nothing free."]
    assert said(*result_of("weather", "open sky")) == ["open sky"]
    assert said(*result_of("weather", "")) == ["Sorry?"]


def test_a_caller_who_speaks_after_a_result_is_answered() -> None:
    assert said(*result_of("book", "Friday"), user("open?")) == ["We are open from nine to five."]


def test_content_may_come_in_parts() -> None:
    parts = [{"type": "text", "text": "are you"}, {"type": "text", "text": "open"}]
    assert said({"role": "user", "content": parts}) == ["We are open from nine to five."]


@given(
    st.lists(
        st.fixed_dictionaries(
            {"role": st.sampled_from(["user", "assistant", "tool", "system", "x"])},
            optional={
                "content": st.none() | st.text() | st.lists(st.text()) | st.integers(),
                "tool_call_id": st.none() | st.text(max_size=2),
                "tool_calls": st.none() | st.just([]) | st.just([{"id": ""}]),
            },
        )
    )
)
def test_whatever_the_history_holds_there_is_one_answer_and_always_the_same(history: list[Message]) -> None:
    before = [dict(message) for message in history]
    answer = said(*history)
    assert answer
    assert answer == said(*history)
    assert history == before


def test_a_rule_that_does_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="answer"):
        Rule("hello")
    with pytest.raises(re.error):
        Rule("(", "hello")
