"""Who is muted, and what of them is heard all the same."""

from tests.fidelity.scenes.rooms import join, leave_all, room
from tests.fidelity.stage import Far, Stage


def _two(s: Stage, **query: str) -> tuple[str, list[str], list[Far]]:
    """Two callers in a bridge, the first of whom has come in in this way."""
    calls, fars = zip(*(s.incoming(answered=True) for _ in range(2)), strict=True)
    bridge = room(s)
    join(s, bridge, calls[0], **query)
    join(s, bridge, calls[1])
    return bridge, list(calls), list(fars)


def _says(s: Stage, speaker: Far, listener: Far) -> None:
    listener.listens()
    s.sleep(0.3)
    speaker.speaks()
    s.sleep(1.0)
    listener.tells()
    s.sleep(0.7)  # what the speaker says takes 1.4 s


def nobody(s: Stage) -> None:
    bridge, calls, (one, two) = _two(s)
    _says(s, one, two)
    leave_all(s, bridge, calls)


def who_comes_in_muted(s: Stage) -> None:
    """Says nothing to the others; of keys it may."""
    bridge, calls, (one, two) = _two(s, mute="true")
    _says(s, one, two)
    one.presses("1")
    s.wait("ChannelDtmfReceived")
    s.post(f"/bridges/{bridge}/removeChannel", channel=calls[0])
    join(s, bridge, calls[0])
    _says(s, one, two)
    leave_all(s, bridge, calls)


def what_comes_in(s: Stage) -> None:
    bridge, calls, (one, two) = _two(s)
    s.post(f"/channels/{calls[0]}/mute", direction="in")
    _says(s, one, two)
    one.presses("1")
    s.wait("ChannelDtmfReceived")
    s.delete(f"/channels/{calls[0]}/mute", direction="in")
    _says(s, one, two)
    leave_all(s, bridge, calls)


def what_goes_out(s: Stage) -> None:
    bridge, calls, (one, two) = _two(s)
    s.post(f"/channels/{calls[0]}/mute", direction="out")
    _says(s, two, one)
    _says(s, one, two)
    s.delete(f"/channels/{calls[0]}/mute", direction="both")
    _says(s, two, one)
    leave_all(s, bridge, calls)


def a_prompt_that_goes_out(s: Stage) -> None:
    call, far = s.incoming(answered=True)
    s.post(f"/channels/{call}/mute", direction="out")
    far.listens()
    s.sleep(0.3)
    s.post(f"/channels/{call}/play/{s.id('p1')}", media="sound:beep")
    s.wait("PlaybackFinished")
    far.tells()
    s.delete(f"/channels/{call}/mute", direction="out")
    far.listens()
    s.sleep(0.3)
    s.post(f"/channels/{call}/play/{s.id('p2')}", media="sound:beep")
    s.wait("PlaybackFinished")
    far.tells()
    s.hang_up(call)


def what_is_whispered(s: Stage) -> None:
    """Is lost with what it is whispered into."""
    call, far = s.incoming(answered=True)
    s.post(f"/channels/{call}/snoop/{s.id('snoop')}", app=s.app, spy="in", whisper="out")
    s.wait("StasisStart", channel=s.id("snoop"))
    s.post(f"/channels/{call}/silence")
    for muted in (True, False):
        s.request("POST" if muted else "DELETE", f"/channels/{call}/mute", {"direction": "out"})
        far.listens()
        s.sleep(0.3)
        s.post(f"/channels/{s.id('snoop')}/play", media="sound:beep")
        s.wait("PlaybackFinished")
        far.tells()
    s.hang_up(call)


def who_is_watched_for_talking(s: Stage) -> None:
    call, far = s.incoming(answered=True)
    s.post(f"/channels/{call}/variable", variable="TALK_DETECT(set)", value="500")
    s.post(f"/channels/{call}/mute", direction="in")
    far.talks()
    s.sleep(4.5)
    s.delete(f"/channels/{call}/mute", direction="in")
    far.talks()
    s.wait("ChannelTalkingStarted")
    s.wait("ChannelTalkingFinished")
    s.hang_up(call)


def who_is_recorded(s: Stage) -> None:
    """Of them, silence comes to the file."""
    call, far = s.incoming(answered=True)
    far.sends_silence()
    s.sleep(0.2)
    s.post(f"/channels/{call}/record", name=s.id("r1"), format="wav")
    s.wait("RecordingStarted")
    s.sleep(0.5)
    s.post(f"/channels/{call}/mute", direction="in")
    s.sleep(0.7)
    s.delete(f"/channels/{call}/mute", direction="in")
    s.sleep(0.5)
    s.post(f"/recordings/live/{s.id('r1')}/stop")
    s.wait("RecordingFinished")
    s.get(f"/recordings/stored/{s.id('r1')}/file")
    s.hang_up(call)


def who_is_listened_to(s: Stage) -> None:
    """By a snoop, which is recorded."""
    call, far = s.incoming(answered=True)
    s.post(f"/channels/{call}/snoop/{s.id('snoop')}", app=s.app, spy="in")
    s.wait("StasisStart", channel=s.id("snoop"))
    s.post(f"/channels/{call}/mute", direction="in")
    s.post(f"/channels/{s.id('snoop')}/record", name=s.id("r1"), format="wav")
    s.wait("RecordingStarted")
    far.talks()
    s.sleep(1.6)
    s.post(f"/recordings/live/{s.id('r1')}/stop")
    s.wait("RecordingFinished")
    s.get(f"/recordings/stored/{s.id('r1')}/file")
    s.hang_up(call)


def who_is_in_a_bridge(s: Stage) -> None:
    """Asterisk rearranges the bridge when the first direction is muted, and when none is any more."""
    bridge, calls, _ = _two(s)
    mute = f"/channels/{calls[0]}/mute"
    s.sleep(0.2)
    s.post(mute, direction="in")
    s.sleep(0.2)
    s.post(mute, direction="out")
    s.sleep(0.2)
    s.delete(mute, direction="out")
    s.sleep(0.2)
    s.delete(mute, direction="in")
    s.sleep(0.2)
    leave_all(s, bridge, calls)


def keys_that_are_absorbed(s: Stage) -> None:
    """They are told, but the others don't hear them."""
    call, far = s.incoming(answered=True)
    other = s.placed(callerId="Al <100>")
    bridge = room(s)
    join(s, bridge, call, absorbDTMF="true")
    join(s, bridge, other)
    far.presses("1")
    s.wait("ChannelDtmfReceived", channel=call)
    s.sleep(0.2)
    join(s, bridge, call)
    far.presses("2")
    s.wait("ChannelDtmfReceived", channel=call)
    s.sleep(0.2)
    s.hang_up(call)
    s.hang_up(other, "ChannelDestroyed")
    s.delete(f"/bridges/{bridge}")
    s.sleep(0.2)


def what_is_refused(s: Stage) -> None:
    call, _ = s.incoming(answered=True)
    s.post(f"/channels/{call}/mute")
    s.post(f"/channels/{call}/mute", direction="sideways")
    s.delete(f"/channels/{call}/mute", direction="sideways")
    s.post(f"/channels/{s.id('nobody')}/mute", direction="in")
    s.delete(f"/channels/{call}/mute", direction="in")
    s.post(f"/channels/{call}/continue", context="after", extension="waits")
    s.wait("StasisEnd", channel=call)
    s.sleep(0.1)
    s.post(f"/channels/{call}/mute", direction="in")
    s.delete(f"/channels/{call}")
