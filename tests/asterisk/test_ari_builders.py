"""Requests of the builders, sent to a real Asterisk: what it makes of ids, lists, long values and bodies."""

from __future__ import annotations

import base64
import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import ProxyHandler, build_opener
from urllib.request import Request as HttpRequest

import pytest

from voxtra_core.ari import (
    AsteriskInfo,
    Channel,
    Request,
    applications,
    bridges,
    channels,
    device_states,
    endpoints,
    events,
    playbacks,
    reason_of,
    recordings,
    sounds,
)
from voxtra_core.ari import (
    asterisk as server,
)
from voxtra_core.errors import AriBadRequest, AriConflict, AriError, AriForbidden, AriNotFound, ari_error

from .pbx import Asterisk

pytestmark = pytest.mark.asterisk

T = TypeVar("T")

_opener = build_opener(ProxyHandler({}))

AWKWARD = ["a/b c", "a+b", "50%25", "..", ".", "é😀", "?x#y;z&v=1", "\x01\n\x7f", "'\"\\", "channels"]
"""Ids that something on the way could take for something else."""


def credentials(asterisk: Asterisk) -> str:
    return "Basic " + base64.b64encode(f"{asterisk.user}:{asterisk.password}".encode()).decode()


def send(asterisk: Asterisk, request: Request[T]) -> T:
    """What Asterisk answers, decoded; an ``AriError`` for a refusal."""
    http = HttpRequest(
        asterisk.url + request.target,
        method=request.method,
        data=None if request.body is None else json.dumps(request.body).encode(),
        headers={"Authorization": credentials(asterisk), "Content-Type": "application/json"},
    )
    try:
        with _opener.open(http, timeout=10) as reply:
            return request.decode(reply.read())
    except HTTPError as refusal:
        with refusal:
            raise ari_error(request.operation, refusal.code, reason_of(refusal.reason, refusal.read())) from None


def send_when_ready(asterisk: Asterisk, request: Request[T]) -> T:
    """The same, for what is refused with 409 until something has begun that no reply waits for."""
    patience = time.monotonic() + 5
    while True:
        try:
            return send(asterisk, request)
        except AriConflict:
            if time.monotonic() > patience:
                raise
            time.sleep(0.01)


def until_refused(asterisk: Asterisk, request: Request[T]) -> None:
    """Send it again and again, for two seconds at most; raises how it is refused."""
    patience = time.monotonic() + 2
    while time.monotonic() < patience:
        send(asterisk, request)
        time.sleep(0.01)


@contextmanager
def event_socket(asterisk: Asterisk, target: str) -> Iterator[str]:
    """An event socket that is opened and left alone; the status line of the reply to its request."""
    with socket.create_connection((asterisk.host, asterisk.port), timeout=10) as opened:
        key = base64.b64encode(bytes(16)).decode()
        lines = [
            f"GET /ari{target} HTTP/1.1",
            f"Host: {asterisk.host}",
            f"Authorization: {credentials(asterisk)}",
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            f"Sec-WebSocket-Key: {key}",
            "\r\n",
        ]
        opened.sendall("\r\n".join(lines).encode())
        yield opened.recv(4096).split(b"\r\n")[0].decode()


@pytest.fixture
def app(asterisk: Asterisk, app_name: str) -> Iterator[str]:
    """A Stasis application with a space, a slash and more in its name, registered while the test runs."""
    name = f"{app_name} é/1;(x)"
    with event_socket(asterisk, events.event_websocket(app=name).target) as status:
        assert "101" in status
        yield name


@pytest.fixture
def channel(asterisk: Asterisk, app: str) -> Iterator[Channel]:
    """An answered channel in Stasis, with an awkward id."""
    channel_id = f"{app}+%?#;ü"
    send(asterisk, channels.create(endpoint="Local/answer@far/n", app=app, channel_id=channel_id))
    send_when_ready(asterisk, channels.dial(channel_id, timeout=10))  # ``create`` replies before it is in Stasis
    patience = time.monotonic() + 5
    while (found := send(asterisk, channels.get(channel_id))).state != "Up":
        assert time.monotonic() < patience, found
        time.sleep(0.01)
    yield found
    send(asterisk, channels.hangup(channel_id, reason_code=16))


# ---- ids ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("awkward", AWKWARD)
def test_an_id_arrives_as_it_is(asterisk: Asterisk, app_name: str, awkward: str) -> None:
    bridge_id = awkward if awkward in {".", ".."} else awkward + app_name
    made = send(asterisk, bridges.create_with_id(bridge_id, type="mixing,dtmf_events", name=awkward))
    try:
        assert (made.id, made.name, made.bridge_type) == (bridge_id, awkward, "mixing")
        assert send(asterisk, bridges.get(bridge_id)) == made
        assert made in send(asterisk, bridges.list())
    finally:
        send(asterisk, bridges.destroy(bridge_id))
    with pytest.raises(AriNotFound, match="Bridge not found"):
        until_refused(asterisk, bridges.get(bridge_id))  # Asterisk is done with it a moment after its reply


def test_a_nul_would_name_another_channel(asterisk: Asterisk, channel: Channel) -> None:
    """Why ``path_segment`` refuses it."""
    path = channels.get(channel.id).path
    status, body = asterisk.get(f"{path}%00and-more")
    assert (status, body["id"]) == (200, channel.id)


@pytest.mark.parametrize(("length", "accepted"), [(73, "101"), (74, "500")])
@pytest.mark.parametrize("letter", ["a", "é"])
def test_an_application_name_is_limited_in_bytes(
    asterisk: Asterisk, app_name: str, letter: str, length: int, accepted: str
) -> None:
    """Why the check counts bytes, and 73 of them. Our own builder would refuse the longer one."""
    room = length - len(app_name)
    name = app_name + letter * (room // len(letter.encode()))
    name += "x" * (length - len(name.encode()))
    target = events.event_websocket(app=app_name).target.replace(app_name, name.replace("é", "%C3%A9"))
    with event_socket(asterisk, target) as status:
        assert accepted in status


@pytest.mark.parametrize("name", ['%s"x', "%s\\x"])
def test_an_application_whose_name_has_a_quote_is_never_entered(asterisk: Asterisk, app_name: str, name: str) -> None:
    """Why the check refuses it: it can be registered, and Asterisk looks for another one when a channel comes."""
    name %= app_name
    target = events.event_websocket(app=app_name).target.replace(app_name, quote(name))
    with event_socket(asterisk, target) as status:
        assert "101" in status
        assert name in {one.name for one in send(asterisk, applications.list())}
        query = (("endpoint", "Local/answer@far/n"), ("app", name))
        made = send(asterisk, Request[Channel]("channels.create", "POST", "/channels/create", query, None, "Channel"))
        patience = time.monotonic() + 5
        while made.id in {one.id for one in send(asterisk, channels.list())}:
            assert time.monotonic() < patience
            time.sleep(0.01)


# ---- lists ----------------------------------------------------------------------------------------------------------


def test_a_media_uri_may_have_a_comma(asterisk: Asterisk, channel: Channel) -> None:
    """It is the second: the first lasts a second, and of the one that is not there the reply might come too late."""
    request = channels.play(channel.id, media=["sound:silence/1", "sound:a,b"], playback_id=f"p/{channel.id}")
    playback = send(asterisk, request)
    assert playback.id == f"p/{channel.id}"
    assert (playback.media_uri, playback.next_media_uri) == ("sound:silence/1", "sound:a,b")


def test_a_list_in_the_query_is_a_list(asterisk: Asterisk, channel: Channel) -> None:
    request = channels.play(channel.id, media=["sound:silence/2", "sound:silence/1"], lang="de", skipms=10)
    assert request.body is None
    playback = send(asterisk, request)
    assert (playback.media_uri, playback.next_media_uri) == ("sound:silence/2", "sound:silence/1")
    send(asterisk, playbacks.stop(playback.id))


def test_items_survive_whatever_is_in_them(asterisk: Asterisk, app: str) -> None:
    names = ["a,b", 'q"r', "b\\c", "p(q", "r[s", "t)u]", "plain"]
    sources = [f"deviceState:Stasis:{name}" for name in names]
    told = send(asterisk, applications.subscribe(app, event_source=sources))
    assert set(told.device_names) == {f"Stasis:{name}" for name in names}
    told = send(asterisk, applications.unsubscribe(app, event_source=sources[:-1]))  # a DELETE with a body
    assert told.device_names == ("Stasis:plain",)


def test_127_items_are_accepted_in_a_query(asterisk: Asterisk, app: str) -> None:
    request = applications.subscribe(app, event_source=[f"deviceState:Stasis:{number}" for number in range(127)])
    assert request.body is None
    assert len(send(asterisk, request).device_names) == 127


def test_a_get_takes_its_list_from_a_body(asterisk: Asterisk, channel: Channel) -> None:
    request = channels.get_channel_vars(channel.id, variables=["CHANNEL(name)", "CHANNEL(state)"])
    assert request.query == ()
    assert send(asterisk, request).variables == {"CHANNEL(name)": channel.name, "CHANNEL(state)": "Up"}


# ---- long values ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [10, 3000, 5000, 12_000])
def test_a_value_of_any_length_arrives_whole(asterisk: Asterisk, channel: Channel, size: int) -> None:
    value = "é x" * (size // 3) + "."
    send(asterisk, channels.set_channel_var(channel.id, variable="LONG", value=value, report_events=False))
    assert send(asterisk, channels.get_channel_var(channel.id, variable="LONG")).value == value


def test_a_name_of_any_length_is_asked_for(asterisk: Asterisk, channel: Channel) -> None:
    """A GET whose query went into the body."""
    name = "N" * 5000
    send(asterisk, channels.set_channel_vars(channel.id, variables={name: "found"}))
    assert send(asterisk, channels.get_channel_var(channel.id, variable=name)).value == "found"


def test_the_longest_query_is_accepted(asterisk: Asterisk, app_name: str) -> None:
    """As long as it may be before it goes into the body."""
    sizes = range(3900, 3000, -1)
    made = (server.set_global_var(variable=app_name, value="v" * size) for size in sizes)
    longest = next(request for request in made if request.query)
    send(asterisk, longest)
    assert send(asterisk, server.get_global_var(variable=app_name)).value == dict(longest.query)["value"]
    send(asterisk, server.set_global_var(variable=app_name))
    assert send(asterisk, server.get_global_var(variable=app_name)).value == ""


# ---- bodies ---------------------------------------------------------------------------------------------------------


def test_variables_travel_beside_a_query(asterisk: Asterisk, app: str) -> None:
    request = channels.originate(
        endpoint="Local/answer@far/n",
        app=app,
        app_args="a,b",
        caller_id='"Zoë" <100>',
        timeout=10,
        channel_id=f"{app}/v",
        variables={"PLAIN": "1", "CALLERID(num)": "4930", "SHOWN": {"value": "2", "report_events": True}},
    )
    assert request.query
    assert request.body
    made = send(asterisk, request)
    try:
        assert made.id == f"{app}/v"
        names = ["PLAIN", "SHOWN", "CALLERID(num)"]
        assert send(asterisk, channels.get_channel_vars(made.id, variables=names)).variables == {
            "PLAIN": "1",
            "SHOWN": "2",
            "CALLERID(num)": "4930",
        }
    finally:
        send(asterisk, channels.hangup(made.id, reason="normal"))


def test_variables_travel_beside_parameters_in_the_body(asterisk: Asterisk, app_name: str) -> None:
    request = bridges.create_with_id(app_name, name="n" * 5000, variables={"A": "b"})
    assert request.query == ()
    try:
        assert send(asterisk, request).name.startswith("n" * 70)
        assert send(asterisk, bridges.get_bridge_vars(app_name, variables=["A"])).variables == {"A": "b"}
    finally:
        send(asterisk, bridges.destroy(app_name))


def test_a_filter_is_the_whole_body(asterisk: Asterisk, app: str) -> None:
    chosen = {"allowed": [{"type": "StasisStart"}], "disallowed": [{"type": "Dial"}]}
    told = send(asterisk, applications.filter(app, filter=chosen))
    assert told.events_allowed == ({"type": "StasisStart"},)
    assert told.events_disallowed == ({"type": "Dial"},)
    told = send(asterisk, applications.filter(app, filter={"allowed": []}))
    assert (told.events_allowed, told.events_disallowed) == ((), ({"type": "Dial"},))
    told = send(asterisk, applications.filter(app))
    assert told.events_disallowed == ()


def test_a_user_event_may_hold_any_json(asterisk: Asterisk, app: str, channel: Channel) -> None:
    content = {"n": 1, "list": [None, True, {"é": 1.5}]}
    send(asterisk, events.user_event("E/1", application=app, source=[f"channel:{channel.id}"], variables=content))


def test_the_fields_of_an_object_are_understood(asterisk: Asterisk, app_name: str) -> None:
    """This Asterisk keeps its objects in files, and so refuses, but only after it has read the fields."""
    fields = {"auth_type": "userpass", "username": 'a,"b', "password": "x"}
    with pytest.raises(AriForbidden, match="Cannot create sorcery objects of type 'auth'"):
        send(asterisk, server.update_object("res_pjsip", "auth", app_name, fields=fields))
    with pytest.raises(AriBadRequest, match="validation"):
        send(asterisk, server.update_object("res_pjsip", "auth", app_name, fields={"no_such": "field"}))


# ---- a walk through the operations ----------------------------------------------------------------------------------


def test_a_channel_does_what_it_is_told(asterisk: Asterisk, app: str, channel: Channel) -> None:
    steps: list[Request[None]] = [
        channels.answer(channel.id),
        channels.ring(channel.id),
        channels.ring_stop(channel.id),
        channels.progress(channel.id),
        channels.mute(channel.id),
        channels.unmute(channel.id),
        channels.mute(channel.id, direction="in"),
        channels.unmute(channel.id, direction="in"),
        channels.hold(channel.id),
        channels.unhold(channel.id),
        channels.start_moh(channel.id, moh_class="default"),
        channels.stop_moh(channel.id),
        channels.start_silence(channel.id),
        channels.stop_silence(channel.id),
        channels.send_dtmf(channel.id, dtmf="1#*A", before=0, between=20, duration=50, after=0),
        channels.move(channel.id, app=app, app_args="moved,twice"),
    ]
    for step in steps:
        send(asterisk, step)
    assert channel.id in {one.id for one in send(asterisk, channels.list())}
    with pytest.raises(AriBadRequest, match="reason"):
        send(asterisk, Request("channels.hangup", "DELETE", channels.get(channel.id).path, (("reason", "x"),)))
    with pytest.raises(AriForbidden, match="Unsupported channel type"):
        send(asterisk, channels.rtp_statistics(channel.id))
    snoop_id = f"{app}/snoop"
    snoop = send(asterisk, channels.snoop_channel_with_id(channel.id, snoop_id, spy="both", whisper="out", app=app))
    assert snoop.id == snoop_id
    send(asterisk, channels.hangup(snoop_id))


def test_a_bridge_and_its_recording(asterisk: Asterisk, app_name: str, channel: Channel) -> None:
    send(asterisk, bridges.create_with_id(app_name))
    try:
        send(asterisk, bridges.add_channel(app_name, channel=channel.id, absorb_dtmf=True, mute=False))
        patience = time.monotonic() + 5
        while channel.id not in send(asterisk, bridges.get(app_name)).channels:
            assert time.monotonic() < patience
            time.sleep(0.01)
        request = bridges.record(app_name, name=app_name, format="wav", if_exists="overwrite", beep=False)
        assert send(asterisk, request).target_uri == f"bridge:{app_name}"
        assert send(asterisk, recordings.get_live(app_name)).format == "wav"
        send_when_ready(asterisk, recordings.pause(app_name))
        send(asterisk, recordings.unpause(app_name))
        send(asterisk, recordings.stop(app_name))
        send(asterisk, bridges.play(app_name, media="tone:busy", playback_id=app_name))
        send_when_ready(asterisk, playbacks.control(app_name, operation="pause"))
        send(asterisk, playbacks.stop(app_name))
        send(asterisk, bridges.remove_channel(app_name, channel=channel.id))
    finally:
        send(asterisk, bridges.destroy(app_name))
    assert send(asterisk, recordings.get_stored(app_name)).name == app_name
    assert send(asterisk, recordings.get_stored_file(app_name)).startswith(b"RIFF")
    copy = send(asterisk, recordings.copy_stored(app_name, destination_recording_name=f"{app_name}-2"))
    assert copy.name == f"{app_name}-2"
    for name in (app_name, copy.name):
        send(asterisk, recordings.delete_stored(name))


def test_a_device_state(asterisk: Asterisk, app_name: str) -> None:
    device = f"Stasis:{app_name} é"
    send(asterisk, device_states.update(device, device_state="ONHOLD"))
    assert send(asterisk, device_states.get(device)).state == "ONHOLD"
    assert device in {one.name for one in send(asterisk, device_states.list())}
    send(asterisk, device_states.delete(device))


def test_what_asterisk_is(asterisk: Asterisk, app: str) -> None:
    assert send(asterisk, server.ping()).ping == "pong"
    info = send(asterisk, server.get_info(only=["system", "config"]))
    assert isinstance(info, AsteriskInfo)
    assert info.system
    assert info.config
    assert (info.build, info.status) == (None, None)
    assert send(asterisk, server.get_module("res_ari.so")) in send(asterisk, server.list_modules())
    assert send(asterisk, server.list_log_channels())
    assert app in {one.name for one in send(asterisk, applications.list())}
    beep = send(asterisk, sounds.get("beep"))
    assert beep.formats
    chosen = sounds.list(lang=beep.formats[0].language, format=beep.formats[0].format)
    assert beep.id in {one.id for one in send(asterisk, chosen)}
    uas = send(asterisk, endpoints.get("PJSIP", "uas"))
    assert uas in send(asterisk, endpoints.list())
    assert uas in send(asterisk, endpoints.list_by_tech("PJSIP"))
    settings = send(asterisk, server.get_object("res_pjsip", "endpoint", "uas"))
    assert "context" in {one.attribute for one in settings}


def test_a_refusal_says_why(asterisk: Asterisk, app_name: str) -> None:
    with pytest.raises(AriError) as caught:
        send(asterisk, channels.answer(app_name))
    assert str(caught.value) == "channels.answer: 404 Channel not found"
