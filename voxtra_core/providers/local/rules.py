"""A model without a network: rules, the first of which that fits what was said answers it::

    model = RuleBasedModel(
        [
            Rule(r"\\b(?:open|opening hours)\\b", "We are open from nine to five."),
            Rule(r"\\bappointment on (?P<day>\\w+day)\\b", call="book", arguments={"day": "{day}"}),
            Rule(r".*", "The appointment is made: {result}.", after="book"),
        ],
        fallback="I'm sorry, I did not understand that.",
    )

To the same it always answers the same.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import count

import attrs

from ...agent.providers import Message, ModelItem, ToolCall, ToolSpec

__all__ = ["Rule", "RuleBasedModel"]


def compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)


@attrs.frozen
class Rule:
    """What to say, or which tool to use, about a text that a pattern is found in.

    In ``answer`` and in the strings of ``arguments``, ``{name}`` or ``{1}`` is what a group has matched, ``{text}`` all
    that was said, ``{result}`` what the tool gave. Whatever else stands between braces stays. Raises ``ValueError`` for
    a rule that does nothing, and ``re.error`` for what is no regular expression.
    """

    pattern: re.Pattern[str] = attrs.field(converter=compiled)
    """Looked for anywhere in it, whatever the case."""
    answer: str = ""
    call: str | None = attrs.field(default=None, kw_only=True)
    """The tool to use, where there is one of that name; where there isn't, the rule does not fit."""
    arguments: Mapping[str, object] = attrs.field(factory=dict, kw_only=True)
    after: str | None = attrs.field(default=None, kw_only=True)
    """The tool whose result this is about: the text is the result then. Without, what the caller has said."""

    def __attrs_post_init__(self) -> None:
        if not self.answer and self.call is None:
            raise ValueError("a rule needs an answer, or a tool to call")


class RuleBasedModel:
    """An ``llm``: rules in their order, and what to say where none fits.

    A tool's result that no rule is about is said as it is. It keeps nothing, and serves any number of calls.
    """

    def __init__(self, rules: Sequence[Rule], *, fallback: str = "I'm sorry, I did not understand that.") -> None:
        self.rules = tuple(rules)
        self.fallback = fallback

    def __call__(self, history: Sequence[Message], tools: Sequence[ToolSpec]) -> Iterator[ModelItem]:
        """What the first rule that fits the latest of the history has to say, and wants to be done."""
        text, tool = latest(history)
        there = {spec.name for spec in tools}
        for rule in self.rules:
            if rule.after != tool or (rule.call is not None and rule.call not in there):
                continue
            found = rule.pattern.search(text)
            if found is None:
                continue
            values = values_of(found, text)
            if rule.answer:
                yield filled(rule.answer, values)
            if rule.call is not None:
                arguments = {
                    name: filled(value, values) if isinstance(value, str) else value
                    for name, value in rule.arguments.items()
                }
                yield ToolCall(free_id(history), rule.call, arguments)
            return
        yield self.fallback if tool is None or not text else text


def latest(history: Sequence[Message]) -> tuple[str, str | None]:
    """What was said or found out last, and by which tool, if by one."""
    for message in reversed(history):
        if message.get("role") == "user":
            return text_of(message.get("content")), None
        if message.get("role") == "tool":
            return text_of(message.get("content")), tool_of(history, message.get("tool_call_id"))
    return "", None


def tool_of(history: Sequence[Message], call_id: object) -> str:
    """The name of the tool that was called so; ``""`` where nobody has."""
    for message in reversed(history):
        for call in message.get("tool_calls") or ():
            if call.get("id") == call_id:
                return str((call.get("function") or {}).get("name", ""))
    return ""


def free_id(history: Sequence[Message]) -> str:
    """One that no call of it has."""
    used = {call.get("id") for message in history for call in message.get("tool_calls") or ()}
    return next(name for number in count(len(history)) if (name := f"rule-{number}") not in used)


def text_of(content: object) -> str:
    """A message's content: a text, or a list of parts."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return " ".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return "" if content is None else json.dumps(content, ensure_ascii=False)


def values_of(found: re.Match[str], text: str) -> dict[str, str]:
    """What can stand between braces."""
    numbered = {str(number): value or "" for number, value in enumerate((found[0], *found.groups()))}
    named = {name: value or "" for name, value in found.groupdict().items()}
    return {"text": text, "result": text} | numbered | named


def filled(template: str, values: Mapping[str, str]) -> str:
    """A template with its braces filled, where they name something."""
    return re.sub(r"\{(\w+)\}", lambda brace: values.get(brace[1], brace[0]), template)
