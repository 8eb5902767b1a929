"""Hostile names: whatever is given as a name, an id or a value is refused in words, or Asterisk reads just that.

What a request asks for is read as Asterisk reads it, from the bytes of either way to send it.
"""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Callable, Mapping
from importlib import import_module
from itertools import count
from pathlib import Path
from posixpath import basename, dirname, normpath
from typing import Any, TypeAlias
from urllib.parse import parse_qsl, unquote_plus

import h11

from voxtra_core.app.connect import ari_link
from voxtra_core.app.options import make_options
from voxtra_core.ari import channels, recordings
from voxtra_core.ari.messages import EventReceived, LinkMessage
from voxtra_core.ari.request import Request
from voxtra_core.call import CallMachine, Pending
from voxtra_core.effects import Connected, Effect, Send
from voxtra_core.errors import LocalProtocolError
from voxtra_core.recording import RecordingOptions
from voxtra_core.stasis import SendRequest, StasisMachine
from voxtra_core.wire.pool import HTTPPool
from voxtra_core.wire.socket_requests import SocketRequests

from .choices import Choices

__all__ = ["names"]

Facts: TypeAlias = dict[str, Any]
Parameters: TypeAlias = dict[str, object]
"""By their names in ARI."""

_DESCRIBED = Path(__file__).parents[1] / "tests" / "ari" / "generate" / "operations.json"
OPERATIONS: list[Facts] = json.loads(_DESCRIBED.read_text())["operations"]
_SPELLED = {"sendDTMF": "send_dtmf", "rtpstatistics": "rtp_statistics", "absorbDTMF": "absorb_dtmf", "from": "from_"}
_SENT_BY_DEFAULT = {("channels", "mute"): {"direction": "both"}, ("channels", "unmute"): {"direction": "both"}}
_PLAIN = re.compile(r"[A-Za-z0-9]{1,20}")
"""What can be the name of anything."""
_HEADERS = {b"host", b"authorization", b"content-type", b"content-length"}
AUTHORIZATION = "Basic dGVzdGVyOnMzY3JldA=="
LONGEST = 10_000


def names(data: bytes) -> None:
    """The bytes are up to three texts, then what they are given for."""
    choices = Choices(data)
    texts = [_text(choices) for _ in range(1 + choices.below(3))]
    choices.of([_builders, _calls, _recordings, _applications])(choices, texts)


def _text(choices: Choices) -> str:
    """Some characters: many of them, or with halves of surrogates among them, where the first byte says so."""
    how = choices.byte()
    taken = choices.take().decode("utf-8", "surrogateescape" if how % 8 == 7 else "replace")
    return (taken * (1, 1, 1, 1, 2, 100, 400, LONGEST)[how // 8 % 8])[:LONGEST]


def _refused(error: Exception, texts: list[str]) -> None:
    """It says what was wrong, in one line that can be logged; and something was."""
    assert type(error) in {ValueError, LocalProtocolError}, repr(error)
    words = str(error)
    assert len(words) > 10
    assert len(words) < 1000
    assert words.isprintable(), words
    assert "codec" not in words, "which is about Python, and not about what was given"
    assert not all(map(_PLAIN.fullmatch, texts)), f"{texts} is refused: {words}"


# ---- any of ARI's operations -----------------------------------------------------------------------------------------


def _builders(choices: Choices, texts: list[str]) -> None:
    """A builder of any operation, each of whose arguments may be one of the texts."""
    operation = choices.of(OPERATIONS)
    given: dict[str, Any] = {
        each["name"]: _argument(each, choices, texts)
        for each in operation["params"]
        if each["in"] == "path" or each.get("required") or not choices.flag()
    }
    for one, other in (("reason", "reason_code"), ("originator", "formats")):
        if one in given and other in given:
            del given[other]
    builder = getattr(
        import_module(f"voxtra_core.ari.operations.{_snake(operation['resource'])}"), _snake(operation["nickname"])
    )
    in_path = re.findall(r"\{(\w+)\}", operation["path"])
    arguments = {_snake(name): value for name, value in given.items() if name not in in_path}
    try:
        request = builder(*(given[name] for name in in_path), **arguments)
        sent = list(_sent(request))
    except (ValueError, LocalProtocolError) as error:
        _refused(error, texts)
        return
    except TypeError as error:
        assert "missing" in str(error)  # which the description calls optional, and Asterisk demands
        return
    expected = _SENT_BY_DEFAULT.get((operation["resource"], operation["nickname"]), {}) | given
    if operation["nickname"] == "filter":
        expected.setdefault("filter", {})
    if "fields" in expected:
        expected["fields"] = [{"attribute": key, "value": value} for key, value in expected["fields"].items()]
    for method, target, body in sent:
        assert method == operation["method"]
        assert _received(operation, target, body) == expected


def _argument(about: Facts, choices: Choices, texts: list[str]) -> object:
    """Something for a parameter: a text wherever one may be."""
    if "enum" in about:
        one = choices.of(about["enum"])
        return [one] if about.get("multiple") else one
    if about.get("multiple"):
        return [choices.of(texts) for _ in range(1 + choices.below(3))]
    if about["name"] == "filter":
        return {"allowed": [{"type": choices.of(texts)}]}
    match about["type"]:
        case "object":
            return {choices.of(texts): choices.of(texts)}
        case "int" | "long":
            return about.get("min", 0) + choices.byte()
        case "boolean":
            return choices.flag()
    return choices.of(texts)


def _snake(name: str) -> str:
    return _SPELLED.get(name) or re.sub("[A-Z]", lambda match: "_" + match[0].lower(), name)


# ---- both ways of sending --------------------------------------------------------------------------------------------


def _sent(request: Request[Any]) -> list[tuple[str, str, Parameters]]:
    """What a server gets of it, by each way that takes it: the method, the target below ``/ari``, and the JSON body."""
    return [_over_http(request), *_over_the_socket(request)]


def _over_http(request: Request[Any]) -> tuple[str, str, Parameters]:
    effects: list[Effect] = []
    pool = HTTPPool(
        host="pbx",
        port=8088,
        tls=None,
        base="/ari",
        headers=[("Host", "pbx:8088"), ("Authorization", AUTHORIZATION)],
        new_conn=count(1).__next__,
        effects=effects,
        messages=deque[LinkMessage](),
        size=1,
        max_waiting=1,
        connect_timeout=1.0,
        reply_timeout=None,
        idle_timeout=1.0,
        max_unsent=1024 * 1024,
    )
    pool.send("1", request, 0.0)
    pool.receive(Connected(1), 0.0)
    head, body = _read_http(b"".join(effect.data for effect in effects if isinstance(effect, Send)))
    fields = dict(head.headers)
    assert len(fields) == len(head.headers)
    assert fields.keys() <= _HEADERS, fields
    assert (fields[b"host"], fields[b"authorization"]) == (b"pbx:8088", AUTHORIZATION.encode())
    target = head.target.decode("ascii")
    assert target.startswith("/ari/")
    return head.method.decode("ascii"), target.removeprefix("/ari"), _object(body)


def _read_http(data: bytes) -> tuple[h11.Request, bytes]:
    """The one request that there is in these bytes."""
    server = h11.Connection(h11.SERVER, max_incomplete_event_size=1024 * 1024)
    server.receive_data(data)
    head = server.next_event()
    assert isinstance(head, h11.Request), head
    body = bytearray()
    while isinstance(part := server.next_event(), h11.Data):
        body += part.data
    assert isinstance(part, h11.EndOfMessage), part
    assert server.trailing_data == (b"", False)
    return head, bytes(body)


class _Socket:
    """An event socket on which everything goes out at once."""

    is_lost = False
    has_room = True

    def __init__(self) -> None:
        self.texts: list[str] = []

    def next_request_id(self) -> str:
        return "1"

    def send_text(self, text: str) -> None:
        self.texts.append(text)


def _over_the_socket(request: Request[Any]) -> list[tuple[str, str, Parameters]]:
    socket = _Socket()
    way = SocketRequests(
        socket,  # type: ignore[arg-type]
        deque[LinkMessage](),
        max_under_way=1,
        max_waiting=1,
        reply_timeout=None,
    )
    if not way.send("1", request, 0.0):
        return []  # a file, or too long for it
    (text,) = socket.texts
    assert text.isascii()
    message = json.loads(text)
    assert message.keys() <= {"type", "request_id", "method", "uri", "content_type", "message_body"}
    assert (message["type"], message["request_id"]) == ("RESTRequest", "1")
    return [(message["method"], f"/{message['uri']}", _object(message.get("message_body", "").encode()))]


def _object(body: bytes) -> Parameters:
    """A JSON body as Asterisk takes it: without a NUL and without half a surrogate, or it is refused as a whole."""
    if not body:
        return {}
    found = json.loads(body)
    assert isinstance(found, dict)
    assert "\0" not in "".join(_strings(found))
    json.dumps(found, ensure_ascii=False).encode()
    return found


def _strings(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    inner = [*value.keys(), *value.values()] if isinstance(value, dict) else value if isinstance(value, list) else []
    return [text for each in inner for text in _strings(each)]


# ---- what Asterisk reads ---------------------------------------------------------------------------------------------


def _split(target: str) -> tuple[list[str], list[tuple[str, str]]]:
    """The segments of a path, still encoded, and the parameters of a query."""
    assert re.fullmatch(r"/[!-~]+", target), "something is not encoded"
    assert "#" not in target
    path, _, query = target.partition("?")
    segments = path.split("/")[1:]
    assert not {*segments} & {"", ".", ".."}, "a segment that somebody would resolve"
    pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True, errors="strict") if query else []
    assert len(dict(pairs)) == len(pairs), "the last one would win"
    return segments, pairs


def _received(operation: Facts, target: str, body: Parameters) -> Parameters:
    """The parameters of an operation as Asterisk has them, from the path, the query and the body."""
    segments, pairs = _split(target)
    template = operation["path"].split("/")[1:]
    assert len(segments) == len(template), "a name has become a piece of the path"
    found: Parameters = {}
    for expected, segment in zip(template, segments, strict=True):
        if expected.startswith("{"):
            found[expected[1:-1]] = unquote_plus(segment, errors="strict")
        else:
            assert segment == expected
    by_name = {each["name"]: each for each in operation["params"]}
    for name, text in pairs:
        found[name] = _value(by_name[name], text)
    if body or operation["nickname"] == "filter":
        found |= {"filter": body} if operation["nickname"] == "filter" else body
    return found


def _value(about: Facts, text: str) -> object:
    """A parameter of a query."""
    if about.get("multiple"):
        return text.split(",") if about["name"] == "app" else _separated(text)
    return {"boolean": lambda: text == "true", "int": lambda: int(text), "long": lambda: int(text)}.get(
        about["type"], lambda: text
    )()


def _separated(text: str) -> list[str]:
    """``ast_app_separate_args`` (``main/app.c``), for a text in which nothing needs it to be clever."""
    assert not {*text} & {'"', "\\"}, "which vanish"
    assert "," not in text or not {*text} & set("()[]"), "within which a comma does not separate"
    return text.split(",")


# ---- what a handler asks of its call ---------------------------------------------------------------------------------

Asked: TypeAlias = Callable[[CallMachine, str, str, str], Pending[Any]]

ASKED: dict[str, tuple[Asked, str, Callable[[str, str, str], Mapping[str, object]]]] = {
    "play": (lambda call, a, b, c: call.play(a, 0.0, language=b).finished, "play", lambda a, b, c: {"lang": b}),
    "play several": (lambda call, a, b, c: call.play([a, b], 0.0).finished, "play", lambda a, b, c: {}),
    "hold": (lambda call, a, b, c: call.hold(0.0, a), "moh", lambda a, b, c: {"mohClass": a}),
    "get_variable": (lambda call, a, b, c: call.get_variable(a, 0.0), "variable", lambda a, b, c: {"variable": a}),
    "set_variable": (
        lambda call, a, b, c: call.set_variable(a, b, 0.0),
        "variable",
        lambda a, b, c: {"variable": a, "value": b},
    ),
    "continue_in_dialplan": (
        lambda call, a, b, c: call.continue_in_dialplan(0.0, a, b),
        "continue",
        lambda a, b, c: {"context": a, "extension": b},
    ),
    "send_dtmf": (
        lambda call, a, b, c: call.send_dtmf(a, 0.0, before=0, between=100, duration=100, after=0),
        "dtmf",
        lambda a, b, c: {"dtmf": a},
    ),
    # Here belongs the name of a queue: transfer_to_queue(name).
}
"""What is asked, the last segment of its path, and the parameters that are names."""


def _calls(choices: Choices, texts: list[str]) -> None:
    """A handler asks something of a call that has come in, whose id may be a text as well; or places one."""
    machine = StasisMachine("app", new_id=(f"id-{number}" for number in count(1)).__next__)
    call_id = choices.of(["1700000000.1", *texts])
    a, b, c = (choices.of(texts) for _ in range(3))
    asked = choices.of([None, *ASKED])
    if asked is None:
        _placed(machine, choices.of([f"PJSIP/{a}", a]), b, c, texts)
        return
    operation, last, parameters = ASKED[asked]
    call = _caller(machine, call_id)
    if call is None:
        return
    if asked == "send_dtmf":
        texts = [*texts, "!"]  # of which no keys can be made, whatever the others are
    try:
        pending = operation(call, a, b, c)
    except (ValueError, LocalProtocolError) as error:
        _refused(error, texts)
        assert list(_requests(machine)) == []
        return
    for request in _asked(machine, pending, texts):
        for _, target, body in _sent(request):
            segments, pairs = _split(target)
            assert [unquote_plus(each, errors="strict") for each in segments] == ["channels", call_id, last]
            found = {**dict(pairs), **body}
            assert {name: found[name] for name in parameters(a, b, c)} == parameters(a, b, c)
            if last == "play":
                media = found["media"] if isinstance(found["media"], list) else _separated(str(found["media"]))
                wanted = [a, b] if asked == "play several" else [a]
                assert [text.removeprefix("sound:") for text in media] == [
                    text.removeprefix("sound:") for text in wanted
                ]


def _placed(machine: StasisMachine, endpoint: str, b: str, c: str, texts: list[str]) -> None:
    """A call to an endpoint, with arguments and variables."""
    variables = {endpoint: b, f"_{c}": c}
    try:
        _, pending = machine.originate(endpoint, 0.0, caller_id=b, args=[c], variables=variables)
    except (ValueError, LocalProtocolError) as error:
        _refused(error, texts if "/" in endpoint else ["!"])
        assert list(_requests(machine)) == []
        return
    for request in _asked(machine, pending, texts):
        for _, target, body in _sent(request):
            segments, pairs = _split(target)
            found = {**dict(pairs), **body}
            assert segments == ["channels"]
            assert (found.pop("endpoint"), found.pop("callerId"), found.pop("appArgs")) == (endpoint, b, c)
            assert found.pop("variables") == variables
            assert found.keys() == {"app", "timeout", "channelId"}


def _caller(machine: StasisMachine, call_id: str) -> CallMachine | None:
    """Somebody calls, whose channel has this id; none where that is no JSON."""
    channel = {
        "id": call_id,
        "name": "PJSIP/alice-1",
        "state": "Up",
        "caller": {"name": "", "number": call_id},
        "connected": {"name": "", "number": ""},
        "dialplan": {"context": "default", "exten": call_id, "priority": 1},
        "creationtime": "2026-11-22T07:30:36.000+0000",
        "language": "en",
    }
    event = {"type": "StasisStart", "application": "app", "timestamp": "2026-11-22", "args": [], "channel": channel}
    machine.receive(EventReceived(json.dumps(event)), 0.0)
    return machine.calls.get(call_id)


def _requests(machine: StasisMachine) -> list[Request[Any]]:
    return [command.request for command in machine.commands_to_send() if isinstance(command, SendRequest)]


def _asked(machine: StasisMachine, pending: Pending[Any], texts: list[str]) -> list[Request[Any]]:
    """What is asked of Asterisk; nothing where whoever asked has been told why not."""
    requests = _requests(machine)
    if requests:
        assert len(requests) == 1
        return requests
    assert pending.done
    try:
        pending.result()
    except Exception as error:
        assert str(error).isprintable()
        assert len(str(error)) < 1000
        cause = error.__cause__ if isinstance(error.__cause__, LocalProtocolError) else error
        assert isinstance(cause, Exception)
        _refused(cause, texts)
    else:
        raise AssertionError("it was not asked for, and is said to be done")
    return []


# ---- recordings and applications -------------------------------------------------------------------------------------


def _recordings(choices: Choices, texts: list[str]) -> None:
    """The name and the format of a recording: a path in Asterisk's spool directory, and in ours, is made of them."""
    name, form = choices.of(texts), choices.of([*texts, "wav"])
    options = RecordingOptions(name=name, format=form, terminate_on=choices.of(["", *texts]))
    try:
        options.check()
    except ValueError as error:
        _refused(error, [*texts, "!"] if {*options.terminate_on} - {*"0123456789*#ABCDabcd"} else texts)
        return
    path = f"/spool/{name}.{form}"
    assert (normpath(path), dirname(path), basename(path)) == (path, "/spool", f"{name}.{form}")
    assert len(basename(path).encode()) < 256
    assert path.isprintable()
    for made in (channels.record("c", name=name, format=form), recordings.stop(name)):
        for _, target, _ in _sent(made):
            segments, pairs = _split(target)
            assert name in [*(unquote_plus(each) for each in segments), *(value for _, value in pairs)]


def _applications(choices: Choices, texts: list[str]) -> None:
    """The name of an application, its user and its password: what the event socket is asked for with."""
    app, user, password = (choices.of(texts) for _ in range(3))
    user = user or "user"  # without one there is no link
    try:
        options = make_options(
            "http://pbx:8088", user, password, app_name=app, number_variable=None, environ={}, requests="http"
        )
        link = ari_link(options, app, count(1).__next__)
    except ValueError as error:
        _refused(error, texts)
        assert len(password) < 8 or password in f"{app}{user}" or password not in str(error)
        return
    link.open(0.0)
    link.receive(Connected(1), 0.0)
    head, _ = _read_http(b"".join(effect.data for effect in link.effects_to_perform() if isinstance(effect, Send)))
    segments, pairs = _split(head.target.decode("ascii"))
    assert (segments, dict(pairs)) == (["ari", "events"], {"app": app})
    fields = [field.decode("ascii") for field, _ in head.headers]
    assert sorted(fields) == sorted(
        "host authorization upgrade connection sec-websocket-key sec-websocket-version sec-websocket-protocol".split()
    )
