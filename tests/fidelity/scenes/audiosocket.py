"""``externalMedia`` by AudioSocket."""

from tests.fidelity.stage import Door, Stage

_UUID = "40325ec2-5efd-4bd3-805f-53576e581d13"
_HANGUP = b"\x00\x00\x00"


def _media(s: Stage, address: str, **more: str) -> None:
    query = {
        "app": s.app,
        "channelId": s.id("m1"),
        "external_host": address,
        "encapsulation": "audiosocket",
        "transport": "tcp",
        "format": "slin",
        "data": _UUID,
    }
    s.request("POST", "/channels/externalMedia", query | more)


def _open(s: Stage, **more: str) -> Door:
    door = s.door()
    _media(s, door.address, **more)
    s.wait("StasisStart", channel=s.id("m1"))
    return door


def accepted_and_hung_up(s: Stage) -> None:
    _open(s)
    s.get(f"/channels/{s.id('m1')}")
    s.get(f"/channels/{s.id('m1')}/variable", variable="AUDIOSOCKET_UUID")
    s.sleep(0.2)
    s.hang_up(s.id("m1"), "ChannelDestroyed")
    s.wait("(closed)", to="DOOR")


def the_connection_ends(s: Stage) -> None:
    door = _open(s, format="slin16")
    s.sleep(0.2)
    door.hangs_up()
    s.wait("ChannelDestroyed", channel=s.id("m1"))


def it_says_goodbye(s: Stage) -> None:
    door = _open(s)
    s.sleep(0.2)
    door.says(_HANGUP)
    s.wait("ChannelDestroyed", channel=s.id("m1"))


def bad_data(s: Stage) -> None:
    door = _open(s)
    s.sleep(0.2)
    door.says(b"\xff\x00\x01\x01")
    s.wait("ChannelDestroyed", channel=s.id("m1"))


def nobody_listens(s: Stage) -> None:
    _media(s, "127.0.0.1:2")


def what_is_refused(s: Stage) -> None:
    door = s.door()
    _media(s, door.address, data="")
    _media(s, door.address, format="")
    _media(s, door.address, app="")
    _media(s, door.address, transport="udp")
    _media(s, "127.0.0.1")
    _media(s, "")
    _media(s, door.address, encapsulation="nonsense")
    _media(s, door.address, connection_type="server")


def a_data_that_is_no_uuid(s: Stage) -> None:
    door = s.door()
    _media(s, door.address, data="nonsense")


def in_a_bridge(s: Stage) -> None:
    call, far = s.incoming()
    s.post(f"/channels/{call}/answer")
    _open(s)
    bridge = s.id("b1")
    s.post(f"/bridges/{bridge}", type="mixing")
    s.post(f"/bridges/{bridge}/addChannel", channel=call)
    s.post(f"/bridges/{bridge}/addChannel", channel=s.id("m1"))
    s.sleep(0.3)
    far.presses("5")
    s.wait("(digit)", to="DOOR")
    s.wait("ChannelDtmfReceived", channel=call)
    s.hang_up(call)
    s.hang_up(s.id("m1"), "ChannelDestroyed")
    s.delete(f"/bridges/{bridge}")
    s.sleep(0.2)


def the_connection_ends_in_a_bridge(s: Stage) -> None:
    call, _ = s.incoming(answered=True)
    door = _open(s)
    bridge = s.id("b1")
    s.post(f"/bridges/{bridge}", type="mixing")
    s.post(f"/bridges/{bridge}/addChannel", channel=call)
    s.post(f"/bridges/{bridge}/addChannel", channel=s.id("m1"))
    s.sleep(0.2)
    door.hangs_up()
    s.wait("ChannelDestroyed", channel=s.id("m1"))
    s.hang_up(call)
    s.delete(f"/bridges/{bridge}")
    s.sleep(0.2)
