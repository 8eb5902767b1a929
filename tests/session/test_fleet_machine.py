"""Hypothesis breaks the sockets of two processes as it likes: no call is lost, handled twice, or left."""

from __future__ import annotations

from typing import Literal

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from voxtra_core import EndedBy
from voxtra_core.app.listening import ONE_CALL_TIMEOUT
from voxtra_core.testing import Caller, Person

from .fleet import Fleet, Handled, Process

SECONDS = st.sampled_from([0.0, 0.05, 0.2, 0.5, 0.7, 1.0, 1.5, 3.0, ONE_CALL_TIMEOUT])


class Sockets(RuleBasedStateMachine):
    """Deterministic: time is virtual, and all that happens is a rule's."""

    def __init__(self) -> None:
        super().__init__()
        self.people: list[Person] = []
        self.asks = 0

    @initialize(orphans=st.sampled_from(["hangup", "adopt"]))
    def begin(self, orphans: str) -> None:
        self.fleet = Fleet(2, orphans=orphans).__enter__()

    @property
    def handled(self) -> list[tuple[Process, Handled]]:
        return [(process, handled) for process in self.fleet.processes for handled in process.handled]

    @rule(app=st.sampled_from(["each", "all"]), stays=SECONDS, rude=st.booleans())
    def call(self, app: str, stays: float, rude: bool) -> None:
        caller = Caller("5550100").waits(stays)
        self.people.append(self.fleet.call(app, caller.hangs_up() if rude else caller.waits_for_answer().presses("#")))

    @rule(which=st.integers(0, 3), how=st.sampled_from(["drop", "vanish"]))
    def break_one(self, which: int, how: Literal["drop", "vanish"]) -> None:
        links = [link for process in self.fleet.processes for link in process.links]
        if links:
            link = links[which % len(links)]
            (link.drop if how == "drop" else link.vanish)(self.fleet.loop.now)

    @rule(which=st.integers(0, 3), delay=st.sampled_from([0.0, 0.3]))
    def slow_down(self, which: int, delay: float) -> None:
        """What is on the way when it breaks is lost."""
        links = [link for process in self.fleet.processes for link in process.links]
        if links:
            links[which % len(links)].event_delay = delay

    @rule()
    def break_all(self) -> None:
        for process in self.fleet.processes:
            for link in process.links:
                link.drop(self.fleet.loop.now)

    @rule(up=st.sampled_from([(), (0,), (1,), (0, 1), (1, 0)]))
    def balance(self, up: tuple[int, ...]) -> None:
        """Who gets the next socket."""
        self.fleet.up = [self.fleet.processes[number] for number in up]

    @precondition(lambda self: self.handled)
    @rule(which=st.integers(0, 3))
    def ask(self, which: int) -> None:
        process, handled = self.handled[which % len(self.handled)]
        self.asks += 1
        process.ask(handled, f"V{self.asks}")

    @rule(seconds=SECONDS)
    def wait(self, seconds: float) -> None:
        self.fleet.run(seconds)

    def teardown(self) -> None:
        fleet = self.fleet
        fleet.up = [*fleet.processes]
        for link in [link for process in fleet.processes for link in process.links]:
            link.drop(fleet.loop.now)  # who had vanished is told at last
        fleet.run(70.0)  # longer than the calls of a persistent socket are kept
        try:
            self.check()
        finally:
            fleet.__exit__()

    def check(self) -> None:
        fleet = self.fleet
        for person in self.people:
            assert person.ended_at is not None
        for _, handled in self.handled:
            assert (handled.is_done, handled.ends) == (True, 1)
        for person in self.people:
            runs = [(process, handled) for process, handled in self.handled if handled.call.id == person.channel_id]
            for process in fleet.processes:
                mine = [handled.call.end for owner, handled in runs if owner is process]
                # adopted only by a process that does not have it, as it never had, or has given it up; also where
                # orphans are hung up, if its socket breaks before it is known whether it is one
                assert all(end is not None and end.by is EndedBy.CONNECTION for end in mine[:-1])
        received = fleet.asterisk.was_asked_to_set
        assert len(received) == len(set(received))
        for _, handled in self.handled:
            in_order = [name for name in handled.asked if name in received]
            assert [name for name in received if name in handled.asked] == in_order
            for name, outcome in handled.asked.items():
                assert outcome in {"done", "RequestNotSent", "RequestOutcomeUnknown", "CallEnded", "OperationTimeout"}
                assert outcome != "done" or name in received
                assert outcome != "RequestNotSent" or name not in received
        fleet.assert_nothing_is_left()


TestSockets = Sockets.TestCase
TestSockets.settings = settings(stateful_step_count=25)
