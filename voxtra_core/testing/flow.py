"""What any call flow must keep, whoever calls and whatever goes wrong."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import unquote

import attrs

from ..call.cause import EndedBy
from ..effects import LogLevel
from ..errors import CallEnded, LocalProtocolError, VoxtraError
from .report import CallReport, Operation, RunReport, place_of
from .run import ALWAYS_ALLOWED

__all__ = ["Flaw", "flaws"]

_RACES: Final = frozenset({400, 404, 409, 412})
"""What Asterisk answers about a channel that has just gone."""
_FLUSHED: Final = "?"
"""A key that was forgotten, whichever it was."""
_HAIR: Final = 0.05
"""Seconds by which a prompt may be cut short before anybody hears it."""


@attrs.frozen
class Flaw:
    """One thing that a call flow must keep, and has not."""

    rule: str
    """``"ends"``, ``"nothing after the end"``, ``"legal requests"``, ``"nothing left"``, ``"callbacks once"``,
    ``"digits"``, ``"silence"``, ``"prompts"``, ``"handler"``, ``"told of the end"`` or ``"application"``."""
    about: str
    """What exactly, in words."""

    def __str__(self) -> str:
        return f"{self.rule}: {self.about}"


def flaws(run: RunReport, *, max_silence: float = 30.0) -> list[Flaw]:
    """All that is wrong with a run.

    ``max_silence`` is for how many seconds a person on a call that is up may neither hear anything nor do anything;
    what faults may hold a call up by comes on top.
    """
    found = list(_of_run(run))
    for report in [*run.calls, *run.snoops]:
        found += _of_call(report, max_silence)
    return found


def _of_run(run: RunReport) -> Iterator[Flaw]:
    if run.error is not None:
        yield Flaw("application", f"it failed: {type(run.error).__name__}: {run.error}")
    if run.spins:
        yield Flaw("ends", "a handler goes on and on without waiting for anything that takes time")
    elif run.left.handlers:
        names = ", ".join(f"{name}()" for name in run.left.handlers)
        yield Flaw("ends", f"{names} had not ended a minute after everybody had hung up")
    if run.left.channels:
        yield Flaw("nothing left", f"channels in Asterisk: {', '.join(run.left.channels)}")
    if run.left.bridges:
        yield Flaw("nothing left", f"bridges in Asterisk: {', '.join(run.left.bridges)}")
    for entry in run.log:
        is_told_below = "its handler failed" in entry.message or "a hangup callback failed" in entry.message
        if entry.level >= LogLevel.ERROR and not is_told_below:
            why = f": {type(entry.error).__name__}: {entry.error}" if entry.error is not None else ""
            yield Flaw("application", f"it logged an error: {entry.message}{why}")
    yield from _of_requests(run)


def _of_requests(run: RunReport) -> Iterator[Flaw]:
    gone: dict[str, float] = {}
    requests = {id(made.request): made for made in run.requests}
    for at, kind, what in run.trace:
        if kind == "request":
            _, request, _ = what
            made = requests[id(request)]
            channel = _channel_of(request)
            if at > gone.get(channel, at) and request.method not in {"GET", "DELETE"}:
                yield Flaw("legal requests", f"{request.operation} on a channel whose end had been told")
            if made.status is not None and 400 <= made.status < 500 and not made.faults:
                ended = [report.ended_at for report in run.calls if report.ended_at is not None]
                raced = (made.status in _RACES or request.path.endswith("/subscription")) and (
                    bool(run.faults) or any(end <= (made.replied_at or at) + 1.0 for end in ended)
                )
                if not raced and request.method != "GET" and not request.path.startswith("/playbacks"):
                    yield Flaw("legal requests", f"{request.operation} was answered {made.status} {made.reason}")
        elif kind == "event" and any(type in what for type in ('"StasisEnd"', '"ChannelDestroyed"', '"StasisStart"')):
            for event_at, event in run.events:
                channel = str(event.get("channel", {}).get("id"))
                if event_at == at and event.get("type") in {"StasisEnd", "ChannelDestroyed"}:
                    gone.setdefault(channel, at)
                elif event_at == at and event.get("type") == "StasisStart":  # it has come back
                    gone.pop(channel, None)
        elif kind == "fault":
            gone.clear()


def _channel_of(request: Any) -> str:
    parts = unquote(request.path).split("/")
    return parts[2] if len(parts) > 3 and parts[1] == "channels" else ""


def _of_call(report: CallReport, max_silence: float) -> Iterator[Flaw]:
    handled, faults = report.handled, report.run.faults
    if handled is None:
        return
    name = f"{handled.name}()"
    if report.error is not None and isinstance(report.error, Exception):
        refused = [error for error in _leaves(report.error) if not _is_fair(error, bool(faults))]
        if refused:
            yield Flaw("handler", f"{name} raised {type(refused[0]).__name__}: {refused[0]}{_where(refused[0])}")
    if report.ended_at is not None and handled.call_ended_at is None and not report.run.spins:
        yield Flaw("told of the end", f"the call was over at {report.ended_at:g} s, and {name} was never told")
    for operation in report.operations:
        if operation.after_end and operation.name not in ALWAYS_ALLOWED:
            yield Flaw("nothing after the end", f"{name} awaited {operation} although it had got CallEnded before")
            break
    for operation in report.operations:
        if isinstance(operation.error, LocalProtocolError):
            yield Flaw("legal requests", f"{operation}: {operation.error}")
            break
    for callback in report.callbacks:
        if len(callback.runs) > 1 or (not callback.runs and handled.call_ended_at is not None):
            yield Flaw("callbacks once", f"{callback.name}() ran {len(callback.runs)} times")
        if isinstance(callback.error, Exception) and not _is_fair(callback.error, bool(faults)):
            error = callback.error
            yield Flaw("handler", f"{callback.name}() raised {type(error).__name__}: {error}{_where(error)}")
    yield from _of_digits(report)
    allowed = max_silence + faults.seconds
    if report.longest_silence > allowed + _HAIR:
        start, stop = max(report.silences(), key=lambda silence: silence[1] - silence[0])
        yield Flaw(
            "silence", f"{report.who} heard nothing from {start:g} s to {stop:g} s, for more than {max_silence:g} s"
        )
    if not faults:
        yield from _of_prompts(report)


def _where(error: BaseException) -> str:
    place = place_of(error)
    return f" ({place})" if place else ""


def _leaves(error: BaseException) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for part in error.exceptions for leaf in _leaves(part)]
    return [error]


def _is_fair(error: BaseException, has_faults: bool) -> bool:
    """Whether a handler may let it go up."""
    if isinstance(error, CallEnded) or not isinstance(error, Exception):
        return True
    return has_faults and isinstance(error, VoxtraError) and not isinstance(error, LocalProtocolError)


def _of_digits(report: CallReport) -> Iterator[Flaw]:
    listens = [operation for operation in report.operations if operation.digits is not None]
    pressed = "".join(digit.digit for digit in report.pressed)
    if not _is_within(report.digits, pressed):
        yield Flaw("digits", f"the caller pressed {pressed!r}, and the handler got {report.digits!r}")
        return
    if report.run.faults.lose_digits or report.run.lost_connection:
        return
    taken = "".join(_taken(operation) for operation in report.operations)
    if len(taken) > len(pressed) or not all(
        one in {_FLUSHED, other} for one, other in zip(taken, pressed, strict=False)
    ):
        yield Flaw("digits", f"the caller pressed {pressed!r}, and the handler got {report.digits!r}: one was lost")
        return
    late = report.run.faults.seconds + _HAIR
    for operation in listens:
        if operation.ended_at is None or not _got_nothing(operation):
            continue
        before = sum(digit.at < operation.ended_at - late for digit in report.pressed)
        ended = [one for one in report.operations if (one.ended_at or 0.0) <= operation.ended_at]
        taken_before = sum(len(_taken(one)) for one in ended)
        if taken_before < before:
            lost = report.pressed[taken_before]
            yield Flaw(
                "digits", f"{operation} got none, although {lost.digit} had been pressed at {lost.at:g} s: it was lost"
            )
            return


def _taken(operation: Operation) -> str:
    """The keys that were waiting no more after it."""
    if operation.name == "flush_dtmf" and isinstance(operation.result, int):
        return _FLUSHED * operation.result
    return operation.digits or ""


def _got_nothing(operation: Operation) -> bool:
    if operation.error is not None:  # asked for after the end, it gets nothing whatever was pressed
        was_ended = isinstance(operation.error, CallEnded) and operation.at != operation.ended_at
        return was_ended and operation.name == "listen_dtmf"  # an entry may have had some of its digits
    return not operation.digits


def _is_within(taken: str, pressed: str) -> bool:
    """Whether all of ``taken`` stands in ``pressed``, in that order."""
    rest = iter(pressed)
    return all(digit in rest for digit in taken)


def _of_prompts(report: CallReport) -> Iterator[Flaw]:
    """Prompts that there are not; and one that the handler's own hangup cuts off: it has not waited for its end."""
    for name in _not_there(report):
        yield Flaw(
            "prompts",
            f"there is no {name}: if it is one of yours, say how long it takes, as in sounds={{{name!r}: 2.0}}",
        )
    if report.end is None or report.end.by is not EndedBy.LOCAL or report.error is not None or not report.heard:
        return
    last = report.heard[-1]
    length = report.run.sounds.get(last.what.removeprefix("sound:"), 0.0)
    if last.end is None or report.ended_at is None or last.end < report.ended_at - _HAIR:
        return
    if any(
        made.request.operation in {"playbacks.stop", "playbacks.control"} and last.start <= made.at <= last.end
        for made in report.requests
    ):
        return  # on purpose, as by a key that interrupts it; or it was paused, and heard in parts
    heard = last.end - last.start
    if heard < length - _HAIR:
        yield Flaw("prompts", f"{last.what} was cut off after {heard:g} of {length:g} s by the handler's hangup")


def _not_there(report: CallReport) -> Iterator[str]:
    """The names of sounds that Asterisk was to play, each once, and does not have."""
    uris = [
        uri
        for made in report.requests
        for name, value in [*made.request.query, *(made.request.body or {}).items()]
        if name == "media"
        for uri in str(value).split(",")
    ]
    asked = [uri.removeprefix("sound:") for uri in uris if uri.startswith("sound:")]
    for name in dict.fromkeys(asked):
        if name not in report.run.sounds and "://" not in name:
            yield name
