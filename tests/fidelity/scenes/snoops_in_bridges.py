"""A snoop in another bridge than the call that it snoops on, as that call's ear and mouth."""

from tests.fidelity.scenes.rooms import join, room, room_of
from tests.fidelity.stage import Far, Stage


def _caller(s: Stage, bridge: str) -> tuple[str, Far]:
    call, far = s.incoming(answered=True)
    join(s, bridge, call)
    return call, far


def _says(s: Stage, speaker: Far, *listeners: Far) -> None:
    for listener in listeners:
        listener.listens()
    s.sleep(0.3)
    speaker.speaks()
    s.sleep(1.0)
    for listener in listeners:
        listener.tells()
    s.sleep(0.7)  # what the speaker says takes 1.4 s


def _snooped(s: Stage) -> tuple[str, str, str, Far]:
    """A call in one bridge, and the snoop on it in another: both bridges' ids, the call's, and who is at its far end.

    The snoop is there first: in a bridge Asterisk notices it once or twice, by chance.
    """
    inner, outer = room(s), room(s, "b2")
    call, far = s.incoming(answered=True)
    snoop = s.id("snoop")
    s.post(f"/channels/{call}/snoop/{snoop}", app=s.app, spy="in", whisper="out")
    s.wait("StasisStart", channel=snoop)
    join(s, inner, call)
    join(s, outer, snoop)
    return inner, outer, call, far


def what_the_call_says_and_hears(s: Stage) -> None:
    """Its own bridge hears it as before. What comes from the other end is not spied on."""
    inner, outer, _, far = _snooped(s)
    _, beside = _caller(s, inner)
    _, beyond = _caller(s, outer)
    _says(s, far, beside, beyond)
    _says(s, beside, far, beyond)


def what_is_said_where_the_snoop_is(s: Stage) -> None:
    """Is whispered to the far end, as long as it is sent anything; the others in the call's bridge don't hear it."""
    inner, outer, _, far = _snooped(s)
    _, beside = _caller(s, inner)
    _caller(s, inner)  # from three on everybody is sent a mix all the time
    _, beyond = _caller(s, outer)
    _says(s, beyond, far, beside)


def what_is_said_to_a_call_that_is_sent_nothing(s: Stage) -> None:
    _, outer, _, far = _snooped(s)
    _, beyond = _caller(s, outer)
    _says(s, beyond, far)


def a_prompt_where_the_snoop_is(s: Stage) -> None:
    inner, outer, _, far = _snooped(s)
    _caller(s, inner)
    _caller(s, inner)
    far.listens()
    s.sleep(0.3)
    s.post(f"/bridges/{outer}/play", media="sound:beep")
    s.wait("PlaybackFinished")
    far.tells()


def the_call_leaves_its_bridge(s: Stage) -> None:
    inner, outer, call, _ = _snooped(s)
    _caller(s, inner)
    s.post(f"/bridges/{inner}/removeChannel", channel=call)
    s.get(f"/bridges/{outer}")
    s.hang_up(call)
    s.wait("StasisEnd", channel=s.id("snoop"))
    s.sleep(0.2)


def the_snoop_comes_and_goes(s: Stage) -> None:
    """Asterisk looks each time whether it still mixes in the right way."""
    bridge, calls = room_of(s, 3)
    s.sleep(0.2)
    snoop = s.id("snoop")
    s.post(f"/channels/{calls[0]}/snoop/{snoop}", app=s.app, spy="in")
    s.wait("StasisStart", channel=snoop)
    s.sleep(0.2)
    s.hang_up(snoop)
    s.sleep(0.3)
    s.get(f"/bridges/{bridge}")


def talking_is_detected_in_a_bridge(s: Stage) -> None:
    _, calls = room_of(s)
    s.sleep(0.2)
    for name, value in (("TALK_DETECT(set)", "500"), ("TALK_DETECT(set)", "700"), ("TALK_DETECT(remove)", "")):
        s.post(f"/channels/{calls[0]}/variable", variable=name, value=value)
        s.sleep(0.2)
