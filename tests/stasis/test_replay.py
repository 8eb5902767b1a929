"""The same recorded inputs give the same effects.

A busy run of an application on the simulated Asterisk is recorded where the Stasis application begins: every input, in
order and with its time, and everything that came out. The inputs are then given to a fresh machine, which has never
seen a loop, a handler or an Asterisk; what comes out of it must be equal, item by item.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voxtra_core import CallSession
from voxtra_core.ari import channels
from voxtra_core.call import CallMachine, Pending, Playback
from voxtra_core.errors import AriConflict, CallEnded, OriginateFailed, VoxtraError
from voxtra_core.stasis import CallArrived, CallChanged, CallOver, CallSurvived, StasisMachine
from voxtra_core.testing import Callee, Caller, SimulatedAsterisk, SimulatedLink
from voxtra_core.testing.virtual import Cancelled, VirtualApp, VirtualLoop

CALL_OPERATIONS = (
    "answer ring hangup wait_ended hold unhold play stop_playback control_playback listen_dtmf send_dtmf get_variable "
    "set_variable continue_in_dialplan"
).split()
STASIS_INPUTS = (
    "receive handle_timeout originate request link_lost link_restored look_for_unannounced close request_under_way "
    "ask_presence"
).split()
STASIS_OUTPUTS = ["commands_to_send", "next_event", "next_deadline"]


@attrs.frozen
class Named:
    """An object of one machine by its number there, which is the same for the corresponding object of another."""

    kind: str
    number: int


@attrs.frozen
class Step:
    """One call of a method, and what came of it."""

    on: Named | None
    method: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    result: object


class Names:
    """The calls, outcomes and playbacks of one machine, in the order in which they came out of it."""

    def __init__(self) -> None:
        self.objects: dict[Named, object] = {}
        self._numbers: dict[int, Named] = {}

    def name(self, value: object) -> Named:
        named = self._numbers.get(id(value))
        if named is None:
            named = self._numbers[id(value)] = Named(type(value).__name__, len(self.objects))
            self.objects[named] = value  # keeps it alive, so that its id() is not used again
        return named

    def knows(self, value: object) -> bool:
        """Whether it came out of this machine."""
        return id(value) in self._numbers

    def plain(self, value: object) -> object:
        """A value with names for what belongs to this machine alone; what has an outcome already shows it."""
        match value:
            case CallArrived() | CallOver():
                return type(value).__name__, self.name(value.call), value.call.id, value.call.state, value.call.end
            case CallChanged():
                return type(value).__name__, self.name(value.call), value.change
            case CallSurvived():
                return type(value).__name__, self.name(value.call), value.outage
            case Playback():
                return self.name(value), self.plain(value.accepted), self.plain(value.finished)
            case Pending():
                return self.name(value)
            case CallMachine():
                return self.name(value)
            case tuple() | list():
                return [self.plain(item) for item in value]
            case _:
                return value

    def outcomes(self) -> list[tuple[Named, object]]:
        """How everything that was asked came out."""
        found: list[tuple[Named, object]] = []
        for named, value in self.objects.items():
            if isinstance(value, Pending):
                try:
                    outcome = self.plain(value.result())
                except VoxtraError as error:
                    outcome = f"{type(error).__name__}: {error}"
                found.append((named, outcome))
        return found


class Recorder:
    """Wraps the methods of the real classes while a run is recorded."""

    def __init__(self) -> None:
        self.names = Names()
        self.steps: list[Step] = []
        self._inside = False

    def wrap(self, patch: pytest.MonkeyPatch, cls: type, method: str) -> None:
        original: Callable[..., Any] = getattr(cls, method)

        def recorded(this: Any, *args: Any, **kwargs: Any) -> Any:
            if self._inside or not (isinstance(this, StasisMachine) or self.names.knows(this)):
                return original(this, *args, **kwargs)  # not an input of the whole, but of one part to another
            on = None if isinstance(this, StasisMachine) else self.names.name(this)
            given = tuple(self.names.name(arg) if isinstance(arg, Playback) else arg for arg in args)
            self._inside = True
            result: object = "raised"
            try:
                value = original(this, *args, **kwargs)
                result = self.names.plain(value)
                return value
            finally:
                self._inside = False
                self.steps.append(Step(on, method, given, kwargs, result))

        patch.setattr(cls, method, recorded)


def replay(steps: list[Step], app_name: str) -> tuple[list[Step], Names]:
    """Give the inputs to a fresh machine, in the same order and at the same times; what comes out."""
    ids = count(1)
    names = Names()
    machine = StasisMachine(app_name, new_id=lambda: f"id-{next(ids)}")
    again = []
    for step in steps:
        target = machine if step.on is None else names.objects[step.on]
        args = [names.objects[arg] if isinstance(arg, Named) else arg for arg in step.args]
        result: object = "raised"
        with suppress(VoxtraError, ValueError):
            result = names.plain(getattr(target, step.method)(*args, **step.kwargs))
        again.append(attrs.evolve(step, result=result))
    return again, names


class CountingLoop(VirtualLoop):
    """Ids for the application alone: the loop's own counter is drawn from by its sleepers, too."""

    def __init__(self) -> None:
        super().__init__()
        self._serial = count(1)

    def new_id(self) -> str:
        return f"id-{next(self._serial)}"


class DelayedApp(VirtualApp):
    """An application whose link is slow, each time by the next of these seconds, and sometimes loses or repeats."""

    delays: Iterator[float]
    cancels: list[float]
    link: SimulatedLink

    def _link(self, app_name: str, new_conn: object) -> SimulatedLink:
        self.link = SimulatedLink(
            self._asterisk,
            app_name,
            reply_delay=lambda _: next(self.delays),
            event_delay=lambda _: next(self.delays),
        )
        odd = count()
        self.link.lose_reply = lambda request: next(odd) % 17 == 16
        self.link.duplicate_event = lambda text: next(odd) % 13 == 12
        return self.link


def record(delays: list[float], cancels: list[float], *, drop: bool) -> Recorder:
    """A busy run: callers who come and go, handlers that are cancelled, originates that succeed and fail."""
    recorder = Recorder()
    with pytest.MonkeyPatch.context() as patch:
        for method in STASIS_INPUTS + STASIS_OUTPUTS:
            recorder.wrap(patch, StasisMachine, method)
        for method in CALL_OPERATIONS:
            recorder.wrap(patch, CallMachine, method)
        recorder.wrap(patch, Pending, "abandon")
        run(delays, cancels, drop=drop)
    return recorder


def run(delays: list[float], cancels: list[float], *, drop: bool) -> None:
    serial = count(1)
    loop = CountingLoop()
    asterisk = SimulatedAsterisk(new_id=lambda: f"asterisk-{next(serial)}")
    app = DelayedApp(loop, asterisk)
    app.delays = (delays[n % len(delays)] for n in count())
    asterisk.add_endpoint("PJSIP/bob", Callee().rings(1.0).answers().presses("12", after=0.5))
    asterisk.add_endpoint("PJSIP/eve", Callee().rings(1.0).is_busy())

    @app.default()
    async def menu(call: CallSession) -> None:
        await call.ring()
        await call.answer()
        await call.set_variable("STEP", "menu")
        for _ in range(3):
            try:
                handle = await call.start_playback(["hello-world", "vm-goodbye"])
                digit = await call.listen_dtmf(timeout=2.0)
                with suppress(AriConflict):  # while it waits for its turn
                    await handle.pause()
                await handle.stop()
                await call.hold()
                await call.play_file("hello-world")
                await call.unhold()
                await call.send_dtmf(digit or "0")
                await call.get_variable("STEP")
            except (Cancelled, CallEnded):
                continue
            except VoxtraError:
                await app.request(channels.list())
        if call.end is None and call.caller_id == "3":
            await call.continue_in_dialplan()

    async def use() -> None:
        await app.started()
        asterisk.call(Caller("1").waits_for_answer().presses("12", after=1.0).waits(2.0).hangs_up(), "voxtra", loop.now)
        asterisk.call(Caller("2").waits(1.0).hangs_up(None), "voxtra", loop.now)
        asterisk.call(Caller("3").waits(1.0).presses("#*0"), "voxtra", loop.now)
        for endpoint in ("PJSIP/bob", "PJSIP/eve", "PJSIP/nobody"):
            with suppress(OriginateFailed):
                await app.originate(endpoint, handler=menu, timeout=5.0)
        with suppress(VoxtraError):
            await app.request(channels.list())
        if drop:
            app.link.drop(loop.now)
        await loop.sleep(20.0)
        await app.stop(grace=10.0)

    async def cancel() -> None:
        for pause in cancels:
            await loop.sleep(pause)
            for driver in loop._drivers:
                for task in driver.tasks.values():
                    task.cancel()

    async def main() -> None:
        await loop.together(app.serve, use, cancel)

    with suppress(VoxtraError):
        loop.run(main)


@settings(max_examples=15)
@given(
    st.lists(st.integers(0, 6).map(lambda n: n * 0.05), min_size=1, max_size=6),
    st.lists(st.integers(1, 40).map(lambda n: n * 0.1), max_size=5),
    st.booleans(),
)
def test_the_same_inputs_give_the_same_effects(delays: list[float], cancels: list[float], drop: bool) -> None:
    recorder = record(delays, cancels, drop=drop)
    again, names = replay(recorder.steps, "voxtra")
    for before, after in zip(recorder.steps, again, strict=True):
        assert after == before
    assert names.outcomes() == recorder.names.outcomes()


def test_the_recorded_run_is_a_busy_one() -> None:
    """Without this the property above could compare silence with silence."""
    recorder = record([0.05, 0.0, 0.2], [1.7, 2.0], drop=True)
    methods = {step.method for step in recorder.steps}
    assert methods >= {*STASIS_INPUTS, *STASIS_OUTPUTS, *CALL_OPERATIONS, "abandon"} - {
        "wait_ended",
        "close",
        "request_under_way",
    }
    results = [step.result for step in recorder.steps]
    assert sum(isinstance(result, list) and bool(result) for result in results) > 40
    assert sum(isinstance(result, tuple) and "CallChanged" in result for result in results) > 8


def test_the_same_run_is_the_same() -> None:
    """Nothing in a run depends on anything but its inputs: not on hashes, addresses or the order of sets."""
    first, second = (record([0.1, 0.0], [1.0], drop=False) for _ in range(2))

    def seen(recorder: Recorder) -> list[object]:
        return [(step.on, step.method, repr(step.args), step.result) for step in recorder.steps]

    assert seen(first) == seen(second)
