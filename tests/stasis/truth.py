"""What the core believes of its calls, and what is so in the simulated Asterisk."""

from __future__ import annotations

from voxtra_core.call import CallMachine, CallState
from voxtra_core.call.commands import StopPlayback
from voxtra_core.stasis import StasisMachine
from voxtra_core.testing import SimulatedAsterisk
from voxtra_core.testing.channels import Channel

__all__ = ["assert_it_is_so"]


def assert_it_is_so(stasis: StasisMachine, asterisk: SimulatedAsterisk, *, alone: bool = True) -> None:
    """There is a link without delays, no resync is under way, and nothing more happens at this instant.

    Unless ``alone``, others have calls as well.
    """
    there = asterisk._exchange.channels
    for call in stasis.calls.values():
        channel = there.get(call.id)
        if channel is None:
            assert call._origination.unseen or "missing" in call._requests.timers, f"{call!r} is gone"
            continue
        assert (channel.state == "Up") == (call.state in {CallState.IN_PROGRESS, CallState.ON_HOLD})
        assert (channel.control is not None) == call.in_stasis
        _sounds_are_so(call, channel, asterisk)
    if alone and stasis._orphans._look is None and not stasis._asked:
        ours = {id for id, channel in there.items() if channel.control is not None}
        assert ours <= stasis.calls.keys() | stasis._dead.keys(), "nobody has them"


def _sounds_are_so(call: CallMachine, channel: Channel, asterisk: SimulatedAsterisk) -> None:
    """What is played, whether it is music, and who talks."""
    requests, line = call._requests, channel.line
    assert line is not None
    known = call._player._playbacks
    playing = {playback.id for playback in asterisk._exchange.playbacks._all if playback._channel is channel}
    for id, playback in known.items():
        if playback.accepted.done and id not in playing:
            assert playback.ending is not None, "it has ended, and nobody was told"
    assert playing <= known.keys() or requests.any_of((StopPlayback,)), "it plays, and nobody knows"
    if not call._music.under_way and not call._music.uncertain and not call._player.queue and not playing:
        assert (line._music is not None) == (call.state is CallState.ON_HOLD)
    if call.talking:
        assert channel.talk_detector is not None
        assert channel.talk_detector._since is not None
