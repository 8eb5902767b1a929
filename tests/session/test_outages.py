"""The link may be lost at any instant, in every way, and Asterisk with it; no call is lost, doubled or left waiting.

Hypothesis chooses who calls and is called, what the handlers do, how slow every message is, and when and how the link
breaks. All of it is on a grid of 50 ms, so that things also happen at the same instant. Virtual time: an example of a
minute's calls takes some milliseconds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import attrs
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.stasis.truth import assert_it_is_so
from voxtra_core import CallSession, CallState
from voxtra_core.app import Reconnect
from voxtra_core.ari import channels
from voxtra_core.call import TERMINAL
from voxtra_core.errors import CallEnded, ConnectFailed, OriginateFailed, RequestOutcomeUnknown
from voxtra_core.testing import Callee, Caller, Extension, Person
from voxtra_core.testing.virtual import Cancelled

from .test_hangup_at_any_instant import delays
from .world import Delays, UnsteadyLink, World

instants = st.integers(0, 200).map(lambda n: n * 0.05)


@attrs.frozen
class Misfortune:
    """What befalls the link, when, and for how long it cannot be had again."""

    kind: str
    at: float
    lasts: float


misfortunes = st.builds(
    Misfortune,
    st.sampled_from(["drop", "drop", "freeze", "read too slowly", "restart", "close"]),
    instants,
    st.sampled_from([0.0, 0.0, 0.3, 1.0, 4.0, 11.0]),
)

ACTS: dict[str, Callable[[World, CallSession], object]] = {
    "ring": lambda _, call: call.ring(),
    "answer": lambda _, call: call.answer(),
    "play": lambda _, call: call.play_file("hello-world"),
    "play for long": lambda _, call: call.play_file("tt-monkeys"),
    "hold": lambda _, call: call.hold(),
    "unhold": lambda _, call: call.unhold(),
    "listen": lambda _, call: call.listen_dtmf(timeout=2.0),
    "send": lambda _, call: call.send_dtmf("12"),
    "get": lambda _, call: call.get_variable("GREETING"),
    "set": lambda _, call: call.set_variable("COLOUR", "red"),
    "request": lambda world, _: world.app.request(channels.list(), timeout=None),
    "detect": lambda _, call: call.start_talk_detection(silence_ms=200),
    "detect no more": lambda _, call: call.stop_talk_detection(),
    "snoop": lambda _, call: call.snoop(),
    "continue": lambda _, call: call.continue_in_dialplan("later", "s", 1),
    "hangup": lambda _, call: call.hangup(),
    "originate": lambda world, _: world.app.originate("PJSIP/bob", timeout=3.0),
}

scripts = st.lists(
    st.tuples(st.sampled_from(sorted(ACTS)), st.none() | st.none() | st.integers(0, 30).map(lambda n: n * 0.05)),
    max_size=6,
)
"""What a handler does: one act after another, each perhaps cancelled after so many seconds."""

callers = st.tuples(instants, st.none() | instants)
"""When somebody calls, and after how many seconds they hang up."""


class Office:
    """An application whose handlers act as they are told, and all that came of it."""

    def __init__(self, world: World, scripts: list[list[tuple[str, float | None]]]) -> None:
        self.world = world
        self.scripts = scripts
        self.handled: list[CallSession] = []
        self.originated: list[CallSession] = []
        self.hung_up: Counter[str] = Counter()
        self.people: list[tuple[float, Person]] = []
        self.restarts: list[float] = []
        self.frozen: list[tuple[float, float]] = []
        self.continued: set[str] = set()
        """Those of whom ``continue_in_dialplan()`` said that it was done."""
        self.refusing_until = 0.0
        world.app.default()(self.handle)
        world.app.prepare = self.prepare
        world.asterisk.add_extension("later", "s", Extension("Wait", "30", lasts=30.0))
        world.asterisk.add_endpoint("PJSIP/bob", Callee().rings(1.0).answers())

    def prepare(self, link: UnsteadyLink) -> None:
        if self.world.now < self.refusing_until:
            link.refusal = ConnectFailed("nobody is there")

    async def handle(self, call: CallSession) -> None:
        number = len(self.handled)
        self.handled.append(call)
        self.watch(call)
        for what, patience in self.scripts[number % len(self.scripts)] if self.scripts else []:
            await self.act(call, what, patience)

    def watch(self, call: CallSession) -> None:
        @call.on_hangup
        async def ended() -> None:
            assert call.state in TERMINAL
            self.hung_up[call.id] += 1

    async def act(self, call: CallSession, what: str, patience: float | None) -> None:
        async def run() -> None:
            if what in {"hold", "unhold"} and call.state is CallState.RINGING:
                return
            if what == "ring" and call.state is not CallState.RINGING:
                return
            outcome = await ACTS[what](self.world, call)  # type: ignore[misc]
            if what == "continue":
                self.continued.add(call.id)
            if isinstance(outcome, CallSession) and what == "snoop":
                await self.world.loop.sleep(1.0)
                await outcome.hangup()
            elif isinstance(outcome, CallSession):
                self.originated.append(outcome)
                self.watch(outcome)
                await outcome.hangup()

        began = self.world.now
        task = self.world.loop.spawn(run(), what)
        if patience is not None:
            self.world.loop.spawn(self.cancel(task, patience))
        try:
            await self.world.loop.park(task.done)
        except Cancelled:
            task.cancel()
            raise
        if task.error is None or isinstance(task.error, Cancelled):
            return
        allowed: tuple[type[Exception], ...] = (CallEnded,)
        if what in {"play", "play for long"} and self.may_be_unknown(began, 1.0 if what == "play" else 10.0):
            allowed += (RequestOutcomeUnknown,)
        if what in {"send", "snoop"}:
            allowed += (RequestOutcomeUnknown,)
        if what == "originate":
            allowed += (OriginateFailed,)
        assert isinstance(task.error, allowed), f"{what}: {task.error!r}"
        if isinstance(task.error, CallEnded) and task.error.call_id == call.id:
            raise task.error

    def may_be_unknown(self, began: float, length: float) -> bool:
        """Whether a prompt can have been played to its end since, or the request for it have been lost on its way."""
        return self.world.now >= began + length or any(end >= began for _, end in self.frozen)

    async def cancel(self, task: object, after: float) -> None:
        await self.world.loop.sleep(after)
        task.cancel()  # type: ignore[attr-defined]

    async def call(self, at: float, patience: float | None) -> None:
        await self.world.loop.sleep(at)
        caller = Caller("5550100", context="in").sets("GREETING", "hello")
        caller = caller.talks(1.0) if patience is None else caller.waits(patience / 2).talks(patience / 2).hangs_up()
        self.people.append((self.world.now, self.world.call(caller)))

    async def befall(self, what: Misfortune) -> None:
        await self.world.loop.sleep(what.at)
        link, now = self.world.link, self.world.now
        self.refusing_until = max(self.refusing_until, now + what.lasts)
        match what.kind:
            case "drop":
                link.drop(now)
            case "close":
                link._close(None, now)
            case "read too slowly":
                link.read_too_slowly(now)
            case "restart":
                self.restarts.append(now)
                self.world.asterisk.restart(now, boots=what.lasts)
            case "freeze":
                self.frozen.append((now, now + what.lasts))
                link.freeze(now)
                await self.world.loop.sleep(what.lasts)
                link.drop(self.world.now)
        self.world.driver.wake()

    def run(self, seconds: float, *, check: bool) -> None:
        """Let time pass; with ``check``, compare the pictures whenever nothing happens any more at an instant."""
        loop, end = self.world.loop, self.world.now + seconds
        waiting, _ = self.world.spawn(loop.sleep(seconds))
        while not waiting.done.done:
            if check and not loop._ready:
                for driver in loop.drivers:
                    driver.wake()
                if not loop._ready:
                    self.compare()
            assert loop.step()
            deadline = self.world.driver.next_deadline()
            assert deadline is None or deadline >= loop.now or loop._ready or loop.now > end

    def compare(self) -> None:
        """After a resync the core's picture equals the simulator's truth."""
        (registration,) = self.world.driver.machine._reach.registrations
        stasis = registration.stasis
        link = self.world.link
        if registration.link is None or stasis.is_resyncing or link._frozen or self.world.asterisk._stalled:
            return
        assert_it_is_so(stasis, self.world.asterisk)


@settings(max_examples=120, deadline=None)
@given(
    delays=st.just(Delays()) | delays,
    scripts=st.lists(scripts, max_size=4),
    callers=st.lists(callers, max_size=5),
    misfortunes=st.lists(misfortunes, max_size=5),
)
def test_no_call_is_lost_doubled_or_left(
    delays: Delays,
    scripts: list[list[tuple[str, float | None]]],
    callers: list[tuple[float, float | None]],
    misfortunes: list[Misfortune],
) -> None:
    with World(delays, reconnect=Reconnect(first=0.2, longest=2.0)) as world:
        office = Office(world, scripts)
        world.start()
        tasks = [world.spawn(office.call(*caller))[0] for caller in callers]
        tasks += [world.spawn(office.befall(misfortune))[0] for misfortune in misfortunes]
        office.run(200.0, check=delays == Delays())
        assert all(task.done.done and task.error is None for task in tasks)
        world.assert_nothing_is_left()

        times = Counter(call.id for call in office.handled)
        assert max(times.values(), default=1) == 1, "handled twice"
        requests = [request for link in world.app.links for request in link.requests.values()]
        left = {request.path for request in requests if request.operation == "channels.continue_in_dialplan"}
        for id in office.continued:
            assert f"/channels/{id}/continue" in left, "said to be done, and never asked for"
        assert office.hung_up == Counter(call.id for call in (*office.handled, *office.originated))
        for began, person in office.people:
            assert person.ended_at is not None
            cut_off = any(began <= restart <= person.ended_at for restart in office.restarts)
            if person.ended_at > began and not person.hung_up_first and not cut_off:
                assert times[person.channel_id] == 1, "not handled"
        world.stop()
