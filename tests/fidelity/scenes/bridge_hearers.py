"""Who hears of a bridge: by a member, and by asking."""

from tests.fidelity.scenes.rooms import join, room, room_of
from tests.fidelity.stage import Stage


def by_a_member_until_it_has_left(s: Stage) -> None:
    bridge, (call,) = room_of(s, 1, heard=False)
    s.get(f"/applications/{s.app}")
    s.post(f"/bridges/{bridge}/removeChannel", channel=call)
    s.wait("ChannelLeftBridge")
    s.get(f"/applications/{s.app}")
    s.delete(f"/bridges/{bridge}")
    s.sleep(0.3)
    s.hang_up(call)


def who_has_asked_hears_of_the_end(s: Stage) -> None:
    bridge, calls = room_of(s)
    s.get(f"/applications/{s.app}")
    for call in calls:
        s.post(f"/bridges/{bridge}/removeChannel", channel=call)
        s.sleep(0.1)
    s.get(f"/applications/{s.app}")
    s.delete(f"/bridges/{bridge}")
    s.wait("BridgeDestroyed")
    s.sleep(0.2)
    s.get(f"/applications/{s.app}")
    s.delete(f"/applications/{s.app}/subscription", eventSource=f"bridge:{bridge}")
    for call in calls:
        s.hang_up(call)


def who_has_asked_hears_of_the_end_when_all_have_hung_up(s: Stage) -> None:
    bridge, calls = room_of(s)
    for call in calls:
        s.hang_up(call)
    s.get(f"/applications/{s.app}")
    s.delete(f"/bridges/{bridge}")
    s.wait("BridgeDestroyed")


def who_asks_no_more(s: Stage) -> None:
    bridge = room(s)
    s.delete(f"/applications/{s.app}/subscription", eventSource=f"bridge:{bridge}")
    s.delete(f"/applications/{s.app}/subscription", eventSource=f"bridge:{bridge}")
    s.delete(f"/bridges/{bridge}")
    s.sleep(0.3)


def who_asks_no_more_while_it_has_a_member_there(s: Stage) -> None:
    bridge, (call,) = room_of(s, 1)
    s.delete(f"/applications/{s.app}/subscription", eventSource=f"bridge:{bridge}")
    s.get(f"/applications/{s.app}")
    s.post(f"/bridges/{bridge}/removeChannel", channel=call)
    s.wait("ChannelLeftBridge")
    s.delete(f"/bridges/{bridge}")
    s.sleep(0.3)
    s.hang_up(call)


def who_has_asked_twice(s: Stage) -> None:
    bridge = room(s)
    s.post(f"/applications/{s.app}/subscription", eventSource=f"bridge:{bridge}")
    s.delete(f"/applications/{s.app}/subscription", eventSource=f"bridge:{bridge}")
    s.get(f"/applications/{s.app}")
    s.delete(f"/bridges/{bridge}")
    s.sleep(0.3)
    s.get(f"/applications/{s.app}")


def somebody_elses_bridge(s: Stage) -> None:
    """The other application hears of it, and nothing of the channels in it."""
    other = f"{s.app}other"
    s.open(other)
    bridge = room(s)
    s.post(f"/applications/{other}/subscription", eventSource=f"bridge:{bridge}")
    call, far = s.incoming(answered=True)
    join(s, bridge, call)
    far.presses("1")
    s.wait("ChannelDtmfReceived", to=s.app)
    s.post(f"/bridges/{bridge}/play/{s.id('p1')}", media="sound:beep")
    s.wait("PlaybackFinished", to=other)
    s.sleep(0.2)
    s.hang_up(call)
    s.wait("ChannelLeftBridge", to=other)
    s.delete(f"/bridges/{bridge}")
    s.wait("BridgeDestroyed", to=other)


def a_bridge_that_is_not_there(s: Stage) -> None:
    s.post(f"/applications/{s.app}/subscription", eventSource=f"bridge:{s.id('nowhere')}")
    s.delete(f"/applications/{s.app}/subscription", eventSource=f"bridge:{s.id('nowhere')}")
