"""How requests find their way, and what is said to those that don't."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.testing.world import World, body_of

DESCRIPTION = json.loads((Path(__file__).parents[1] / "ari" / "generate" / "operations.json").read_text())
OPERATIONS = [(operation["method"], operation["path"]) for operation in DESCRIPTION["operations"]]

METHODS = st.sampled_from(["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD"])
SEGMENTS = st.sampled_from(
    "channels playbacks applications asterisk bridges recordings stored live variable play control answer dtmf mute "
    "continue move create info ping one p app subscription eventFilter %2F %FF + x {channelId}".split()
) | st.text(max_size=3)
NAMES = st.sampled_from(
    "endpoint app appArgs extension context priority label callerId timeout channelId otherChannelId originator "
    "formats reason reason_code media playbackId offsetms skipms lang dtmf before between duration after direction "
    "mohClass variable value operation eventSource variables allowed disallowed only".split()
)
VALUES = st.sampled_from(
    "app one two in out normal 16 -1 99999999999 12w# sound:beep,bogus:x stop pause PJSIP/bob Local/x@y "
    "channel:one".split()
) | st.text(max_size=5)
JSON = st.recursive(st.none() | st.booleans() | st.floats() | st.integers() | VALUES, st.lists, max_leaves=4)
BODIES = (
    st.just(b"")
    | st.dictionaries(NAMES, JSON | st.dictionaries(NAMES, JSON)).map(lambda value: json.dumps(value).encode())
    | st.binary(max_size=20)
)


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_every_operation_is_known(method: str, path: str) -> None:
    """It is done, refused for a reason of its own, or said not to be done; never taken for a mistake in the path."""
    reply = World().ask(method, path.replace("{", "").replace("}", ""))
    if reply.status == 501:
        assert body_of(reply)["message"].endswith(f"does not do {method} {path}")
    else:
        assert reply.status != 405
        assert b"Resource not found" not in reply.body


def test_no_more_than_those_are_known() -> None:
    allowed = {path: World().ask("OPTIONS", path).headers["Allow"].split(",")[1:] for _, path in OPERATIONS}
    assert sorted((method, path) for path, methods in allowed.items() for method in methods) == sorted(OPERATIONS)


@pytest.mark.parametrize(
    ("method", "target", "status", "message"),
    [
        ("GET", "/nope", 404, "Resource not found"),
        ("GET", "/channels/x/y/z", 404, "Resource not found"),
        ("GET", "/channels/", 404, "ARI URLs do not end with a slash. Try /ari/channels"),
        ("GET", "/", 405, "Invalid method"),
        ("GET", "", 405, "Invalid method"),
        ("PATCH", "/channels", 405, "Invalid method"),
        ("GET", "/playbacks", 405, "Invalid method"),
        ("GET", "/channels/x/answer", 405, "Invalid method"),
        ("GET", "/channels/a%2Fb", 404, "Channel not found"),
        ("DELETE", "/channels/x?reason=bogus", 404, "Channel not found"),
        ("POST", "/channels/x/variable", 400, "Variable name is required"),
        ("POST", "/playbacks/x/control", 400, "Missing operation"),
        ("POST", "/playbacks/x/control?operation=stop", 400, "Invalid operation stop"),
        ("GET", "/playbacks/x", 404, "Playback not found"),
        ("GET", "/applications/x", 404, "Application not found"),
        ("POST", "/applications/app/subscription", 400, "Missing parameter eventSource"),
        ("POST", "/applications/app/subscription?eventSource=bogus", 400, "Invalid event source URI scheme"),
        ("POST", "/applications/app/subscription?eventSource=channel:x", 422, "Event source does not exist"),
        ("DELETE", "/applications/app/subscription?eventSource=channel:x", 422, "Event source was not subscribed to"),
        ("GET", "/asterisk/variable", 400, "Variable name is required"),
    ],
)
def test_what_goes_wrong(method: str, target: str, status: int, message: str) -> None:
    reply = World().ask(method, target)
    assert (reply.status, body_of(reply)) == (status, {"message": message})


@pytest.mark.parametrize(
    ("method", "path", "status", "reason", "message"),
    [
        ("POST", "dtmf", 400, "Bad Request", "DTMF is required"),
        ("POST", "mute", 400, "Bad Request", "Direction is required"),
        ("DELETE", "mute?direction=x", 400, "Bad Request", "Invalid direction specified"),
        ("POST", "play", 500, "Internal Server Error", "Failed to queue media for playback"),
        ("POST", "continue?label=x", 404, "Not Found", "Requested label can not be found"),
    ],
)
def test_what_goes_wrong_on_a_channel(method: str, path: str, status: int, reason: str, message: str) -> None:
    world = World()
    channel = world.call().channel_id
    reply = world.ask(method, f"/channels/{channel}/{path}")
    assert (reply.status, reply.reason, body_of(reply)) == (status, reason, {"message": message})


@pytest.mark.parametrize(
    ("query", "reason", "message"),
    [
        ("reason=bogus", "Invalid Reason", "Invalid reason for hangup reason provided"),
        ("reason_code=abc", "Invalid Reason Code", "Invalid reason for hangup reason code provided"),
        ("reason=busy&reason_code=17", "Bad Request", "The reason and reason_code can't both be specified"),
    ],
)
def test_reasons_for_a_hangup(query: str, reason: str, message: str) -> None:
    world = World()
    channel = world.call().channel_id
    reply = world.ask("DELETE", f"/channels/{channel}?{query}")
    assert (reply.status, reply.reason, body_of(reply)) == (400, reason, {"message": message})
    assert world.asterisk.channel_ids == [channel]


def test_an_empty_segment_ends_the_path() -> None:
    assert body_of(World().ask("GET", "/channels//answer")) == []


def test_a_json_body_beats_the_query_and_the_last_of_a_repeated_key_counts() -> None:
    world = World()
    call = f"/channels/{world.call(answered=True).channel_id}"
    reply = world.ask("POST", f"{call}/play?playbackId=a&playbackId=b&media=sound:beep")
    assert body_of(reply)["id"] == "b"
    media = ["sound:beep", "sound:a,b"]
    reply = world.ask("POST", f"{call}/play?playbackId=a&media=sound:x", {"playbackId": "c", "media": media})
    assert (body_of(reply)["id"], body_of(reply)["next_media_uri"]) == ("c", "sound:a,b")


@pytest.mark.parametrize(
    "body",
    [b"{", b"[" * 100_000, b'{"app":"\\ud800"}', b'{"app":"\\u0000"}', b'{"a":[{"\\u0000":1}]}', b"\xff", b"9" * 5000],
)
def test_a_body_that_is_no_json(body: bytes) -> None:
    reply = World().ask("POST", "/channels", body)
    assert (reply.status, body_of(reply)) == (400, {"message": "Error parsing request body"})


def test_subscribing_to_a_channel() -> None:
    world = World()
    world.asterisk.connect_app(2, ["watcher"], False, 0.0)
    channel = world.call(answered=True).channel_id
    subscription = f"/applications/watcher/subscription?eventSource=channel:{channel}"
    assert body_of(world.ask("POST", subscription))["channel_ids"] == [channel]
    world.forget()
    world.request("POST", f"/channels/{channel}/variable?variable=X&value=1")
    assert [event["application"] for event in world.events] == ["app", "watcher"]
    assert body_of(world.ask("DELETE", subscription))["channel_ids"] == []
    world.forget()
    world.request("POST", f"/channels/{channel}/variable?variable=X&value=2")
    assert [event["application"] for event in world.events] == ["app"]
    assert world.ask("POST", "/applications/watcher/subscription?eventSource=bridge:x").status == 422
    assert world.ask("POST", "/applications/watcher/subscription?eventSource=endpoint:x").status == 501


def test_subscribing_to_all_shows_the_end_of_a_call_that_came_in() -> None:
    world = World(connected=False)
    world.asterisk.connect_app(1, ["app"], True, 0.0)
    channel = world.call().channel_id
    world.ask("DELETE", f"/channels/{channel}")
    assert world.types()[-2:] == ["ChannelHangupRequest", "ChannelDestroyed"]
    assert world.last("ChannelDestroyed")["channel"]["dialplan"]["app_name"] == ""


def test_the_event_filter() -> None:
    world = World()
    path = "/applications/app/eventFilter"
    assert world.ask("PUT", path, {"allowed": "x"}).status == 400
    assert world.ask("PUT", path, {"allowed": ["x"]}).status == 400
    only = body_of(world.ask("PUT", path, {"allowed": [{"type": "StasisStart"}, {"type": "StasisEnd"}]}))
    assert only["events_allowed"] == [{"type": "StasisStart"}, {"type": "StasisEnd"}]
    both = body_of(world.ask("PUT", path, {"disallowed": [{"type": "StasisEnd"}]}))
    assert (both["events_allowed"], both["events_disallowed"]) == (only["events_allowed"], [{"type": "StasisEnd"}])
    channel = world.call().channel_id
    world.ask("DELETE", f"/channels/{channel}")
    assert world.types() == ["StasisStart"]
    assert body_of(world.ask("PUT", path, {}))["events_allowed"] == []


def test_an_application_is_forgotten_when_nothing_keeps_it() -> None:
    world = World()
    channel = world.call().channel_id
    world.asterisk.disconnect(1, 0.0)
    assert body_of(world.ask("GET", "/applications/app"))["channel_ids"] == [channel]
    world.ask("DELETE", f"/channels/{channel}")
    assert world.ask("GET", "/applications/app").status == 404
    assert body_of(world.ask("GET", "/applications")) == []


def test_who_it_is() -> None:
    world = World()
    assert set(body_of(world.ask("GET", "/asterisk/info"))) == {"build", "system", "config", "status"}
    only = body_of(world.ask("GET", "/asterisk/info?only=system,bogus"))
    assert only == {"system": {"version": "22.10.1 simulated", "entity_id": "02:00:00:00:00:01"}}
    world.run(1.25)
    assert body_of(world.ask("GET", "/asterisk/ping"))["timestamp"] == "2027-01-15T08:00:01.250+0000"


@given(
    requests=st.lists(
        st.tuples(METHODS, st.lists(SEGMENTS, max_size=4), st.lists(st.tuples(NAMES, VALUES), max_size=4), BODIES),
        max_size=8,
    )
)
def test_no_request_is_too_strange(
    requests: list[tuple[str, list[str], list[tuple[str, str]], bytes]],
) -> None:
    world = World()
    world.reach_somebody()
    for method, segments, query, body in requests:
        target = "/" + "/".join(segments) + "?" + "&".join(f"{name}={value}" for name, value in query)
        world.request(method, target, body)
        world.run(0.05)
    world.run(1000.0)
    assert len(world.replies) == len(requests)
    for _, reply in world.replies.values():
        assert reply.body == b"" or isinstance(json.loads(reply.body), (dict, list))
