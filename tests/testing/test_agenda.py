"""Virtual time goes forward, and everything happens once, when it is due and in order."""

from __future__ import annotations

from functools import partial

from hypothesis import given
from hypothesis import strategies as st

from voxtra_core.testing.agenda import Agenda


@given(
    delays=st.lists(st.floats(-1, 10)),
    stops=st.lists(st.floats(-1, 20)),
    cancelled=st.sets(st.integers(0, 10)),
)
def test_everything_happens_when_it_is_due(delays: list[float], stops: list[float], cancelled: set[int]) -> None:
    agenda = Agenda()
    happened: list[tuple[float, int]] = []

    def happen(number: int) -> None:
        happened.append((agenda.now, number))

    for number, delay in enumerate(delays):
        appointment = agenda.after(delay, partial(happen, number))
        if number in cancelled:
            appointment.cancel()
            appointment.cancel()
    for stop in [*stops, 20.0]:
        before = agenda.now
        agenda.run_until(stop)
        assert agenda.now == max(before, stop)
        deadline = agenda.next_deadline()
        assert deadline is None or deadline > agenda.now
    due = [(max(delay, 0.0), number) for number, delay in enumerate(delays) if number not in cancelled]
    assert happened == sorted(due)


def test_what_an_action_asks_for_at_once_happens_before_time_goes_on() -> None:
    agenda = Agenda()
    happened: list[str] = []

    def first() -> None:
        agenda.after(0, lambda: happened.append("consequence"))
        happened.append("cause")

    agenda.after(1, first)
    agenda.after(1, lambda: happened.append("other"))
    agenda.after(2, lambda: happened.append("later"))
    agenda.run_until(2)
    assert happened == ["cause", "other", "consequence", "later"]


def test_cancelling_what_has_happened_does_nothing() -> None:
    agenda = Agenda()
    appointment = agenda.after(1, lambda: None)
    agenda.run_until(1)
    appointment.cancel()
    assert agenda.next_deadline() is None
