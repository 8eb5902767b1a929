"""The conversations of an application's calls: whoever does what their machines want done.

The parts run in tasks of the application: one that hears, one for the recogniser, and one for each thing that is asked
of the model, the voice, a tool. What they come to goes into the machine at once, and what that wants then is started in
the same turn of the loop.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Awaitable, Callable, Mapping
from contextvars import Context, copy_context
from functools import partial
from heapq import heappop, heappush
from itertools import count
from typing import TypeAlias, TypeVar, assert_never

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
from ..agent.events import AgentEvent, PartFailed
from ..agent.machine import ConversationMachine, Parts, part_failed
from ..agent.metrics import ConversationMetrics
from ..agent.options import Conversation
from ..agent.providers import SpokenWord, ToolCall, TurnSoFar, is_factory, part_for_a_call
from ..agent.speaker import Mouth, Say
from ..agent.tools import ArgumentsRefused, result_text
from ..agent.web import Web
from ..call import Feed, Feeds
from ..call.audio import AudioFeed, CallAudio
from ..deadlines import Deadlines, soonest
from ..effects import LogLevel
from ..errors import CallEnded, LocalProtocolError, ProviderFailed, VoxtraError, one_line
from ..media.chunk import AudioChunk
from ..media.formats import AudioFormat
from ..pending import Pending
from ..session import CallSession, Driver
from ..session.agent import Reading, runs_tool
from .delivering import InThread, IntoLoop, Log
from .failures import Failures
from .parts import CANCELLED, AgentParts, CallParts, Closeable, PartName, each_of, end_of, outcome_of_part
from .recognising import Recognising

__all__ = ["Conversations", "Talk"]

T = TypeVar("T")

LAST_WORDS = 10.0
"""Seconds that a part has to be closed, and to be made when the call has ended meanwhile, so that it can be closed."""
StartIn: TypeAlias = Callable[[str, Callable[[], Awaitable[None]], Context | None], int]
"""Starts a task, with a name, in a context; its number."""
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
            raise LocalProtocolError(
                "run_call() and the like have no network: give a part that needs none, as ScriptedModel"
            )
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
        into_loop: IntoLoop,
        environ: Mapping[str, str],
        web: Web | None,
        cancel: Callable[[int], object],
        log: Log,
    ) -> None:
        self.driver = driver
        self.in_thread = in_thread
        self.into_loop = into_loop
        self.cancel = cancel
        self.log = log
        self.failures = Failures(log, driver.time)
        self.world = _World(environ, in_thread, driver, self._sleep, web)
        self._deadlines = Deadlines[Talk](lambda talk: talk.deadline)
        self._sleepers: list[tuple[float, int, Pending[None]]] = []  # a heap
        self._serial = count()
        self.parts = parts.attached(self.world)

    async def warm_up(self) -> None:
        """Have a detector of activity made in a worker: what that loads keeps no call waiting, which has its own made
        where its audio arrives.
        """
        if self.parts.vad is None:
            return
        try:
            made = await self.in_thread(partial(part_for_a_call, self.parts.vad))
        except Exception as error:
            self.log(LogLevel.ERROR, "vad= fails, and with it conversations will", error)
            return
        if (end := end_of(made)) is not None:
            try:
                await outcome_of_part(self.in_thread, end)
            except Exception as error:
                self.log(LogLevel.WARNING, "vad= cannot be closed", error)

    def new_talk(self, session: CallSession, start: StartIn, wire_format: Callable[[AudioFormat], AudioFormat]) -> Talk:
        """That of a call, which nobody has begun yet. Raises :class:`~voxtra_core.errors.ProviderFailed` where no
        detector of activity can be made.
        """
        try:
            return Talk(self, session, start, wire_format)
        except ProviderFailed as error:
            self.failures.tell(session.id, error)
            raise

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
        start: StartIn,
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
                llm=owner.parts.llm is not None,
                tts=owner.parts.tts is not None,
                turn=owner.parts.turn is not None,
                tools=tools.specs,
            ),
            self._mouth,
        )
        self._feeds = Feeds[AgentEvent]()
        self._each_of = partial(each_of, owner.in_thread, owner.into_loop)
        self._tasks: dict[int, int] = {}  # by the number of what they are for
        self._tools: set[int] = set()  # those of tools that run
        self._asker: Context | None = None  # of whoever has the model answer
        self._made: dict[PartName, Pending[Callable[..., object]]] = {}
        self._making: dict[PartName, int] = {}  # the tasks
        self._hearing: AudioFeed | None = None
        self._recognising = Recognising(
            self._parts.new_recogniser,
            self.machine,
            owner.driver,
            in_thread=owner.in_thread,
            start=lambda name, function: self._start(f"{name} of {call.id}", function),
            cancel=owner.cancel,
            cancel_late=partial(owner.cancel_after, LAST_WORDS),
            close=partial(self._let_go, "stt"),
            step=self.step,
        )
        self._is_in_loop = False
        self._handed_over: Pending[None] | None = None
        call.on_digit = self._pressed
        call.on_bridged = self._bridged
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
            self._make("llm", "tts", "turn")  # what takes its time to be made is not to be waited for then
            self._owner.driver.wake()

    def begin_loop(self) -> None:
        """Its loop is run for the handler from now on, which keeps it out of any bridge that the call comes into."""
        self._is_in_loop, self._handed_over = True, None

    def end_loop(self) -> None:
        """It is not any more."""
        self._is_in_loop = False

    def handed_over(self) -> Pending[None] | None:
        """Whether the call has come into one since :meth:`begin_loop`: settled when the tools have ended that ran."""
        return self._handed_over

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
        reading = Reading(say, self.time)
        say.finished.add_waker(reading.give_up)  # at once: who is told that it is over may have the model answer next
        read = partial(self._read, say, reading, pieces)
        self._run(say.source, "text", read, partial(self._read_all, say), copy_context())

    def answer_in(self, context: Context) -> None:
        """Whoever has the model answer now does so in this; the model and its tools are called in it."""
        self._asker = context

    def step(self) -> None:
        """Do what its machine wants done."""
        machine, owner = self.machine, self._owner
        commands = machine.commands_to_send()
        for command in commands:
            self._perform(command)
        while (event := machine.next_event()) is not None:
            if isinstance(event, PartFailed):
                owner.failures.tell(self.call.id, event.error)
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

    def _start_safely(
        self, start: StartIn, name: str, function: Callable[[], Awaitable[None]], context: Context | None = None
    ) -> int:
        async def run() -> None:
            try:
                await function()
            except Exception as error:
                self._fail(error)

        return start(name, run, context)

    def _fail(self, error: Exception) -> None:
        self._owner.log(LogLevel.ERROR, f"call {self.call.id}: its conversation has failed, and is over", error)
        self._close(VoxtraError("the conversation of this call has failed: see the log"))

    def _pressed(self, now: float) -> None:
        self.safely(partial(self.machine.receive_digit, now))

    def _bridged(self, now: float) -> None:
        def hand_over() -> None:
            self._handed_over = self.machine.hand_over(now)

        if self._is_in_loop:
            self.safely(hand_over)

    def _ended(self) -> None:
        assert self.call.end is not None
        self._close(CallEnded(self.call.id, self.call.end))

    def _close(self, error: VoxtraError) -> None:
        if self.machine.is_over:
            return
        self.call.on_digit = self.call.on_bridged = None
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
        self._let_go_of_all()
        self._feeds.end()

    def _perform(self, command: Command) -> None:
        match command:
            case Hear() | Finish() | AbandonRecogniser():
                self._recognising.perform(command)
            case AskModel(ask):
                self._run(ask, "model", partial(self._ask_model, command), partial(self._answered, ask), self._asker)
            case Synthesise(speech):
                self._run(speech, "voice", partial(self._synthesise, command), partial(self._spoken, speech))
            case RunTool(run, call):
                self._tools.add(run)
                name = f"tool {one_line(call.name)}"
                over = partial(self._tool_ended, command)
                self._run(run, name, partial(self._run_tool, command), over, self._asker)
            case AskDetector(question, so_far):
                name = "detector of turns"
                self._run(question, name, partial(self._ask_detector, so_far), partial(self._told, question))
            case Cancel():
                task = self._tasks.pop(command.number, None)
                if task is not None:
                    self._owner.cancel(task)
            case _ as unreachable:
                assert_never(unreachable)

    def _run(
        self,
        number: int,
        name: str,
        function: Callable[[], Awaitable[T]],
        over: Callable[[T | None, Exception | None], object],
        context: Context | None = None,
    ) -> None:
        """Run this in a task, and then ``over(outcome, error)``; unless it was cancelled from here."""

        async def run() -> None:
            outcome: T | None = None
            error: Exception | None = None
            try:
                outcome = await function()
            except Exception as raised:
                error = raised
            except BaseException:
                if number in self._tasks and not self.machine.is_over:
                    over(None, LocalProtocolError(CANCELLED))
                    self.step()
                raise
            finally:
                self._tasks.pop(number, None)
                self._tools.discard(number)
            over(outcome, error)
            self.step()

        self._tasks[number] = self._start(f"{name} of {self.call.id}", run, context)

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

    async def _read(self, say: Say, reading: Reading, pieces: AsyncIterable[str]) -> None:
        reading.begin()
        iterator = aiter(pieces)
        try:
            async for piece in iterator:
                if not isinstance(piece, str):
                    raise TypeError(f"say() takes an async iterable of texts, not of {type(piece).__name__}")
                self.machine.add_text(say, piece, self.time())
                self.step()
        except BaseException:
            reading.give_up()
            if isinstance(iterator, Closeable):
                await iterator.aclose()  # which has to let go of what it holds
            raise
        reading.end()

    def _read_all(self, say: Say, _: None, error: Exception | None) -> None:
        self.machine.end_text(say, self.time(), error)

    def _make(self, *names: PartName) -> None:
        """Have these made, which the call does not have yet."""
        for name in names:
            part = getattr(self._owner.parts, name)
            if part is None or name in self._made:
                continue
            made = self._made[name] = Pending[Callable[..., object]]()
            if is_factory(part):
                task = self._start(f"factory of {name} of {self.call.id}", partial(self._make_one, name, made))
                self._making[name] = task
            else:
                made.resolve(part)

    async def _make_one(self, name: PartName, made: Pending[Callable[..., object]]) -> None:
        try:
            part = await self._parts.new_part(name)
        except Exception as error:
            self._made.pop(name, None)  # to be asked again when one is wanted
            self._owner.failures.tell(self.call.id, error)
            made.fail(error)
        except BaseException:
            self._made.pop(name, None)
            made.fail(LocalProtocolError(CANCELLED))
            raise
        else:
            made.resolve(part)
            if self.machine.is_over:
                self._let_go(name, part)
        finally:
            del self._making[name]

    def _let_go(self, name: str, part: object) -> None:
        """Have a part closed, if it is the call's own, and can be."""
        end = end_of(part)
        if end is None or not is_factory(getattr(self._owner.parts, name)):
            return

        async def close() -> None:
            try:
                await outcome_of_part(self._owner.in_thread, end)
            except Exception as error:
                self._owner.log(LogLevel.WARNING, f"call {self.call.id}: {name}= cannot be closed", error)

        self._owner.cancel_after(LAST_WORDS, self._start(f"end of {name} of {self.call.id}", close))
        self._owner.driver.wake()

    def _let_go_of_all(self) -> None:
        """The conversation is over: but for the recogniser, which went before."""
        for task in self._making.values():
            self._owner.cancel_after(LAST_WORDS, task)
        for name, made in self._made.items():
            if made.done and not made.failed:
                self._let_go(name, made.result())
        if self._owner.parts.vad is not None:
            self._let_go("vad", self._parts.detector)

    async def _part(self, name: PartName) -> Callable[..., object]:
        """The call's own. Raises what its factory does."""
        self._make(name)
        made = self._made[name]
        if not made.done:
            await self._owner.driver.park(made)
        return made.result()

    async def _ask_model(self, command: AskModel) -> None:
        def take(item: object) -> None:
            if not isinstance(item, str | ToolCall):
                raise TypeError(f"a model says str and ToolCall, not {type(item).__name__}")
            self.machine.receive_item(command.ask, item, self.time())
            self.step()

        model = await self._part("llm")
        await self._each_of((str, ToolCall), take, model, command.messages, command.tools)

    def _answered(self, ask: int, _: None, error: Exception | None) -> None:
        self.machine.receive_answered(ask, self.time(), error)

    async def _synthesise(self, command: Synthesise) -> None:
        def take(item: object) -> None:
            if isinstance(item, AudioChunk):
                self.machine.receive_speech(command.speech, item, self.time())
            elif isinstance(item, SpokenWord):
                self.machine.receive_word(command.speech, item, self.time())
            else:
                raise TypeError(f"a voice gives AudioChunk and SpokenWord, not {type(item).__name__}")
            self.step()

        voice = await self._part("tts")
        await self._each_of((AudioChunk, SpokenWord), take, voice, command.text)

    def _spoken(self, speech: int, _: None, error: Exception | None) -> None:
        self.machine.receive_spoken(speech, self.time(), error)

    async def _ask_detector(self, so_far: TurnSoFar) -> float:
        detector = await self._part("turn")
        answer = await outcome_of_part(self._owner.in_thread, detector, so_far)
        return float(answer)  # type: ignore[arg-type]

    def _told(self, question: int, likelihood: float | None, error: Exception | None) -> None:
        if error is not None:
            self._owner.failures.tell(self.call.id, part_failed("turn", error))
        self.machine.receive_likelihood(question, likelihood, self.time())

    async def _run_tool(self, command: RunTool) -> str:
        runs_tool(self, command.run)
        return result_text(await self._called(command.call))

    def _tool_ended(self, command: RunTool, result: str | None, error: Exception | None) -> None:
        if error is not None:
            if isinstance(error, CallEnded) and self.call.is_over:
                return
            name = one_line(command.call.name)
            shown = None if isinstance(error, ArgumentsRefused) else error  # that quotes what the caller has said
            self._owner.log(LogLevel.WARNING, f"call {self.call.id}: the tool {name} failed", shown)
            result = f"error: {f'{error}' or type(error).__name__}"
        assert result is not None
        self.machine.receive_result(command.run, result, self.time())

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
