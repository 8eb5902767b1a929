"""The conversations of an application's calls: whoever does what their machines want done.

The parts run in tasks of the application: one that hears, one for the recogniser, and one for each thing that is asked
of the model, the voice, a tool. What they come to goes into the machine at once, and what that wants then is started in
the same turn of the loop.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Awaitable, Callable, Mapping
from functools import partial
from heapq import heappop, heappush
from itertools import count
from typing import TypeVar, assert_never

import attrs

from ..agent.commands import (
    AbandonRecogniser,
    AskDetector,
    AskModel,
    Cancel,
    Command,
    Finish,
    Hear,
    RunTool,
    Synthesise,
)
from ..agent.events import AgentEvent
from ..agent.machine import ConversationMachine, Parts
from ..agent.metrics import ConversationMetrics
from ..agent.options import Conversation
from ..agent.providers import SpokenWord, ToolCall, part_for_a_call
from ..agent.speaker import Mouth, Say
from ..agent.tools import ArgumentsRefused, result_text
from ..agent.web import Web
from ..call import Feed, Feeds
from ..call.audio import AudioFeed, CallAudio
from ..deadlines import Deadlines, soonest
from ..effects import LogLevel
from ..errors import CallEnded, LocalProtocolError, VoxtraError, one_line
from ..media.chunk import AudioChunk
from ..media.formats import AudioFormat
from ..pending import Pending
from ..session import CallSession, Driver
from .delivering import InThread, Log
from .parts import AgentParts, CallParts, each_of, outcome_of_part
from .recognising import Recognising, Start

__all__ = ["Conversations", "Talk"]

T = TypeVar("T")

HEARD_AT_ONCE = 1500
"""How many chunks may wait to be heard: half a minute, in which a loop may be stuck."""


@attrs.frozen
class _World:
    """A :class:`~voxtra_core.agent.providers.ProviderWorld`."""

    environ: Mapping[str, str] = attrs.field(repr=False)  # in which keys are
    in_worker: InThread
    _driver: Driver
    _sleep: Callable[[float], Pending[None]]
    _web: Web | None

    @property
    def web(self) -> Web:
        """HTTP."""
        if self._web is None:
            raise LocalProtocolError("this application has no network")
        return self._web

    def time(self) -> float:
        """The loop's clock, in seconds."""
        return self._driver.time()

    async def sleep(self, seconds: float) -> None:
        """Wait; in virtual time, too."""
        pending = self._sleep(seconds)
        self._driver.wake()
        await self._driver.park(pending)


class Conversations:
    """All of one application's."""

    def __init__(
        self,
        parts: AgentParts,
        driver: Driver,
        *,
        in_thread: InThread,
        environ: Mapping[str, str],
        web: Web | None,
        cancel: Callable[[int], object],
        log: Log,
    ) -> None:
        self.parts = parts
        self.driver = driver
        self.in_thread = in_thread
        self.cancel = cancel
        self.log = log
        self.world = _World(environ, in_thread, driver, self._sleep, web)
        self._deadlines = Deadlines[Talk](lambda talk: talk.deadline)
        self._sleepers: list[tuple[float, int, Pending[None]]] = []  # a heap
        self._serial = count()
        for part in parts.shared:
            part.attach(self.world)

    async def warm_up(self) -> None:
        """Have a detector of activity made in a worker: what that loads keeps no call waiting, which has its own made
        where its audio arrives.
        """
        if self.parts.vad is not None:
            try:
                await self.in_thread(partial(part_for_a_call, self.parts.vad))
            except Exception as error:
                self.log(LogLevel.ERROR, "vad= fails, and with it conversations will", error)

    def new_talk(self, session: CallSession, start: Start, wire_format: Callable[[AudioFormat], AudioFormat]) -> Talk:
        """That of a call, which nobody has begun yet."""
        return Talk(self, session, start, wire_format)

    def next_deadline(self) -> float | None:
        """When :meth:`handle_timeout` is wanted."""
        return soonest((self._deadlines.earliest(), self._sleepers[0][0] if self._sleepers else None))

    def handle_timeout(self, now: float) -> None:
        """Do what is due."""
        while self._sleepers and self._sleepers[0][0] <= now:
            heappop(self._sleepers)[-1].resolve(None)
        for talk in self._deadlines.due(now):
            talk.deadline = None
            talk.safely(partial(talk.machine.handle_timeout, now))

    def moved(self, talk: Talk) -> None:
        """Its deadline may have."""
        self._deadlines.update(talk)

    def cancel_after(self, seconds: float, task: int) -> None:
        """Cancel it then, should it still run."""
        self._sleep(seconds).add_waker(partial(self.cancel, task))

    def _sleep(self, seconds: float) -> Pending[None]:
        pending = Pending[None]()
        heappush(self._sleepers, (self.driver.time() + seconds, next(self._serial), pending))
        return pending


class Talk:
    """The conversation of one call: its machine, and the tasks that work for it."""

    def __init__(
        self,
        owner: Conversations,
        session: CallSession,
        start: Start,
        wire_format: Callable[[AudioFormat], AudioFormat],
    ) -> None:
        self.deadline: float | None = None
        self.metrics = ConversationMetrics()
        self._owner = owner
        self.call = call = session.machine
        self._start = partial(self._start_safely, start)
        self._wire_format = wire_format
        self._session = session
        self._parts = CallParts(owner.parts, owner.world)
        self._mouth = _AudioMouth(self)
        tools = owner.parts.tools
        self.machine = ConversationMachine(
            owner.parts.conversation,
            Parts(
                detector=self._parts.detector,
                format=self._parts.format,
                stt=owner.parts.stt is not None,
                llm=self._parts.llm is not None,
                tts=self._parts.tts is not None,
                turn=self._parts.turn is not None,
                tools=tools.specs,
            ),
            self._mouth,
        )
        self._feeds = Feeds[AgentEvent]()
        self._tasks: dict[int, int] = {}  # by the number of what they are for
        self._tools: set[int] = set()  # those of tools that run
        self._hearing: AudioFeed | None = None
        self._recognising = Recognising(
            self._parts.new_recogniser,
            self.machine,
            owner.driver,
            in_thread=owner.in_thread,
            start=lambda name, function: self._start(f"{name} of {call.id}", function),
            cancel=owner.cancel,
            step=self.step,
        )
        call.on_digit = self._pressed
        call.wait_ended().add_waker(self._ended)

    def time(self) -> float:
        """The loop's clock."""
        return self._owner.driver.time()

    # ---- for the session -------------------------------------------------------------------------------------------

    @property
    def options(self) -> Conversation:
        """How it is held."""
        return self._owner.parts.conversation

    def open(self) -> None:
        """Hear and be heard, from now on."""
        if self.call.is_over or self.machine.is_over:
            return
        audio = self.audio()
        if self._hearing is None or self._hearing.is_over:
            self._hearing = audio.listen(self._parts.format, HEARD_AT_ONCE)
            self._start(f"ear of {self.call.id}", partial(self._hear, self._hearing))
            if self.machine.parts.stt:
                self._recognising.begin()
            self._owner.driver.wake()

    def rest(self) -> None:
        """Nobody looks after the conversation any more: hear nothing, and say nothing."""
        if self._hearing is not None:
            self._hearing.close()
        now = self.time()
        for say in [*self.machine.speaker.queue]:
            say.finished.abandon(now)
        if self.machine.thinker.current is not None:
            self.machine.thinker.abandon(self.machine.thinker.current, now)
        self.machine.ear.close()  # or what was begun would have a recogniser made, to hear its end
        self._recognising.close()
        self.step()

    def follow(self, limit: int) -> Feed[AgentEvent]:
        """What happens in it from now on."""
        feed = self._feeds.follow(limit)
        if self.machine.is_over:
            feed.end()
        return feed

    def say_pieces(self, say: Say, pieces: AsyncIterable[str]) -> None:
        """Have the text of this come from there."""
        say.source = next(self.machine.numbers)
        self._run(say.source, "text", partial(self._read, say, pieces))

    def step(self) -> None:
        """Do what its machine wants done."""
        machine, owner = self.machine, self._owner
        commands = machine.commands_to_send()
        for command in commands:
            self._perform(command)
        while (event := machine.next_event()) is not None:
            self.metrics.add(event)
            self._feeds.put(event)
        deadline, before = machine.next_deadline(), self.deadline
        if deadline != before:
            self.deadline = deadline
            owner.moved(self)
        if commands or (deadline is not None and (before is None or deadline < before)):
            owner.driver.wake()

    def audio(self) -> CallAudio:
        """The call's. Raises what the call's state does."""
        audio = self.call.audio
        wire = audio.wire if audio is not None else self._wire_format(self._parts.format)
        return self.call.use_audio(wire, self._owner.driver.time())

    def safely(self, function: Callable[[], object]) -> None:
        """Do this, and what the machine wants done then. What fails here would end the run for all calls: it ends this
        conversation.
        """
        try:
            function()
            self.step()
        except Exception as error:
            self._fail(error)

    # ---- inside ----------------------------------------------------------------------------------------------------

    def _start_safely(self, start: Start, name: str, function: Callable[[], Awaitable[None]]) -> int:
        async def run() -> None:
            try:
                await function()
            except Exception as error:
                self._fail(error)

        return start(name, run)

    def _fail(self, error: Exception) -> None:
        self._owner.log(LogLevel.ERROR, f"call {self.call.id}: its conversation has failed, and is over", error)
        self._close(VoxtraError("the conversation of this call has failed: see the log"))

    def _pressed(self, now: float) -> None:
        self.safely(partial(self.machine.receive_digit, now))

    def _ended(self) -> None:
        assert self.call.end is not None
        self._close(CallEnded(self.call.id, self.call.end))

    def _close(self, error: VoxtraError) -> None:
        self.call.on_digit = None
        if self._hearing is not None:
            self._hearing.close()
        self.machine.close(error, self._owner.driver.time())
        self.step()
        for number, task in self._tasks.items():
            if number in self._tools:  # which may be in the middle of something that is to be done as a whole
                timeout = self._owner.parts.conversation.tool_timeout
                self._owner.cancel_after(timeout, task)
            else:
                self._owner.cancel(task)
        self._recognising.close()
        self._feeds.end()

    def _perform(self, command: Command) -> None:
        match command:
            case Hear() | Finish() | AbandonRecogniser():
                self._recognising.perform(command)
            case AskModel():
                self._run(command.ask, "model", partial(self._ask_model, command))
            case Synthesise():
                self._run(command.speech, "voice", partial(self._synthesise, command))
            case RunTool():
                self._tools.add(command.run)
                self._run(command.run, f"tool {one_line(command.call.name)}", partial(self._run_tool, command))
            case AskDetector():
                self._run(command.question, "detector of turns", partial(self._ask_detector, command))
            case Cancel():
                task = self._tasks.pop(command.number, None)
                if task is not None:
                    self._owner.cancel(task)
            case _ as unreachable:
                assert_never(unreachable)

    def _run(self, number: int, name: str, function: Callable[[], Awaitable[None]]) -> None:
        async def run() -> None:
            try:
                await function()
            finally:
                self._tasks.pop(number, None)
                self._tools.discard(number)

        self._tasks[number] = self._start(f"{name} of {self.call.id}", run)

    # ---- the tasks -------------------------------------------------------------------------------------------------

    async def _hear(self, feed: AudioFeed) -> None:
        driver, machine, call = self._owner.driver, self.machine, self.call
        while True:
            await driver.park(feed.ready())
            chunks = [feed.take() for _ in range(len(feed))]  # more than one, where the loop was stuck
            is_for_us = call.bridge is None or machine.is_engaged  # and not what they say to each other
            if chunks and is_for_us:
                machine.receive_audio(b"".join([chunk.data for chunk in chunks]), chunks[-1].timestamp)
            if machine.has_output:
                self.step()
            if feed.is_over:
                if isinstance(feed.error, VoxtraError):
                    machine.receive_deafness(feed.error)
                return

    async def _read(self, say: Say, pieces: AsyncIterable[str]) -> None:
        error: Exception | None = None
        try:
            async for piece in pieces:
                self.machine.add_text(say, piece, self._owner.driver.time())
                self.step()
        except Exception as raised:
            error = raised
        except BaseException:  # unless this was cancelled, and nobody waits for more
            cancelled = LocalProtocolError("what was to be said was cancelled where it comes from")
            self.machine.end_text(say, self._owner.driver.time(), cancelled)
            self.step()
            raise
        self.machine.end_text(say, self._owner.driver.time(), error)
        self.step()

    async def _ask_model(self, command: AskModel) -> None:
        machine, time = self.machine, self._owner.driver.time

        def take(item: object) -> None:
            if not isinstance(item, str | ToolCall):
                raise TypeError(f"a model says str and ToolCall, not {type(item).__name__}")
            machine.receive_item(command.ask, item, time())
            self.step()

        error: Exception | None = None
        try:
            await each_of(
                self._owner.in_thread, (str, ToolCall), take, self._parts.llm, command.messages, command.tools
            )
        except Exception as raised:
            error = raised
        machine.receive_answered(command.ask, time(), error)
        self.step()

    async def _synthesise(self, command: Synthesise) -> None:
        machine, time = self.machine, self._owner.driver.time

        def take(item: object) -> None:
            if isinstance(item, AudioChunk):
                machine.receive_speech(command.speech, item, time())
            elif isinstance(item, SpokenWord):
                machine.receive_word(command.speech, item, time())
            else:
                raise TypeError(f"a voice gives AudioChunk and SpokenWord, not {type(item).__name__}")
            self.step()

        error: Exception | None = None
        try:
            await each_of(self._owner.in_thread, (AudioChunk, SpokenWord), take, self._parts.tts, command.text)
        except Exception as raised:
            error = raised
        machine.receive_spoken(command.speech, time(), error)
        self.step()

    async def _ask_detector(self, command: AskDetector) -> None:
        likelihood: float | None = None
        try:
            answer = await outcome_of_part(self._owner.in_thread, self._parts.turn, command.so_far)
            likelihood = float(answer)  # type: ignore[arg-type]
        except Exception as error:
            self._owner.log(LogLevel.WARNING, f"call {self.call.id}: the detector of turns failed", error)
        self.machine.receive_likelihood(command.question, likelihood, self._owner.driver.time())
        self.step()

    async def _run_tool(self, command: RunTool) -> None:
        call = command.call
        try:
            result = result_text(await self._called(call))
        except Exception as error:
            if isinstance(error, CallEnded) and self.call.is_over:
                return
            shown = None if isinstance(error, ArgumentsRefused) else error  # that quotes what the caller has said
            self._owner.log(LogLevel.WARNING, f"call {self.call.id}: the tool {one_line(call.name)} failed", shown)
            result = f"error: {error}"
        self.machine.receive_result(command.run, result, self._owner.driver.time())
        self.step()

    async def _called(self, call: ToolCall) -> object:
        tool = self._owner.parts.tools.get(call.name)
        if tool is None:
            raise LookupError(f"there is no tool {call.name!r}")
        function = partial(tool.function, **tool.bind(call.arguments, self._session))
        return await outcome_of_part(self._owner.in_thread, function)


class _AudioMouth(Mouth):
    """The voice of a call."""

    def __init__(self, talk: Talk) -> None:
        self._talk = talk
        self._error: Exception | None = None

    @property
    def _audio(self) -> CallAudio | None:
        return self._talk.call.audio

    @property
    def sent(self) -> float:
        """Seconds of audio that have been sent to the far end, in all."""
        return self._audio.seconds_sent if self._audio is not None else 0.0

    @property
    def waiting(self) -> float:
        """Seconds of audio that wait to be sent."""
        return self._audio.seconds_waiting if self._audio is not None else 0.0

    def say(self, chunk: AudioChunk, now: float) -> None:
        """Behind what waits; nothing more of what has failed once, until that is dropped."""
        if self._error is not None:
            return
        try:
            self._talk.audio().send(chunk)
        except Exception as error:
            self._error = error

    def mark(self, reached: Callable[[Exception | None, float], None], *, ends: bool = False) -> None:
        """Call ``reached`` when all that it was given so far has been sent."""
        time = self._talk.time
        if self._error is not None or self._audio is None:
            reached(self._error, time())
            return
        pending = self._audio.mark(ends=ends)

        def tell() -> None:
            self._talk.safely(lambda: reached(pending.error, time()))

        if pending.done:
            reached(pending.error, time())
        else:
            pending.add_waker(tell)

    def flush(self) -> None:
        """Drop what waits."""
        self._error = None
        if self._audio is not None:
            self._audio.flush()
