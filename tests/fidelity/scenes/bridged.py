"""Bridges, and who is in them."""

from tests.fidelity.stage import Stage


def _bridge(s: Stage, name: str = "b1", kind: str = "mixing") -> str:
    s.post(f"/bridges/{s.id(name)}", type=kind, name="friends")
    return s.id(name)


def made_and_destroyed(s: Stage) -> None:
    bridge = _bridge(s)
    s.get(f"/bridges/{bridge}")
    s.post(f"/bridges/{bridge}", type="mixing")
    s.post(f"/bridges/{bridge}", type="holding")
    s.delete(f"/bridges/{bridge}")
    s.sleep(0.2)
    s.get(f"/bridges/{bridge}")
    s.delete(f"/bridges/{bridge}")
    s.post("/bridges", type="nonsense")


def one_comes_and_goes(s: Stage) -> None:
    call, _ = s.incoming(answered=True)
    bridge = _bridge(s)
    s.post(f"/bridges/{bridge}/addChannel", channel=call)
    s.wait("ChannelEnteredBridge")
    s.get(f"/bridges/{bridge}")
    s.post(f"/bridges/{bridge}/removeChannel", channel=call)
    s.wait("ChannelLeftBridge")
    s.hang_up(call)
    s.delete(f"/bridges/{bridge}")


def two_talk(s: Stage) -> None:
    one, _ = s.incoming(answered=True)
    two, _ = s.incoming(answered=True)
    bridge = _bridge(s)
    s.post(f"/bridges/{bridge}/addChannel", channel=one)
    s.post(f"/bridges/{bridge}/addChannel", channel=two)
    s.sleep(0.3)
    s.hang_up(one)
    s.sleep(0.2)
    s.hang_up(two)
    s.delete(f"/bridges/{bridge}")


def three_talk(s: Stage) -> None:
    calls = [s.incoming(answered=True)[0] for _ in range(3)]
    bridge = _bridge(s)
    for call in calls:
        s.post(f"/bridges/{bridge}/addChannel", channel=call)
        s.sleep(0.1)
    s.get(f"/bridges/{bridge}")
    for call in calls:
        s.post(f"/bridges/{bridge}/removeChannel", channel=call)
        s.sleep(0.1)
    for call in calls:
        s.hang_up(call)
    s.delete(f"/bridges/{bridge}")


def four_talk(s: Stage) -> None:
    calls = [s.incoming(answered=True)[0] for _ in range(4)]
    bridge = _bridge(s)
    for call in calls:
        s.post(f"/bridges/{bridge}/addChannel", channel=call)
        s.sleep(0.1)
    for call in calls:
        s.hang_up(call)
    s.delete(f"/bridges/{bridge}")
    s.sleep(0.2)


def sip_phones_talk(s: Stage) -> None:
    """Each learns who the other is."""
    alice, bob = s.phone([]), s.phone([180, 200])
    alice.calls()
    one = s.wait("StasisStart")["channel"]["id"]
    s.post(f"/channels/{one}/answer")
    two = s.id("c1")
    s.originate(bob.endpoint, callerId="Bob <200>")
    s.wait("StasisStart", channel=two)
    bridge = _bridge(s)
    s.post(f"/bridges/{bridge}/addChannel", channel=one)
    s.post(f"/bridges/{bridge}/addChannel", channel=two)
    s.sleep(0.3)
    bob.hangs_up()
    s.wait("ChannelDestroyed", channel=two)
    alice.hangs_up()
    s.wait("StasisEnd", channel=one)
    s.delete(f"/bridges/{bridge}")
    s.sleep(0.2)


def added_twice(s: Stage) -> None:
    call, _ = s.incoming(answered=True)
    bridge = _bridge(s)
    s.post(f"/bridges/{bridge}/addChannel", channel=call)
    s.sleep(0.2)
    s.post(f"/bridges/{bridge}/addChannel", channel=call)
    s.sleep(0.2)
    s.hang_up(call)
    s.delete(f"/bridges/{bridge}")


def what_is_refused(s: Stage) -> None:
    call, _ = s.incoming(answered=True)
    bridge = _bridge(s)
    s.post(f"/bridges/{s.id('nobody')}/addChannel", channel=call)
    s.post(f"/bridges/{bridge}/addChannel", channel=s.id("nobody"))
    s.post(f"/bridges/{bridge}/addChannel")
    s.post(f"/bridges/{bridge}/removeChannel", channel=call)
    s.post(f"/bridges/{bridge}/removeChannel", channel=s.id("nobody"))
    s.post(f"/channels/{call}/continue", context="after", extension="waits")
    s.wait("StasisEnd", channel=call)
    s.sleep(0.1)
    s.post(f"/bridges/{bridge}/addChannel", channel=call)
    s.delete(f"/channels/{call}")
    s.delete(f"/bridges/{bridge}")


def destroyed_with_members(s: Stage) -> None:
    one, _ = s.incoming(answered=True)
    two, _ = s.incoming(answered=True)
    bridge = _bridge(s)
    s.post(f"/bridges/{bridge}/addChannel", channel=one)
    s.post(f"/bridges/{bridge}/addChannel", channel=two)
    s.sleep(0.2)
    s.delete(f"/bridges/{bridge}")
    s.wait("ChannelLeftBridge", channel=one)
    s.wait("ChannelLeftBridge", channel=two)
    s.hang_up(one)
    s.hang_up(two)


def destroyed_with_a_member(s: Stage) -> None:
    call, _ = s.incoming(answered=True)
    bridge = _bridge(s)
    s.post(f"/bridges/{bridge}/addChannel", channel=call)
    s.sleep(0.2)
    s.delete(f"/bridges/{bridge}")
    s.wait("ChannelLeftBridge", channel=call)
    s.hang_up(call)


def destroyed_by_who_has_subscribed_to_it(s: Stage) -> None:
    call, _ = s.incoming(answered=True)
    bridge = _bridge(s)
    s.post(f"/applications/{s.app}/subscription", eventSource=f"bridge:{bridge}")
    s.post(f"/bridges/{bridge}/addChannel", channel=call)
    s.sleep(0.2)
    s.delete(f"/bridges/{bridge}")
    s.wait("BridgeDestroyed")
    s.hang_up(call)


def a_member_hangs_up(s: Stage) -> None:
    one, far = s.incoming(answered=True)
    bridge = _bridge(s)
    s.post(f"/bridges/{bridge}/addChannel", channel=one)
    s.wait("ChannelEnteredBridge")
    far.hangs_up()
    s.wait("StasisEnd", channel=one)
    s.delete(f"/bridges/{bridge}")
    s.sleep(0.2)


def moved_to_another_bridge(s: Stage) -> None:
    call, _ = s.incoming(answered=True)
    first, second = _bridge(s), _bridge(s, "b2")
    s.post(f"/bridges/{first}/addChannel", channel=call)
    s.sleep(0.2)
    s.post(f"/bridges/{second}/addChannel", channel=call)
    s.sleep(0.2)
    s.hang_up(call)
    s.delete(f"/bridges/{first}")
    s.delete(f"/bridges/{second}")


def a_prompt_for_a_member(s: Stage) -> None:
    one, _ = s.incoming(answered=True)
    two, _ = s.incoming(answered=True)
    bridge = _bridge(s)
    s.post(f"/bridges/{bridge}/addChannel", channel=one)
    s.post(f"/bridges/{bridge}/addChannel", channel=two)
    s.sleep(0.2)
    s.post(f"/channels/{one}/play/{s.id('p1')}", media="sound:beep")
    s.wait("PlaybackFinished")
    s.sleep(0.2)
    s.hang_up(one)
    s.hang_up(two)
    s.delete(f"/bridges/{bridge}")


def a_member_goes_on_in_the_dialplan(s: Stage) -> None:
    call, _ = s.incoming(answered=True)
    bridge = _bridge(s)
    s.post(f"/bridges/{bridge}/addChannel", channel=call)
    s.wait("ChannelEnteredBridge")
    s.post(f"/channels/{call}/continue", context="after", extension="waits")
    s.wait("StasisEnd", channel=call)
    s.delete(f"/channels/{call}")
    s.delete(f"/bridges/{bridge}")
    s.sleep(0.2)


def digits_of_a_member(s: Stage) -> None:
    one, far = s.incoming()
    two, _ = s.incoming(answered=True)
    s.post(f"/channels/{one}/answer")
    bridge = _bridge(s)
    s.post(f"/bridges/{bridge}/addChannel", channel=one)
    s.post(f"/bridges/{bridge}/addChannel", channel=two)
    s.sleep(0.2)
    far.presses("7")
    s.wait("ChannelDtmfReceived", channel=one)
    s.hang_up(one)
    s.hang_up(two)
    s.delete(f"/bridges/{bridge}")


def in_a_holding_bridge(s: Stage) -> None:
    call, _ = s.incoming(answered=True)
    bridge = _bridge(s, kind="holding")
    s.post(f"/bridges/{bridge}/addChannel", channel=call)
    s.wait("ChannelEnteredBridge")
    s.get(f"/bridges/{bridge}")
    s.hang_up(call)
    s.delete(f"/bridges/{bridge}")
    s.sleep(0.2)


def placed_and_joined(s: Stage) -> None:
    one, _ = s.incoming(answered=True)
    two = s.placed(callerId="Al <100>")
    bridge = _bridge(s)
    s.post(f"/bridges/{bridge}/addChannel", channel=f"{one},{two}")
    s.sleep(0.3)
    s.hang_up(two, "ChannelDestroyed")
    s.hang_up(one)
    s.delete(f"/bridges/{bridge}")
    s.sleep(0.2)


def subscribed_to_before_anybody_is_in_it(s: Stage) -> None:
    bridge = _bridge(s)
    s.post(f"/applications/{s.app}/subscription", eventSource=f"bridge:{bridge}")
    s.delete(f"/bridges/{bridge}")
    s.wait("BridgeDestroyed")


def _member(s: Stage) -> tuple[str, str]:
    call, _ = s.incoming(answered=True)
    bridge = _bridge(s)
    s.post(f"/bridges/{bridge}/addChannel", channel=call)
    s.wait("ChannelEnteredBridge")
    return call, bridge


def hung_up_during_a_prompt(s: Stage) -> None:
    call, bridge = _member(s)
    s.post(f"/channels/{call}/play/{s.id('p1')}", media="sound:hello-world")
    s.wait("PlaybackStarted")
    s.sleep(0.2)
    s.hang_up(call)
    s.delete(f"/bridges/{bridge}")
    s.sleep(0.2)


def added_during_a_prompt(s: Stage) -> None:
    call, _ = s.incoming(answered=True)
    bridge = _bridge(s)
    s.post(f"/channels/{call}/play/{s.id('p1')}", media="sound:beep")
    s.wait("PlaybackStarted")
    s.post(f"/bridges/{bridge}/addChannel", channel=call)
    s.wait("ChannelEnteredBridge")
    s.hang_up(call)
    s.delete(f"/bridges/{bridge}")
    s.sleep(0.2)


def removed_during_a_prompt(s: Stage) -> None:
    call, bridge = _member(s)
    s.post(f"/channels/{call}/play/{s.id('p1')}", media="sound:beep")
    s.wait("PlaybackStarted")
    s.post(f"/bridges/{bridge}/removeChannel", channel=call)
    s.wait("ChannelLeftBridge")
    s.hang_up(call)
    s.delete(f"/bridges/{bridge}")


def moved_to_another_application(s: Stage) -> None:
    other = f"{s.app}other"
    s.open(other)
    call, bridge = _member(s)
    s.post(f"/channels/{call}/move", app=other)
    s.wait("StasisEnd", channel=call, to=s.app)
    s.wait("StasisStart", channel=call, to=other)
    s.get(f"/bridges/{bridge}")
    s.hang_up(call)
    s.wait("ChannelLeftBridge", to=s.app)
    s.delete(f"/bridges/{bridge}")
    s.sleep(0.2)


def music_for_a_member(s: Stage) -> None:
    call, bridge = _member(s)
    s.post(f"/channels/{call}/moh")
    s.sleep(0.1)
    s.delete(f"/channels/{call}/moh")
    s.hang_up(call)
    s.delete(f"/bridges/{bridge}")
    s.sleep(0.2)


def told_by_a_user_about_it(s: Stage) -> None:
    bridge = _bridge(s)
    s.request("POST", "/events/user/Told", {"application": s.app, "source": f"bridge:{bridge}"})
    s.wait("ChannelUserevent")
    s.delete(f"/bridges/{bridge}")


def three_of_different_names(s: Stage) -> None:
    """The two who are left learn who the other is; one has come in without telling."""
    bob, eve, dan = (s.incoming(answered=True)[0] for _ in range(3))
    for call, name in ((bob, "Bob"), (eve, "Eve"), (dan, "Dan")):
        s.post(f"/channels/{call}/variable", variable="CALLERID(name)", value=name)
    bridge = _bridge(s)
    for call in (bob, eve):
        s.post(f"/bridges/{bridge}/addChannel", channel=call)
        s.sleep(0.1)
    s.post(f"/bridges/{bridge}/addChannel", channel=dan, inhibitConnectedLineUpdates="true")
    s.sleep(0.1)
    s.post(f"/bridges/{bridge}/removeChannel", channel=bob)
    s.sleep(0.2)
    s.post(f"/bridges/{bridge}/removeChannel", channel=eve)
    s.post(f"/bridges/{bridge}/addChannel", channel=bob, inhibitConnectedLineUpdates="true")
    s.sleep(0.2)
    for call in (bob, eve, dan):
        s.hang_up(call)
    s.delete(f"/bridges/{bridge}")
    s.sleep(0.2)


def destroyed_with_three_members(s: Stage) -> None:
    calls = [s.incoming(answered=True)[0] for _ in range(3)]
    bridge = _bridge(s)
    for call in calls:
        s.post(f"/bridges/{bridge}/addChannel", channel=call)
        s.sleep(0.1)
    s.delete(f"/bridges/{bridge}")
    for call in calls:
        s.wait("ChannelLeftBridge", channel=call)
    for call in calls:
        s.hang_up(call)
