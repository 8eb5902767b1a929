"""Everything that can be observed of a simulated call."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

import attrs

from ..ari.messages import LinkClosed, LinkOpened, Reply, RequestFailed
from ..ari.request import Request
from ..call import CallEnd, CallState, CollectedDigits, EndedBy
from ..effects import Log, LogLevel
from ..errors import CallEnded
from .callers import Agent, AskForTransfer, Caller, HangUp, Hold, Refuse, Talk, prompt_name
from .faults import Fault, Faults, is_about_calls
from .hearing import Hearing
from .ladder import Moment, ladder
from .people import Digit, Person
from .recording import Recorded
from .speech import Utterance

if TYPE_CHECKING:
    from ..session import CallSession

__all__ = ["CallReport", "Handled", "HangupCall", "Left", "Operation", "RequestMade", "RunReport", "Trace", "place_of"]


@attrs.define
class Operation:
    """Something that the handler asked of its call, such as ``play_file("hello-world")``."""

    name: str
    positional: tuple[Any, ...]
    named: Mapping[str, Any]
    at: float
    ended_at: float | None = None
    """``None`` where it never did."""
    result: object = None
    error: BaseException | None = None
    after_end: bool = False
    """Whether ``CallEnded`` had been raised to the handler before it asked for this."""

    @property
    def digits(self) -> str | None:
        """The keys that it got; ``None`` where it did not ask for any."""
        if isinstance(self.result, CollectedDigits):
            return self.result.digits + self.result.terminator
        if self.name in {"listen_dtmf", "collect_digits"}:
            return self.result if isinstance(self.result, str) else ""
        return None

    def __str__(self) -> str:
        arguments = [*map(repr, self.positional), *(f"{name}={value!r}" for name, value in self.named.items())]
        return f"{self.name}({', '.join(arguments)})"


@attrs.define
class HangupCall:
    """A hangup callback, and when it ran."""

    name: str
    registered_at: float
    runs: list[float] = attrs.field(factory=list)
    """When each run of it began."""
    ended_at: float | None = None
    """When the last one had ended; ``None`` where it has not."""
    error: BaseException | None = None
    """What it failed with."""

    @property
    def error_place(self) -> str:
        """Where that was raised, as in :attr:`CallReport.error_place`."""
        return place_of(self.error)


@attrs.define
class RequestMade:
    """A request to Asterisk, and what came of it."""

    request: Request[Any]
    at: float
    faults: Sequence[Fault] = ()
    """What was done to it on purpose."""
    status: int | None = None
    """Of the reply; ``None`` where none came."""
    reason: str = ""
    replied_at: float | None = None

    def __str__(self) -> str:
        status = "no reply" if self.status is None else f"{self.status} {self.reason}"
        return f"{self.request.method} {self.request.path}: {status}"


@attrs.frozen
class Left:
    """What was still there a minute after the callers had hung up and the handlers had ended."""

    channels: tuple[str, ...] = ()
    bridges: tuple[str, ...] = ()
    handlers: tuple[str, ...] = ()
    """Handlers, and hangup callbacks, that had not ended."""

    def __bool__(self) -> bool:
        return bool(self.channels or self.bridges or self.handlers)


@attrs.define(eq=False)
class Handled:
    """What one handler lived through; or what became of a call that another handler had made."""

    call: CallSession
    name: str
    started_at: float
    first_id: str
    """The channel's id then."""
    operations: list[Operation] = attrs.field(factory=list)
    callbacks: list[HangupCall] = attrs.field(factory=list)
    states: list[tuple[float, CallState]] = attrs.field(factory=list)
    ended_at: float | None = None
    error: BaseException | None = None
    call_ended_at: float | None = None
    follows: object = None
    """Keeps what tells of the states."""
    has_handler: bool = True
    """``False`` for a call that ``originate()`` or ``snoop()`` returned: ``name`` is that of whoever has it."""
    owner: Handled | HangupCall | None = None
    """Who has it then; ``None`` where that was no handler and no hangup callback."""

    @property
    def is_in_use(self) -> bool:
        """Whether its owner goes on, or anything that was asked of it does."""
        owned = self.owner is not None and self.owner.ended_at is None
        return owned or any(operation.ended_at is None for operation in self.operations)


Trace = list[tuple[float, str, Any]]
"""When, what kind of thing, and the thing: what passes on a link as it passes. Read by :attr:`RunReport.timeline`."""


@attrs.define(eq=False)
class RunReport:
    """Of a whole run: what each lived through who called or was called, and what belongs to none."""

    faults: Faults
    sounds: Mapping[str, float]
    """The seconds of each prompt."""
    calls: list[CallReport] = attrs.field(factory=list)
    """Those who called, or whom the run had called, as they were given; then whoever the application called, in that
    order."""
    snoops: list[CallReport] = attrs.field(factory=list)
    """The calls that nobody is on: those of :meth:`~voxtra_core.session.CallSession.snoop`."""
    log: list[Log] = attrs.field(factory=list)
    """What would have been logged."""
    left: Left = attrs.field(factory=Left)
    seconds: float = 0.0
    """How long the run was."""
    reached_limit: bool = False
    """Whether somebody was still on the line after the run's ``limit``, and was made to hang up."""
    spins: bool = False
    """Whether a task ran on and on, without waiting for anything that takes time."""
    error: Exception | None = None
    """What the application itself failed with."""
    trace: Trace = attrs.field(factory=list, repr=False)
    handled: list[Handled] = attrs.field(factory=list, repr=False)

    @cached_property
    def requests(self) -> list[RequestMade]:
        """All requests to Asterisk, in the order in which they were sent."""
        made: dict[str, RequestMade] = {}
        for at, kind, what in self.trace:
            if kind == "request":
                request_id, request, faults = what
                made[request_id] = RequestMade(request, at, faults)
            elif kind == "reply":
                message = what[0]
                one = made.get(message.request_id)
                if one is not None and one.replied_at is None:
                    one.replied_at = at
                    if isinstance(message, Reply):
                        one.status, one.reason = message.status, message.reason
        return list(made.values())

    @cached_property
    def events(self) -> list[tuple[float, dict[str, Any]]]:
        """Asterisk's events, as they arrived."""
        return list(self._events())

    def _events(self) -> Iterator[tuple[float, dict[str, Any]]]:
        for at, kind, what in self.trace:
            if kind == "event" and (event := _parsed(what)) is not None:
                yield at, event

    @property
    def lost_connection(self) -> bool:
        """Whether the application was without a connection to Asterisk for a time: keys of that time are lost."""
        return any(
            isinstance(what, LinkClosed) and at < self.seconds for at, kind, what in self.trace if kind == "link"
        )

    def ladder(self) -> str:
        """All calls as one ladder diagram, one after another."""
        return "\n\n".join(report.ladder() for report in [*self.calls, *self.snoops])

    @property
    def log_lines(self) -> list[str]:
        """What was logged as a warning or worse."""
        return [entry.message for entry in self.log if entry.level >= LogLevel.WARNING]


@attrs.frozen(eq=False, repr=False)
class CallReport:
    """Of one call. Times are in seconds since the run began."""

    person: Person | None
    """The one who called, or was called; ``None`` where it never came to that, and where nobody is on the call."""
    script: Caller | Agent | None
    """``None`` for one of :attr:`RunReport.snoops`."""
    run: RunReport
    """Of the whole run: :attr:`RunReport.log`, :attr:`RunReport.left` and more."""
    handled: Handled | None = attrs.field(repr=False)

    def __repr__(self) -> str:
        return f"<CallReport of {self.who}: {self.end or 'not handled'}>"

    def __str__(self) -> str:
        return self.ladder()

    @property
    def who(self) -> str:
        """``"caller 5550100"``, or an agent's endpoint."""
        return f"caller {self.script.number}".rstrip() if isinstance(self.script, Caller) else self._party

    @property
    def call(self) -> CallSession | None:
        """The session that the handler had, with its ``metadata``; ``None`` where no handler was started."""
        return self.handled.call if self.handled is not None else None

    @property
    def end(self) -> CallEnd | None:
        """How the call ended, as the handler could see it: the Q.850 cause, and who ended it."""
        return self.call.end if self.call is not None else None

    @property
    def states(self) -> list[tuple[float, CallState]]:
        """The call's states, and when each began."""
        return self.handled.states if self.handled is not None else []

    @property
    def operations(self) -> list[Operation]:
        """What the handler asked of the call, in order."""
        return self.handled.operations if self.handled is not None else []

    @property
    def callbacks(self) -> list[HangupCall]:
        """The hangup callbacks."""
        return self.handled.callbacks if self.handled is not None else []

    @property
    def error(self) -> BaseException | None:
        """What went up from the handler; ``CallEnded`` is no error."""
        error = self.handled.error if self.handled is not None else None
        return None if isinstance(error, CallEnded) else error

    @property
    def error_place(self) -> str:
        """Where :attr:`error` was raised: ``"menu.py:12, in greets"``. The last line of it that is neither Voxtra's nor
        a library's; ``""`` without an error.
        """
        return place_of(self.error)

    @property
    def answered_at(self) -> float | None:
        """When either side answered."""
        return self.person.answered_at if self.person is not None else None

    @property
    def ended_at(self) -> float | None:
        """When the call was over for the person."""
        return self.person.ended_at if self.person is not None else None

    @property
    def hung_up_by_caller(self) -> bool:
        """Whether it was the person who ended it."""
        return self.person is not None and self.person.hung_up_first

    @property
    def heard(self) -> Hearing:
        """What the person heard: prompts, music and ringing with their times, and all audio in ``heard.chunks``."""
        return self.person.heard if self.person is not None else Hearing()

    @property
    def prompts(self) -> list[str]:
        """The names of what was heard, in order: ``["hello-world", "music:default"]``."""
        return [prompt_name(heard.what) for heard in self.heard]

    @property
    def heard_speech(self) -> list[Utterance]:
        """What the person understood, ``(start, end, text)`` each: whole words of who spoke as :mod:`~.speech` does."""
        return self.person.heard_speech if self.person is not None else []

    @property
    def said(self) -> list[Utterance]:
        """What the person said in words, in the same form: as much as was said before the call ended."""
        return self.person.said if self.person is not None else []

    @property
    def pressed(self) -> list[Digit]:
        """The keys that the person pressed."""
        return self.person.pressed if self.person is not None else []

    @property
    def digits(self) -> str:
        """The keys that the handler got from ``listen_dtmf()`` and ``collect_digits()``, terminators included."""
        return "".join(operation.digits or "" for operation in self.operations)

    @property
    def recordings(self) -> list[Recorded]:
        """What was recorded of the call, as Asterisk saw it: names, formats, beginnings, ends and how they came."""
        return self.person.line.channel.recordings if self.person is not None else []

    @property
    def tones(self) -> str:
        """The keys that were sent to the person."""
        return self.person.digits if self.person is not None else ""

    @property
    def requests(self) -> list[RequestMade]:
        """The requests to Asterisk that are about this call."""
        made = [made for made in self.run.requests if is_about_calls(made.request)]
        concerns = self._concerns()
        return [one for one in made if concerns(unquote(one.request.target))]

    @property
    def log(self) -> list[Log]:
        """What would have been logged in the whole run."""
        return self.run.log

    @property
    def left(self) -> Left:
        """What was left of the whole run."""
        return self.run.left

    def silences(self) -> list[tuple[float, float]]:
        """From when to when the person, since they dialled or answered, neither heard anything nor did anything.

        Not after the call has been handed to the dialplan: what they hear there is not ours.
        """
        if self.person is None:
            return []
        start = self.script.after if isinstance(self.script, Caller) else self.answered_at
        end = self.ended_at if self.ended_at is not None else self.run.seconds
        handed_over_at = self.handled.call_ended_at if self.handled is not None else None
        if handed_over_at is not None and self.end is not None and self.end.by is EndedBy.DIALPLAN:
            end = min(end, handed_over_at)
        if start is None or start >= end:
            return []
        busy = [(heard.start, end if heard.end is None else heard.end) for heard in self.heard]
        busy += [(chunk.start, chunk.end) for chunk in self.heard.chunks]
        busy += [(heard.start, end if heard.end is None else heard.end) for heard in self.person.held]
        busy += [(digit.at, digit.at) for digit in (*self.person.pressed, *self.person.tones)]
        busy += [(at, at + step.seconds) for at, step in self.person.done if isinstance(step, Talk)]
        silences = []
        quiet_since = start
        for start, stop in sorted([*busy, (end, end)]):
            if start > quiet_since:
                silences.append((quiet_since, min(start, end)))
            quiet_since = max(quiet_since, stop)
        return silences

    @property
    def longest_silence(self) -> float:
        """Of :meth:`silences`, in seconds; 0.0 where there was none."""
        return max((stop - start for start, stop in self.silences()), default=0.0)

    @property
    def timeline(self) -> list[Moment]:
        """Everything that happened, in order."""
        party = self._party
        moments = [*self._of_trace(), *self._of_person()]  # of the same instant, what comes from the person is first
        return sorted(moments, key=lambda moment: (round(moment.at, 6), moment.source != party))

    def ladder(self) -> str:
        """The call as a ladder diagram in text."""
        return ladder(self.timeline, ("handler", "Voxtra", "Asterisk", self._party))

    # ---- inside ------------------------------------------------------------------------------------------------------

    @property
    def _party(self) -> str:
        if self.script is None:
            return "Snoop" if self.call is None or self.call.channel is None else self.call.channel.name
        return self.script.endpoint if isinstance(self.script, Agent) else "caller"

    def _concerns(self) -> Callable[[str], object]:
        """What finds the texts that are about this call: those with the id of its channel, of one of its playbacks, or
        of a bridge that it was in. Where there is no other call all are.
        """
        if len(self.run.calls) == 1 and not self.run.snoops:
            return lambda text: True
        channel = self.person.channel_id if self.person is not None else self.handled.first_id if self.handled else None
        if channel is None:
            return lambda text: False
        has_channel, ids = _finds_any({channel}), {channel}
        for _, kind, what in self.run.trace:
            if kind == "request" and has_channel(unquote(what[1].target)):
                ids |= {value for name, value in what[1].query if name == "playbackId"}
                ids |= {unquote(part) for part in what[1].path.split("/")[2:3] if what[1].path.startswith("/bridges/")}
        return _finds_any(ids)

    def _of_trace(self) -> Iterator[Moment]:
        concerns = self._concerns()
        last = self.run.seconds
        for at, kind, what in self.run.trace:
            match kind:
                case "request":
                    _, request, faults = what
                    if is_about_calls(request) and concerns(unquote(request.target)):
                        yield Moment(at, "Voxtra", "Asterisk", _requested(request))
                        for fault in faults:
                            yield Moment(at, "Asterisk", "Asterisk", f"! {type(fault).__name__}")
                case "reply":
                    message, request = what
                    if request is not None and is_about_calls(request) and concerns(unquote(request.target)):
                        yield Moment(at, "Asterisk", "Voxtra", _replied(message, request))
                case "event":
                    event = _parsed(what)
                    if event is not None and event.get("type") == "ChannelUserevent" and "channel" not in event:
                        continue  # by which the application finds out whether it hears anything
                    if concerns(what):
                        yield Moment(at, "Asterisk", "Voxtra", _told(event))
                case "fault":
                    yield Moment(at, "Asterisk", "Asterisk", f"! {what!r}")
                case "link" if 0 < at < last:
                    text = "connected" if isinstance(what, LinkOpened) else "connection closed"
                    yield Moment(at, "Asterisk", "Voxtra", text)
                case "link":
                    pass
                case _:
                    yield from self._of_handler(at, kind, what)

    def _of_handler(self, at: float, kind: str, what: Any) -> Iterator[Moment]:
        handled, more = what if isinstance(what, tuple) else (what, None)
        if self.handled is None or handled is not self.handled:
            return
        match kind:
            case "starts":
                yield Moment(at, "Voxtra", "handler", f"starts {handled.name}()")
            case "meets":
                yield Moment(at, "Voxtra", "handler", f"{handled.name}() has the call")
            case "asks":
                yield Moment(at, "handler", "Voxtra", str(more))
            case "gets" if text := _outcome(more):
                yield Moment(at, "Voxtra", "handler", text)
            case "state":
                yield Moment(at, "Voxtra", "Voxtra", str(more))
            case "callback":
                yield Moment(at, "Voxtra", "handler", f"runs {more.name}()")
            case "callback ends" if more.error is not None:
                yield Moment(at, "handler", "Voxtra", f"raises {type(more.error).__name__}")
                yield Moment(at, "handler", "handler", _failure(more.error))
            case "ends":
                text = "returns" if handled.error is None else f"raises {type(handled.error).__name__}"
                yield Moment(at, "handler", "Voxtra", text)
                if self.error is not None:
                    yield Moment(at, "handler", "handler", _failure(self.error))

    def _of_person(self) -> Iterator[Moment]:
        person, party = self.person, self._party
        if person is None:
            return
        if isinstance(self.script, Caller):
            yield Moment(self.script.after, party, "Asterisk", f"dials {self.script.dials}")
        for digit in person.pressed:
            yield Moment(digit.at, party, "Asterisk", f"presses {digit.digit}")
        for at, step in person.done:
            match step:
                case Talk(seconds, words=words):
                    yield Moment(at, party, "Asterisk", f"says {words!r}" if words else f"talks {seconds:g} s")
                case Hold(on):
                    yield Moment(at, party, "Asterisk", "holds" if on else "resumes")
                case AskForTransfer(to):
                    yield Moment(at, party, "Asterisk", f"asks to be connected to {to}")
                case HangUp():
                    yield Moment(at, party, "Asterisk", "hangs up")
                case Refuse(cause):
                    yield Moment(at, party, "Asterisk", f"refuses, cause {cause}")
                case _:
                    pass
        for heard in person.heard:
            yield Moment(heard.start, "Asterisk", party, f"plays {prompt_name(heard.what)}")
            if heard.end is not None:
                yield Moment(heard.end, "Asterisk", party, f"end of {prompt_name(heard.what)}")
        for chunk in person.heard.chunks:
            yield Moment(chunk.start, "Asterisk", party, f"{chunk.seconds:.2f} s of audio")
        for speech in person.heard_speech:
            yield Moment(speech.start, "Asterisk", party, f"speech: {speech.text!r}")
        for tone in person.tones:
            yield Moment(tone.at, "Asterisk", party, f"tone {tone.digit}")
        if person.answered_at is not None:
            yield Moment(person.answered_at, "Asterisk", party, "answered")
        if person.ended_at is not None:
            yield Moment(person.ended_at, "Asterisk", party, f"over, cause {person.cause}")


_LIBRARIES: Final = (contextlib.__file__.rpartition("/")[0], attrs.__file__.rpartition("/attrs/")[0])
"""Where the standard library lies, and what has been installed."""
_OURS: Final = (f"{__name__.partition('.testing.')[0]}.", "voxtra_trio.", "voxtra_asyncio.")


def place_of(error: BaseException | None) -> str:
    """``"menu.py:12, in greets"``: where in the user's code an error was raised, if it was there; ``""`` for none.

    Of a group it is where the first of its errors was.
    """
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    found = any_at_all = ""
    traceback = error.__traceback__ if error is not None else None
    while traceback is not None:
        code, module = traceback.tb_frame.f_code, str(traceback.tb_frame.f_globals.get("__name__", ""))
        if not module.startswith(_OURS):
            file = code.co_filename.replace("\\", "/").rpartition("/")[2]
            any_at_all = f"{file}:{traceback.tb_lineno}, in {code.co_name}"
            if not code.co_filename.startswith(_LIBRARIES):
                found = any_at_all
        traceback = traceback.tb_next
    return found or any_at_all


def _failure(error: BaseException) -> str:
    place = place_of(error)
    return f"! {type(error).__name__}: {error}".rstrip(": ") + (f" ({place})" if place else "")


def _finds_any(ids: Iterable[str]) -> Callable[[str], object]:
    """Whether one of them is in a text, and no longer one that begins with it."""
    return re.compile(rf"(?<![\w.-])(?:{'|'.join(map(re.escape, sorted(ids)))})(?![\w-]|\.\w)").search


def _parsed(text: str | bytes) -> dict[str, Any] | None:
    try:
        event = json.loads(text)
    except ValueError:
        return None
    return event if isinstance(event, dict) and isinstance(event.get("playback", {}), dict) else None


def _outcome(operation: Operation) -> str:
    if operation.error is not None:
        return f"{operation.name}: {type(operation.error).__name__}"
    if operation.result is None and operation.name != "listen_dtmf":
        return ""
    return f"{operation.name}: {operation.result}"


def _requested(request: Request[Any]) -> str:
    media = [value for name, value in request.query if name == "media"]
    media += [str(value) for name, value in (request.body or {}).items() if name == "media"]
    return f"{request.operation} {' '.join(media)}".rstrip()


def _replied(message: Reply | RequestFailed, request: Request[Any]) -> str:
    if isinstance(message, RequestFailed):
        return f"{request.operation}: no reply"
    return f"{message.status} {request.operation}"


def _told(event: dict[str, Any] | None) -> str:
    if event is None:
        return "something that is no event"
    digit = event.get("digit")
    return f"{event.get('type')} {digit}" if digit is not None else str(event.get("type"))
