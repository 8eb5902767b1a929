"""Commands of one channel run one after another; what a real 22.10.1 did with them was tried out by hand."""

from __future__ import annotations

import json

import pytest

from tests.testing.world import APP, World, body_of
from voxtra_core.testing import Callee, Caller, Extension, Heard


def played(world: World) -> list[tuple[str, str, str]]:
    """What was said of playbacks: event, item and state."""
    return [
        (event["type"].removeprefix("Playback"), event["playback"]["media_uri"], event["playback"]["state"])
        for event in world.events
        if "playback" in event
    ]


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def call(world: World) -> str:
    """The path of a channel that is up."""
    return f"/channels/{world.call(answered=True).channel_id}"


# ---- playbacks -------------------------------------------------------------------------------------------------------


def test_prompts_play_in_order(world: World, call: str) -> None:
    for name in ("hello-world", "beep"):
        reply = world.ask("POST", f"{call}/play/{name}?media=sound:{name}")
        assert (reply.status, reply.reason, reply.headers) == (201, "Created", {"Location": f"/ari/playbacks/{name}"})
        assert body_of(reply)["state"] == "queued"
    world.run(1.0)
    assert body_of(world.ask("GET", "/playbacks/hello-world"))["state"] == "playing"
    assert body_of(world.ask("GET", "/playbacks/beep"))["state"] == "queued"
    world.run(1.0)
    assert played(world) == [
        ("Started", "sound:hello-world", "playing"),
        ("Finished", "sound:hello-world", "done"),
        ("Started", "sound:beep", "playing"),
        ("Finished", "sound:beep", "done"),
    ]
    assert world.ask("GET", "/playbacks/beep").status == 404


def test_a_list_continues_over_a_missing_prompt(world: World, call: str) -> None:
    world.ask("POST", f"{call}/play?media=sound:hello-world,sound:nope,sound:beep")
    world.run(5.0)
    assert played(world) == [
        ("Started", "sound:hello-world", "playing"),
        ("Continuing", "sound:hello-world", "continuing"),
        ("Started", "sound:nope", "playing"),
        ("Continuing", "sound:nope", "continuing"),
        ("Started", "sound:beep", "playing"),
        ("Finished", "sound:beep", "done"),
    ]


def test_a_missing_prompt_fails(world: World, call: str) -> None:
    world.ask("POST", f"{call}/play?media=sound:nope")
    assert played(world) == [("Started", "sound:nope", "playing"), ("Finished", "sound:nope", "failed")]


@pytest.mark.parametrize("uri", ["bogus:thing", "recording:none", "number:x"])
def test_what_cannot_be_played_vanishes(world: World, call: str, uri: str) -> None:
    world.ask("POST", f"{call}/play/p?media={uri}")
    assert played(world) == [("Started", uri, "playing")]
    assert world.ask("GET", "/playbacks/p").status == 404
    world.forget()
    world.ask("POST", f"{call}/play/q?media={uri},sound:beep")
    world.run(1.0)
    assert played(world) == [
        ("Started", uri, "playing"),
        ("Started", "sound:beep", "playing"),
        ("Finished", "sound:beep", "done"),
    ]


def test_stopping_ends_the_whole_list(world: World, call: str) -> None:
    world.ask("POST", f"{call}/play/p?media=sound:hello-world,sound:beep")
    world.run(0.5)
    assert world.ask("DELETE", "/playbacks/p").status == 204
    assert played(world)[1:] == [("Finished", "sound:hello-world", "done")]
    assert world.ask("DELETE", "/playbacks/p").status == 404
    world.forget()
    world.run(5.0)
    assert world.events == []


def test_stopping_a_tone_only_skips_it(world: World, call: str) -> None:
    world.ask("POST", f"{call}/play/p?media=tone:ring,sound:beep")
    world.run(60.0)
    assert played(world) == [("Started", "tone:ring", "playing")]
    world.ask("DELETE", "/playbacks/p")
    world.run(1.0)
    assert [what for what, _, _ in played(world)] == ["Started", "Continuing", "Started", "Finished"]


def test_one_that_is_stopped_while_queued_never_starts(world: World, call: str) -> None:
    world.ask("POST", f"{call}/play/p?media=sound:hello-world")
    world.ask("POST", f"{call}/play/q?media=sound:beep")
    for _ in range(2):
        assert world.ask("DELETE", "/playbacks/q").status == 204
    assert body_of(world.ask("GET", "/playbacks/q"))["state"] == "done"
    world.run(5.0)
    assert played(world)[1:] == [("Finished", "sound:hello-world", "done"), ("Finished", "sound:beep", "done")]


def test_pausing_and_seeking(world: World, call: str) -> None:
    person = world.asterisk.people[0]
    world.ask("POST", f"{call}/play/p?media=sound:demo-congrats&skipms=20000")
    control = "/playbacks/p/control?operation="
    world.run(1.0)
    assert world.ask("POST", f"{control}pause").status == 204
    assert body_of(world.ask("GET", "/playbacks/p"))["state"] == "paused"
    world.run(100.0)
    assert world.ask("POST", f"{control}unpause").status == 204
    assert world.ask("POST", f"{control}forward").status == 204  # to 21 s of 30.28
    world.run(9.2)
    assert played(world) == [("Started", "sound:demo-congrats", "playing")] * 2
    world.run(0.1)
    assert played(world)[-1] == ("Finished", "sound:demo-congrats", "done")
    assert person.heard == [
        Heard("sound:demo-congrats", 0.0, 1.0),
        Heard("sound:demo-congrats", 101.0, 101.0 + 9.28),
    ]


def test_restarting_and_going_back(world: World, call: str) -> None:
    world.ask("POST", f"{call}/play/p?media=sound:hello-world&offsetms=400")
    world.run(1.0)
    world.ask("POST", "/playbacks/p/control?operation=restart")
    world.run(1.3)
    world.ask("POST", "/playbacks/p/control?operation=reverse")
    world.run(1.4)
    assert len(played(world)) == 1
    world.run(0.1)
    assert played(world)[-1][0] == "Finished"


@pytest.mark.parametrize(
    ("state", "operation", "status"),
    [
        ("queued", "pause", 409),
        ("queued", "unpause", 409),
        ("queued", "restart", 204),
        ("paused", "pause", 204),
        ("paused", "forward", 409),
        ("playing", "unpause", 204),
        ("done", "restart", 409),
    ],
)
def test_what_is_allowed_when(world: World, call: str, state: str, operation: str, status: int) -> None:
    world.ask("POST", f"{call}/play/other?media=sound:hello-world")
    name = "p" if state in {"queued", "done"} else "other"
    world.ask("POST", f"{call}/play/p?media=sound:beep")
    if state == "done":
        world.ask("DELETE", "/playbacks/p")
    if state == "paused":
        world.ask("POST", "/playbacks/other/control?operation=pause")
    reply = world.ask("POST", f"/playbacks/{name}/control?operation={operation}")
    assert reply.status == status
    if status == 409:
        assert body_of(reply) == {"message": f"Can only {operation} while media is playing"}


def test_digits_cannot_be_controlled(world: World, call: str) -> None:
    world.ask("POST", f"{call}/play/p?media=digits:12")
    assert body_of(world.ask("DELETE", "/playbacks/p")) == {"message": "Could not stop playback"}
    assert world.ask("POST", "/playbacks/p/control?operation=pause").status == 500
    world.run(2.0)
    assert played(world)[-1] == ("Finished", "digits:12", "done")


def test_the_oldest_of_an_id_is_meant(world: World, call: str) -> None:
    for name in ("hello-world", "beep"):
        assert world.ask("POST", f"{call}/play/same?media=sound:{name}").status == 201
    assert body_of(world.ask("GET", "/playbacks/same"))["media_uri"] == "sound:hello-world"
    world.run(1.42)
    assert body_of(world.ask("GET", "/playbacks/same"))["media_uri"] == "sound:beep"


# ---- the queue of a channel ------------------------------------------------------------------------------------------


def test_a_synchronous_operation_waits_for_what_runs(world: World, call: str) -> None:
    world.ask("POST", f"{call}/play?media=sound:hello-world")
    number = world.request("POST", f"{call}/variable?variable=X&value=1")
    assert number not in world.replies
    world.run(2.0)
    at, reply = world.replies[number]
    assert (at, reply.status) == (1.42, 204)
    assert world.said[-3:] == ["PlaybackFinished", "ChannelVarset", "204"]


def test_answering_waits_for_early_media(world: World) -> None:
    call = f"/channels/{world.call().channel_id}"
    world.ask("POST", f"{call}/play?media=sound:beep")
    number = world.request("POST", f"{call}/answer")
    world.run(1.0)
    assert world.replies[number][0] == pytest.approx(0.44)
    assert world.types()[-1] == "ChannelStateChange"
    world.forget()
    world.request("POST", f"{call}/answer")
    assert world.said == ["204"]


def test_tones_take_their_time(world: World, call: str) -> None:
    person = world.asterisk.people[0]
    world.ask("POST", f"{call}/dtmf?dtmf=45w6xW7f&before=300&between=50&duration=60&after=400")
    number = world.request("POST", f"{call}/variable?variable=X")
    world.run(10.0)
    # 100 ms of quiet, and no tone is shorter than 100 ms
    assert person.digits == "4567"
    assert [tone.at for tone in person.tones] == pytest.approx([0.5, 0.65, 1.3, 2.45])
    assert world.replies[number][0] == pytest.approx(2.95)
    assert "ChannelVarset" not in world.types()


def test_a_hangup_cuts_short_and_runs_the_rest(world: World, call: str) -> None:
    world.ask("POST", f"{call}/play?media=sound:hello-world,sound:beep")
    world.ask("POST", f"{call}/play?media=bogus:x")
    world.ask("POST", f"{call}/dtmf?dtmf=123")
    world.ask("POST", f"{call}/play?media=sound:beep")
    number = world.request("POST", f"{call}/variable?variable=X&value=1")
    world.run(0.2)
    world.forget()
    world.ask("DELETE", call)
    assert world.said == [
        "ChannelHangupRequest",
        "204",
        "PlaybackFinished",
        "PlaybackStarted",
        "PlaybackStarted",
        "PlaybackFinished",
        "ChannelVarset",
        "204",
        "StasisEnd",
    ]
    assert [state for _, _, state in played(world)] == ["failed", "playing", "playing", "failed"]
    assert world.replies[number][1].status == 204
    assert world.ask("DELETE", call).status == 404
    assert world.asterisk.next_deadline() is None


def test_continue_waits_for_the_rest(world: World, call: str) -> None:
    world.asterisk.add_extension("after", "wait", Extension("Queue", "support"))
    world.ask("POST", f"{call}/play?media=sound:hello-world")
    assert world.ask("POST", f"{call}/continue?context=after&extension=wait").status == 204
    world.ask("POST", f"{call}/play?media=sound:beep")
    world.run(5.0)
    assert world.types()[-3:] == ["PlaybackStarted", "PlaybackFinished", "StasisEnd"]
    channel = body_of(world.ask("GET", call))
    assert (channel["dialplan"]["app_name"], channel["dialplan"]["exten"]) == ("Queue", "wait")
    reply = world.ask("POST", f"{call}/answer")
    assert (reply.status, body_of(reply)) == (409, {"message": "Channel not in Stasis application"})
    assert world.ask("DELETE", call).status == 204
    assert world.asterisk.people[0].ended_at is not None


@pytest.mark.parametrize("query", ["", "?context=nope&extension=x", "?context=after&extension=wait&priority=2"])
def test_continue_to_nowhere_hangs_up(world: World, call: str, query: str) -> None:
    world.asterisk.add_extension("after", "wait", Extension())
    assert world.ask("POST", f"{call}/continue{query}").status == 204
    assert world.types()[-1] == "StasisEnd"
    assert world.asterisk.channel_ids == []


def test_the_dialplan_may_come_back(world: World, call: str) -> None:
    world.asterisk.add_extension("ivr", "s", Extension("Wait", "2", lasts=2.0, app="app", args=("back", "again")))
    world.ask("POST", f"{call}/continue?context=ivr")
    world.run(3.0)
    assert world.types() == ["StasisStart", "StasisEnd", "StasisStart"]
    assert world.last("StasisStart")["args"] == ["back", "again"]


def test_the_dialplan_may_hang_up(world: World, call: str) -> None:
    world.asterisk.add_extension("bye", "s", Extension("Playback", "vm-goodbye", lasts=0.88))
    world.ask("POST", f"{call}/continue?context=bye&extension=s")
    world.run(1.0)
    assert world.asterisk.people[0].ended_at == 0.88


def test_moving_to_another_application(world: World, call: str) -> None:
    assert world.ask("POST", f"{call}/move?app=nope&appArgs=q,r").status == 204
    failed = world.last("ApplicationMoveFailed")
    assert (failed["destination"], failed["args"], failed["application"]) == ("nope", ["q", "r"], "app")
    world.asterisk.connect_app(2, ["other"], False, world.now)
    world.forget()
    world.ask("POST", f"{call}/move?app=other&appArgs=x,y")
    assert [(event["type"], event["application"]) for event in world.events] == [
        ("StasisEnd", "app"),
        ("StasisStart", "other"),
    ]
    assert world.last("StasisStart")["args"] == ["x", "y"]
    world.forget()
    world.ask("DELETE", call)
    assert {event["application"] for event in world.events} == {"other"}


# ---- variables -------------------------------------------------------------------------------------------------------


def test_variables(world: World, call: str) -> None:
    def value_of(name: str) -> tuple[int, str, str]:
        reply = world.ask("GET", f"{call}/variable?variable={name}")
        return reply.status, reply.reason, json.loads(reply.body).get("value") or json.loads(reply.body).get("message")

    assert value_of("X") == (404, "Variable Not Found", "Provided variable was not found")
    world.request("POST", f"{call}/variable", {"variable": "__X", "value": "1"})
    assert (world.last("ChannelVarset")["variable"], world.last("ChannelVarset")["value"]) == ("__X", "1")
    assert value_of("X") == (200, "OK", "1")
    world.forget()
    world.request("POST", f"{call}/variable?variable=X")
    assert value_of("X")[0] == 404
    assert world.types() == []
    world.request("POST", f"{call}/variable?variable=CALLERID(num)&value=77")
    assert world.last("ChannelCallerId")["channel"]["caller"]["number"] == "77"
    world.request("POST", f"{call}/variable?variable=CONNECTEDLINE(name)&value=Bo")
    assert world.last("ChannelConnectedLine")["channel"]["connected"]["name"] == "Bo"
    assert value_of("CALLERID(num)")[2] == "77"
    assert value_of("SHELL(ls)") == (500, "Error With Function", "Unable to read provided function")
    assert value_of("EXTEN")[2] == "s"


def test_global_variables_are_seen_by_channels(world: World, call: str) -> None:
    assert body_of(world.ask("GET", "/asterisk/variable?variable=G")) == {"value": ""}
    world.ask("POST", "/asterisk/variable?variable=G&value=g")
    assert body_of(world.ask("GET", "/asterisk/variable?variable=G")) == {"value": "g"}
    assert body_of(world.ask("GET", f"{call}/variable?variable=G")) == {"value": "g"}


# ---- originating -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parameters", "status", "message"),
    [
        ({"app": "a"}, 400, "Endpoint must be specified"),
        ({"endpoint": "PJSIP/bob"}, 400, "Application or extension must be specified"),
        ({"endpoint": "PJSIP", "app": "a"}, 400, "Invalid endpoint specified"),
        ({"endpoint": "/x", "app": "a"}, 400, "Invalid endpoint specified"),
        ({"endpoint": "PJSIP/nobody", "app": "a"}, 500, "Allocation failed"),
        ({"endpoint": "PJSIP/bob", "app": "a", "channelId": "x" * 150}, 400, "Uniqueid length exceeds maximum of 149"),
        (
            {"endpoint": "PJSIP/bob", "app": "a", "channelId": "x", "otherChannelId": "x"},
            409,
            "Channel with given unique ID already exists",
        ),
        (
            {"endpoint": "PJSIP/bob", "app": "a", "originator": "x"},
            400,
            "Provided originator channel was not found",
        ),
        (
            {"endpoint": "PJSIP/bob", "app": "a", "originator": "x", "formats": "ulaw"},
            400,
            "Originator and formats can't both be specified",
        ),
        (
            {"endpoint": "PJSIP/bob", "extension": "s", "label": "x"},
            404,
            "Requested label can not be found",
        ),
    ],
)
def test_what_cannot_be_originated(world: World, parameters: dict[str, str], status: int, message: str) -> None:
    world.asterisk.add_endpoint("PJSIP/bob", Callee())
    reply = world.ask("POST", "/channels", parameters)
    assert reply.status == status
    assert message in body_of(reply).values()
    assert world.asterisk.channel_ids == []


def test_a_local_channel_has_two_halves(world: World) -> None:
    bob = world.reach(Callee().answers(), "Local/bob@far/n", channelId="one", otherChannelId="two")
    assert bob.channel_id == "one"
    assert world.asterisk.channel_ids == ["one", "two"]
    assert body_of(world.ask("GET", "/applications/app"))["channel_ids"] == ["one", "two"]
    world.ask("POST", "/channels/one/dtmf?dtmf=5")
    world.run(1.0)
    assert world.last("ChannelDtmfReceived")["channel"]["id"] == "two"
    assert bob.digits == "5"
    world.ask("DELETE", "/channels/two")
    assert world.asterisk.channel_ids == []
    assert bob.ended_at == 1.0


def test_an_answered_call_goes_to_an_application_that_is_not_there(world: World) -> None:
    bob = world.reach(Callee().rings(1.0).answers(), app="nobody")
    world.run(2.0)
    assert (bob.ended_at, bob.hung_up_first) == (1.0, False)
    assert world.events == []


def test_variables_of_an_originated_channel(world: World) -> None:
    world.asterisk.add_endpoint("PJSIP/bob", Callee().answers())
    body = {
        "endpoint": "PJSIP/bob",
        "app": "app",
        "appArgs": "a,b c",
        "channelId": "c",
        "variables": {"X": "1", "Y": {"value": "2", "report_events": True}},
    }
    assert world.ask("POST", "/channels", body).status == 200
    assert world.last("StasisStart")["args"] == ["a", "b c"]
    assert body_of(world.ask("GET", "/channels/c/variable?variable=Y")) == {"value": "2"}
    assert {event["variable"] for event in world.events if event["type"] == "ChannelVarset"} == {"STASISSTATUS"}
    reply = world.ask("POST", "/channels", {**body, "variables": {"X": 1}})
    assert reply.status == 400


def test_hanging_up_the_second_half_ends_both(world: World) -> None:
    bob = world.reach(Callee().answers(), "Local/bob@far", channelId="one")
    world.forget()
    world.ask("DELETE", "/channels/one;2?reason_code=21")
    assert [(event["type"], event["channel"]["id"]) for event in world.events] == [
        ("ChannelHangupRequest", "one;2"),
        ("ChannelHangupRequest", "one;2"),
        ("ChannelHangupRequest", "one"),
        ("StasisEnd", "one"),
        ("ChannelVarset", "one"),
        ("ChannelDestroyed", "one"),
        ("ChannelDestroyed", "one;2"),
    ]
    assert world.last("ChannelDestroyed")["cause"] == 21
    assert (bob.cause, bob.hung_up_first) == (21, False)
    assert world.asterisk.channel_ids == []


# ---- snooping and talking --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "status", "message"),
    [
        ("/channels/nope/snoop/x?app=app&spy=foo", 400, "Invalid direction specified for spy"),
        ("/channels/nope/snoop/x?app=app&spy=in&whisper=foo", 400, "Invalid direction specified for whisper"),
        ("/channels/nope/snoop/x?app=app", 400, "Direction must be specified for at least spy or whisper"),
        ("/channels/nope/snoop?spy=both", 400, "Application name is required"),
        ("/channels/nope/snoop?spy=both&app=app", 404, "Provided channel was not found"),
        ("{call}/snoop/{id}?spy=both&app=app", 500, "Snoop channel could not be created"),
    ],
)
def test_what_cannot_be_snooped(world: World, call: str, target: str, status: int, message: str) -> None:
    """In the words of 22.10.1, which looks at the parameters before the channel."""
    reply = world.ask("POST", target.format(call=call, id=call.removeprefix("/channels/")))
    assert (reply.status, body_of(reply)) == (status, {"message": message})


def test_a_snoop_goes_with_its_channel(world: World, call: str) -> None:
    for name, app in (("spy", APP), ("lost", "nobody")):
        assert world.ask("POST", f"{call}/snoop/{name}?app={app}&spy=both").status == 200
    assert world.last("StasisStart")["channel"]["name"] == f"Snoop/{call.removeprefix('/channels/')}-00000000"
    assert "lost" not in world.asterisk.channel_ids
    world.ask("DELETE", call)
    assert world.asterisk.channel_ids == []
    assert world.last("StasisEnd")["channel"]["id"] == "spy"


def test_whispering_is_heard_by_the_far_end(world: World, call: str) -> None:
    """Where something is being sent to it, as 22.10.1 does; and only what is whispered in its direction."""
    (person,) = world.asterisk.people
    for name, how in (("loud", "whisper=out"), ("mute", "spy=both&whisper=in")):
        world.ask("POST", f"{call}/snoop/{name}?app={APP}&{how}")
    for what, expected in (
        ("", []),
        ("moh", ["music:default", "sound:beep", "music:default"]),
        ("silence", ["sound:beep"]),
        ("play?media=sound:beep", ["sound:beep"]),  # which ends the silence: the next whisper is lost
    ):
        person.heard.clear()
        if what:
            world.ask("POST", f"{call}/{what}")
            world.run(2.0)
        for name in ("mute", "loud"):
            world.ask("POST", f"/channels/{name}/play?media=sound:beep")
            world.run(2.0)
        assert [heard.what for heard in person.heard] == expected, what


def test_who_talks_is_noticed(world: World) -> None:
    world.call(Caller("100").waits(1.0).talks(2.0).waits(0.3).talks(1.0).waits(9.0).talks(1.0), answered=True)
    channel = world.asterisk.channel_ids[0]
    world.request("POST", f"/channels/{channel}/variable?variable=TALK_DETECT(set)&value=500,256")
    world.run(5.0)
    assert world.types("ChannelVarset", "StasisStart") == ["ChannelTalkingStarted", "ChannelTalkingFinished"]
    assert world.last("ChannelTalkingFinished")["duration"] == 3300  # a pause shorter than 500 ms is none
    world.request("POST", f"/channels/{channel}/variable?variable=TALK_DETECT(remove)&value=")
    world.forget()
    world.run(20.0)
    assert world.types() == []


def test_who_talks_already_is_noticed_and_then_forgotten(world: World) -> None:
    world.call(Caller("100").talks(2.0), answered=True)
    channel = world.asterisk.channel_ids[0]
    world.run(1.0)
    for value, events in (("0", []), ("x", []), ("500", ["ChannelTalkingStarted"]), (",128", [])):
        world.forget()
        world.request("POST", f"/channels/{channel}/variable?variable=TALK_DETECT(set)&value={value}")
        assert world.types() == events
    world.forget()
    world.request("POST", f"/channels/{channel}/variable?variable=TALK_DETECT(remove)&value=")
    world.run(9.0)
    assert world.types() == []
