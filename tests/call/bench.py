"""A call machine on the bench: no Asterisk, no clock. The test says what comes in, and sees all that goes out."""

from __future__ import annotations

import sys
from collections.abc import Callable
from itertools import count
from time import monotonic
from typing import Any, TypeVar

from hypothesis import HealthCheck, seed, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

from voxtra_core.ari import (
    CallerID,
    Channel,
    ChannelDestroyed,
    ChannelDtmfReceived,
    ChannelHangupRequest,
    ChannelStateChange,
    ChannelTalkingFinished,
    ChannelTalkingStarted,
    ChannelVarset,
    Dial,
    DialplanCEP,
    Event,
    Playback,
    PlaybackFinished,
    PlaybackStarted,
    StasisEnd,
    StasisStart,
)
from voxtra_core.call import CallDirection, CallMachine, CallState, NotPlayed, Outage, Pending
from voxtra_core.call.commands import AskLink, Command, Originate, Withdraw
from voxtra_core.errors import VoxtraError, ari_error

T = TypeVar("T")
C = TypeVar("C", bound=Command)

_ENVELOPE: dict[str, Any] = {"application": "app", "timestamp": "2026-11-22T07:30:37.048+0000"}


# ---- what Asterisk says ----------------------------------------------------------------------------------------------


def channel(id: str = "channel-1", state: str = "Ring") -> Channel:
    return Channel(
        id=id,
        protocol_id="",
        name=f"PJSIP/{id}",
        state=state,
        caller=CallerID(name="Alice", number="5550100"),
        connected=CallerID(name="", number=""),
        accountcode="",
        dialplan=DialplanCEP(context="default", exten="200", priority=1, app_name="Stasis", app_data="app"),
        creationtime="2026-11-22T07:30:36.000+0000",
        language="en",
    )


def stasis_start(
    id: str = "channel-1", state: str = "Ring", *, args: tuple[str, ...] = (), replaces: str | None = None
) -> StasisStart:
    replaced = channel(replaces) if replaces is not None else None
    return StasisStart(**_ENVELOPE, args=args, channel=channel(id, state), replace_channel=replaced)


def stasis_end(id: str = "channel-1") -> StasisEnd:
    return StasisEnd(**_ENVELOPE, channel=channel(id))


def state_change(state: str, id: str = "channel-1") -> ChannelStateChange:
    return ChannelStateChange(**_ENVELOPE, channel=channel(id, state))


def hangup_request(
    cause: int | None = None, *, soft: bool | None = None, id: str = "channel-1"
) -> ChannelHangupRequest:
    return ChannelHangupRequest(**_ENVELOPE, cause=cause, soft=soft, channel=channel(id))


def destroyed(cause: int, id: str = "channel-1") -> ChannelDestroyed:
    return ChannelDestroyed(**_ENVELOPE, cause=cause, cause_txt="", channel=channel(id))


def dial(status: str, id: str = "channel-1") -> Dial:
    return Dial(**_ENVELOPE, peer=channel(id, "Down"), dialstatus=status)


def pressed(digit: str, id: str = "channel-1") -> ChannelDtmfReceived:
    return ChannelDtmfReceived(**_ENVELOPE, digit=digit, duration_ms=100, channel=channel(id))


def varset(id: str = "channel-1") -> ChannelVarset:
    """An event that means nothing to a call."""
    return ChannelVarset(**_ENVELOPE, variable="NAME", value="value", channel=channel(id))


def _playback(id: str, state: str, channel_id: str) -> Playback:
    return Playback(id=id, media_uri="sound:hello", target_uri=f"channel:{channel_id}", state=state)


def talking_started(id: str = "channel-1") -> ChannelTalkingStarted:
    return ChannelTalkingStarted(**_ENVELOPE, channel=channel(id, "Up"))


def talking_finished(duration: int, id: str = "channel-1") -> ChannelTalkingFinished:
    return ChannelTalkingFinished(**_ENVELOPE, channel=channel(id, "Up"), duration=duration)


def playback_started(playback_id: str, id: str = "channel-1") -> PlaybackStarted:
    return PlaybackStarted(**_ENVELOPE, playback=_playback(playback_id, "playing", id))


def playback_finished(playback_id: str, state: str = "done", id: str = "channel-1") -> PlaybackFinished:
    return PlaybackFinished(**_ENVELOPE, playback=_playback(playback_id, state, id))


def refusal(status: int, reason: str = "") -> VoxtraError:
    """Asterisk's error of that status."""
    return ari_error("test", status, reason)


# ---- the bench -------------------------------------------------------------------------------------------------------


class Bench:
    """One call machine, its clock, and every command it has given."""

    def __init__(self, direction: CallDirection = CallDirection.INBOUND, *, now: float = 100.0) -> None:
        self.now = now
        self.commands: list[Command] = []
        self.not_played: list[NotPlayed] = []
        self.states: list[CallState] = [CallState.RINGING]
        self.is_link_alive = True
        """Whether it proves so at once when it is asked."""
        self.has_left: Callable[[str], bool] = lambda request_id: True
        """Whether a request had been sent by the time that it is withdrawn."""
        ids = count(1)
        self.call = CallMachine("channel-1", direction, new_id=lambda: f"id-{next(ids)}")

    def collect(self) -> list[Command]:
        """Take what the machine has to say; returns the new commands."""
        new: list[Command] = []
        while commands := self.call.commands_to_send():
            for command in commands:
                if not isinstance(command, AskLink):
                    new.append(command)
                elif self.is_link_alive:
                    self.call.link_is_alive(self.now)
                if isinstance(command, Withdraw):
                    was_sent = self.has_left(command.request_id)
                    self.call.receive_no_reply(command.request_id, self.now, was_sent=was_sent)
        self.commands += new
        while (change := self.call.next_event()) is not None:
            if isinstance(change, NotPlayed):
                self.not_played.append(change)
                continue
            if isinstance(change, Outage):
                continue
            assert change.previous is self.states[-1]
            self.states.append(change.state)
        return new

    def event(self, event: Event) -> list[Command]:
        self.call.receive_event(event, self.now)
        return self.collect()

    def reply(self, command: Command, value: object = None) -> list[Command]:
        self.call.receive_reply(command.request_id, value, self.now)
        return self.collect()

    def refuse(self, command: Command, error: VoxtraError | int, reason: str = "") -> list[Command]:
        error = refusal(error, reason) if isinstance(error, int) else error
        self.call.receive_error(command.request_id, error, self.now)
        return self.collect()

    def wait(self, seconds: float) -> list[Command]:
        """Let time pass, and wake the machine at each of its deadlines, as a driver does."""
        end = self.now + seconds
        new: list[Command] = []
        while (deadline := self.call.next_deadline()) is not None and deadline <= end:
            assert deadline > self.now, "it was woken at this time already"
            self.now = deadline
            self.call.handle_timeout(self.now)
            new += self.collect()
        self.now = end
        return new

    def last(self, kind: type[C]) -> C:
        """The last command of that kind."""
        self.collect()
        return self.all(kind)[-1]

    def all(self, kind: type[C]) -> list[C]:
        """All the commands of that kind."""
        self.collect()
        return [command for command in self.commands if isinstance(command, kind)]


def inbound(state: str = "Up", *, now: float = 100.0) -> Bench:
    """A call that has come in; with ``"Up"`` it is answered."""
    bench = Bench(now=now)
    bench.event(stasis_start(state=state))
    return bench


def outbound(*, timeout: float | None = 30.0) -> tuple[Bench, Pending[None], Originate]:
    """A call that we have asked for: the bench, what came of it, and the command."""
    bench = Bench(CallDirection.OUTBOUND)
    pending = bench.call.originate("PJSIP/alice", bench.now, timeout=timeout)
    return bench, pending, bench.last(Originate)


def snooping_on(target: CallMachine) -> CallMachine:
    """A call that has yet to be asked to snoop on another."""
    ids = count(1)
    return CallMachine("snoop-1", CallDirection.OUTBOUND, snoops_on=target, new_id=lambda: f"snoop-id-{next(ids)}")


def error_of(pending: Pending[Any]) -> Exception:
    """What an operation failed with."""
    assert pending.failed, "it has not failed"
    try:
        pending.result()
    except Exception as error:
        return error
    raise AssertionError("a failed outcome has a result")


def search(machine: type[RuleBasedStateMachine], seconds: float, steps: int = 100) -> None:
    """Look for what breaks a machine for so long: runs of more steps than the default, no two the same; but in CI the
    same each time.
    """
    at_once, examples, begun = 200, 0, monotonic()
    while monotonic() < begun + seconds:
        if settings().derandomize:
            seed(examples)(machine)
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=at_once,
                stateful_step_count=steps,
                deadline=None,
                database=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
        examples += at_once
    found = f"{machine.__name__}: {examples} examples of at most {steps} steps without a finding\n"
    sys.stdout.write(found)  # pytest -rP shows it
