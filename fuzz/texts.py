"""Whatever is read as a whole: events and replies, requests over the event socket, WAV files, options, addresses and
scripts of people.
"""

from __future__ import annotations

import json
from argparse import Namespace
from urllib.parse import urlsplit

from voxtra_core.app import AudioSocket
from voxtra_core.app.addresses import host_and_port, is_loopback
from voxtra_core.app.options import Options, make_options
from voxtra_core.app.versions import Version
from voxtra_core.ari import Event, channels
from voxtra_core.ari.codec import MalformedEvent, UnknownEvent, decode_event, decode_model, parse_object, reason_of
from voxtra_core.ari.decoders import MODELS
from voxtra_core.cli import provision
from voxtra_core.diagnosis import is_aris, is_asterisks, is_foreign, may_be_http, not_http
from voxtra_core.errors import RemoteProtocolError, VoxtraError
from voxtra_core.media import AudioChunk, read_wav, write_wav
from voxtra_core.media.formats import as_format, format_of
from voxtra_core.testing.people_text import PeopleSyntaxError, format_people, parse_people
from voxtra_core.wire.rest import BadRestRequest, read_request, read_response, response_text

from .choices import Choices

__all__ = ["addresses", "event_decoder", "model_decoder", "options", "people", "provisioning", "rest_messages", "wav"]

_SPEECH = write_wav(bytes(320), format_of("slin", 8000))
_RESPONSES = ["void", "binary", "Message", *(form for name in sorted(MODELS) for form in (name, f"List[{name}]"))]


def event_decoder(data: bytes) -> None:
    """A message of the event socket is an event, an unknown one or a malformed one: the same as text and parsed."""
    event = decode_event(data)
    assert isinstance(event, Event | UnknownEvent | MalformedEvent), event
    assert len(repr(event)) < 2000 + 4 * len(data)
    if not isinstance(event, MalformedEvent):
        assert decode_event(data.decode()) == event
        parsed = parse_object(data)
        assert parsed is not None
        assert decode_event(parsed) == event
        json.dumps(parsed, ensure_ascii=False).encode()  # what has come can be written again
    else:
        assert event.reason


def model_decoder(data: bytes) -> None:
    """The body of a reply is what it should be, or ``RemoteProtocolError``; a refusal always has its reason."""
    choices = Choices(data)
    response = choices.of(_RESPONSES)
    body = choices.rest()
    try:
        model = decode_model(response, body)
    except RemoteProtocolError as error:
        assert error.hint
    else:
        assert (model is None) == (response == "void")
    reason = reason_of("Not Found", body)
    assert reason
    assert len(reason) <= 301


def rest_messages(data: bytes) -> None:
    """Requests and responses over the event socket."""
    text = data.decode("utf-8", "replace")
    response = read_response(text)
    if response is not None:
        assert response.status is None or 100 <= response.status <= 999
    try:
        request = read_request(text)
    except BadRestRequest as error:
        request = error.request
    answer = response_text(request, 404, "Not Found", data, application="app", timestamp="now", asterisk_id="me")
    answer.encode()
    again = read_response(answer)
    assert again is not None
    assert (again.status, again.request_id) == (404, request.request_id)


def wav(data: bytes) -> None:
    """A WAV file is audio or ``ValueError``; what is read can be written, and read again as the same."""
    try:
        chunk = read_wav(data)
    except ValueError:
        return
    assert isinstance(chunk, AudioChunk)
    assert len(chunk.data) <= 2 * len(data)
    assert read_wav(write_wav(chunk.data, chunk.format)) == chunk


def people(data: bytes) -> None:
    """A script is people or ``PeopleSyntaxError``, which names a line of it; written again, it is the same people."""
    text = data.decode("utf-8", "replace")
    try:
        found = parse_people(text, "people.txt", read_wav=lambda name: _SPEECH)
    except PeopleSyntaxError as error:
        assert 1 <= error.line <= len(text.splitlines())
        assert error.advice
        return
    assert parse_people(format_people(found), read_wav=lambda name: _SPEECH) == found


def addresses(data: bytes) -> None:
    """``host:port``, networks, names of formats and versions: taken, or ``ValueError`` without a secret in it."""
    text = data.decode("utf-8", "replace")
    try:
        host, port = host_and_port("listen", text, "127.0.0.1:0")
    except ValueError as error:
        assert str(error) == "listen must be host:port, as 127.0.0.1:0"
        assert error.__context__ is None
    else:
        assert host
        assert 0 <= port < 65536
    is_loopback(text)
    Version.found_in(text)
    for accept in (as_format, lambda given: AudioSocket(listen=given), lambda given: AudioSocket(peers=[given])):
        try:
            accept(text)
        except ValueError as error:
            assert str(error)
    beginning = data[:100]
    may_be_http(beginning)
    is_foreign(beginning)
    is_aris(data)
    is_asterisks(data)
    if beginning:
        assert str(not_http("pbx", 8088, beginning).error)


def options(data: bytes) -> None:
    """What a user gives is an option or ``ValueError``; a URL's secret shows in neither."""
    choices = Choices(data)
    url, user, password, app_name = choices.text(), choices.text(20), choices.text(20), choices.text(100)
    listen = choices.text(40) if choices.flag() else None
    try:
        made = make_options(
            url if listen is None else None,
            user,
            password,
            app_name=app_name or "voxtra",
            number_variable=None,
            listen=listen,
            environ={},
        )
    except ValueError as error:
        secret = _password_in(url)
        assert len(secret) < 8 or secret in f"{user}{app_name}{listen}" or secret not in str(error)
        return
    assert isinstance(made, Options)
    assert made.host
    assert 0 < made.port < 65536
    assert len(password) < 8 or password in f"{url}{user}{app_name}{listen}" or password not in repr(made)
    if listen is None:
        parts = urlsplit(made.url)
        assert parts.port == made.port
        assert made.url.endswith("/ari")
    _request_for(app_name)


def _password_in(url: str) -> str:
    try:
        return urlsplit(url).password or ""
    except ValueError:
        return ""


def _request_for(anything: str) -> None:
    """What goes into a path is quoted: it stays one segment."""
    try:
        request = channels.get(anything)
    except (ValueError, VoxtraError):
        return
    assert request.target.count("/") == 2, request.target
    assert "?" not in request.path


def provisioning(data: bytes) -> None:
    """What is printed for Asterisk's configuration has the lines that it has for good names, and no others."""
    choices = Choices(data)
    names = ("app", "user", "password", "context", "extension", "listen", "fallback")
    given = {name: choices.text(90).replace("\0", "") for name in names}  # which no command line can hold
    flags = {"retry": 30, "ari": choices.flag(), "per_call": False, "queues": choices.flag()}
    good = {"app": "app", "user": "user", "password": "word", "context": "default", "extension": "100"}
    good |= {"listen": "wss://a/" if given["listen"].startswith("wss:") else "ws://a/", "fallback": "Hangup()"}
    try:
        text = provision.text_for(Namespace(**given, **flags))
    except ValueError as error:
        assert str(error)
        return
    plain = provision.text_for(Namespace(**good, **flags))
    assert [_kind(line) for line in text.split("\n")] == [_kind(line) for line in plain.split("\n")]
    assert "\r" not in text


def _kind(line: str) -> str:
    """What Asterisk makes of a line of its configuration: a section, or a key."""
    return line[:1] if line[:1] in ("[", ";", "") else line.partition("=")[0]
