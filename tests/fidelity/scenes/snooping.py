"""Channels that snoop."""

from tests.fidelity.stage import Stage


def _snoop(s: Stage, call: str, **query: str) -> str:
    snoop = s.id("snoop")
    s.post(f"/channels/{call}/snoop/{snoop}", app=s.app, **query)
    s.wait("StasisStart", channel=snoop)
    return snoop


def hears_what_comes_in(s: Stage) -> None:
    call, _ = s.incoming(answered=True)
    snoop = _snoop(s, call, spy="in", appArgs="a,b")
    s.get(f"/channels/{snoop}")
    s.hang_up(snoop)
    s.hang_up(call)


def hears_what_goes_out(s: Stage) -> None:
    call, _ = s.incoming(answered=True)
    snoop = _snoop(s, call, spy="out")
    s.hang_up(snoop)
    s.hang_up(call)


def hears_both_and_whispers(s: Stage) -> None:
    call, _ = s.incoming(answered=True)
    snoop = _snoop(s, call, spy="both", whisper="both")
    s.post(f"/channels/{snoop}/play/{s.id('p1')}", media="sound:beep")
    s.wait("PlaybackFinished")
    s.hang_up(snoop)
    s.hang_up(call)


def goes_with_its_channel(s: Stage) -> None:
    call, far = s.incoming(answered=True)
    snoop = _snoop(s, call, spy="in")
    s.sleep(0.2)
    far.hangs_up()
    s.wait("StasisEnd", channel=call)
    s.wait("StasisEnd", channel=snoop)
    s.sleep(0.3)


def what_is_refused(s: Stage) -> None:
    call, _ = s.incoming(answered=True)
    s.post(f"/channels/{call}/snoop", app=s.app)
    s.post(f"/channels/{call}/snoop", app=s.app, spy="sideways")
    s.post(f"/channels/{call}/snoop", app=s.app, spy="in", whisper="sideways")
    s.post(f"/channels/{call}/snoop", spy="in")
    s.post(f"/channels/{s.id('nobody')}/snoop", app=s.app, spy="in")
    s.hang_up(call)


def asterisk_chooses_the_id(s: Stage) -> None:
    call, _ = s.incoming(answered=True)
    made = s.post(f"/channels/{call}/snoop", app=s.app, spy="in")
    s.wait("StasisStart", channel=made.body["id"])
    s.hang_up(made.body["id"])
    s.hang_up(call)


def in_a_bridge(s: Stage) -> None:
    call, _ = s.incoming(answered=True)
    snoop = _snoop(s, call, spy="in")
    bridge = s.id("b1")
    s.post(f"/bridges/{bridge}", type="mixing")
    s.post(f"/bridges/{bridge}/addChannel", channel=snoop)
    s.wait("ChannelEnteredBridge")
    s.hang_up(call)
    s.wait("StasisEnd", channel=snoop)
    s.delete(f"/bridges/{bridge}")
    s.sleep(0.2)


def hung_up_while_it_whispers(s: Stage) -> None:
    call, _ = s.incoming(answered=True)
    snoop = _snoop(s, call, spy="in", whisper="out")
    s.post(f"/channels/{snoop}/play/{s.id('p1')}", media="sound:hello-world")
    s.wait("PlaybackStarted")
    s.sleep(0.2)
    s.hang_up(call)
    s.wait("StasisEnd", channel=snoop)


def of_a_call_that_goes_on_in_the_dialplan(s: Stage) -> None:
    call, _ = s.incoming(answered=True)
    snoop = _snoop(s, call, spy="in")
    s.post(f"/channels/{call}/continue", context="after", extension="waits")
    s.wait("StasisEnd", channel=call)
    s.sleep(0.2)
    s.get(f"/channels/{snoop}")
    s.delete(f"/channels/{call}")
    s.wait("StasisEnd", channel=snoop)


def two_of_them(s: Stage) -> None:
    call, _ = s.incoming(answered=True)
    s.post(f"/channels/{call}/snoop/{s.id('s1')}", app=s.app, spy="in")
    s.wait("StasisStart")
    s.post(f"/channels/{call}/snoop/{s.id('s2')}", app=s.app, spy="out")
    s.wait("StasisStart")
    s.hang_up(s.id("s1"))
    s.hang_up(s.id("s2"))
    s.hang_up(call)
