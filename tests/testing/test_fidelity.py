"""The simulated Asterisk says what a real 22.10.1 said to the same requests.

Events are compared channel by channel: between the two halves of a Local channel the real one races. Within a channel
the order must be the same, and each event must come within a tenth of a second of when it was recorded. Where the
simulation differs, the scenario says so and why.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

import attrs
import pytest

from tests.testing.timeline import Recording, Said, Trace, replay
from voxtra_core.testing import AudioSocketCall, Callee, Caller, Extension, SimEvent, SimulatedAsterisk

_WITHIN = 0.1
"""Seconds. A real prompt took up to 45 ms longer than its file is long."""


@attrs.frozen
class Scenario:
    """One recording, how it is replayed, and where the simulation is known to differ."""

    recording: str
    prepare: Callable[[SimulatedAsterisk, float], object]
    skip: Callable[[str, str], bool] = lambda method, target: False
    """Requests that are not replayed."""
    renamed: Mapping[str, str] = attrs.field(factory=dict)
    """Channels that have another name in the recording."""
    ignored: Callable[[Said], bool] = lambda event: False
    """Events that only one of the two has."""
    closes_at: float | None = None
    """When the client closes its event socket, in seconds."""
    simplified: Callable[[Said], Said] = lambda event: event
    """What is left of an event to compare."""

    def run(self) -> tuple[Trace, Trace]:
        """What the real and the simulated one said."""
        recording = Recording.load(self.recording, self.skip)
        simulated = replay(recording, self.recording, self.prepare, renamed=self.renamed, closes_at=self.closes_at)
        for trace in (recording.trace, simulated):
            trace.events = [self.simplified(event) for event in trace.events if not self.ignored(event)]
        return recording.trace, simulated


# ---- the scenes ------------------------------------------------------------------------------------------------------


def far(asterisk: SimulatedAsterisk, now: float) -> None:
    """The far ends that ``tests/asterisk`` gives a real Asterisk in its dialplan, as people."""
    everybody = {
        "answer": Callee().answers(),
        "play": Callee().answers(),
        "busy": Callee().is_busy(),
        "congestion": Callee().is_congested(),
        "reject": Callee().rejects(),
        "ringing": Callee().rings(60),
        "dtmf": Callee().answers().waits(1).presses("1234*#", after=0.1),
        "read": Callee().answers().waits_for_digits("#"),
        "echo": Callee().answers(),
    }
    for exten, callee in everybody.items():
        asterisk.add_endpoint(f"Local/{exten}@far", callee)
    asterisk.add_extension("far", "answer", Extension("Wait", "300"))


def al_calls(asterisk: SimulatedAsterisk, now: float) -> None:
    caller = Caller("100", "Al", "inbound", context="stasis", endpoint="Local/inbound@stasis")
    asterisk.call(caller, "inbound", now, args=["100"])


def somebody_hangs_up_after_a_second(asterisk: SimulatedAsterisk, now: float) -> None:
    app = "inbound_remote_hangup"
    caller = Caller(dials=app, context="stasis-answer", endpoint=f"Local/{app}@stasis-answer").waits(1).hangs_up()
    asterisk.call(caller, app, now, args=["answered"], answered=True)


def somebody_is_offered(asterisk: SimulatedAsterisk, now: float) -> None:
    asterisk.add_extension("bcast", "bcast", Extension("StasisBroadcast", "5000,,arg1:arg2,yes"))
    asterisk.dial(Caller(dials="bcast", context="bcast", endpoint="Local/bcast@bcast"), now, answered=True)


class Silent:
    """Whoever Asterisk connects to, and hears nothing of."""

    def send_audio(self, data: bytes) -> None: ...

    def send_digit(self, digit: str) -> None: ...

    def close(self) -> None: ...


def somebody_listens(asterisk: SimulatedAsterisk, now: float) -> None:
    """For AudioSocket connections; the one that comes is closed when it was in the recording."""
    far(asterisk, now)

    def door(call: AudioSocketCall) -> None:
        call.accepted(Silent())
        asterisk._exchange.agenda.at(4.2795, call.hung_up)

    asterisk.add_door("127.0.0.1:42061", door)


# ---- the differences -------------------------------------------------------------------------------------------------


def makes_the_call(method: str, target: str) -> bool:
    """In the recording the caller is a Local channel that the client itself originates; here somebody calls."""
    return method == "POST" and target.startswith("/channels?")


def is_seen_by_subscribing_to_all(event: Said) -> bool:
    """``dtmf_sent`` was recorded with ``subscribeAll``, which shows device states and creations, too."""
    variable = json.loads(event.fields).get("variable")
    return (
        event.type in {"ChannelCreated", "DeviceStateChanged"}
        or (event.type == "ChannelDialplan" and event.place[-1] == "AppDial2")
        or is_of_the_read_extension(event, variable)
    )


def is_of_the_read_extension(event: Said, variable: str | None) -> bool:
    """The far end runs ``Read``, ``Set`` and ``UserEvent``; here it is a person who listens for digits."""
    applications = {"Read", "Set", "UserEvent", "Wait"}
    return (
        event.type == "ChannelUserevent"
        or variable in {"GOT", "READSTATUS"}
        or (event.type == "ChannelDialplan" and event.place[-1] in applications)
    )


def without_place_of_far_half(event: Said) -> Said:
    """For the same reason it is somewhere else in the dialplan."""
    return attrs.evolve(event, place=()) if event.channel.endswith(";2") else event


def is_about_what_bridges_play(method: str, target: str) -> bool:
    """Prompts, recordings and music of a bridge are not modelled."""
    return target.startswith(("/bridges/br-1/play", "/bridges/br-1/record", "/bridges/br-1/moh", "/recordings"))


def is_about_what_holding_bridges_play(method: str, target: str) -> bool:
    """Likewise."""
    return target.endswith("/moh")


def is_of_a_far_half_or_what_bridges_play(event: Said) -> bool:
    """The hidden channels that play and record in a bridge are members of it, so that its members' peers change; the
    last of them leaves when the music is stopped, at 2.8514 s. What the far halves run differs: here they are people.
    """
    fields = json.loads(event.fields)
    played = "playback" in fields and fields["playback"]["target_uri"] == "bridge:br-1"
    peers = fields.get("variable") == "BRIDGEPEER" and fields["value"] != "" and 0.012 < event.at < 2.8515
    return event.channel.endswith(";2") or "Recording" in event.type or played or peers


SCENARIOS = [
    Scenario(
        "inbound",
        al_calls,
        skip=makes_the_call,
        renamed={"Local/inbound@stasis#0": "Local/inbound@stasis#0;2"},
    ),
    Scenario(
        "inbound_remote_hangup",
        somebody_hangs_up_after_a_second,
        skip=makes_the_call,
        renamed={"Local/inbound_remote_hangup@stasis-answer#0": "Local/inbound_remote_hangup@stasis-answer#0;2"},
    ),
    Scenario("originate_play", far),
    Scenario("originate_fail", far),
    Scenario("dtmf_received", far),
    Scenario("dtmf_sent", far, ignored=is_seen_by_subscribing_to_all, simplified=without_place_of_far_half),
    Scenario("snoop", far),
    Scenario("bridge_mixing", far, skip=is_about_what_bridges_play, ignored=is_of_a_far_half_or_what_bridges_play),
    Scenario("audiosocket", somebody_listens, ignored=is_of_a_far_half_or_what_bridges_play),
    Scenario(
        "bridge_holding", far, ignored=is_of_a_far_half_or_what_bridges_play, skip=is_about_what_holding_bridges_play
    ),
    Scenario("app_gone", far, closes_at=0.1),
    Scenario("app_not_registered", far),
    Scenario(
        "broadcast_claim",
        somebody_is_offered,
        skip=makes_the_call,
        renamed={"Local/bcast@bcast#0": "Local/bcast@bcast#0;2"},
    ),
]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.recording)
def test_same_events_at_the_same_times(scenario: Scenario) -> None:
    real, simulated = scenario.run()
    assert real.events or scenario.recording == "app_not_registered"
    assert {event.channel for event in simulated.events} == {event.channel for event in real.events}
    for channel in {event.channel for event in real.events}:
        assert simulated.of(channel) == real.of(channel)
        for ours, theirs in zip(simulated.of(channel), real.of(channel), strict=True):
            assert ours.at == pytest.approx(theirs.at, abs=_WITHIN), ours


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.recording)
def test_same_answers(scenario: Scenario) -> None:
    real, simulated = scenario.run()
    assert real.answers
    assert simulated.answers == real.answers


# ---- errors ----------------------------------------------------------------------------------------------------------

OF_THE_TRANSPORT = ("/events", "/bridges?type=mixing")
"""401, 403 and 426: what :mod:`voxtra_core.testing.serve` answers before the simulation is asked."""

NOT_MODELLED = ("/sounds/", "/endpoints", "/asterisk/modules/", "/asterisk/logging")

OF_THAT_MACHINE = ("/asterisk/info", "/asterisk/variable")
"""Only the status is compared."""


def test_same_errors() -> None:
    skip = lambda method, target: target.startswith(OF_THE_TRANSPORT)  # noqa: E731
    recording = Recording.load("errors", skip)
    simulated = replay(recording, "errors", far)
    compared = 0
    for number, real in recording.trace.answers.items():
        ours = simulated.answers[number]
        target = real.request.split()[1]
        if target.startswith(NOT_MODELLED):
            assert ours.status == 501, ours
        elif not target.startswith(OF_THAT_MACHINE):
            assert ours == real
            compared += 1
        elif real.status != 401:
            assert ours.status == real.status
    assert compared == 17


def test_application_replaced() -> None:
    """The recording of a client whose application another one took."""
    real = Recording.load("app_replaced").trace
    asterisk = SimulatedAsterisk(new_id=lambda: "id")
    asterisk.connect_app(1, ["app_replaced"], False, 0.0)
    asterisk.connect_app(2, ["app_replaced"], False, 0.0)
    told = Trace()
    message = asterisk.next_message()
    assert isinstance(message, SimEvent)
    assert message.socket == 1
    told.add_event(message.text, 0.0)
    assert told.events == real.events
    assert asterisk.next_message() is None
