"""Every operation's builder: its name, its signature, and that Asterisk will read from its request what was given.

Asterisk's side is played by :func:`received`, which takes a request apart with the rules of ``res_ari.c`` and the
generated parsers, as they were seen to work on a real one (tests/asterisk/test_ari_builders.py).
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable, Iterable
from importlib import import_module
from typing import Any
from urllib.parse import parse_qsl, unquote_plus

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voxtra_core import ari
from voxtra_core.ari import (
    Request,
    applications,
    asterisk,
    bridges,
    channels,
    device_states,
    events,
    path_segment,
    playbacks,
    recordings,
)

from .shapes import OPERATIONS, Facts

# Nicknames of which the rule for snake case would make something else.
SPELLED = {"sendDTMF": "send_dtmf", "rtpstatistics": "rtp_statistics", "absorbDTMF": "absorb_dtmf", "from": "from_"}
# Optional by the description, and refused without by Asterisk; and the one default that Asterisk does not apply.
REQUIRED_ALL_THE_SAME = {("channels.sendDTMF", "dtmf")}
SENT_BY_DEFAULT = {"channels.mute": {"direction": "both"}, "channels.unmute": {"direction": "both"}}


def snake(name: str) -> str:
    return SPELLED.get(name) or re.sub("[A-Z]", lambda match: "_" + match[0].lower(), name)


def name_of(operation: Facts) -> str:
    return f"{operation['resource']}.{operation['nickname']}"


def builder_of(operation: Facts) -> Callable[..., Request[Any]]:
    module = getattr(ari, snake(operation["resource"]))
    builder: Callable[..., Request[Any]] = getattr(module, snake(operation["nickname"]))
    return builder


def is_required(operation: Facts, parameter: Facts) -> bool:
    return bool(parameter.get("required")) or (name_of(operation), parameter["name"]) in REQUIRED_ALL_THE_SAME


def each(chosen: Iterable[Facts]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("operation", list(chosen), ids=name_of)


operations = each(OPERATIONS)
with_ids = each(one for one in OPERATIONS if "{" in one["path"])
with_limits = each(one for one in OPERATIONS if any({"enum", "min"} & set(parameter) for parameter in one["params"]))


# ---- arguments ------------------------------------------------------------------------------------------------------

texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)
ids = texts.filter(bool) | st.sampled_from([".", "..", "a/b", "a+b c", "%2F", "é😀", "?#;&=", "\n\x7f"])
long_texts = texts | st.builds(str.__mul__, st.sampled_from(["x", "é", "a,b"]), st.integers(500, 5000))
app_names = texts.filter(lambda name: name and name == name.strip() and not set(name) & set(',"\\'))
lists = (
    st.lists(texts.filter(bool), min_size=1, max_size=5)
    | st.lists(st.sampled_from(["CALLERID(num)", "a,b", 'q"', "b\\", "sound:x", "(", "[", ")"]), min_size=1, max_size=5)
    | st.integers(1, 127).map(lambda length: ["sound:silence/1"] * length)
)
variables = st.dictionaries(
    texts, long_texts | st.fixed_dictionaries({"value": texts, "report_events": st.booleans()}), max_size=3
)


def arguments_for(operation: Facts, parameter: Facts) -> st.SearchStrategy[Any]:
    name, nickname = parameter["name"], operation["nickname"]
    if parameter["in"] == "path":
        return ids
    if "enum" in parameter:
        one = st.sampled_from(parameter["enum"])
        return st.lists(one, min_size=1) if parameter.get("multiple") else one
    if name in {"app", "application"}:
        return st.lists(app_names, min_size=1, max_size=3) if parameter.get("multiple") else app_names
    if parameter.get("multiple"):
        return lists
    if name == "fields":
        return st.dictionaries(texts, long_texts, max_size=3)
    if name == "filter":
        return st.fixed_dictionaries({"allowed": st.lists(st.fixed_dictionaries({"type": texts}), max_size=3)})
    if parameter["type"] == "object":
        return variables
    if nickname == "hangup" and name == "reason_code":
        return st.integers(1, 127)
    scalars: dict[str, st.SearchStrategy[Any]] = {
        "int": st.integers(min_value=parameter.get("min", -1)),
        "long": st.integers(),
        "boolean": st.booleans(),
        "string": long_texts,
    }
    return scalars[parameter["type"]]


def minimal(operation: Facts, text: str = "x") -> dict[str, Any]:
    """The arguments that an operation needs, by their names in Python."""
    found: dict[str, Any] = {}
    for one in operation["params"]:
        if is_required(operation, one):
            of_type = {"string": text, "object": {text: text}, "int": 1}[one["type"]]
            found[snake(one["name"])] = one["enum"][0] if "enum" in one else of_type
    return found


@st.composite
def calls(draw: st.DrawFn, operation: Facts) -> tuple[Request[Any], dict[str, Any]]:
    """A request for an operation, and the arguments it was made with, by their names in ARI."""
    given_by_name: dict[str, Any] = {}
    for parameter in operation["params"]:
        if is_required(operation, parameter) or draw(st.booleans()):
            given_by_name[parameter["name"]] = draw(arguments_for(operation, parameter))
    for one, other in (("reason", "reason_code"), ("originator", "formats")):
        if one in given_by_name and other in given_by_name:
            del given_by_name[other]
    in_path = [one["name"] for one in operation["params"] if one["in"] == "path"]
    arguments = {snake(name): value for name, value in given_by_name.items() if name not in in_path}
    request = builder_of(operation)(*(given_by_name[name] for name in in_path), **arguments)
    return request, given_by_name


# ---- what Asterisk makes of it --------------------------------------------------------------------------------------


def separated(text: str) -> list[str]:
    """``ast_app_separate_args(text, ',', remove_chars=1)``, from ``main/app.c``."""
    found, current = [], ""
    parentheses = brackets = 0
    quoted = False
    characters = iter(text)
    for character in characters:
        if character == "," and not (parentheses or brackets or quoted):
            found.append(current)
            current = ""
            continue
        if character == '"':
            quoted = not quoted
            continue
        if character == "\\":
            current += next(characters, "")
            continue
        parentheses = max(0, parentheses + (character == "(") - (character == ")"))
        brackets = max(0, brackets + (character == "[") - (character == "]"))
        current += character
    return [*found, current]


def in_query(parameter: Facts, text: str) -> Any:
    if parameter.get("multiple"):
        # The names of applications are cut at their commas, and nothing else happens to them.
        return text.split(",") if parameter["name"] == "app" else separated(text)
    if parameter["type"] == "boolean":
        return text.lower() in {"yes", "true", "y", "t", "1", "on"}
    return int(text) if parameter["type"] in {"int", "long"} else text


def received(operation: Facts, request: Request[Any]) -> dict[str, Any]:
    """The parameters as Asterisk has them: from the path, the query, and the body, which wins."""
    path, _, query = request.target.partition("?")
    template = operation["path"].split("/")
    segments = path.split("/")
    assert len(segments) == len(template), "an id has become a piece of the path"
    found: dict[str, Any] = {}
    for expected, segment in zip(template, segments, strict=True):
        if expected.startswith("{"):
            found[expected[1:-1]] = unquote_plus(segment, errors="strict")
        else:
            assert segment == expected
    by_name = {one["name"]: one for one in operation["params"]}
    for name, text in parse_qsl(query, keep_blank_values=True, strict_parsing=True) if query else ():
        assert name not in found, "the last one would win"
        found[name] = in_query(by_name[name], text)
    if request.body is not None:
        body = json.loads(json.dumps(request.body))
        found.update({"filter": body} if operation["nickname"] == "filter" else body)
    return found


@operations
@settings(max_examples=settings().max_examples // 4)  # times 109
@given(data=st.data())
def test_asterisk_receives_what_was_given(operation: Facts, data: st.DataObject) -> None:
    request, arguments = data.draw(calls(operation))
    expected = {**SENT_BY_DEFAULT.get(name_of(operation), {}), **arguments}
    if operation["nickname"] == "filter":
        expected.setdefault("filter", {})  # a body of its own, which is always sent
    if "reason_code" in expected:
        expected["reason_code"] = str(expected["reason_code"])
    if "fields" in expected:
        expected["fields"] = [{"attribute": key, "value": value} for key, value in expected["fields"].items()]
    assert received(operation, request) == expected
    assert (request.method, request.response) == (operation["method"], operation["response"])
    assert request.operation == f"{snake(operation['resource'])}.{snake(operation['nickname'])}"
    # Asterisk takes a line of 4095 bytes, and http.conf a prefix of 80.
    line = f"{request.method} {'/' + 'p' * 79}/ari{request.target} HTTP/1.1\r\n"
    assert len(line) <= 4095
    assert re.fullmatch(r"[!-~]+", request.target), "something is not encoded"


@operations
def test_the_signature_is_the_description(operation: Facts) -> None:
    parameters = inspect.signature(builder_of(operation)).parameters
    assert set(parameters) == {snake(one["name"]) for one in operation["params"]}
    positional = [name for name, one in parameters.items() if one.kind is one.POSITIONAL_OR_KEYWORD]
    in_path = sorted(
        (one["name"] for one in operation["params"] if one["in"] == "path"),
        key=lambda name: operation["path"].index(f"{{{name}}}"),
    )
    assert positional == [snake(name) for name in in_path]
    for one in operation["params"]:
        default = parameters[snake(one["name"])].default
        if is_required(operation, one):
            assert default is inspect.Parameter.empty
        else:
            assert default == SENT_BY_DEFAULT.get(name_of(operation), {}).get(one["name"])


@operations
def test_the_docstring_tells_what_it_needs_and_what_may_come_back(operation: Facts) -> None:
    text = inspect.getdoc(builder_of(operation)) or ""
    assert f"``{operation['method']} {operation['path']}``" in text
    statuses = set(operation["ok"]) | set(operation["errors"]) - set(operation.get("errors_documented_only", []))
    assert all(str(status) in text for status in statuses)
    assert all(first in text for first in operation.get("since", []))


def test_there_is_a_builder_for_every_operation_and_no_other() -> None:
    described = {(snake(one["resource"]), snake(one["nickname"])) for one in OPERATIONS}
    modules = {resource for resource, _ in described}
    built = {
        (module, name) for module in modules for name in import_module(f"voxtra_core.ari.operations.{module}").__all__
    }
    assert built == described
    assert len(built) == 109


@operations
def test_a_repr_shows_no_value(operation: Facts) -> None:
    secret = "s3cr3t"
    arguments = minimal(operation, secret)
    for one in operation["params"]:
        if one["in"] == "path":
            arguments[snake(one["name"])] = "id"
        elif one["in"] == "query" and "enum" not in one and one["type"] == "string":
            arguments[snake(one["name"])] = secret
        elif one["name"] in {"variables", "fields"}:
            arguments[snake(one["name"])] = {secret: secret}
    for one_of_two in ("reason_code", "originator"):
        arguments.pop(one_of_two, None)
    request = builder_of(operation)(**arguments)
    assert secret not in repr(request)
    assert request.operation in repr(request)
    assert all(name in repr(request) for name, _ in request.query)


# ---- what is refused ------------------------------------------------------------------------------------------------


@with_ids
@pytest.mark.parametrize("value", ["", "a\0b", "\ud800"])
def test_an_id_that_asterisk_would_misread_is_refused(operation: Facts, value: str) -> None:
    """An empty one ends the path there, a NUL cuts it off; the request would be about something else."""
    arguments = minimal(operation)
    builder_of(operation)(**arguments)
    for one in operation["params"]:
        if one["in"] == "path":
            with pytest.raises(ValueError, match=f"{snake(one['name'])} must not"):
                builder_of(operation)(**{**arguments, snake(one["name"]): value})


@with_limits
def test_values_outside_the_allowed_are_refused(operation: Facts) -> None:
    arguments = minimal(operation)
    for one in operation["params"]:
        name = snake(one["name"])
        if "enum" in one:
            with pytest.raises(
                ValueError, match=rf"{name} must be one of .*{re.escape(repr(one['enum'][-1]))}.*'sideways'"
            ):
                builder_of(operation)(**{**arguments, name: "sideways"})
        if "min" in one:
            with pytest.raises(ValueError, match=f"{name} must be {one['min']} or more, not -1"):
                builder_of(operation)(**{**arguments, name: one["min"] - 1})


REFUSED: list[tuple[str, type[Exception], Callable[[], object]]] = [
    ("reason_code and reason exclude", ValueError, lambda: channels.hangup("c", reason="busy", reason_code=17)),
    (
        "originator and formats exclude",
        ValueError,
        lambda: channels.originate(endpoint="Local/a@b", originator="c", formats="ulaw"),
    ),
    ("reason_code must be an int", TypeError, lambda: channels.hangup("c", reason_code=1.5)),  # type: ignore[arg-type]
    ("channel_id must be a str", TypeError, lambda: channels.answer(5)),  # type: ignore[arg-type]
    ("dtmf must be a str", TypeError, lambda: channels.send_dtmf("c", dtmf=5)),  # type: ignore[arg-type]
    ("dtmf must not contain a NUL", ValueError, lambda: channels.send_dtmf("c", dtmf="1\0")),
    ("dtmf must not contain half of a surrogate pair", ValueError, lambda: channels.send_dtmf("c", dtmf="\ud800")),
    ("app must not contain half of a surrogate pair", ValueError, lambda: channels.move("c", app="a\udcff")),
    ("an item of media must not contain half of a", ValueError, lambda: channels.play("c", media=["x", "\ud800"])),
    ("before must be an int", TypeError, lambda: channels.send_dtmf("c", dtmf="1", before="5")),  # type: ignore[arg-type]
    ("before must be an int", TypeError, lambda: channels.send_dtmf("c", dtmf="1", before=True)),
    ("beep must be a bool", TypeError, lambda: channels.record("c", name="n", format="wav", beep=1)),  # type: ignore[arg-type]
    ("app must not be empty", ValueError, lambda: channels.move("c", app="")),
    ("app must not contain a comma", ValueError, lambda: channels.move("c", app="a,b")),
    ("app must not contain a quote", ValueError, lambda: channels.move("c", app='a"b')),
    ("app must not contain a backslash", ValueError, lambda: channels.move("c", app="a\\b")),
    ("app must not begin or end with a space", ValueError, lambda: channels.move("c", app=" a")),
    ("app must not begin or end with a space", ValueError, lambda: channels.move("c", app="a\n")),
    ("app must not be longer than 73 bytes", ValueError, lambda: channels.move("c", app="a" * 74)),
    ("app must not be longer than 73 bytes", ValueError, lambda: channels.move("c", app="é" * 37)),
    ("an item of app must not contain a comma", ValueError, lambda: events.event_websocket(app=["a", "b,c"])),
    ("application must not contain a comma", ValueError, lambda: events.user_event("E", application="a,b")),
    ("media must have at least one item", ValueError, lambda: channels.play("c", media=[])),
    ("media must not have more than 127 items", ValueError, lambda: channels.play("c", media=["sound:a"] * 128)),
    ("an item of media must not be empty", ValueError, lambda: channels.play("c", media=["sound:a", ""])),
    ("an item of media must be a str", TypeError, lambda: channels.play("c", media=["sound:a", 5])),  # type: ignore[list-item]
    ("an item of only must be one of 'build'", ValueError, lambda: asterisk.get_info(only=["system", "os"])),  # type: ignore[list-item]
    ("variables must be a mapping", TypeError, lambda: channels.set_channel_vars("c", variables=["A"])),  # type: ignore[arg-type]
    (r"variables\['A'\] must be a str, not int", TypeError, lambda: channels.set_channel_vars("c", variables={"A": 1})),  # type: ignore[dict-item]
    (
        "variables cannot be expressed",
        ValueError,
        lambda: events.user_event("E", application="a", variables={"x": {1}}),
    ),
    (
        "variables cannot be expressed",
        ValueError,
        lambda: events.user_event("E", application="a", variables={"x": float("nan")}),
    ),
    # Asterisk refuses the whole body for these (400, "Error parsing request body").
    ("variables must not contain a NUL", ValueError, lambda: channels.set_channel_vars("c", variables={"A": "\0"})),
    ("variables must not contain a NUL", ValueError, lambda: channels.set_channel_vars("c", variables={"\0": "b"})),
    ("variables must not contain half", ValueError, lambda: channels.set_channel_vars("c", variables={"A": "\ud800"})),
    (
        "variables must not contain a NUL",
        ValueError,
        lambda: events.user_event("E", application="a", variables={"x": [1, {"y": ["\0"]}]}),
    ),
    (
        "fields must not contain half",
        ValueError,
        lambda: asterisk.update_object("res_pjsip", "endpoint", "alice", fields={"context": "\udcff"}),
    ),
    (
        "filter must not contain a NUL",
        ValueError,
        lambda: applications.filter("a", filter={"allowed": [{"type": "Stasis\0Start"}]}),
    ),
    ("too long", ValueError, lambda: channels.get("c" * 4000)),
    ("too long", ValueError, lambda: events.event_websocket(app=["é" * 36] * 20)),
]


@pytest.mark.parametrize(
    ("complaint", "kind", "call"), REFUSED, ids=lambda value: value if isinstance(value, str) else ""
)
def test_a_mistake_is_refused_by_name(complaint: str, kind: type[Exception], call: Callable[[], object]) -> None:
    with pytest.raises(kind, match=complaint):
        call()


def test_a_mistake_of_ten_thousand_characters_is_told_in_a_line() -> None:
    with pytest.raises(ValueError, match="app must not be longer") as caught:
        channels.move("c", app="a" * 10_000)
    assert len(str(caught.value)) < 200


def test_a_pair_of_surrogates_is_a_character() -> None:
    variables = {"A": "\ud83d\ude00"}  # as some programs hand it over
    assert channels.set_channel_vars("c", variables=variables).body == {"variables": {"A": "\U0001f600"}}


# ---- examples -------------------------------------------------------------------------------------------------------


def test_a_request_reads_like_the_documentation() -> None:
    request = channels.play("call 1/2", media="sound:hello-world", playback_id="p+1", offsetms=0)
    assert request.method == "POST"
    assert request.target == "/channels/call%201%2F2/play?media=sound%3Ahello-world&offsetms=0&playbackId=p%2B1"
    assert request.body is None
    assert repr(request) == (
        "<Request channels.play: POST /channels/call%201%2F2/play with media, offsetms, playbackId>"
    )


def test_one_string_is_one_item() -> None:
    assert channels.play("c", media="sound:a") == channels.play("c", media=["sound:a"])


def test_a_list_with_a_comma_in_an_item_goes_into_the_body_whole() -> None:
    request = channels.play("c", media=["sound:a,b", "sound:c"], lang="de", skipms=500)
    assert request.query == ()
    assert request.body == {"media": ["sound:a,b", "sound:c"], "lang": "de", "skipms": 500}


@pytest.mark.parametrize("size", [3000, 5000, 30_000])
def test_a_long_value_goes_into_the_body_beside_the_variables(size: int) -> None:
    request = channels.originate(endpoint="PJSIP/a", app="app", app_args="x" * size, timeout=5, variables={"A": "b"})
    sent = {"endpoint": "PJSIP/a", "app": "app", "appArgs": "x" * size, "timeout": 5}
    if size == 3000:
        assert (dict(request.query), request.body) == ({**sent, "timeout": "5"}, {"variables": {"A": "b"}})
    else:
        assert (request.query, request.body) == ((), {**sent, "variables": {"A": "b"}})


def test_a_filter_is_the_body_and_no_filter_is_an_empty_one() -> None:
    """Asterisk takes no body at all for one over HTTP, and refuses it (400) over the event socket."""
    chosen = {"allowed": [{"type": "StasisStart"}]}
    assert applications.filter("a", filter=chosen).body == chosen
    assert applications.filter("a", filter={}).body == {}
    assert applications.filter("a").body == {}


def test_what_is_given_can_change_afterwards() -> None:
    given_variables = {"A": "b"}
    request = channels.set_channel_vars("c", variables=given_variables)
    given_variables["A"] = "c"
    assert request.body == {"variables": {"A": "b"}}


def test_booleans_and_numbers_keep_their_kind() -> None:
    request = bridges.add_channel("b", channel=["c"], absorb_dtmf=True, mute=False)
    assert request.query == (("channel", "c"), ("absorbDTMF", "true"), ("mute", "false"))
    in_body = bridges.add_channel("b", channel=["c,d"], absorb_dtmf=True, mute=False)
    assert in_body.body == {"channel": ["c,d"], "absorbDTMF": True, "mute": False}


def test_a_cause_is_text_whichever_way_it_is_given() -> None:
    assert channels.hangup("c", reason_code=17) == channels.hangup("c", reason_code="17")


def test_the_socket_of_several_applications() -> None:
    request = events.event_websocket(app=["a b", "c"], subscribe_all=True)
    assert request.target == "/events?app=a%20b%2Cc&subscribeAll=true"


def test_the_names_of_others() -> None:
    assert device_states.update("Stasis:x", device_state="INUSE").target == "/deviceStates/Stasis%3Ax?deviceState=INUSE"
    assert playbacks.control("p", operation="pause").query == (("operation", "pause"),)
    assert recordings.get_stored_file("a/b").path == "/recordings/stored/a%2Fb/file"
    assert channels.rtp_statistics("c").path == "/channels/c/rtp_statistics"
    assert channels.mute("c").query == (("direction", "both"),)


@given(ids)
def test_a_segment_is_one_segment(name: str) -> None:
    segment = path_segment("id", name)
    assert re.fullmatch(r"[A-Za-z0-9_.~%-]+", segment)
    assert segment not in {".", ".."}
    assert unquote_plus(segment, errors="strict") == name
