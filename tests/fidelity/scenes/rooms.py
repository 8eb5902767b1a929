"""Bridges with people in them, for the scenes that need some. No scene itself."""

from tests.fidelity.stage import Far, Stage

__all__ = ["join", "leave_all", "people_in", "room", "room_of"]


def room(s: Stage, name: str = "b1", kind: str = "mixing", *, heard: bool = True) -> str:
    """A bridge, to which the application is subscribed if it is to be ``heard``."""
    bridge = s.id(name)
    s.post(f"/bridges/{bridge}", type=kind, name="room")
    if heard:
        s.post(f"/applications/{s.app}/subscription", eventSource=f"bridge:{bridge}")
    return bridge


def join(s: Stage, bridge: str, channel: str, **query: str) -> None:
    """The channel comes in."""
    s.post(f"/bridges/{bridge}/addChannel", channel=channel, **query)
    s.wait("ChannelEnteredBridge", channel=channel)


def people_in(s: Stage, bridge: str, members: int = 2) -> tuple[list[str], list[Far]]:
    """So many callers come in: their channels' ids, and who is at the far ends."""
    calls = [s.incoming(answered=True) for _ in range(members)]
    for call, _ in calls:
        join(s, bridge, call)
    return [call for call, _ in calls], [far for _, far in calls]


def room_of(s: Stage, members: int = 2, *, heard: bool = True) -> tuple[str, list[str]]:
    """A bridge with so many callers in it: its id, and those of their channels."""
    calls = [s.incoming(answered=True)[0] for _ in range(members)]
    bridge = room(s, heard=heard)
    for call in calls:
        join(s, bridge, call)
    return bridge, calls


def leave_all(s: Stage, bridge: str, calls: list[str]) -> None:
    """Everybody is hung up, one after another, and then the bridge is destroyed."""
    for call in calls:
        s.hang_up(call)
    s.delete(f"/bridges/{bridge}")
    s.sleep(0.3)
