"""Recordings of a bridge."""

from tests.fidelity.scenes.rooms import join, leave_all, people_in, room, room_of
from tests.fidelity.stage import Stage


def _record(s: Stage, bridge: str, name: str = "r1", **query: str) -> str:
    """Its path while it is being made."""
    s.post(f"/bridges/{bridge}/record", name=s.id(name), format="wav", **query)
    return f"/recordings/live/{s.id(name)}"


def made_and_stopped(s: Stage) -> None:
    bridge, calls = room_of(s)
    live = _record(s, bridge)
    s.wait("RecordingStarted")
    s.get(live)
    s.get(f"/bridges/{bridge}")
    s.sleep(1.4)
    s.post(f"{live}/stop")
    s.wait("RecordingFinished")
    s.get(live)
    s.get(f"/recordings/stored/{s.id('r1')}")
    leave_all(s, bridge, calls)


def what_is_said_in_it(s: Stage) -> None:
    bridge = room(s)
    calls, (far, _) = people_in(s, bridge)
    for name, is_mute in (("r1", False), ("r2", True)):
        if is_mute:
            s.post(f"/channels/{calls[0]}/mute", direction="in")
        live = _record(s, bridge, name)
        s.wait("RecordingStarted")
        far.speaks()
        s.sleep(1.5)
        s.post(f"{live}/stop")
        s.wait("RecordingFinished")
        s.get(f"/recordings/stored/{s.id(name)}/file")
    leave_all(s, bridge, calls)


def cancelled(s: Stage) -> None:
    bridge, calls = room_of(s)
    live = _record(s, bridge)
    s.wait("RecordingStarted")
    s.sleep(0.3)
    s.delete(live)
    s.wait("RecordingFinished")
    s.get(f"/recordings/stored/{s.id('r1')}")
    leave_all(s, bridge, calls)


def paused_and_muted(s: Stage) -> None:
    bridge, calls = room_of(s)
    live = _record(s, bridge)
    s.wait("RecordingStarted")
    s.sleep(0.2)
    s.post(f"{live}/pause")
    s.sleep(0.2)
    s.get(live)
    s.delete(f"{live}/pause")
    s.post(f"{live}/mute")
    s.get(live)
    s.delete(f"{live}/mute")
    s.sleep(0.2)
    s.post(f"{live}/stop")
    s.wait("RecordingFinished")
    leave_all(s, bridge, calls)


def everybody_leaves_meanwhile(s: Stage) -> None:
    bridge, calls = room_of(s)
    live = _record(s, bridge)
    s.wait("RecordingStarted")
    for call in calls:
        s.hang_up(call)
    s.sleep(0.5)
    s.get(live)
    s.post(f"{live}/stop")
    s.wait("RecordingFinished")
    s.delete(f"/bridges/{bridge}")
    s.wait("BridgeDestroyed")


def the_bridge_is_destroyed_meanwhile(s: Stage) -> None:
    bridge, calls = room_of(s)
    live = _record(s, bridge)
    s.wait("RecordingStarted")
    s.sleep(0.3)
    s.delete(f"/bridges/{bridge}")
    s.wait("BridgeDestroyed")
    s.sleep(0.5)
    s.get(live)
    s.get(f"/recordings/stored/{s.id('r1')}")
    for call in calls:
        s.hang_up(call)


def of_nobody(s: Stage) -> None:
    bridge = room(s)
    live = _record(s, bridge)
    s.wait("RecordingStarted")
    s.sleep(1.2)
    s.post(f"{live}/stop")
    s.wait("RecordingFinished")
    s.get(f"/recordings/stored/{s.id('r1')}/file")
    s.delete(f"/bridges/{bridge}")
    s.wait("BridgeDestroyed")


def that_lasts_long_enough(s: Stage) -> None:
    bridge, calls = room_of(s)
    s.early_in_a_second()
    _record(s, bridge, maxDurationSeconds="1")
    s.wait("RecordingFinished")
    leave_all(s, bridge, calls)


def ended_by_silence(s: Stage) -> None:
    bridge, calls = room_of(s)
    _record(s, bridge, maxSilenceSeconds="1")
    s.wait("RecordingFinished")
    leave_all(s, bridge, calls)


def with_a_beep(s: Stage) -> None:
    bridge, calls = room_of(s)
    live = _record(s, bridge, beep="true")
    s.wait("RecordingStarted")
    s.sleep(1.0)
    s.post(f"{live}/stop")
    s.wait("RecordingFinished")
    leave_all(s, bridge, calls)


def keys_do_not_end_it(s: Stage) -> None:
    call, far = s.incoming(answered=True)
    bridge = room(s)
    join(s, bridge, call)
    live = _record(s, bridge, terminateOn="any")
    s.wait("RecordingStarted")
    far.presses("1")
    s.wait("ChannelDtmfReceived")
    s.sleep(0.3)
    s.post(f"{live}/stop")
    s.wait("RecordingFinished")
    leave_all(s, bridge, [call])


def two_at_once(s: Stage) -> None:
    bridge, calls = room_of(s, 1)
    first, second = _record(s, bridge), _record(s, bridge, "r2")
    s.wait("RecordingStarted", recording=s.id("r1"))
    s.sleep(0.3)
    s.get(second)
    s.post(f"{first}/stop")
    s.wait("RecordingFinished", recording=s.id("r1"))
    s.sleep(0.3)
    s.post(f"{second}/stop")
    s.wait("RecordingFinished", recording=s.id("r2"))
    leave_all(s, bridge, calls)


def while_a_prompt_is_played(s: Stage) -> None:
    bridge, calls = room_of(s)
    live = _record(s, bridge)
    s.wait("RecordingStarted")
    s.post(f"/bridges/{bridge}/play/{s.id('p1')}", media="sound:beep")
    s.wait("PlaybackFinished")
    s.sleep(0.2)
    s.post(f"{live}/stop")
    s.wait("RecordingFinished")
    leave_all(s, bridge, calls)


def what_is_refused(s: Stage) -> None:
    bridge, calls = room_of(s, 1)
    record = f"/bridges/{bridge}/record"
    name = s.id("r1")
    s.post(f"/bridges/{s.id('nowhere')}/record", name=name, format="wav")
    s.post(record, name=name, format="nonsense")
    s.post(record, format="wav")
    s.post(record, name="../../x", format="wav")
    s.post(record, name=name, format="wav", maxDurationSeconds="-1")
    s.post(record, name=name, format="wav", maxSilenceSeconds="-1")
    s.post(record, name=name, format="wav", terminateOn="x")
    s.post(record, name=name, format="wav", ifExists="nonsense")
    s.post(record, name=name, format="wav", recorder_format="nonsense")
    s.sleep(0.3)
    live = _record(s, bridge)
    s.wait("RecordingStarted")
    s.post(record, name=name, format="wav")
    s.post(f"{live}/stop")
    s.wait("RecordingFinished")
    s.post(record, name=name, format="wav")
    live = _record(s, bridge, ifExists="overwrite")
    s.wait("RecordingStarted")
    s.post(f"{live}/stop")
    s.wait("RecordingFinished")
    leave_all(s, bridge, calls)
