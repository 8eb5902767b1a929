"""The conversation of a call, as its handler sees it."""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable
from contextvars import Context, ContextVar, copy_context
from typing import TYPE_CHECKING, Protocol, TypeVar

from ..agent.events import AgentEvent, AgentResponseEvent
from ..agent.machine import ConversationMachine
from ..agent.metrics import ConversationMetrics
from ..agent.options import Conversation, Patience
from ..agent.providers import Message
from ..agent.speaker import Say
from ..agent.thinking import Response
from ..call import DEFAULT_LIMIT, Feed, Pending
from .streams import EventStream, FeedStream
from .waiting import Driver, taken

if TYPE_CHECKING:
    from ..agent.events import Said

__all__ = ["AgentClient", "Reading", "ResponseStream", "Talking", "runs_tool", "said_by"]


T = TypeVar("T")

_tool: ContextVar[tuple[Talking, int] | None] = ContextVar("_tool", default=None)
"""The tool that runs here: of which conversation, and its number."""


class Talking(Protocol):
    """Whoever runs a call's conversation."""

    @property
    def machine(self) -> ConversationMachine:
        """Its machine."""

    @property
    def metrics(self) -> ConversationMetrics:
        """What it has come to so far."""

    @property
    def options(self) -> Conversation:
        """How it is held."""

    def open(self) -> None:
        """Hear and be heard, from now on."""

    def begin_loop(self) -> None:
        """Its loop is run for the handler from now on, which keeps it out of any bridge that the call comes into."""

    def end_loop(self) -> None:
        """It is not any more."""

    def handed_over(self) -> Pending[None] | None:
        """Whether the call has come into one since :meth:`begin_loop`: settled when the tools have ended that ran."""

    def rest(self) -> None:
        """Nobody looks after the conversation any more: hear nothing, and say nothing."""

    def step(self) -> None:
        """Do what the machine wants done."""

    def follow(self, limit: int) -> Feed[AgentEvent]:
        """What happens from now on."""

    def say_pieces(self, say: Say, pieces: AsyncIterable[str]) -> None:
        """Have the text of this come from there."""

    def answer_in(self, context: Context) -> None:
        """Whoever has the model answer now does so in this; the model and its tools are called in it."""


def runs_tool(talk: Talking, run: int) -> None:
    """What this task does from now on it does for a tool of the model's."""
    _tool.set((talk, run))


async def outcome(talk: Talking, driver: Driver, pending: Pending[T]) -> T:
    """Have what was asked done, wait for what comes of it, and take that. Cancelled, what was asked is abandoned."""
    talk.step()
    driver.wake()
    try:
        return await taken(driver, pending)
    except BaseException:
        talk.step()  # abandoned, the machine may want something stopped
        raise


async def said_by(
    opened: Callable[[], Talking],
    driver: Driver,
    text: str | AsyncIterable[str] | ResponseStream,
    *,
    interruptible: bool,
    remember: bool,
    patience: Patience | None = None,
) -> Said:
    """Say it, and wait until it has been heard. An answer that cannot even begin to be said is given up."""
    try:
        talk, now = opened(), driver.time()
        if isinstance(text, ResponseStream):
            say = text.say(now, interruptible=interruptible, patience=patience)
        elif isinstance(text, str):
            say = talk.machine.say(now, text, interruptible=interruptible, remember=remember)
        elif not isinstance(text, AsyncIterable):
            raise TypeError(f"say() takes a text, or an async iterable of texts, not {type(text).__name__}")
        else:
            say = talk.machine.say(now, interruptible=interruptible, remember=remember)
            talk.say_pieces(say, text)
    except BaseException:
        if isinstance(text, ResponseStream):
            text.close()
        raise
    return await outcome(talk, driver, say.finished)


_reading: ContextVar[Reading | None] = ContextVar("_reading", default=None)
"""What is being read in this task, to be said."""


class Reading:
    """An iterable that is read to be said, and the model's answers that it reads in turn: what is heard of them is what
    is heard of it, and when it is read no further, nobody wants them any more.
    """

    def __init__(self, say: Say, time: Callable[[], float]) -> None:
        self._say = say
        self._time = time
        self._answers: list[ResponseStream] = []
        self._is_over = False

    def begin(self) -> None:
        """It is read in this task."""
        _reading.set(self)

    def reads(self, answer: ResponseStream) -> None:
        """It takes the next piece of this."""
        if not self._is_over and answer not in self._answers:
            self._answers.append(answer)
            self._say.unsaid = answer.response

    def end(self) -> None:
        """It has come to its end; what it has left of an answer is somebody else's."""
        self._is_over = True
        self._answers.clear()

    def give_up(self) -> None:
        """It is read no further. The machine may want something done then."""
        self._is_over = True
        while self._answers:
            self._answers.pop().give_up(self._time())


class ResponseStream(FeedStream[str]):
    """What the model answers, piece by piece, for ``async for``; or whole, to be given to ``call.say()``.

    Made by :meth:`AgentClient.respond_stream`. ``call.say(stream)`` speaks it sentence by sentence while it is being
    written, and the history keeps what was heard of it. Whoever wants no more of it closes it, best by ``async with``:
    until it is at its end there is no other answer. ``say()`` does so, of an iterable that reads one as well.
    """

    def __init__(self, talk: Talking, driver: Driver, text: str) -> None:
        super().__init__(Feed[str](1_000_000), driver.park)
        self._talk = talk
        self._driver = driver
        self.response: Response = talk.machine.respond(
            text,
            driver.time(),
            on_text=lambda piece, now: self._feed.put(piece),
            on_end=lambda error, now: self._feed.end(error),
        )
        talk.answer_in(copy_context())

    def __repr__(self) -> str:
        return f"<ResponseStream, {'over' if self.response.is_over else 'under way'}>"

    async def __anext__(self) -> str:
        if (reading := _reading.get()) is not None:
            reading.reads(self)
        return await super().__anext__()

    def say(self, now: float, *, interruptible: bool, patience: Patience | None = None) -> Say:
        """Have it spoken, with the fillers of that patience while nothing has come of it."""
        return self._talk.machine.say_response(
            now,
            self.response,
            interruptible=interruptible,
            fillers=patience.fillers if patience is not None else (),
            filler_after=patience.filler_after if patience is not None else 1.0,
        )

    async def result(self) -> AgentResponseEvent:
        """All of it, when it is there. Raises what the model has failed with."""
        return await outcome(self._talk, self._driver, self.response.finished)

    def close(self) -> None:
        """No more of it: the model is asked no further, unless it is being said."""
        self.give_up(self._driver.time())
        self._talk.step()
        self._driver.wake()

    def give_up(self, now: float) -> None:
        """As :meth:`close`, for whoever has done what the machine wants done then."""
        if not self.response.is_said:
            self.response.finished.abandon(now)
        self._feed.close()


class AgentClient:
    """The model of a call's conversation, and its history: :attr:`CallSession.agent`."""

    def __init__(self, talk: Talking, driver: Driver) -> None:
        self._talk = talk
        self._driver = driver

    def __repr__(self) -> str:
        return f"<AgentClient, {len(self.history)} messages>"

    @property
    def history(self) -> list[Message]:
        """What has passed between the two, in order: ``{"role": "user", "content": "…"}``, and so on. It is yours, too:
        append to it, edit it, replay earlier turns into it.

        What was said and not heard is not in it. The instructions stand ahead of it and not in it.
        """
        return self._talk.machine.thinker.history

    @history.setter
    def history(self, messages: list[Message]) -> None:
        self._talk.machine.thinker.history[:] = messages

    @property
    def metrics(self) -> ConversationMetrics:
        """How long turns took, and more."""
        return self._talk.metrics

    async def respond(self, text: str) -> AgentResponseEvent:
        """One turn of the model, with the running history, to which this text is added as the user's.

        An empty text adds nothing: it goes on after :meth:`add_tool_result`, or tries again after a failure. Tools of
        ``Conversation(tools=…)`` are run meanwhile, unless that says ``run_tools=False``: then, or where it has none,
        calls are in the result. A call of one that it does not have is answered with an error, which the model is told.

        Raises :class:`~voxtra_core.errors.ProviderFailed` when the model fails or says nothing in time; the user's text
        stays in the history. :class:`~voxtra_core.errors.AgentNotConfigured`, a ``RuntimeError``, without a model.
        :class:`~voxtra_core.errors.LocalProtocolError` while another answer is being made: a conversation has one
        owner. Cancelled, the model is asked no further; of an answer that has failed or was cancelled the history keeps
        nothing, but the calls of tools that were run for it.
        """
        response = self._talk.machine.respond(text, self._driver.time())
        self._talk.answer_in(copy_context())
        return await outcome(self._talk, self._driver, response.finished)

    def respond_stream(self, text: str) -> ResponseStream:
        """As :meth:`respond`, but what comes back is at once there to be read or said while the model writes."""
        stream = ResponseStream(self._talk, self._driver, text)
        self._talk.step()
        self._driver.wake()
        return stream

    async def wait_for_playout(self) -> bool:
        """Return when all that the agent has said so far has been heard at the far end: ``True``; or ``False`` where
        some of it will not be, as somebody has interrupted it, or the voice has failed. Where nothing is being said it
        is ``True``.

        For tools that end the call, or hand it to somebody. A tool begins when the model has written what stands before
        its call, which is when that begins to be heard::

            async def hang_up(call: CallSession) -> str:
                \"\"\"Ends the call. Say goodbye first.\"\"\"
                if await call.agent.wait_for_playout():
                    await call.hangup()
                return "the caller is still there"
        """
        talk, run = _tool.get() or (None, None)
        pending = self._talk.machine.wait_for_playout(run if talk is self._talk else None)
        return await outcome(self._talk, self._driver, pending)

    async def add_tool_result(self, tool_id: str, result: object) -> None:
        """Put what a tool has come to into the history, behind the message that calls it. Follow it by ``respond("")``.

        What is no text becomes JSON. ``ValueError`` where no message calls a tool of this id.
        """
        from ..agent.tools import result_text

        self._talk.machine.thinker.add_tool_result(tool_id, result_text(result))
        await self._driver.park(Pending.resolved(None))

    def events(self, limit: int = DEFAULT_LIMIT) -> EventStream[AgentEvent]:
        """What happens in the conversation from now on: when somebody begins and stops to speak, what they have said,
        what is answered and heard, how long it took. It ends with the call.
        """
        return EventStream(self._talk.follow(limit), self._driver.park)
