"""A stage whose Asterisk is the simulated one, in virtual time."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from itertools import count
from typing import Final

from tests.fidelity.stage import SIP_PAUSE, Door, Entry, Far, Phone, Scenario, Stage, content_of, has_sound
from voxtra_core.testing import (
    AudioSocketCall,
    Callee,
    Caller,
    Extension,
    Person,
    QueueContext,
    SimClosed,
    SimEvent,
    SimReply,
    SimulatedAsterisk,
    SimulatedQueue,
)
from voxtra_core.testing.frames import humming

__all__ = ["play_simulated"]

_CAUSES: Final = {
    403: 21,
    404: 1,
    408: 18,
    410: 22,
    480: 19,
    484: 28,
    486: 17,
    487: 127,
    488: 58,
    500: 38,
    503: 34,
    600: 17,
    603: 21,
}
"""What Asterisk makes of SIP statuses (``hangup_sip2cause``), where a test says nothing else."""


def play_simulated(scenario: Scenario) -> SimulatedStage:
    """Play it, and let half a second go by."""
    stage = SimulatedStage("simulatedapp")
    scenario.play(stage)
    stage.sleep(0.5)
    return stage


class SimulatedStage(Stage):
    def __init__(self, app: str) -> None:
        super().__init__(app)
        ids = count()
        self.asterisk = SimulatedAsterisk(new_id=lambda: f"00000000-0000-4000-8000-{next(ids):012x}")
        self._sockets: dict[int, str] = {}
        self._everybody()
        self.open(app)

    def _everybody(self) -> None:
        """The far ends that ``tests/asterisk/start`` gives a real Asterisk in its dialplan, as people."""
        everybody = {
            "answer": Callee().answers(),
            "busy": Callee().is_busy(),
            "congestion": Callee().is_congested(),
            "reject": Callee().rejects(),
            "ringing": Callee().rings(60),
            "ring2": Callee().rings(2).answers(),
            "dtmf": Callee().answers().waits(1).presses("1234*#", after=0.1),
            "hang1": Callee().answers().waits(1).hangs_up(),
        }
        for exten, callee in everybody.items():
            self.asterisk.add_endpoint(f"Local/{exten}@far", callee)
        self.asterisk.add_extension("far", "answer", Extension("Wait", "300"))
        self.asterisk.add_extension("after", "waits", Extension("Wait", "30", lasts=30))
        self.asterisk.add_extension("after", "s", Extension("Playback", "beep", lasts=0.44))
        queues = {
            **dict.fromkeys(("answers", "answers2"), SimulatedQueue(answers_after=2.0, member="Local/ring2@far/n")),
            **dict.fromkeys(("leaves", "leaves2"), SimulatedQueue(0.0, talks=1.5, member="Local/hang1@far/n")),
            **dict.fromkeys(("rings", "rings2", "rings3"), SimulatedQueue(member="Local/ringing@far/n")),
            "empty": SimulatedQueue(member=""),
        }
        self.asterisk.add_extension("queueing", "s", QueueContext(queues=queues))
        self.asterisk.add_extension("after", "back", Extension("Stasis", f"{self.app},back"))

    @property
    def now(self) -> float:
        return self.asterisk.now

    @property
    def calendar(self) -> float:
        return self.now % 1

    def open(self, app: str, *, subscribe_all: bool = False) -> None:
        number = self.asterisk.new_number()
        self._sockets[number] = app
        self.asterisk.connect_app(number, [app], subscribe_all, self.now)

    def close(self, app: str) -> None:
        number = max(number for number, name in self._sockets.items() if name == app)
        self.asterisk.disconnect(number, self.now)

    def call(self) -> Far:
        caller = Caller("100", "Al", self.app, context="stasis", endpoint=f"Local/{self.app}@stasis")
        self.mark("far", does="calls")
        return _SimulatedFar(self, self.asterisk.call(caller, self.app, self.now, args=["100"]))

    def offer(self) -> Far:
        exten = f"for-{self.app}"
        self.asterisk.add_extension("bcast", exten, Extension("StasisBroadcast", f"1000,^{self.app},arg1:arg2,yes"))
        caller = Caller("100", "Al", exten, context="bcast", endpoint=f"Local/{exten}@bcast")
        self.mark("far", does="calls")
        return _SimulatedFar(self, self.asterisk.dial(caller, self.now))

    def phone(self, statuses: Sequence[int]) -> Phone:
        return _SimulatedPhone(self, statuses)

    def door(self) -> Door:
        return _SimulatedDoor(self)

    def _send(self, number: int, method: str, target: str, body: str) -> None:
        self.asterisk.receive_request(number, method, target, body.encode(), self.now)

    def _pump(self, end: float) -> bool:
        if self._collect():
            return True
        deadline = self.asterisk.next_deadline()
        self.asterisk.handle_timeout(end if deadline is None else min(end, deadline))
        return self._collect() or self.now < end

    def _collect(self) -> bool:
        before = len(self.log)
        lanes = [0, *self._sockets]
        for lane in lanes:
            while (message := self.asterisk.next_message(lane)) is not None:
                match message:
                    case SimReply(request, status, reason, body):
                        self.mark("reply", request=request, status=status, reason=reason, **content_of(body))
                    case SimEvent(socket, text):
                        self.log.append(
                            Entry(self.now, "event", {"to": self._sockets[socket], "event": json.loads(text)})
                        )
                    case SimClosed(socket):
                        self.mark("event", to=self._sockets[socket], event={"type": "(closed)"})
        return len(self.log) > before


class _SimulatedFar(Far):
    """Drives the line itself, as the scenario decides what comes next."""

    def __init__(self, stage: SimulatedStage, person: Person) -> None:
        super().__init__(stage)
        self._person = person
        self._agenda = stage.asterisk._exchange.agenda
        self._talks_until = 0.0
        self._listens_since = 0.0

    def _press(self, digits: str) -> None:
        for number, digit in enumerate(digits, 1):
            self._agenda.after(0.2 * number, partial(self._person.line.presses, digit, 0.1))

    def _talk(self) -> None:
        self._say(4.42)  # hello-world, and 3 s of silence

    def _speak(self) -> None:
        self._say(1.42)

    def _say(self, lasts: float) -> None:
        begin = max(self._agenda.now, self._talks_until)
        self._talks_until = begin + lasts
        self._agenda.at(begin + 0.08, self._begin_to_talk)  # when the voice in it begins and ends
        self._agenda.at(begin + 1.34, lambda: self._person.line.talks(False))

    def _begin_to_talk(self) -> None:
        self._person.voice.say(humming(1.26, 8000), self._agenda.now)
        self._person.line.talks(True)

    def _send_silence(self) -> None:
        """As it does anyhow."""

    def _listen(self) -> None:
        self._listens_since = self._agenda.now

    def _stop_listening(self) -> bool:
        heard, since, now = self._person.heard, self._listens_since, self._agenda.now
        named = any((each.end is None or each.end > since) for each in heard)
        return named or has_sound(heard.audio(since, now))

    def _hang_up(self) -> None:
        self._person.line.hangs_up(16)


class _SimulatedPhone(Phone):
    def __init__(self, stage: SimulatedStage, statuses: Sequence[int]) -> None:
        super().__init__(stage)
        self.endpoint = "PJSIP/uas/sip:alice@127.0.0.1:5060"
        stage.aliases["127.0.0.1:5060"] = "PHONE"
        self._asterisk = stage.asterisk
        self._person: Person | None = None
        self._over: Callable[[], None] | None = None
        callee = Callee()
        for status in statuses:
            callee = _answering(callee.waits(SIP_PAUSE), status)
        stage.asterisk.add_endpoint(self.endpoint, callee, context="sip-in")

    def _accepts(self, to: str, over: Callable[[], None]) -> None:
        self._over = over

    @staticmethod
    def _refuses(to: str, over: Callable[[], None]) -> None:
        over()

    @property
    def person(self) -> Person:
        return self._person or self._asterisk.people[-1]

    def _do(self, what: str) -> None:
        line = None if what == "calls" else self.person.line
        match what.split():
            case ["calls"]:
                app = self.stage.app
                caller = Caller("5550100", "Alice", app, context="sip-in", endpoint="PJSIP/sipp")
                self._person = self._asterisk.call(caller, app, self.stage.now, args=["sip", "5550100"])
            case ["cancels"] | ["hangs", "up"] if line is not None:
                line.hangs_up(None)
            case ["holds"] if line is not None:
                line.holds(True)
            case ["resumes"] if line is not None:
                line.holds(False)
            case ["will", *_, status] if line is not None:
                self.person.takes_referral = self._accepts if status == "202" else self._refuses
            case ["reports", status]:
                if int(status) >= 200 and self._over is not None:
                    self._over()
            case ["asks", "for", user] if line is not None:
                line.asks_for_transfer(user)
            case ["answers", "200"] if line is not None:
                line.answers()
            case ["answers", status] if line is not None:
                line.hangs_up(_CAUSES[int(status)])
            case _:
                raise AssertionError(what)


def _answering(callee: Callee, status: int) -> Callee:
    match status:
        case 100:
            return callee
        case 180:
            return callee.rings()
        case 183:
            return callee.progresses()
        case 200:
            return callee.answers()
        case _:
            return callee.rejects(_CAUSES[status])


class _SimulatedDoor(Door):
    """Reads what it is told to say as :mod:`chan_audiosocket` would."""

    def __init__(self, stage: SimulatedStage) -> None:
        super().__init__(stage)
        self.address = "127.0.0.1:9"
        stage.aliases[self.address] = "DOOR"
        self._call: AudioSocketCall | None = None
        stage.asterisk.add_door(self.address, self._accepts)

    def _accepts(self, call: AudioSocketCall) -> None:
        self._call = call
        self.stage.mark("event", to="DOOR", event={"type": "(accepted)"})
        call.accepted(_FarEnd(self.stage))

    def _say(self, data: bytes) -> None:
        assert self._call is not None
        if data[0] == 0x10 and len(data) > 3:
            self._call.audio(data[3:])
        else:
            self._call.hung_up()

    def _close(self) -> None:
        assert self._call is not None
        self._call.hung_up()


class _FarEnd:
    """What Asterisk says to who listens at the door."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    def send_audio(self, data: bytes) -> None: ...

    def send_digit(self, digit: str) -> None:
        self._stage.mark("event", to="DOOR", event={"type": "(digit)", "digit": digit})

    def close(self) -> None:
        self._stage.mark("event", to="DOOR", event={"type": "(closed)"})
