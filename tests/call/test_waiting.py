"""How much of one call may wait, and that what is too much is told to whoever asked for it, and changes nothing."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from voxtra_core.call import CallMachine, CallState, EndedBy, Pending
from voxtra_core.call.commands import Continue, SetVariable, StartMusic
from voxtra_core.call.dtmf import MAX_LISTENERS
from voxtra_core.call.music import MAX_CHANGES
from voxtra_core.call.requests import MAX_UNDER_WAY
from voxtra_core.errors import LocalProtocolError

from .bench import destroyed, inbound, playback_finished, pressed
from .test_playback import playing

ASKS: dict[str, Callable[[CallMachine, float], object]] = {
    "get_variable": lambda call, now: call.get_variable("COLOUR", now),
    "set_variable": lambda call, now: call.set_variable("COLOUR", "red", now),
    "start_talk_detection": lambda call, now: call.start_talk_detection(now, silence_ms=500, threshold=256),
    "stop_talk_detection": lambda call, now: call.stop_talk_detection(now),
    "continue_in_dialplan": lambda call, now: call.continue_in_dialplan(now),
}


@pytest.mark.parametrize("ask", ASKS.values(), ids=ASKS)
def test_what_is_held_behind_a_playback_has_a_limit(ask: Callable[[CallMachine, float], object]) -> None:
    bench, playback = playing()
    held = [bench.call.set_variable("N", str(n), bench.now) for n in range(MAX_UNDER_WAY)]
    with pytest.raises(LocalProtocolError, match=f"{MAX_UNDER_WAY} requests of this call"):
        ask(bench.call, bench.now)
    assert not bench.call.continuing
    assert bench.all(SetVariable) == []
    bench.event(playback_finished(playback.id))
    assert [command.value for command in bench.all(SetVariable)] == [str(n) for n in range(MAX_UNDER_WAY)]
    bench.reply(bench.all(SetVariable)[0])
    assert held[0].done
    ask(bench.call, bench.now)


def test_a_playback_can_be_controlled_so_often_at_a_time() -> None:
    bench, playback = playing()
    for _ in range(MAX_UNDER_WAY):
        bench.call.control_playback(playback, "pause", bench.now)
    for ask in (
        lambda: bench.call.control_playback(playback, "pause", bench.now),
        lambda: bench.call.stop_playback(playback, bench.now),
    ):
        with pytest.raises(LocalProtocolError, match=f"{MAX_UNDER_WAY} requests of this call"):
            ask()  # type: ignore[no-untyped-call]
    assert not playback.stopping


def test_a_hangup_is_never_too_much() -> None:
    bench, _ = playing()
    for n in range(MAX_UNDER_WAY):
        bench.call.set_variable("N", str(n), bench.now)
    ended = bench.call.hangup(bench.now)
    bench.event(destroyed(16))
    assert ended.done
    assert bench.call.end is not None
    assert bench.call.end.by is EndedBy.LOCAL
    assert bench.all(Continue) == []


@pytest.mark.parametrize("what", ["hold", "unhold"])
def test_changes_of_the_music_have_a_limit(what: str) -> None:
    bench = inbound()
    changes: list[Pending[None]] = [bench.call.hold(bench.now, f"class {n}") for n in range(1 + MAX_CHANGES)]
    with pytest.raises(LocalProtocolError, match=f"{MAX_CHANGES} changes of the music"):
        bench.call.unhold(bench.now) if what == "unhold" else bench.call.hold(bench.now, "one more")
    for change in changes:
        bench.reply(bench.last(StartMusic))
        assert change.done
    assert bench.call.state is CallState.ON_HOLD
    assert bench.last(StartMusic).moh_class == f"class {MAX_CHANGES}"


def test_listeners_have_a_limit() -> None:
    bench = inbound()
    listeners = [bench.call.listen_dtmf(bench.now) for _ in range(MAX_LISTENERS)]
    with pytest.raises(LocalProtocolError, match=f"{MAX_LISTENERS} wait for a key"):
        bench.call.listen_dtmf(bench.now)
    bench.event(pressed("1"))
    assert [listener.result() for listener in listeners if listener.done] == ["1"]
    bench.call.listen_dtmf(bench.now)
    bench.event(destroyed(16))
    assert bench.call.is_over
