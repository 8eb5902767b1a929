"""Prompts and music for everybody in a bridge."""

from tests.fidelity.scenes.rooms import join, leave_all, people_in, room, room_of
from tests.fidelity.stage import Stage


def one_for_two(s: Stage) -> None:
    bridge, calls = room_of(s)
    s.post(f"/bridges/{bridge}/play/{s.id('p1')}", media="sound:beep")
    s.wait("PlaybackStarted")
    s.get(f"/playbacks/{s.id('p1')}")
    s.get(f"/bridges/{bridge}")
    s.wait("PlaybackFinished")
    s.get(f"/playbacks/{s.id('p1')}")
    s.sleep(0.3)
    leave_all(s, bridge, calls)


def one_after_another(s: Stage) -> None:
    """The second waits for its turn, as does a third that comes later; what is stopped before its turn says so then."""
    bridge, calls = room_of(s)
    s.post(f"/bridges/{bridge}/play/{s.id('p1')}", media="sound:beep")
    s.post(f"/bridges/{bridge}/play/{s.id('p2')}", media="sound:beep")
    s.wait("PlaybackStarted", playback=s.id("p1"))
    s.get(f"/playbacks/{s.id('p2')}")
    s.post(f"/bridges/{bridge}/play/{s.id('p3')}", media="sound:hello-world")
    s.delete(f"/playbacks/{s.id('p3')}")
    s.wait("PlaybackFinished", playback=s.id("p1"))
    s.wait("PlaybackFinished", playback=s.id("p2"))
    s.wait("PlaybackFinished", playback=s.id("p3"))
    s.sleep(0.3)
    leave_all(s, bridge, calls)


def again_when_it_is_over(s: Stage) -> None:
    bridge, calls = room_of(s)
    for name in ("p1", "p2"):
        s.post(f"/bridges/{bridge}/play/{s.id(name)}", media="sound:beep")
        s.wait("PlaybackFinished")
        s.sleep(0.3)
    leave_all(s, bridge, calls)


def a_list(s: Stage) -> None:
    bridge, calls = room_of(s)
    s.post(f"/bridges/{bridge}/play/{s.id('p1')}", media="sound:beep,sound:hello-world", lang="de")
    s.wait("PlaybackFinished")
    s.sleep(0.3)
    leave_all(s, bridge, calls)


def stopped(s: Stage) -> None:
    bridge, calls = room_of(s)
    s.post(f"/bridges/{bridge}/play/{s.id('p1')}", media="sound:demo-congrats")
    s.wait("PlaybackStarted")
    s.sleep(0.3)
    s.delete(f"/playbacks/{s.id('p1')}")
    s.wait("PlaybackFinished")
    s.sleep(0.3)
    leave_all(s, bridge, calls)


def paused_and_resumed(s: Stage) -> None:
    bridge, calls = room_of(s)
    playback = f"/playbacks/{s.id('p1')}"
    s.post(f"/bridges/{bridge}/play/{s.id('p1')}", media="sound:hello-world")
    s.wait("PlaybackStarted")
    s.sleep(0.3)
    s.post(f"{playback}/control", operation="pause")
    s.sleep(0.4)
    s.get(playback)
    s.post(f"{playback}/control", operation="unpause")
    s.wait("PlaybackStarted")
    s.wait("PlaybackFinished")
    s.sleep(0.3)
    leave_all(s, bridge, calls)


def that_are_not_there(s: Stage) -> None:
    bridge, calls = room_of(s)
    s.post(f"/bridges/{bridge}/play/{s.id('p1')}", media="sound:no-such-thing")
    s.wait("PlaybackFinished")
    s.post(f"/bridges/{bridge}/play/{s.id('p2')}", media="nonsense:x")
    s.sleep(0.3)
    leave_all(s, bridge, calls)


def for_nobody(s: Stage) -> None:
    bridge = room(s)
    s.post(f"/bridges/{bridge}/play/{s.id('p1')}", media="sound:beep")
    s.wait("PlaybackFinished")
    s.sleep(0.3)
    s.delete(f"/bridges/{bridge}")
    s.wait("BridgeDestroyed")


def that_nobody_has_asked_to_hear_of(s: Stage) -> None:
    bridge = room(s, heard=False)
    s.post(f"/bridges/{bridge}/play/{s.id('p1')}", media="sound:beep")
    s.sleep(0.8)
    s.get(f"/playbacks/{s.id('p1')}")
    s.delete(f"/bridges/{bridge}")


def for_a_member_alone(s: Stage) -> None:
    """Subscribed by being in it."""
    bridge, calls = room_of(s, 1, heard=False)
    s.post(f"/bridges/{bridge}/play/{s.id('p1')}", media="sound:beep")
    s.wait("PlaybackFinished")
    s.sleep(0.3)
    leave_all(s, bridge, calls)


def everybody_leaves_meanwhile(s: Stage) -> None:
    bridge, calls = room_of(s)
    s.post(f"/bridges/{bridge}/play/{s.id('p1')}", media="sound:hello-world")
    s.wait("PlaybackStarted")
    s.sleep(0.2)
    for call in calls:
        s.hang_up(call)
    s.wait("PlaybackFinished")
    s.sleep(0.3)
    s.delete(f"/bridges/{bridge}")
    s.wait("BridgeDestroyed")


def the_bridge_is_destroyed_meanwhile(s: Stage) -> None:
    bridge, calls = room_of(s)
    s.post(f"/bridges/{bridge}/play/{s.id('p1')}", media="sound:demo-congrats")
    s.post(f"/bridges/{bridge}/play/{s.id('p2')}", media="sound:beep")
    s.wait("PlaybackStarted")
    s.sleep(0.3)
    s.delete(f"/bridges/{bridge}")
    s.wait("BridgeDestroyed")
    s.sleep(0.5)
    s.get(f"/playbacks/{s.id('p1')}")
    for call in calls:
        s.hang_up(call)


def a_tone(s: Stage) -> None:
    bridge, calls = room_of(s, 1)
    s.post(f"/bridges/{bridge}/play/{s.id('p1')}", media="tone:ring")
    s.wait("PlaybackStarted")
    s.sleep(0.5)
    s.delete(f"/playbacks/{s.id('p1')}")
    s.wait("PlaybackFinished")
    s.sleep(0.3)
    leave_all(s, bridge, calls)


def what_is_refused(s: Stage) -> None:
    bridge, calls = room_of(s, 1)
    nowhere = f"/bridges/{s.id('nowhere')}"
    s.post(f"{nowhere}/play", media="sound:beep")
    s.post(f"{nowhere}/play/{s.id('p1')}", media="sound:beep")
    s.post(f"/bridges/{bridge}/play/{s.id('p1')}")
    s.sleep(0.3)
    s.post(f"/bridges/{bridge}/play/{s.id('p2')}", media="sound:beep", announcer_format="nonsense")
    s.sleep(0.3)
    s.post(f"/bridges/{bridge}/play/{s.id('p3')}", media="sound:beep", announcer_format="slin16")
    s.wait("PlaybackFinished")
    s.post(f"/bridges/{bridge}/play/{s.id('p4')}", media="sound:beep", offsetms="-1")
    s.post(f"/bridges/{bridge}/play/{s.id('p5')}", media="sound:beep", skipms="-1")
    s.post(f"{nowhere}/moh")
    s.delete(f"{nowhere}/moh")
    s.sleep(1.0)
    leave_all(s, bridge, calls)


def music(s: Stage) -> None:
    bridge, calls = room_of(s)
    s.delete(f"/bridges/{bridge}/moh")
    s.post(f"/bridges/{bridge}/moh")
    s.sleep(0.3)
    s.get(f"/bridges/{bridge}")
    s.post(f"/bridges/{bridge}/moh", mohClass="no-such-class")
    s.sleep(0.3)
    s.delete(f"/bridges/{bridge}/moh")
    s.sleep(0.2)
    s.delete(f"/bridges/{bridge}/moh")
    leave_all(s, bridge, calls)


def music_for_nobody(s: Stage) -> None:
    bridge = room(s)
    s.post(f"/bridges/{bridge}/moh")
    call, _ = s.incoming(answered=True)
    join(s, bridge, call)
    s.sleep(0.2)
    s.hang_up(call)
    s.sleep(0.2)
    s.delete(f"/bridges/{bridge}/moh")
    s.delete(f"/bridges/{bridge}")
    s.wait("BridgeDestroyed")


def a_prompt_over_music(s: Stage) -> None:
    bridge, calls = room_of(s)
    s.post(f"/bridges/{bridge}/moh")
    s.sleep(0.2)
    s.post(f"/bridges/{bridge}/play/{s.id('p1')}", media="sound:beep")
    s.wait("PlaybackFinished")
    s.sleep(0.3)
    s.delete(f"/bridges/{bridge}")
    s.wait("BridgeDestroyed")
    for call in calls:
        s.hang_up(call)


def heard_by_all(s: Stage) -> None:
    bridge = room(s)
    calls, fars = people_in(s, bridge)
    for path in ("play", "moh"):
        for far in fars:
            far.listens()
        s.sleep(0.3)
        s.post(f"/bridges/{bridge}/{path}", media="sound:beep")
        s.sleep(0.7)
        for far in fars:
            far.tells()
    s.delete(f"/bridges/{bridge}/moh")
    leave_all(s, bridge, calls)


def heard_by_all_but_who_is_muted(s: Stage) -> None:
    bridge = room(s)
    calls, fars = people_in(s, bridge)
    s.post(f"/channels/{calls[0]}/mute", direction="out")
    for far in fars:
        far.listens()
    s.sleep(0.3)
    s.post(f"/bridges/{bridge}/play", media="sound:beep")
    s.wait("PlaybackFinished")
    for far in fars:
        far.tells()
    leave_all(s, bridge, calls)
