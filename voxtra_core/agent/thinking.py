"""The model's turn: from the history to an answer, with the tools that it takes.

::

            the model is asked              it has said all
    ASKING ───────────────────▶ ANSWERING ──────────────────▶ OVER
       ▲                            │ it calls tools, which are run for it
       └──────── TOOLS ◀────────────┘

One answer is made at a time: a conversation has one owner.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from difflib import SequenceMatcher
from itertools import count

import attrs

from ..errors import LocalProtocolError, ProviderFailed, VoxtraError
from ..pending import Pending
from ..timers import Timers
from .commands import AskModel, Cancel, Command, RunTool
from .events import AgentResponseEvent, TurnTimes
from .options import Conversation
from .providers import Message, ModelItem, ToolCall, ToolSpec
from .words import words_of

__all__ = ["Response", "Thinker", "ToolRun", "cut_to", "is_made_of"]

BETWEEN = "\n\n"
"""What stands between the texts of two rounds: a new paragraph, so that the first is spoken while the tools run."""


LONGEST_ANSWER = 100_000
"""Characters, more than an hour of speech, after which a model is taken to have lost its way; and so it is with"""
MOST_CALLS = 100
"""… so many calls of tools in one round."""
UNREAD = "wait for that respond(), or close its respond_stream() if nobody reads that any more"
ENOUGH_WORDS = 200
"""Words by which it is told what a text is made of."""


@attrs.frozen
class ToolRun:
    """A tool that runs: an id alone does not say for which call, as models give one id again and again."""

    call: ToolCall
    message: Message
    """Of the history, which calls it."""


@attrs.define(eq=False)
class Response:
    """An answer of the model's, while it comes."""

    times: TurnTimes
    listeners: list[tuple[Callable[[str, float], object], Callable[[Exception | None, float], object]]] = attrs.field(
        factory=list, repr=False
    )
    """Who is told of each piece of text, and that there is no more."""
    finished: Pending[AgentResponseEvent] = attrs.field(factory=Pending)
    text: str = ""
    """All that it has said, through all rounds."""
    message: Message | None = None
    """The message of the history that keeps this round's text, once there is some."""
    messages: list[Message] = attrs.field(factory=list)
    """Those of all rounds."""
    calls: list[ToolCall] = attrs.field(factory=list)
    """This round's."""
    ask: int | None = None
    runs: dict[int, ToolRun] = attrs.field(factory=dict)
    """The tools that run for it."""
    rounds: int = 0
    is_said: bool = False
    """Whether it is spoken while it comes: then who speaks it knows what was heard of it."""
    dropped: Message | None = None
    """The message that the history keeps no more, as the answer came to no end and nobody has had it."""
    is_told: bool = False
    """Whether it is said in other words than its own: the history has what is heard of those, in its place."""
    is_abandoned: bool = False
    """Whether nobody wanted all of it."""
    is_over: bool = False

    @property
    def event(self) -> AgentResponseEvent:
        """What it has come to."""
        return AgentResponseEvent(self.text.rstrip("\n"), tuple(self.calls))

    def add(self, text: str, now: float) -> None:
        """It says more."""
        self.text += text
        for on_text, _ in self.listeners:
            on_text(text, now)


class Thinker:
    """Asks the model, keeps the history, and has tools run."""

    def __init__(
        self,
        options: Conversation,
        specs: Sequence[ToolSpec],
        *,
        send: Callable[[Command], object],
        new_number: Callable[[], int],
        on_over: Callable[[Response, Exception | None, float], object],
    ) -> None:
        self.history: list[Message] = []
        """What has passed between the two; the user's as much as ours."""
        self.timers = Timers()
        self.current: Response | None = None
        self._options = options
        self._specs = specs
        self._send = send
        self._new_number = new_number
        self._on_over = on_over
        self._awaited: list[tuple[Pending[None], set[int]]] = []
        self._left: dict[int, ToolRun] = {}  # tools that run for answers that nobody wants any more

    # ---- operations ------------------------------------------------------------------------------------------------

    def respond(self, text: str, response: Response, now: float) -> None:
        """One turn of the model, after this text of the user's; ``""`` to go on after tools, or to try again.

        Raises ``LocalProtocolError`` while another is under way, and where the history cannot be one.
        """
        if self.current is not None:
            under_way = "wait for that say(), or cancel it" if self.current.is_said else UNREAD
            raise LocalProtocolError(f"an answer is being made already, and a conversation has one owner: {under_way}")
        check_history(self.history)
        if text:
            self.history.append({"role": "user", "content": text})
        self.current = response
        self._ask(response, now)

    def add_tool_result(self, tool_id: str, result: str) -> None:
        """What a tool has come to. ``ValueError`` where no message of the history calls one of this id."""
        if not self._place_result(tool_id, result):
            raise ValueError(f"tool_id={tool_id!r}: no message of the history calls a tool of this id")

    def abandon(self, response: Response, now: float) -> None:
        """Nobody wants it any more. Tools that run for it run on, and what they come to is kept."""
        if not response.is_over:
            if response.ask is not None:
                self._send(Cancel(response.ask))
            self._left.update(response.runs)
            response.runs.clear()
            response.is_abandoned = True
            self._break_off(response)
            self._end(response, None, now)

    def has_left(self, run: int) -> bool:
        """Whether this is a tool that runs for an answer which nobody wants any more."""
        return run in self._left

    def wait_for_tools(self) -> Pending[None]:
        """Settled when those that run now have ended."""
        awaited = Pending[None]()
        self._awaited.append((awaited, self._running))
        self._tell_awaited()
        return awaited

    @property
    def _running(self) -> set[int]:
        return {*self._left, *(self.current.runs if self.current is not None else ())}

    def _tell_awaited(self) -> None:
        running = self._running
        for awaited, runs in self._awaited:
            if not runs & running:
                awaited.resolve(None)
        self._awaited = [(awaited, runs) for awaited, runs in self._awaited if not awaited.done]

    def will_be_said(self, response: Response) -> None:
        """Somebody speaks it, while it comes, or what there is of it."""
        response.is_said = True
        if response.dropped is not None:
            self.history.append(response.dropped)
            response.dropped = None

    def is_told_by(self, text: str, heard: str, response: Response) -> bool:
        """Whether this text was made of the answer. What was heard of it is in the answer's place then; of an answer
        under way that is not all, and the history leaves the rest to what will be said.
        """
        if response.is_told or not response.messages or not is_made_of(text, response.text):
            return False
        response.is_told = True
        response.message = None
        replace(heard, response.messages, self.history)
        return True

    def close(self, error: VoxtraError, now: float) -> None:
        """The call has ended."""
        if self.current is not None:
            self._break_off(self.current)
            self._end(self.current, error, now)
        self._left.clear()
        for awaited, _ in self._awaited:
            awaited.fail(error)
        self.timers.clear()

    # ---- what the model says, and the tools ------------------------------------------------------------------------

    def receive_item(self, ask: int, item: ModelItem, now: float) -> None:
        """A piece of text, or a call of a tool."""
        response = self._asked(ask)
        if response is None or not item:
            return
        if len(response.text) > LONGEST_ANSWER or len(response.calls) >= MOST_CALLS:
            self._send(Cancel(ask))
            self.receive_failure(ask, ProviderFailed("llm", "it does not come to an end"), now)
            return
        self._expect(response, now)
        if response.times.first_token is None:
            response.times.first_token = now
        if isinstance(item, ToolCall):
            response.calls.append(_with_own_id(item, response.calls))
        else:
            if not response.is_told:
                if response.message is None:
                    self._new_message(response, "")
                assert response.message is not None
                response.message["content"] += item
            response.add(item, now)

    def receive_end(self, ask: int, now: float) -> None:
        """It has said all, of this round."""
        response = self._asked(ask)
        if response is None:
            return
        response.ask = None
        self.timers.cancel("model")
        self._keep(response)
        calls = response.calls
        if not calls or not (self._specs and self._options.run_tools):
            self._end(response, None, now)
        elif response.rounds >= self._options.max_rounds:
            for call in calls:
                self._place_result(call.id, "not run: too many tools in one turn")
            self._end(response, ProviderFailed("llm", f"tools in more than {response.rounds} rounds of one turn"), now)
        else:
            response.rounds += 1
            if response.text and not response.text.endswith(BETWEEN):
                response.add(BETWEEN, now)
            for call in calls:
                if call.error is not None:
                    self._place_result(call.id, f"error: {call.error}")
                    continue
                number = self._new_number()
                assert response.message is not None
                response.runs[number] = ToolRun(call, response.message)
                self._send(RunTool(number, call))
                self.timers.set(number, now + self._options.tool_timeout, self._tool_late(number))
            self._next_round(response, now)

    def receive_failure(self, ask: int, error: Exception, now: float) -> None:
        """It has failed: what it had said is kept if it was spoken."""
        response = self._asked(ask)
        if response is not None:
            response.ask = None
            self._break_off(response)
            self._end(response, error, now)

    def receive_result(self, run: int, result: str, now: float) -> None:
        """What a tool has come to, or what it failed with, in words for the model."""
        response = self.current
        if run in self._left:
            self.timers.cancel(run)
            left = self._left.pop(run)
            self._place_result(left.call.id, result, left.message)
            self._tell_awaited()
        if response is None or run not in response.runs:
            return
        self.timers.cancel(run)
        over = response.runs.pop(run)
        self._place_result(over.call.id, result, over.message)
        self._tell_awaited()
        self._next_round(response, now)

    # ---- inside ----------------------------------------------------------------------------------------------------

    def _asked(self, ask: int) -> Response | None:
        response = self.current
        return response if response is not None and response.ask == ask else None

    def _ask(self, response: Response, now: float) -> None:
        response.ask = self._new_number()
        response.message, response.calls = None, []
        if response.times.asked_model is None:
            response.times.asked_model = now
        instructions = self._options.instructions
        system = [Message({"role": "system", "content": instructions})] if instructions else []
        self._send(AskModel(response.ask, [*system, *answered(self.history)], self._specs))
        self._expect(response, now)

    def _expect(self, response: Response, now: float) -> None:
        ask, timeout = response.ask, self._options.model_timeout
        assert ask is not None
        error = ProviderFailed("llm", f"nothing came for {timeout:g} s")

        def late(now: float) -> None:
            self._send(Cancel(ask))
            self.receive_failure(ask, error, now)

        self.timers.set("model", now + timeout, late)

    def _tool_late(self, number: int) -> Callable[[float], None]:
        def late(now: float) -> None:
            self._send(Cancel(number))
            self.receive_result(number, f"error: no result within {self._options.tool_timeout:g} s", now)

        return late

    def _next_round(self, response: Response, now: float) -> None:
        if response.runs:
            return
        try:
            check_history(self.history)  # tools may write into it
        except LocalProtocolError as error:
            self._end(response, error, now)
        else:
            self._ask(response, now)

    def _new_message(self, response: Response, content: str | None) -> None:
        response.message = {"role": "assistant", "content": content}
        response.messages.append(response.message)
        self.history.append(response.message)

    def _break_off(self, response: Response) -> None:
        """There is no more of this round: nobody has had what it said, unless it was spoken."""
        message = response.message
        if message is not None and not response.is_said and not message.get("tool_calls"):
            self.history[:] = [other for other in self.history if other is not message]
            response.dropped = message

    def _keep(self, response: Response) -> None:
        """Have the history say what this round has come to."""
        if response.calls:
            if response.message is None:
                self._new_message(response, None)
            assert response.message is not None
            response.message["tool_calls"] = [
                {
                    "id": call.id,
                    "type": "function",
                    "function": {"name": call.name, "arguments": call.arguments_text},
                }
                for call in response.calls
            ]

    def _place_result(self, tool_id: str, result: str, message: Message | None = None) -> bool:
        """Behind the message that calls it, or else the last that has this id, among the results that stand there, in
        the order of the calls.
        """
        wanted = message if any(message is other for other in self.history) else None
        for index in range(len(self.history) - 1, -1, -1):
            ids = call_ids(self.history[index])
            if tool_id not in ids or (wanted is not None and self.history[index] is not wanted):
                continue
            end = index + 1
            while end < len(self.history) and _is_result(self.history[end]):
                end += 1
            results = self.history[index + 1 : end]
            same = next((message for message in results if message.get("tool_call_id") == tool_id), None)
            if same is not None:
                same["content"] = result
                return True
            earlier = ids[: ids.index(tool_id)]
            before = sum(message.get("tool_call_id") in earlier for message in results)
            self.history.insert(index + 1 + before, {"role": "tool", "tool_call_id": tool_id, "content": result})
            return True
        return False

    def _end(self, response: Response, error: Exception | None, now: float) -> None:
        response.is_over = True
        self.current = None
        self.timers.cancel("model")
        for number in response.runs:
            self.timers.cancel(number)
        self._on_over(response, error, now)
        for _, on_end in response.listeners:
            on_end(error, now)
        if error is not None:
            response.finished.fail(error)
        else:
            response.finished.resolve(response.event)


def _with_own_id(call: ToolCall, earlier: Sequence[ToolCall]) -> ToolCall:
    """A call that its result can be told by: of those of one round no two have the same id."""
    ids = {other.id for other in earlier}
    numbered = (f"{call.id}_{number}" for number in count(2))
    return call if call.id not in ids else attrs.evolve(call, id=next(each for each in numbered if each not in ids))


def _is_result(message: object) -> bool:
    return isinstance(message, Mapping) and message.get("role") == "tool"


def call_ids(message: object) -> list[str]:
    """The ids of the tools that a message calls; it may be none, or no message at all."""
    calls = message.get("tool_calls") if isinstance(message, Mapping) else None
    if not isinstance(calls, list | tuple):
        return []
    return [call["id"] for call in calls if isinstance(call, Mapping) and isinstance(call.get("id"), str)]


def answered(history: Sequence[Message]) -> list[Message]:
    """A copy for the model, in which every call of a tool has a result: models refuse a history where one has not."""
    copy: list[Message] = []
    missing: list[str] = []
    for message in history:
        if message.get("role") == "tool":
            missing = [tool_id for tool_id in missing if tool_id != message.get("tool_call_id")]
        else:
            copy += [{"role": "tool", "tool_call_id": tool_id, "content": "(no result)"} for tool_id in missing]
            missing = list(dict.fromkeys(call_ids(message)))  # a model may give one id to two
        copy.append(dict(message))
    copy += [{"role": "tool", "tool_call_id": tool_id, "content": "(no result)"} for tool_id in missing]
    return copy


def cut_to(heard: str, messages: Sequence[Message], history: list[Message]) -> None:
    """Have these messages, which were said one after another, keep no more than what was heard of them.

    One of which nothing was heard is none; unless it calls tools.
    """
    left = sum(not char.isspace() for char in heard)
    for message in messages:
        content = message.get("content")
        if isinstance(content, str) and content:
            end = 0
            while end < len(content) and (left > 0 or content[end].isspace()):
                left -= not content[end].isspace()
                end += 1
            message["content"] = content[:end].rstrip() if end < len(content) else content
        if not message.get("content") and not message.get("tool_calls"):
            history[:] = [other for other in history if other is not message]


def is_made_of(text: str, answer: str) -> bool:
    """Whether this is the answer in other dress: without its markup, shortened, one sentence of it. That is so if three
    out of four of its words are the answer's, in order.
    """
    words, its_words = words_of(text)[:ENOUGH_WORDS], words_of(answer)
    same = SequenceMatcher(None, words, its_words, autojunk=False).get_matching_blocks()
    return bool(words) and 4 * sum(block.size for block in same) >= 3 * len(words)


def replace(heard: str, messages: Sequence[Message], history: list[Message]) -> None:
    """Have what was heard stand in the place of an answer, which is these messages."""
    for message in messages:
        message["content"] = None
    if heard:
        last = messages[-1]
        last["content"] = heard
        if not any(message is last for message in history):  # it was broken off
            history.append(last)
    cut_to("", messages[:-1] if heard else messages, history)


def check_history(history: Sequence[object]) -> None:
    """``LocalProtocolError`` for what is no list of messages."""
    for index, message in enumerate(history):
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise LocalProtocolError(f"history[{index}] is no message: a dict with a 'role' and 'content' is wanted")
