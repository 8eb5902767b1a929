"""A call, as its handler sees it."""

from __future__ import annotations

from collections.abc import AsyncIterable, Awaitable, Callable, Collection, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar

from ..ari import Channel
from ..call import (
    DEFAULT_LIMIT,
    CallDirection,
    CallEnd,
    CallMachine,
    CallState,
    CallUpdate,
    HangupReason,
    Outage,
    Pending,
    PlaybackEnd,
    SnoopDirection,
)
from ..call.audio import AudioFeed, AudioStats, CallAudio
from ..call.collecting import CollectedDigits, Wanted
from ..errors import AriServerError, AriUnprocessable, LocalProtocolError, QueueUnavailable
from ..media.chunk import AudioChunk
from ..media.formats import AudioFormat, as_format
from ..menu import choose
from ..queueing import CONTEXT, QueueEntry
from ..recording import RecordingOptions, RecordingSink, Who
from ..stasis.bridge import BridgeMachine
from ..stasis.queues import Visit
from ..stasis.transfer import Comfort, Dialled, Transfer
from .playback import PlaybackHandle
from .queue import QueueVisit
from .recordable import Recordable, RecordingHome, check_wanted
from .streams import AudioStream, EventStream
from .transfer import AttendedTransfer
from .waiting import Driver, outcome_of, taken

if TYPE_CHECKING:
    from ..agent.events import Said, UserTranscriptEvent
    from ..agent.metrics import ConversationMetrics
    from ..agent.options import Patience
    from .agent import AgentClient, ResponseStream, Talking
    from .converse import ConverseEnd
    from .transfer_requests import TransferRequests

__all__ = ["CallHome", "CallSession", "HangupCallback", "OutageCallback"]

T = TypeVar("T")

HangupCallback = Callable[[], Awaitable[None]]
OutageCallback = Callable[[Outage], Awaitable[None]]
C = TypeVar("C", bound=HangupCallback)
W = TypeVar("W", bound=OutageCallback)


class CallHome(RecordingHome, Protocol):
    """What a call's session needs of the application it belongs to."""

    @property
    def asterisk_id(self) -> str:
        """Which Asterisk the call is on, where there can be several."""

    def late_callback(self, session: CallSession) -> None:
        """A hangup callback has been registered after the end."""

    def wire_format(self, wanted: AudioFormat) -> AudioFormat:
        """What to speak with Asterisk, for somebody who wants this."""

    def snoop(
        self, session: CallSession, now: float, *, spy: SnoopDirection, whisper: SnoopDirection
    ) -> tuple[CallSession, Pending[None]]:
        """Have a channel of ours snoop on a call: its session, and when it is up."""

    def check_recording(self, session: CallSession, options: RecordingOptions) -> None:
        """``LocalProtocolError`` where a call cannot be recorded so now."""

    def record(self, session: CallSession, options: RecordingOptions, sink: object, now: float) -> Pending[str]:
        """Record a call; settled with the recording's name when it has begun."""

    def new_bridge(self, now: float, *, is_pair: bool) -> BridgeMachine:
        """A bridge of the application's, being made."""

    def transfer(
        self, session: CallSession, endpoint: str, now: float, *, dialling: Dialled, comfort: Comfort, is_blind: bool
    ) -> Transfer:
        """Dial somebody for a call, to join the two."""

    def hear_transfer_requests(self, session: CallSession, driver: Driver, now: float) -> Pending[TransferRequests]:
        """Have what a call's far end asks for told to us; settled when it is."""

    def session_of(self, call: CallMachine) -> CallSession:
        """The session of another call of the application's."""

    def check_same_place(self, session: CallSession) -> None:
        """``LocalProtocolError`` for a call that cannot come into a bridge with one of here."""

    def enter_queue(self, session: CallSession, entry: QueueEntry, now: float) -> Visit:
        """Follow a call that is about to leave for a queue."""

    def new_talk(self, session: CallSession) -> Talking:
        """A conversation on a call. ``AgentNotConfigured`` where the application has no part of one."""


class CallSession(Recordable):
    """One call, as its handler sees it. Made by the application, never by a user.

    Every method that waits raises :class:`~voxtra_core.errors.CallEnded` when the call ends meanwhile, or has ended
    before, unless it says otherwise; and :class:`~voxtra_core.errors.AriError` where Asterisk refuses,
    :class:`~voxtra_core.errors.LocalProtocolError` where the call's state does not allow it,
    :class:`~voxtra_core.errors.OperationTimeout` where Asterisk says nothing,
    :class:`~voxtra_core.errors.RequestNotSent` where it could not be asked, and ``ValueError`` for an argument out of
    its range. Any of them may be cancelled at any point: what can be put back or undone is.
    """

    def __init__(
        self,
        machine: CallMachine,
        driver: Driver,
        *,
        app_name: str,
        home: CallHome,
        snoops_on: CallSession | None = None,
    ) -> None:
        super().__init__(machine, driver, home)
        self.metadata: dict[str, Any] = {}
        """The user's own store, filled from the matched route's metadata before the handler starts."""
        self._machine = machine
        self._app_name = app_name
        self._home = home
        self._snoops_on = snoops_on
        self._callbacks: list[HangupCallback] = []
        self.outage_callbacks: list[OutageCallback] = []
        """For the application."""
        self.answering: Pending[None] | None = None
        """What comes of placing this call, where nobody has waited for that; for the application."""
        self._talk: Talking | None = None

    def __repr__(self) -> str:
        return f"<CallSession {self.id} {self.direction} {self.state}>"

    # ---- attributes ------------------------------------------------------------------------------------------------

    @property
    def id(self) -> str:
        """The Asterisk channel id. A transfer or a masquerade that puts another channel in this call's place changes
        it.
        """
        return self._machine.id

    @property
    def caller_id(self) -> str:
        """The calling party's number; ``""`` when withheld."""
        return self._machine.caller_id

    @property
    def called_number(self) -> str:
        """The dialled extension or DID; on an outbound call the endpoint's number or name."""
        return self._machine.called_number

    @property
    def direction(self) -> CallDirection:
        """Who called whom."""
        return self._machine.direction

    @property
    def state(self) -> CallState:
        """Where the call stands, as of the last thing Asterisk said."""
        return self._machine.state

    @property
    def duration(self) -> float:
        """Seconds since the call was answered; 0.0 before; frozen when the call ends."""
        call = self._machine
        return call.duration(self._driver.time() if call.answered_at is not None and call.ended_at is None else 0.0)

    @property
    def app_name(self) -> str:
        """The owning application's Stasis name."""
        return self._app_name

    @property
    def asterisk_id(self) -> str:
        """Which Asterisk the call is on (its ``entityid``), where Asterisks connect to us (``listen``); else ``""``.

        A channel's id is unique on one Asterisk, and on several that have a ``systemname`` each in ``asterisk.conf``.
        """
        return self._home.asterisk_id

    @property
    def args(self) -> tuple[str, ...]:
        """The arguments that the dialplan, or ``originate``, gave to ``Stasis()``."""
        return self._machine.args

    @property
    def channel(self) -> Channel | None:
        """Asterisk's last full description of the channel."""
        return self._machine.channel

    @property
    def end(self) -> CallEnd | None:
        """How the call ended, ``None`` while it lives."""
        return self._machine.end

    @property
    def talking(self) -> bool:
        """Whether the far end talks, after :meth:`start_talk_detection`. ``False`` where nobody looks."""
        return self._machine.talking

    @property
    def snoops_on(self) -> CallSession | None:
        """The call that this one was made to :meth:`snoop` on; ``None`` for a call that somebody is on."""
        return self._snoops_on

    # ---- lifecycle -------------------------------------------------------------------------------------------------

    async def answer(self) -> None:
        """Answer the call. On one that is up nothing happens."""
        await self._outcome(self._machine.answer(self._driver.time()))

    async def ring(self) -> None:
        """Let the caller hear ringing, before :meth:`answer`."""
        await self._outcome(self._machine.ring(self._driver.time()))

    async def wait_answered(self) -> None:
        """Return when the far end of a call that was placed with ``wait_for_answer=False`` has answered; at once on a
        call that is up.

        Raises :class:`~voxtra_core.errors.OriginateFailed` when it is busy, refuses, does not answer or cannot be
        reached, and :class:`~voxtra_core.errors.LocalProtocolError` on one that has come in, which is yours to answer.
        Cancelled, it gives the call up.
        """
        if self.answering is not None:
            await self._outcome(self.answering)
            return
        self._machine.check_alive()
        if self.state is CallState.RINGING:
            raise LocalProtocolError("the far end has called: answer() is yours to say")
        await self._driver.park(Pending.resolved(None))

    async def hangup(self, reason: HangupReason | int = "normal") -> None:
        """End the call, and return when it has ended. Once it has, whoever ended it, nothing happens.

        ``reason`` is one of ARI's words or a Q.850 cause, 1 to 127. Never raises ``CallEnded``. A hangup is never
        withdrawn: cancelling this only stops the waiting.
        """
        await self._outcome(self._machine.hangup(self._driver.time(), reason))

    async def wait_ended(self) -> CallEnd:
        """Wait until the call has ended, and say how. Never raises ``CallEnded``."""
        return await taken(self._driver, self._machine.wait_ended())

    def on_hangup(self, callback: C) -> C:
        """Have an async function run once when the call has ended, whoever ended it. Usable as a decorator.

        Several run one after another, in the order of their registration; one that fails is logged and does not stop
        the next. Registered after the end, it runs at once.
        """
        self._callbacks.append(callback)
        if self._machine.is_over:
            self._home.late_callback(self)
        return callback

    def on_outage(self, callback: W) -> W:
        """Have an async function run each time the call has lived through a time without a connection to Asterisk.

        It gets an :class:`~voxtra_core.call.outage.Outage`. Keys and talk of that time are lost. Usable as a decorator.
        """
        self.outage_callbacks.append(callback)
        return callback

    async def hold(self, moh_class: str | None = None) -> None:
        """Play music on hold to the far end; ``moh_class`` as in Asterisk's ``musiconhold.conf``."""
        await self._outcome(self._machine.hold(self._driver.time(), moh_class))

    async def unhold(self) -> None:
        """End the music. On a call that is not on hold nothing happens."""
        await self._outcome(self._machine.unhold(self._driver.time()))

    async def continue_in_dialplan(
        self, context: str | None = None, extension: str | None = None, priority: int | None = None
    ) -> None:
        """Hand the call to Asterisk's dialplan, and return when it has left: for us it has ended, and is not hung up.

        Nothing given: the next priority of where it came from. A context without an extension means its ``s``; the
        priority is 1 where it is not given. Should the dialplan run ``Stasis()`` for it again, that is a new call.
        """
        await self._outcome(self._machine.continue_in_dialplan(self._driver.time(), context, extension, priority))

    async def transfer_to_queue(
        self,
        queue_name: str,
        *,
        timeout: float | None = None,
        come_back: bool = False,
        options: str = "",
        context: str = CONTEXT,
    ) -> QueueVisit:
        """Hand the call to a queue of Asterisk's, and return when it has left: for us it has ended, and is not hung up.
        What comes back is its way from there.

        The dialplan has to have what ``voxtra provision --queues`` prints, in ``context``. After ``timeout`` seconds,
        rounded up to whole ones, the queue gives it up; that takes longer while telephones ring, and may be up to a
        second less. A call that the queue has let go is hung up; with ``come_back`` it comes to the application again
        instead, as a new call with the same :attr:`called_number`, whose :attr:`args` begin with ``"queue"``, the
        status, and the queue. ``options`` are those of ``Queue()`` that take nothing: ``"r"`` for ringing and not
        music, ``"c"`` to let a call go whose member has hung up, ….

        A call that is not up is not answered for this: its caller hears ringing, and waits at no cost, until a member
        answers. Music and announcements are heard on one that is: :meth:`answer` it before.

        Raises ``ValueError`` for a name that could mean something else to Asterisk, and
        :class:`~voxtra_core.errors.QueueUnavailable` where there is no such queue, or no dialplan for it: then the call
        is still here.
        """
        entry = QueueEntry(queue_name, timeout, options, come_back, context)
        entry.check()
        for condition in entry.conditions:
            try:
                is_so = await self.get_variable(condition.function) == "1"
            except AriServerError as error:
                if "function" not in error.reason:
                    raise
                raise QueueUnavailable(condition.unknown) from error
            if not is_so:
                raise QueueUnavailable(condition.unmet)
        visit = self._home.enter_queue(self, entry, self._driver.time())
        try:
            await self._subscribed(visit)
            for name, value in entry.variables(self._app_name, self.called_number).items():
                await self.set_variable(name, value)
            await self.continue_in_dialplan(context)
        except BaseException:
            visit.withdraw(self._driver.time())
            self._driver.wake()
            raise
        return QueueVisit(visit, self._driver.park)

    async def _subscribed(self, visit: Visit) -> None:
        try:
            await self._outcome(visit.subscribed)
        except AriUnprocessable:  # Asterisk has no such channel
            await self.get_variable("CHANNEL(name)")  # the call may be just ending: that is the truer answer
            raise

    # ---- audio -----------------------------------------------------------------------------------------------------

    async def play_file(
        self,
        media: str | Sequence[str],
        *,
        language: str | None = None,
        offset_ms: int = 0,
        skip_ms: int = 3000,
    ) -> PlaybackEnd:
        """Play media, and return when it has been played, with how it ended. Cancelled, it is stopped.

        ``media`` is the name of one of Asterisk's prompts, or any ARI media URI (``sound:``, ``recording:``,
        ``number:``, ``digits:``, ``characters:``, ``tone:``), or several of them. On a call that is on hold the music
        pauses meanwhile. Times in milliseconds.
        """
        playback = self._machine.play(
            media, self._driver.time(), language=language, offset_ms=offset_ms, skip_ms=skip_ms
        )
        return await self._outcome(playback.finished)

    async def start_playback(
        self,
        media: str | Sequence[str],
        *,
        language: str | None = None,
        offset_ms: int = 0,
        skip_ms: int = 3000,
    ) -> PlaybackHandle:
        """As :meth:`play_file`, but return at once, with a handle to wait for it, to stop, to pause and to move it."""
        playback = self._machine.play(
            media, self._driver.time(), language=language, offset_ms=offset_ms, skip_ms=skip_ms
        )
        await self._outcome(playback.accepted)
        return PlaybackHandle(self._machine, playback, self._driver)

    def audio_stream(self, format: AudioFormat | str = "ulaw", *, limit: int = 250) -> AudioStream:
        """What the far end says from now on, in chunks of about 20 ms.

        ``format`` is one of ``"ulaw"``, ``"alaw"``, ``"slin"``, ``"slin16"``, … (:mod:`voxtra_core.media.formats`).
        Each stream is a reader of its own; of more than ``limit`` chunks the oldest is dropped. The first use of a
        call's audio opens a media channel for it, at the rate of this format: until that is there, a few hundredths of
        a second, nothing is heard. On a call that has ended the stream is empty.
        """
        audio_format = as_format(format)
        if self._machine.is_over:
            feed = AudioFeed(limit)
            feed.end()
        else:
            feed = self._audio(audio_format).listen(audio_format, limit)
            self._driver.wake()
        return AudioStream(feed, self._driver.park)

    async def send_audio(self, chunk: AudioChunk) -> None:
        """Say this to the far end, behind what was sent before, in any format.

        Returns when there is room for it, at once as a rule, and then it is no checkpoint: of what is sent faster than
        it can be heard, 0.2 s and one chunk wait.
        While a prompt, tones or music are played to the far end it waits, and is heard afterwards. Cancelled while it
        waits for room, it is not said. Raises :class:`~voxtra_core.errors.MediaFailed` where the call has no audio.
        """
        audio = self._machine.audio
        if audio is not None and audio.is_open and not self._machine.is_played_to:
            sent = audio.send(chunk)  # the port's clock takes it: nothing has to be performed
        else:
            sent = self._audio(chunk.format).send(chunk)
            self._driver.wake()
        if not sent.done:
            await taken(self._driver, sent)

    async def flush_audio(self) -> float:
        """Drop at once what has not been sent to the far end yet. Returns how much has: seconds of audio, since the
        last flush or the beginning.

        Who waits in :meth:`send_audio` or :meth:`drain_audio` waits no more, and what it would have said is dropped
        as well.
        """
        self._machine.check_alive()
        audio = self._machine.audio
        seconds = audio.flush() if audio is not None else 0.0
        return await taken(self._driver, Pending.resolved(seconds))

    async def drain_audio(self) -> None:
        """Wait until all that :meth:`send_audio` was given has been sent.

        It is then on its way through Asterisk: a hangup right behind cuts off the last 20 to 30 ms (seen on 22.10).

        Raises :class:`~voxtra_core.errors.MediaFailed` where the call has no audio.
        """
        self._machine.check_alive()
        audio = self._machine.audio
        if audio is not None:
            await self._outcome(audio.drain())

    @property
    def audio_stats(self) -> AudioStats | None:
        """What has gone which way; ``None`` where the call's audio has not been used."""
        return self._machine.audio.stats() if self._machine.audio is not None else None

    def _audio(self, audio_format: AudioFormat) -> CallAudio:
        audio = self._machine.audio
        wire = audio.wire if audio is not None else self._home.wire_format(audio_format)
        return self._machine.use_audio(wire, self._driver.time())

    # ---- conversation ----------------------------------------------------------------------------------------------

    @property
    def agent(self) -> AgentClient:
        """The conversation handle: the model, and the history. Raises
        :class:`~voxtra_core.errors.AgentNotConfigured`, a ``RuntimeError``, where the application was given neither
        ``stt=`` nor ``llm=`` nor ``tts=``.
        """
        from .agent import AgentClient

        return AgentClient(self._conversation(), self._driver)

    @property
    def metrics(self) -> ConversationMetrics:
        """How long the turns of the conversation took, step by step, and more. Raises as :attr:`agent` does."""
        return self._conversation().metrics

    async def say(
        self,
        text: str | AsyncIterable[str] | ResponseStream,
        *,
        interruptible: bool = True,
        remember: bool = True,
    ) -> Said:
        """Speak, and return when it has been heard at the far end, or earlier if it is ``interruptible`` and somebody
        speaks or presses a key: with what was heard of it.

        ``text`` may come bit by bit: from an async iterable, or from :meth:`.AgentClient.respond_stream`. It is spoken
        sentence by sentence, the next being synthesised while one is heard. What is said is added to the history as
        the agent's, as far as it was heard, unless it is not to be remembered; where it is what the model has just
        answered, that is cut to it there, and what is made of that answer stands in its place. What is said while
        something else is being said waits, unless that is an answer which waits for its tools: a tool may speak, and
        the answer goes on behind it. While the caller speaks, it waits for the end of their turn, but for 10 s at most
        where no word is understood, and not at all if it may not be interrupted.

        What interrupts: :class:`~voxtra_core.agent.options.Interruption`. Raises
        :class:`~voxtra_core.errors.AgentNotConfigured`, a ``RuntimeError``, without a voice;
        :class:`~voxtra_core.errors.ProviderFailed` when that fails, after what there was has been heard;
        :class:`~voxtra_core.errors.MediaFailed` where the call has no audio; and whatever an iterable raises.
        Cancelled, it falls silent.
        """
        from .agent import said_by

        return await said_by(
            partial(self._opened, "tts"), self._driver, text, interruptible=interruptible, remember=remember
        )

    async def listen(self, timeout: float | None = None) -> UserTranscriptEvent | None:
        """What the caller says, when they have finished; ``None`` after ``timeout`` seconds in which they do not begin,
        or when what they had begun by then was no more than a noise.

        What they have said before, since the conversation began or the last of this, comes first: nothing is lost. It
        begins with the first ``say()`` or ``listen()``. Raises :class:`~voxtra_core.errors.AgentNotConfigured`, a
        ``RuntimeError``, without a recogniser, and :class:`~voxtra_core.errors.ProviderFailed` once for each time when
        that has failed and nothing was understood. Cancelled, it has lost nothing.
        """
        from .agent import outcome

        talk = self._opened("stt")
        pending = talk.machine.listen(self._driver.time(), timeout)
        return await outcome(talk, self._driver, pending)

    async def converse(
        self,
        *,
        greeting: str | None = None,
        until: Callable[[UserTranscriptEvent, Said], bool | Awaitable[bool]] | None = None,
        patience: Patience | None = None,
    ) -> ConverseEnd:
        """Run the loop of a conversation: listen, have the model answer, say that, again.

        It returns ``"silence"`` when the caller has said nothing for so long and after so many reprompts, and
        ``"until"`` when ``until(turn, said)``, asked after each answer, says so; it may be ``async``. ``patience`` is
        the application's by default: :class:`~voxtra_core.agent.options.Patience`. To end it from within, hang up, or
        transfer the call, in a tool; what the model says before that is heard if the tool waits for it
        (:meth:`.AgentClient.wait_for_playout`). Raises what the parts fail with, too often in a row; at once
        :class:`~voxtra_core.errors.AgentNotConfigured`, a ``RuntimeError``, without a recogniser, a model or a voice.

        It returns ``"bridged"`` when the call has been brought into a bridge meanwhile, as by a transfer: from then on
        nothing is said, heard or answered for the agent. The tools that run then are waited for, and what they come to
        is in the history; if the call is in no bridge by then, as they have failed to transfer it, it goes on.
        """
        from .agent import said_by
        from .converse import check_parts, converse

        check_parts(self._conversation().machine.parts)
        chosen = patience if patience is not None else self._conversation().options.patience

        async def answer(text: str) -> Said:
            speak, stream = partial(self._opened, "tts"), self.agent.respond_stream(text)
            return await said_by(speak, self._driver, stream, interruptible=True, remember=False, patience=chosen)

        talk = self._conversation()
        talk.begin_loop()
        try:
            return await converse(self, talk, self._driver, answer, greeting=greeting, until=until, patience=chosen)
        finally:
            talk.end_loop()

    def _conversation(self) -> Talking:
        if self._talk is None:
            self._talk = self._home.new_talk(self)
        return self._talk

    def _opened(self, part: Literal["stt", "tts"]) -> Talking:
        """With audio, unless the part is missing for which that is: its machine says so then."""
        talk = self._conversation()
        self._machine.check_alive()
        if getattr(talk.machine.parts, part):
            talk.open()
        return talk

    # ---- DTMF ------------------------------------------------------------------------------------------------------

    async def listen_dtmf(self, timeout: float | None = None) -> str | None:
        """The next digit the far end has pressed or will press; ``None`` after ``timeout`` seconds without one.

        Digits pressed before are kept (up to 256) and come first; 0 seconds look only at those.
        """
        listener = self._machine.listen_dtmf(self._driver.time(), timeout)
        if timeout is None:
            return await taken(self._driver, listener)
        return await self._outcome(listener)  # there is a deadline to be set

    async def collect_digits(
        self,
        max_digits: int,
        *,
        min_digits: int = 1,
        terminators: str = "#",
        timeout: float | None = None,
        first_digit_timeout: float | None = 5.0,
        inter_digit_timeout: float | None = 3.0,
        prompt: str | Sequence[str] | None = None,
        language: str | None = None,
        interrupt_prompt: bool = True,
        mask: bool = False,
    ) -> CollectedDigits:
        """An entry of up to ``max_digits`` digits (1 to 256): a PIN, an extension, an account number.

        It ends with the last of them, with a key of ``terminators``, which is not one of them, or when its time is
        over: ``first_digit_timeout`` seconds without one, ``inter_digit_timeout`` seconds after one, ``timeout``
        seconds for all; ``None`` waits for ever. The result says which it was, and whether ``min_digits`` are there:
        :class:`~voxtra_core.call.collecting.CollectedDigits`.

        ``prompt`` is played first, and the times begin at its end. A key ends it, unless ``interrupt_prompt`` is
        ``False``: then it is played to its end, and what was pressed meanwhile counts. So do digits that were pressed
        before; where such wait, a prompt that they would end is not played. :meth:`flush_dtmf` forgets them.

        With ``mask``, what is pressed meanwhile is seen nowhere but in the result: not in its ``repr``, and in
        :meth:`events`, this call's and the application's, each digit is ``"?"``. Cancelled, it has lost no digit: they
        are heard by whoever listens next.
        """
        wanted = Wanted(
            max_digits=max_digits,
            min_digits=min_digits,
            terminators=terminators.upper(),
            timeout=timeout,
            first_digit_timeout=first_digit_timeout,
            inter_digit_timeout=inter_digit_timeout,
            interrupt_prompt=interrupt_prompt,
            mask=mask,
        )
        now = self._driver.time()
        return await self._outcome(self._machine.collect_digits(wanted, now, prompt=prompt, language=language))

    async def menu(
        self,
        prompt: str | Sequence[str],
        choices: Collection[str],
        *,
        tries: int = 3,
        timeout: float = 5.0,
        inter_digit_timeout: float = 2.0,
        invalid_prompt: str | Sequence[str] | None = "pm-invalid-option",
        timeout_prompt: str | Sequence[str] | None = None,
        interrupt_prompt: bool = True,
    ) -> str | None:
        """One of these choices, such as ``"1"``, ``"2"`` and ``"*"``; ``None`` where none was made in so many tries.

        Each try plays ``prompt``, and waits ``timeout`` seconds for a key from its end. Who presses something else
        hears ``invalid_prompt`` ahead of the next, who presses nothing ``timeout_prompt``. Choices may have several
        keys, and one may begin with another: then ``inter_digit_timeout`` seconds without a key choose the shorter.
        """
        return await choose(
            self.collect_digits,
            prompt,
            choices,
            tries=tries,
            timeout=timeout,
            inter_digit_timeout=inter_digit_timeout,
            invalid_prompt=invalid_prompt,
            timeout_prompt=timeout_prompt,
            interrupt_prompt=interrupt_prompt,
        )

    async def flush_dtmf(self) -> int:
        """Forget the digits that have been pressed and nobody has had. Returns how many."""
        return await taken(self._driver, Pending.resolved(self._machine.flush_dtmf()))

    async def send_dtmf(
        self, digits: str, *, before: int = 0, between: int = 100, duration: int = 100, after: int = 0
    ) -> None:
        """Send tones to the far end, and return when they have been sent, by computed time: Asterisk says nothing.

        ``digits`` are any of ``0-9 * # A-D``; ``w`` pauses for half a second, ``W`` for one, ``f`` is a hook flash.
        Times in milliseconds. Tones wait behind what is being played.
        """
        await self._outcome(
            self._machine.send_dtmf(
                digits, self._driver.time(), before=before, between=between, duration=duration, after=after
            )
        )

    # ---- recording -------------------------------------------------------------------------------------------------

    async def record_start(
        self,
        name: str = "",
        fmt: str = "wav",
        *,
        sink: RecordingSink | None = None,
        who: Who = "both",
        max_duration: int | None = None,
        max_silence: int | None = None,
        beep: bool = False,
        terminate_on: str = "",
    ) -> str:
        """Record this call, wherever it goes: in bridges, on hold, while prompts are played. Returns the recording's
        name when it has begun.

        ``name`` is its file's name in Asterisk's spool directory, without the format: letters, digits and ``_.@+=-``;
        one is made where there is none. ``fmt`` is a format that Asterisk writes: ``wav``, ``wav16``, ``ulaw``, ….
        ``who`` is who is in it: both sides, or the far end alone. It ends with :meth:`record_stop`, with the call,
        after ``max_duration`` seconds (Asterisk looks at its clock once a second), after ``max_silence`` seconds in
        which nothing is heard, or with a key of ``terminate_on``, which whoever listens for keys gets as well.
        ``beep`` is played to the far end first.

        However it ends, ``sink`` is called once with what is known of it, a
        :class:`~voxtra_core.recording.metadata.RecordingMetadata`; without one the application's
        (``VoxtraApp(recording_sink=…)``). It delays nobody, and a call's end does not wait for it.

        One recording at a time: a second raises :class:`~voxtra_core.errors.LocalProtocolError`. Raises ``ValueError``
        for a name that could break a path, ``TypeError`` for what is no sink,
        :class:`~voxtra_core.errors.AriConflict` where there is one of that name already, and
        :class:`~voxtra_core.errors.RecordingNotStarted` where it came to nothing. Cancelled, it is stopped.
        """
        options = RecordingOptions(
            name=name,
            format=fmt,
            who=who,
            max_duration=max_duration,
            max_silence=max_silence,
            terminate_on=terminate_on,
        )
        check_wanted(options, sink)
        self._home.check_recording(self, options)
        if beep:
            await self.play_file("beep")
        return await self._outcome(self._home.record(self, options, sink, self._driver.time()))

    # ---- bridging --------------------------------------------------------------------------------------------------

    async def bridge_with(self, other: CallSession) -> str:
        """Let this call and another talk with each other: both are in a mixing bridge of their own when this returns,
        with its id.

        It is destroyed as soon as one of the two has left it, which :meth:`wait_unbridged` tells the other's handler. A
        call whose handler has returned is hung up then; one that has none lives as long as the handler of the other.
        Where neither has one, the one hung up takes the other along. Either of them may still hear prompts, be
        recorded, press keys; for more than two there is the application's ``create_bridge()``.

        Raises :class:`~voxtra_core.errors.CallEnded` when one of the two ends before both are in, and
        :class:`~voxtra_core.errors.LocalProtocolError` for one on another Asterisk. Cancelled, nothing of it is left.
        """
        self._home.check_same_place(other)
        now = self._driver.time()
        self._machine.check_alive()
        other._machine.check_alive()
        if other is self:
            raise LocalProtocolError("a call cannot be bridged with itself")
        bridge = self._home.new_bridge(now, is_pair=True)
        self._machine.accompany(other._machine)
        return await self._outcome(bridge.bring_together([self._machine, other._machine], now))

    async def transfer_to(
        self,
        endpoint: str,
        *,
        method: Literal["bridge", "refer"] = "bridge",
        comfort: Comfort = "ringing",
        timeout: float = 30.0,
        caller_id: str | None = None,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        """Blind transfer: dial ``endpoint``, given in full (``"PJSIP/alice"``), and return when the two talk with each
        other, as after :meth:`bridge_with`: the handler need not stay, and the one hung up takes the other along.

        Meanwhile the caller hears ``"ringing"``, ``"music"`` or ``"none"``; one that is not answered yet is answered
        when they are, and hears ringing in place of music. They have ``timeout`` seconds to answer, and see
        ``caller_id``, or else the caller's number; ``variables`` are set on their channel.

        With ``method="refer"`` the far end is asked to call ``endpoint`` itself, by SIP 302 or REFER: one that Asterisk
        knows by name, or a SIP URI (``"PJSIP/sip:alice@example.com"``). Nothing is dialled here, and success shows as
        its hangup only, for which it has ``timeout`` seconds. That a caller hangs up for a reason of its own looks the
        same. While its phone is on its way Asterisk does nothing else that is asked of the call, but hang it up.

        Raises :class:`~voxtra_core.errors.TransferFailed`, with the cause, when they are busy, do not answer, refuse,
        cannot be reached or are gone again, the caller being still there;
        :class:`~voxtra_core.errors.TransferOutcomeUnknown` when the time for a ``"refer"`` is over;
        :class:`~voxtra_core.errors.TooManyCalls` beyond ``max_calls``; and ``CallEnded`` when the caller has gone: then
        nobody is left ringing. Cancelled, nothing of it is left, but a ``"refer"`` cannot be taken back.
        """
        now = self._driver.time()
        if method == "refer":
            if variables or caller_id is not None:
                raise ValueError("method='refer' dials nobody from here: no caller_id and no variables go along")
            await self._outcome(self._machine.refer(endpoint, now, timeout=timeout))
            return
        if method != "bridge":
            raise ValueError(f"method must be 'bridge' or 'refer', not {method!r}")
        dialling = Dialled(timeout, caller_id, variables)
        transfer = self._home.transfer(self, endpoint, now, dialling=dialling, comfort=comfort, is_blind=True)
        await self._outcome(transfer.joined)

    async def attended_transfer_to(
        self,
        endpoint: str,
        *,
        comfort: Comfort = "music",
        timeout: float = 30.0,
        caller_id: str | None = None,
        variables: Mapping[str, str] | None = None,
    ) -> AttendedTransfer:
        """Dial ``endpoint``, and return when it has answered, to be talked to alone: see :class:`AttendedTransfer`. As
        :meth:`transfer_to` otherwise.
        """
        now = self._driver.time()
        dialling = Dialled(timeout, caller_id, variables)
        transfer = self._home.transfer(self, endpoint, now, dialling=dialling, comfort=comfort, is_blind=False)
        agent = self._home.session_of(transfer.leg)  # while it lives: its end takes it away again
        await self._outcome(transfer.answered)
        return AttendedTransfer(transfer, agent, self._driver)

    async def transfer_requests(self) -> TransferRequests:
        """The transfers that this call's far end asks for from now on, with its phone's transfer key (SIP REFER), to be
        accepted or declined: see :class:`.TransferRequests`. Without it Asterisk carries them out by itself, in its
        dialplan.

        As :meth:`set_variable`, this takes effect when the channel is done with what it plays. One at a time can be had
        of a call. Raises :class:`~voxtra_core.errors.LocalProtocolError` for a call that is not by PJSIP, and where
        Asterisk is older than 20.13, 21.8 or 22.3.
        """
        return await self._outcome(self._home.hear_transfer_requests(self, self._driver, self._driver.time()))

    async def wait_unbridged(self) -> None:
        """Return when this call is in no bridge, at once where it is in none; while it is on its way to somebody whom
        the other has asked for (:meth:`transfer_requests`), not yet.
        """
        await taken(self._driver, self._machine.wait_unbridged())

    # ---- variables -------------------------------------------------------------------------------------------------

    async def get_variable(self, name: str) -> str | None:
        """A channel variable, or a dialplan function as in ``CALLERID(num)``; ``None`` where it is not set."""
        return await self._outcome(self._machine.get_variable(name, self._driver.time()))

    async def set_variable(self, name: str, value: str | None) -> None:
        """Set a channel variable or a dialplan function; ``None`` unsets it.

        Asterisk replies when the channel is done with what it plays: during a long prompt this takes as long.
        """
        await self._outcome(self._machine.set_variable(name, value, self._driver.time()))

    # ---- watching --------------------------------------------------------------------------------------------------

    def events(self, limit: int = DEFAULT_LIMIT) -> EventStream[CallUpdate]:
        """What happens to this call from now on: ARI's events about its channel and its playbacks, and each
        :class:`~voxtra_core.call.events.StateChanged` behind the event that brought it.

        It ends with the call: the last thing in it is the change to a terminal state. More than ``limit`` do not wait:
        then the oldest is dropped. On a call that has ended it is empty.
        """
        return EventStream(self._machine.follow(limit), self._driver.park)

    async def start_talk_detection(self, *, silence_ms: int = 2500, threshold: int = 256) -> None:
        """Follow whether the far end talks, in :attr:`talking` and by two events in :meth:`events`:
        :class:`~voxtra_core.ari.event_types.ChannelTalkingStarted` and
        :class:`~voxtra_core.ari.event_types.ChannelTalkingFinished`. Once more, it changes the two values.

        It talks when a frame's average magnitude is at least ``threshold``, 1 to 32768 (Asterisk's own default is
        ``silencethreshold`` of ``dsp.conf``, 256 where that says nothing), until it was below for ``silence_ms``
        milliseconds, 1 to 2³¹ - 1.

        As :meth:`set_variable`, this takes effect when the channel is done with what it plays: ask for it before.
        """
        await self._outcome(
            self._machine.start_talk_detection(self._driver.time(), silence_ms=silence_ms, threshold=threshold)
        )

    async def stop_talk_detection(self) -> None:
        """Follow it no more: :attr:`talking` is ``False`` from here on. Where nobody follows it nothing happens."""
        await self._outcome(self._machine.stop_talk_detection(self._driver.time()))

    async def snoop(self, *, spy: SnoopDirection = "both", whisper: SnoopDirection = "none") -> CallSession:
        """Have a channel of ours hear this call, be heard on it, or both: a call of its own, up when this returns.

        ``spy`` is what it hears: ``"in"`` what comes from the far end, ``"out"`` what goes there, ``"both"`` mixed.
        ``whisper`` is where what is played on it is heard: ``"out"`` by the far end, ``"in"`` by what this call is
        bridged with. One of them has to be other than ``"none"``. Asterisk mixes a whisper into what is being sent: the
        far end hears none while it is sent nothing at all.

        It has no handler. It ends when it is hung up, or with this call. Cancelled, it is hung up.
        """
        session, pending = self._home.snoop(self, self._driver.time(), spy=spy, whisper=whisper)
        await self._outcome(pending)
        return session

    # ---- for the application ---------------------------------------------------------------------------------------

    @property
    def machine(self) -> CallMachine:
        """The state machine below: for the application and for tests, not for handlers."""
        return self._machine

    def end_conversation(self) -> None:
        """Its handler has ended: nobody looks after its conversation any more."""
        if self._talk is not None:
            self._talk.rest()

    @property
    def has_callbacks(self) -> bool:
        """Whether a hangup callback waits to be run."""
        return bool(self._callbacks)

    def take_callback(self) -> HangupCallback | None:
        """The next hangup callback to run, each handed out once."""
        return self._callbacks.pop(0) if self._callbacks else None

    async def _outcome(self, pending: Pending[T]) -> T:
        return await outcome_of(self._driver, pending)
