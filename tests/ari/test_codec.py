"""JSON to events and models: what Asterisk really sent, then everything it could, then everything anybody could."""

from __future__ import annotations

import copy
import gc
import json
import pickle
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints
from weakref import ref

import attrs
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from voxtra_core import ari
from voxtra_core.ari import (
    Channel,
    ChannelDtmfReceived,
    ChannelVarset,
    Dial,
    Event,
    MalformedEvent,
    Request,
    StasisStart,
    UnknownEvent,
    channels,
    decode_event,
    decode_model,
    reason_of,
)
from voxtra_core.ari.codec import parse_object
from voxtra_core.errors import RemoteProtocolError

from .shapes import (
    EVENTS,
    FIXTURES,
    MODELS,
    OPERATIONS,
    WITH_ID,
    Json,
    any_event_json,
    event_json,
    fields_of,
    json_values,
    model_json,
)

PLAIN_MODELS = sorted(set(MODELS) - {*EVENTS, "Event", "Message", "MissingParams"})


# ---- what must hold of everything that is decoded -------------------------------------------------------------------


def conforms(value: object, hint: Any) -> bool:
    """Whether a value is what an annotation promises, all the way down."""
    origin = get_origin(hint)
    if origin is UnionType:
        return any(conforms(value, one) for one in get_args(hint))
    if origin is tuple:
        return isinstance(value, tuple) and all(conforms(item, get_args(hint)[0]) for item in value)
    if origin is not None:
        return isinstance(value, Mapping)
    if attrs.has(hint):
        return type(value) is hint and fields_conform(value)
    return type(value) is hint


def fields_conform(instance: object) -> bool:
    cls: Any = type(instance)
    hints = get_type_hints(cls)
    return all(conforms(getattr(instance, one.name), hints[one.name]) for one in attrs.fields(cls))


def agrees(instance: object, raw: Json) -> bool:
    """Whether a decoded value says just what the JSON said."""
    if isinstance(instance, tuple):
        assert isinstance(raw, list)
        return len(instance) == len(raw) and all(map(agrees, instance, raw))
    cls: Any = type(instance)
    if attrs.has(cls):
        assert isinstance(raw, dict)
        names = [one.name for one in attrs.fields(cls)]
        return all(agrees(getattr(instance, name), raw.get(name.rstrip("_"))) for name in names)
    return instance == raw


def is_sound(event: object) -> bool:
    """What every result of ``decode_event`` is: one of three, with a repr that is short."""
    assert len(repr(event)) < 1000 or isinstance(event, Event)
    if isinstance(event, UnknownEvent):
        return conforms(event.type, str) and conforms(event.raw, Mapping[str, object])
    if isinstance(event, MalformedEvent):
        return bool(event.reason)
    assert isinstance(event, Event)
    return event.type == type(event).__name__ and fields_conform(event)


# ---- what Asterisk sent ---------------------------------------------------------------------------------------------


def recorded_events() -> Iterator[str]:
    for path in sorted(FIXTURES.glob("*.jsonl")):
        if path.suffixes == [".jsonl"]:  # the others hold more than events
            yield from path.read_text(encoding="utf-8").splitlines()


def test_every_recorded_event_is_decoded_and_says_what_was_sent() -> None:
    seen = set()
    for line in recorded_events():
        raw = json.loads(line)
        event = decode_event(line)
        assert type(event).__name__ == raw["type"]
        assert is_sound(event)
        assert agrees(event, raw), line
        assert decode_event(line.encode()) == decode_event(bytearray(line.encode())) == decode_event(raw) == event
        seen.add(raw["type"])
    assert len(seen) > 20, "the recordings are gone"


def test_an_event_reads_like_a_sentence() -> None:
    line = next(one for one in recorded_events() if '"type":"ChannelDtmfReceived"' in one)
    match decode_event(line):
        case ChannelDtmfReceived(digit=digit, channel=Channel(id=channel_id, state="Up")):
            assert digit in "0123456789*#ABCD"
            assert channel_id
        case other:
            pytest.fail(f"decoded as {other}")


def recorded_replies() -> Iterator[tuple[str, str, int, str, bytes]]:
    """Name, request line, status, reason phrase and body of what is recorded below ``http``."""
    for path in sorted((FIXTURES / "http").glob("*.http")):
        request, _, response = path.read_bytes().partition(b"======== response\n")
        head, _, body = response.replace(b"\r\n", b"\n").partition(b"\n\n")
        status = re.match(rb"HTTP/1.1 (\d+) (.*)", head)
        if status:
            yield path.stem, request.split(b"\r\n")[0].decode(), int(status[1]), status[2].decode(), body


def responses_of(request_line: str) -> list[str]:
    """The models that an operation of this method and path may answer with."""
    method, target, _ = request_line.split(" ")
    path = target.removeprefix("/ari").partition("?")[0]
    literal = [one["response"] for one in OPERATIONS if (one["method"], one["path"]) == (method, path)]
    return literal or [
        one["response"]
        for one in OPERATIONS
        if one["method"] == method and re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", one["path"]), path)
    ]


def test_every_recorded_reply_is_what_its_operation_promises() -> None:
    decoded = 0
    for name, request_line, status, _, body in recorded_replies():
        if 200 <= status < 300 and not request_line.startswith("OPTIONS"):
            (response,) = responses_of(request_line)
            model = decode_model(response, body)
            if response != "void":
                assert agrees(model, json.loads(body)), name
                assert all(map(fields_conform, model if isinstance(model, tuple) else [model])), name
                decoded += 1
    assert decoded > 30, "the recordings are gone"


def test_every_recorded_refusal_has_a_reason() -> None:
    reasons = {name: reason_of(phrase, body) for name, _, status, phrase, body in recorded_replies() if status >= 400}
    assert reasons["answer-404"] == "Channel not found"
    assert reasons["variable-get-404"] == "Provided variable was not found"
    assert all(reason and not reason.startswith("<") for reason in reasons.values())


# ---- what Asterisk could send ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", EVENTS)
@settings(max_examples=max(1, settings().max_examples // 10))  # times 45
@given(data=st.data())
def test_every_event_is_decoded_and_says_what_was_sent(name: str, data: st.DataObject) -> None:
    raw = data.draw(event_json(name))
    event = decode_event(json.dumps(raw))
    assert type(event).__name__ == raw["type"]
    assert is_sound(event)
    assert agrees(event, raw)


@given(any_event_json, st.data())
def test_an_event_without_a_required_field_is_malformed(raw: dict[str, Any], data: st.DataObject) -> None:
    required = [name for name, about in fields_of(raw["type"]).items() if about.get("required")]
    name = data.draw(st.sampled_from(["type", *required]))
    del raw[name]
    event = decode_event(raw)
    assert isinstance(event, MalformedEvent)
    assert name in event.reason
    assert event.raw is raw


@given(any_event_json, st.data())
def test_an_event_without_an_optional_field_says_none(raw: dict[str, Any], data: st.DataObject) -> None:
    optional = [name for name, about in fields_of(raw["type"]).items() if not about.get("required")]
    name = data.draw(st.sampled_from(optional))
    raw.pop(name, None)
    event = decode_event(raw)
    assert type(event).__name__ == raw["type"]
    assert getattr(event, name) is None


@given(any_event_json, st.dictionaries(st.text(), json_values))
def test_unknown_fields_are_ignored(raw: dict[str, Any], more: dict[str, Json]) -> None:
    added = {name: value for name, value in more.items() if name not in fields_of(raw["type"])}
    assert decode_event({**added, **raw}) == decode_event(raw)


@given(st.text().filter(lambda name: name not in EVENTS), st.dictionaries(st.text(), json_values))
@example("MissingParams", {"params": ["app"]})
def test_an_unknown_event_is_kept(name: str, raw: dict[str, Json]) -> None:
    raw["type"] = name
    event = decode_event(raw)
    assert isinstance(event, UnknownEvent)
    assert (event.type, event.raw) == (name, raw)


@pytest.mark.parametrize("name", PLAIN_MODELS)
def test_a_model_without_anything_is_empty(name: str) -> None:
    """Old Asterisks lack what was added since; only an id can't be done without."""
    if name in WITH_ID:
        with pytest.raises(RemoteProtocolError, match=f"a {name} without id"):
            decode_model(name, b"{}")
    elif name == "ReferredBy":
        with pytest.raises(RemoteProtocolError, match="a Channel without id"):
            decode_model(name, b"{}")
    else:
        model = decode_model(name, b"{}")
        assert fields_conform(model)
        assert not any(attrs.astuple(model, recurse=False)) or name in {"ConfigInfo", "ReferTo"}  # type: ignore[arg-type]


def test_a_channel_of_asterisk_16_has_no_protocol_id() -> None:
    channel = decode_model("Channel", b'{"id":"1","name":"SIP/a-1","state":"Up","caller":{"name":null,"number":null}}')
    assert isinstance(channel, Channel)
    assert (channel.id, channel.protocol_id, channel.caller.number, channel.dialplan.priority) == ("1", "", "", 0)


# ---- what anybody could send ----------------------------------------------------------------------------------------


def places(value: Json, at: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Every place in a JSON value, outermost first."""
    yield at
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        yield from places(child, (*at, key))


def replaced(value: Any, at: tuple[str | int, ...], by: Json) -> Any:
    if not at:
        return by
    value = copy.copy(value)
    value[at[0]] = replaced(value[at[0]], at[1:], by)
    return value


@given(any_event_json, st.data(), st.none() | json_values)
def test_any_value_anywhere_is_survived_and_types_never_lie(raw: dict[str, Any], data: st.DataObject, by: Json) -> None:
    at = data.draw(st.sampled_from(list(places(raw))))
    damaged = replaced(raw, at, by)
    assert is_sound(decode_event(damaged if isinstance(damaged, dict) else json.dumps(damaged)))


@given(any_event_json, st.data())
def test_a_null_makes_an_event_malformed_only_where_a_model_or_an_id_should_be(
    raw: dict[str, Any], data: st.DataObject
) -> None:
    at = data.draw(st.sampled_from([place for place in places(raw) if place and place != ("type",)]))
    event = decode_event(replaced(raw, at, None))
    if isinstance(event, MalformedEvent):
        about = fields_of(raw["type"])[str(at[0])]
        is_required_model = len(at) == 1 and about.get("required") and about["type"] in MODELS
        is_id_or_its_model = at[-1] in {"id", "source_channel"}
        assert is_required_model or is_id_or_its_model
    else:
        assert is_sound(event)


@given((any_event_json | json_values).map(json.dumps) | st.binary() | st.text())
@example('{"type": "X", "x": "\\ud83d"}')
def test_it_makes_no_difference_who_has_parsed_it(data: bytes | str) -> None:
    event, parsed = ari.decode_event(data), parse_object(data)
    if isinstance(event, ari.MalformedEvent):
        assert parsed is None or ari.decode_event(parsed) == attrs.evolve(event, raw=parsed)
    else:
        assert parsed is not None
        assert ari.decode_event(parsed) == event


@given(st.binary() | st.text())
@example(b"")
@example("")
@example(b"\xff\xfe{}")
@example("\ufeff{}")
@example(b'{"type":"StasisEnd"} {}')
@example("[" * 100_000)
@example('{"type":' * 100_000)
@example('{"type":"X","n":' + "[" * 900 + "]" * 900 + "}")
@example('{"type":"X","n":' + "9" * 5_000 + "}")
@example('{"type":"X","n":NaN,"m":-Infinity,"o":1e999}')
@example(r'{"type":"\ud800","a":"\udfff"}')
@example(r'{"type":"\uD83D\uDE00"}')
def test_anything_at_all_is_survived(data: bytes | str) -> None:
    assert is_sound(decode_event(data))


@given(json_values)
def test_any_json_is_survived(value: Json) -> None:
    assert is_sound(decode_event(json.dumps(value)))


def channel_event(**fields: object) -> dict[str, object]:
    channel = {"id": "c", "name": "n", **fields}
    return {"type": "ChannelTalkingFinished", "application": "a", "timestamp": "", "channel": channel, "duration": 1}


def test_scalars_of_another_type_are_coerced() -> None:
    raw = channel_event(id=7, name=True, state=1.5, language=["de"], dialplan={"priority": "12", "exten": 5})
    event = decode_event({**raw, "duration": "3000"})
    assert isinstance(event, ari.ChannelTalkingFinished)
    channel = event.channel
    assert (channel.id, channel.name, channel.state, channel.language) == ("7", "true", "1.5", "")
    assert (channel.dialplan.priority, channel.dialplan.exten, event.duration) == (12, "5", 3000)


@pytest.mark.parametrize(
    ("sent", "understood"),
    [(None, 0), ("x", 0), ("", 0), (True, 1), (2.9, 2), (1e999, 0), (float("nan"), 0), ("9" * 5000, 0), ({}, 0)],
)
def test_what_is_no_number_is_zero(sent: object, understood: int) -> None:
    event = decode_event({**channel_event(), "duration": sent})
    assert isinstance(event, ari.ChannelTalkingFinished)
    assert event.duration == understood


@pytest.mark.parametrize("sent", [pytest.param(10**5000, id="huge"), {}, [], None])
def test_what_is_no_text_is_empty(sent: object) -> None:
    event = decode_event({**channel_event(name=sent)})
    assert isinstance(event, ari.ChannelTalkingFinished)
    assert event.channel.name == ""


@pytest.mark.parametrize(("sent", "understood"), [("yes", True), ("no", False), (1, True), (0, False), ([1], False)])
def test_truth_is_asterisks(sent: object, understood: bool) -> None:
    event = decode_event({**channel_event(), "type": "ChannelHangupRequest", "soft": sent})
    assert isinstance(event, ari.ChannelHangupRequest)
    assert event.soft is understood


@pytest.mark.parametrize(
    ("sent", "understood"),
    [("1.5", 1.5), (3, 3.0), ("x", 0.0), (10**400, 0.0), ({}, 0.0)],
    ids=lambda value: repr(value)[:20],
)
def test_what_is_no_decimal_is_zero(sent: object, understood: float) -> None:
    statistics = decode_model("RTPstat", json.dumps({"rtt": sent}).encode())
    assert isinstance(statistics, ari.RTPstat)
    assert statistics.rtt == understood


def test_what_is_no_list_has_no_items() -> None:
    application = decode_model(
        "Application", b'{"name":"a","channel_ids":5,"events_allowed":{},"device_names":[7,null]}'
    )
    assert isinstance(application, ari.Application)
    assert (application.channel_ids, application.events_allowed, application.device_names) == ((), (), ("7", ""))


@pytest.mark.parametrize("channel_id", [None, "", {}, []])
def test_a_channel_without_a_usable_id_makes_its_event_malformed(channel_id: object) -> None:
    """A request about it could only be wrong."""
    event = decode_event(channel_event(id=channel_id))
    assert isinstance(event, MalformedEvent)
    assert event.reason == "a Channel without id"


def test_the_last_of_duplicate_keys_counts() -> None:
    event = decode_event('{"type":"StasisEnd","type":"ApplicationReplaced","application":"a","timestamp":"t"}')
    assert event == ari.ApplicationReplaced(application="a", timestamp="t")


def test_lone_surrogates_can_be_encoded_again() -> None:
    event = decode_event(json.dumps(channel_event(id="a\ud800b", name="😀")))
    assert isinstance(event, ari.ChannelTalkingFinished)
    assert event.channel.id == "a?b"
    assert event.channel.name == "😀"
    assert channels.get(event.channel.id).path == "/channels/a%3Fb"


@pytest.mark.parametrize("space", [" ", "\r\n", "\t\n "])
def test_space_around_an_event_is_nothing(space: str) -> None:
    text = json.dumps(channel_event())
    assert decode_event(f"{space}{text}{space}") == decode_event(text)


# ---- what is decoded when somebody looks at it ----------------------------------------------------------------------

LOOKS: list[Callable[[Channel], object]] = [
    repr,
    attrs.asdict,
    attrs.astuple,
    copy.copy,
    copy.deepcopy,
    attrs.evolve,
    lambda channel: pickle.loads(pickle.dumps(channel)),
    lambda channel: attrs.evolve(channel, name="another"),
    lambda channel: channel == attrs.evolve(channel),
    lambda channel: hash(attrs.evolve(channel, channelvars=None)),
    lambda channel: [getattr(channel, one.name) for one in attrs.fields(Channel)],
]


@pytest.mark.parametrize("look", LOOKS)
@settings(max_examples=max(1, settings().max_examples // 10))  # times 11
@given(model_json("Channel"))
def test_nobody_can_tell_a_channel_that_has_not_been_looked_at(
    look: Callable[[Channel], object], raw: dict[str, Json]
) -> None:
    fresh = decode_model("Channel", json.dumps(raw).encode())
    seen = decode_model("Channel", json.dumps(raw).encode())
    assert isinstance(fresh, Channel)
    assert isinstance(seen, Channel)
    seen = Channel(**{one.name: getattr(seen, one.name) for one in attrs.fields(Channel)})
    assert look(fresh) == look(seen)
    assert fresh == seen


def test_two_that_nobody_has_looked_at_have_the_same_hash() -> None:
    body = b'{"id":"1","name":"SIP/a-1"}'
    assert len({decode_model("Channel", body), decode_model("Channel", body)}) == 1


def test_looking_at_a_channel_changes_nothing_about_it_and_neither_can_anybody_else() -> None:
    channel = decode_model("Channel", b'{"id":"1","name":"SIP/a-1"}')
    assert isinstance(channel, Channel)
    for _ in range(2):  # before it is decoded, and after
        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            channel.name = "another"  # type: ignore[misc]
        with pytest.raises(AttributeError, match="'Channel' object has no attribute 'nam'"):
            channel.nam  # type: ignore[attr-defined] # noqa: B018
        assert (channel.name, channel.caller) == ("SIP/a-1", ari.CallerID(name="", number=""))


class Text(str):
    """Text that can be referred to weakly."""

    __slots__ = ("__weakref__",)


def test_what_a_channel_is_decoded_from_is_kept_no_longer_than_needed() -> None:
    raw = {"id": "1", "unknown": Text("large")}
    unknown = ref(raw["unknown"])
    event = decode_event({**channel_event(), "channel": raw})
    del raw
    gc.collect()
    assert isinstance(event, ari.ChannelTalkingFinished)
    assert unknown() is not None
    assert event.channel.name == ""
    gc.collect()
    assert unknown() is None


# ---- reprs ----------------------------------------------------------------------------------------------------------


def test_reprs_of_what_could_not_be_used_are_short_and_keep_secrets() -> None:
    secret = "4929000000000000" * 100_000
    values = [
        decode_event({"type": "New" + "w" * 1_000_000, "digits": secret, **{f"k{i}" * 1000: i for i in range(500)}}),
        decode_event({"type": "ChannelVarset", "value": secret}),
        decode_event(json.dumps({"type": "ChannelVarset", "value": secret})),
        decode_event(secret.encode() + b"}"),
        decode_event({secret: 1}),
    ]
    assert [type(value) for value in values] == [UnknownEvent, *[MalformedEvent] * 4]
    for value in values:
        assert len(repr(value)) < 600
        assert secret[:40] not in repr(value)


def test_a_malformed_event_says_what_is_wrong_and_how_much_there_was() -> None:
    assert repr(decode_event('{"type":"StasisEnd"}')) == (
        "MalformedEvent(reason=\"no 'application'\", raw=<20 characters>)"
    )
    assert repr(decode_event({"type": "News", "text": "x"})) == "UnknownEvent(type='News', raw=<object of type, text>)"


# ---- replies --------------------------------------------------------------------------------------------------------


def test_replies_decode_to_what_the_builder_promises() -> None:
    body = b'{"id":"c"}'
    channel = channels.get("c").decode(body)
    assert isinstance(channel, Channel)
    assert channels.list().decode(b"[%s,%s]" % (body, body)) == (channel, channel)
    assert channels.answer("c").decode(b"whatever") is None
    assert ari.recordings.get_stored_file("r").decode(b"RIFF\0") == b"RIFF\0"
    text = json.dumps(channel_event()).encode()
    assert ari.events.event_websocket(app="a").decode(text) == decode_event(text)


@pytest.mark.parametrize(
    ("response", "body", "complaint"),
    [
        ("Channel", b"", "not JSON"),
        ("Channel", b"<html>", "not JSON"),
        ("Channel", b"\xff", "not JSON"),
        ("Channel", b"[]", "not an object"),
        ("Channel", b'{"name":"x"}', "a Channel without id"),
        ("List[Channel]", b"{}", "not a list"),
        ("List[Channel]", b'[{"id":"c"},5]', "not an object"),
        ("Channel", b"[" * 100_000, "nested too deeply"),
        ("Message", b"{}", "not an event"),
    ],
)
def test_a_reply_of_another_kind_is_the_peers_fault(response: str, body: bytes, complaint: str) -> None:
    with pytest.raises(RemoteProtocolError, match=complaint) as caught:
        decode_model(response, body)
    assert caught.value.hint


@given(st.sampled_from(sorted({one["response"] for one in OPERATIONS})), st.binary())
def test_no_reply_raises_anything_else(response: str, body: bytes) -> None:
    with suppress(RemoteProtocolError):
        decode_model(response, body)


@given(st.sampled_from(PLAIN_MODELS), st.dictionaries(st.text(), json_values), st.data())
def test_types_of_replies_never_lie(name: str, more: dict[str, Json], data: st.DataObject) -> None:
    raw = {field: data.draw(json_values) for field in MODELS[name]["fields"]}
    try:
        model = decode_model(name, json.dumps({**more, **raw}).encode())
    except RemoteProtocolError:
        assert name in WITH_ID | {"ReferTo", "ReferredBy"}
    else:
        assert fields_conform(model)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b'{"message":"Channel not found"}', "Channel not found"),
        (b'{"error":"Allocation failed"}', "Allocation failed"),
        (b'{"message":"","error":"x"}', "x"),
        (b'{"message":null}', "Not Found"),
        (b"<html>", "Not Found"),
        (b"[]", "Not Found"),
        (b"", "Not Found"),
        (b"\xff", "Not Found"),
        (b"[" * 100_000, "Not Found"),
    ],
)
def test_the_reason_is_asterisks_own_if_there_is_one(body: bytes, reason: str) -> None:
    assert reason_of("Not Found", body) == reason


def test_a_reason_is_never_longer_than_a_line_or_three() -> None:
    assert len(reason_of("", json.dumps({"message": "x" * 100_000}).encode())) < 400


# ---- the classes ----------------------------------------------------------------------------------------------------


def test_the_classes_have_the_fields_that_are_described() -> None:
    for name in [*PLAIN_MODELS, *EVENTS]:
        cls = getattr(ari, name)
        hints = get_type_hints(cls)
        for one in attrs.fields(cls):
            about = fields_of(name)[one.name.rstrip("_")]
            assert (NoneType in get_args(hints[one.name])) is not bool(about.get("required"))
        assert sorted(one.name.rstrip("_") for one in attrs.fields(cls)) == sorted(fields_of(name))
        assert cls.__doc__
    assert all(getattr(ari, name).type == name and issubclass(getattr(ari, name), Event) for name in EVENTS)
    assert "from_" in {one.name for one in attrs.fields(ari.TextMessage)}


def test_instances_do_not_change() -> None:
    event = decode_event(channel_event())
    assert isinstance(event, ari.ChannelTalkingFinished)
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        event.channel.id = "other"  # type: ignore[misc]
    assert not hasattr(event, "__dict__")


def test_events_can_be_made_by_hand() -> None:
    channel = decode_model("Channel", b'{"id":"c"}')
    assert isinstance(channel, Channel)
    made = StasisStart(application="a", timestamp="t", args=("x",), channel=channel)
    raw = {"type": "StasisStart", "application": "a", "timestamp": "t", "args": ["x"], "channel": {"id": "c"}}
    assert decode_event(raw) == made
    assert ChannelVarset(application="a", timestamp="t", variable="V", value="1").channel is None
    assert Dial(application="a", timestamp="t", peer=channel, dialstatus="").caller is None


def typed(request: Request[Channel]) -> Channel:
    """For mypy: the builder's type arrives at the decoded value."""
    return request.decode(b'{"id":"c"}')


def test_the_types_arrive() -> None:
    assert typed(channels.get("c")).id == "c"
