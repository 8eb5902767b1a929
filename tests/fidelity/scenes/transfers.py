"""Transfers by SIP: phones that are sent elsewhere, and phones that ask for it."""

from tests.fidelity.scenes.rooms import join, room
from tests.fidelity.stage import Phone, Stage

_ELSEWHERE = "PJSIP/sip:200@127.0.0.1:9"


def _call(s: Stage, *, answered: bool = True) -> tuple[str, Phone]:
    alice = s.phone([])
    alice.calls()
    call = s.wait("StasisStart")["channel"]["id"]
    if answered:
        s.post(f"/channels/{call}/answer")
    return call, alice


def _ends(s: Stage, call: str, alice: Phone) -> None:
    alice.hangs_up()
    s.wait("StasisEnd", channel=call)


def sent_elsewhere_before_the_answer(s: Stage) -> None:
    call, _ = _call(s, answered=False)
    s.post(f"/channels/{call}/redirect", endpoint=_ELSEWHERE)
    s.wait("StasisEnd", channel=call)
    s.post(f"/channels/{call}/redirect", endpoint=_ELSEWHERE)


def sent_elsewhere_and_it_goes(s: Stage) -> None:
    """Nothing says so; it hangs up by itself."""
    call, alice = _call(s)
    alice.will_answer_a_refer(202)
    s.post(f"/channels/{call}/redirect", endpoint=_ELSEWHERE)
    s.sleep(0.3)
    alice.reports(100)
    s.sleep(0.2)
    alice.reports(200)
    s.sleep(0.3)
    s.get(f"/channels/{call}")
    _ends(s, call, alice)


def sent_elsewhere_and_it_hangs_up_at_once(s: Stage) -> None:
    call, alice = _call(s)
    alice.will_answer_a_refer(202)
    s.post(f"/channels/{call}/redirect", endpoint=_ELSEWHERE)
    s.sleep(0.3)
    _ends(s, call, alice)


def sent_elsewhere_and_it_refuses(s: Stage) -> None:
    call, alice = _call(s)
    alice.will_answer_a_refer(603)
    s.post(f"/channels/{call}/redirect", endpoint=_ELSEWHERE)
    s.sleep(0.3)
    s.post(f"/channels/{call}/variable", variable="X", value="1")
    _ends(s, call, alice)


def sent_elsewhere_and_nobody_is_there(s: Stage) -> None:
    """Other commands wait for what becomes of it."""
    call, alice = _call(s)
    alice.will_answer_a_refer(202)
    s.post(f"/channels/{call}/redirect", endpoint=_ELSEWHERE)
    waiting = s.begin("POST", f"/channels/{call}/variable", {"variable": "X", "value": "1"})
    s.sleep(0.3)
    alice.reports(503)
    s.reply_to(waiting)
    _ends(s, call, alice)


def a_local_channel_is_sent_elsewhere(s: Stage) -> None:
    call, _ = s.incoming(answered=True)
    s.post(f"/channels/{call}/redirect", endpoint="Local/answer@far")
    s.post(f"/channels/{call}/variable", variable="X", value="1")
    s.hang_up(call)


def what_is_refused(s: Stage) -> None:
    call, alice = _call(s)
    redirect = f"/channels/{call}/redirect"
    s.post(redirect)
    s.post(redirect, endpoint="")
    s.post(redirect, endpoint="Local/answer@far")
    s.post(redirect, endpoint="nonsense/x")
    s.post(redirect, endpoint="PJSIP")
    s.post(redirect, endpoint="PJSIP/")
    s.post(f"/channels/{s.id('nobody')}/redirect", endpoint=_ELSEWHERE)
    progress = f"/channels/{call}/transfer_progress"
    s.post(progress)
    s.post(progress, states="nonsense")
    s.post(progress, states="channel_progress")
    s.post(f"/channels/{s.id('nobody')}/transfer_progress", states="channel_progress")
    _ends(s, call, alice)


def _ari_only(s: Stage, call: str) -> None:
    s.post(f"/channels/{call}/variable", variable="PJSIP_TRANSFER_HANDLING()", value="ari-only")


def asked_for_and_carried_out(s: Stage) -> None:
    call, alice = _call(s)
    _ari_only(s, call)
    alice.asks_for("200")
    s.wait("ChannelTransfer", channel=call)
    for states in ("channel_progress", "channel_answered", "channel_answered"):
        s.post(f"/channels/{call}/transfer_progress", states=states)
        s.sleep(0.2)
    _ends(s, call, alice)


def asked_for_and_declined(s: Stage) -> None:
    call, alice = _call(s)
    _ari_only(s, call)
    for states in ("channel_declined", "channel_unavailable"):
        alice.asks_for("200")
        s.wait("ChannelTransfer", channel=call)
        s.post(f"/channels/{call}/transfer_progress", states=states)
        s.wait("ChannelTransfer", channel=call)
        s.sleep(0.2)
    _ends(s, call, alice)


def asked_for_in_a_bridge(s: Stage) -> None:
    call, alice = _call(s)
    bob = s.phone([180, 200])
    s.originate(bob.endpoint, callerId="Bob <200>")
    s.wait("StasisStart", channel=s.id("c1"))
    bridge = room(s)
    join(s, bridge, call)
    join(s, bridge, s.id("c1"))
    _ari_only(s, call)
    alice.asks_for("300")
    s.wait("ChannelTransfer", channel=call)
    s.post(f"/channels/{call}/transfer_progress", states="channel_answered")
    s.wait("ChannelTransfer", channel=call)
    _ends(s, call, alice)
    s.hang_up(s.id("c1"), "ChannelDestroyed")
    s.delete(f"/bridges/{bridge}")


def asked_for_and_nobody_has_said_that_it_is_ours(s: Stage) -> None:
    call, alice = _call(s)
    alice.asks_for("200")
    s.wait("BridgeBlindTransfer", channel=call)
    _ends(s, call, alice)
