"""The fuzz targets, briefly: under Hypothesis, on their seeds and the corpus, and by a search of ours; and that this
finds what there is to be found. For longer: ``-m soak``, or ``python -m fuzz``.

Deterministic but for what Hypothesis draws: a search with a number of tries does the same each time.
"""

from __future__ import annotations

import sys
from pathlib import Path
from random import Random
from typing import NoReturn
from urllib.parse import quote, unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

import fuzz.__main__ as command
from fuzz.choices import Choices
from fuzz.held import bytes_held
from fuzz.search import mutated, search
from fuzz.seeds import seeds_of
from fuzz.targets import TARGETS
from fuzz.wired import Wired
from voxtra_core.app.dialling import Dialling
from voxtra_core.app.machine import AppMachine
from voxtra_core.app.registration import Registration
from voxtra_core.ari.messages import LinkOpened
from voxtra_core.effects import Close, Connect, Effect, Input, Send
from voxtra_core.providers.event_stream import EventStreamParser
from voxtra_core.session import CallSession
from voxtra_core.wire import AriLink, AriListener, AudioSocketServer, BytesReceived, HTTPClient, WebSocketServer
from voxtra_core.wire.audiosocket_port import AudioSocketPort
from voxtra_core.wire.http_stream import HTTPStreamClient
from voxtra_core.wire.web import WebPort

EVERY_TARGET = pytest.mark.parametrize("name", TARGETS)


@EVERY_TARGET
@given(data=st.binary(max_size=1500))
def test_whatever_comes(name: str, data: bytes) -> None:
    TARGETS[name](data)


@EVERY_TARGET
def test_what_was_worth_keeping(name: str) -> None:
    seeds = seeds_of(name)
    assert len(seeds) > 0
    for seed in seeds:
        TARGETS[name](seed)


@EVERY_TARGET
def test_a_short_search(name: str) -> None:
    tried, found = search(TARGETS[name], seeds_of(name), seconds=60.0, tries=50)
    assert found is None, found
    assert tried >= 50


@pytest.mark.soak
@EVERY_TARGET
def test_for_longer(name: str, soak_seconds: float) -> None:
    """By ourselves also where atheris is there: that is for ``python -m fuzz``, which it wants to end."""
    _, found = search(TARGETS[name], seeds_of(name), seconds=soak_seconds, seed=Random().randrange(1 << 30))
    assert found is None, found


# ---- that something would be found -----------------------------------------------------------------------------------


def delicate(data: bytes) -> None:
    """Does not like two quotation marks, one after the other."""
    assert b'""' not in data


def test_a_search_finds_and_shrinks() -> None:
    tried, found = search(delicate, [b'begins with one " and has another " in it'], seconds=60.0, tries=10_000)
    assert found is not None
    assert tried < 10_000
    assert found.data == b'""'
    assert isinstance(found.error, AssertionError)


def test_the_same_seed_tries_the_same() -> None:
    def inputs(seed: int) -> list[bytes]:
        seen: list[bytes] = []
        search(seen.append, [b"one", b"two"], seconds=60.0, seed=seed, tries=50)
        return seen

    assert inputs(1) == inputs(1)
    assert inputs(1) != inputs(2)
    assert inputs(1)[:2] == [b"one", b"two"]


def test_a_mutation_changes_something_and_stays_short() -> None:
    random = Random(1)
    changed = [mutated(b"x" * 5000, [b"y" * 5000], random) for _ in range(200)]
    assert all(len(one) <= 4096 for one in changed)
    assert len(set(changed)) > 150


@pytest.mark.parametrize(
    ("effects", "why"),
    [
        ([Connect(1, "pbx", 80), Connect(1, "pbx", 80)], "used twice"),
        ([Connect(1, "pbx", 80), Close(1), Close(1)], "closed twice"),
        ([Connect(1, "pbx", 80), Close(1), Send(1, b"x")], "was closed"),
        ([Send(1, b"x")], "is nobody"),
        ([Close(1)], "is nobody"),
        ([Connect(number, "pbx", 80) for number in range(5000)], "effects at once"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_machine_that_breaks_a_drivers_rules_is_found(effects: list[Effect], why: str) -> None:
    with pytest.raises(AssertionError, match=why):
        Wired(Stub(effects=effects)).perform()


def test_a_machine_that_spins_is_found() -> None:
    with pytest.raises(AssertionError, match="it spins"):
        Wired(Stub(deadline=0.0)).wait(1.0)


class Stub:
    """A machine of a single mind."""

    def __init__(self, effects: list[Effect] | None = None, deadline: float | None = None) -> None:
        self.effects = effects or []
        self.deadline = deadline

    def receive(self, event: Input, now: float) -> None:
        raise NotImplementedError

    def handle_timeout(self, now: float) -> None:
        """Nothing is done about it."""

    def next_deadline(self) -> float | None:
        return self.deadline

    def effects_to_perform(self) -> list[Effect]:
        effects, self.effects = self.effects, []
        return effects


def test_choices_are_taken_from_the_front_and_never_run_out() -> None:
    choices = Choices(b"\x05\x01\x02hi\xffrest")
    assert (choices.byte(), choices.flag(), choices.take()) == (5, True, b"hi")
    assert choices.of("abc") == "a"  # 255 % 3
    assert choices.rest() == b"rest"
    assert not choices
    assert (choices.byte(), choices.flag(), choices.take(), choices.below(7)) == (0, False, b"", 0)
    assert list(Choices(b"\x02").pieces(b"abcde")) == [b"ab", b"cd", b"e"]
    assert list(Choices(b"").pieces(b"abcde")) == [b"abcde"]


class Keeper:
    """Keeps things in all the places that there are."""

    __slots__ = ("__dict__", "slot")

    def __init__(self) -> None:
        self.slot = bytearray(10)
        self.listed = [b"12345", ("abc", {"k": b"x" * 20})]
        self.again = self.listed
        self.itself = self


def test_what_is_held_is_counted_once() -> None:
    assert bytes_held(Keeper()) == 10 + 5 + 3 + 1 + 20


# ---- the command -----------------------------------------------------------------------------------------------------


@pytest.fixture
def in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["fuzz", *arguments])
    return command.main()


def test_the_command_searches_and_says_so(
    in_a_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "wav", "--seconds", "0", "--engine", "own") == 0
    assert capsys.readouterr().out.endswith("inputs, no finding\n")
    assert list(in_a_folder.iterdir()) == []


def test_the_command_keeps_a_finding_to_be_run_again(
    in_a_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def never(data: bytes) -> NoReturn:
        raise KeyError("wav")

    monkeypatch.setitem(TARGETS, "wav", never)
    assert run(monkeypatch, "wav", "--seconds", "0", "--engine", "own") == 1
    assert "again: python -m fuzz wav --input" in capsys.readouterr().out
    with pytest.raises(KeyError):
        run(monkeypatch, "wav", "--input", "fuzz-findings/wav")


def test_the_command_knows_its_targets(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SystemExit):
        run(monkeypatch, "nonsense")


# ---- bugs that are planted, and have to be found ---------------------------------------------------------------------


def no_callbacks(machine: AppMachine, *arguments: object) -> None:
    """The hangup callbacks of a call are forgotten."""


def callbacks_twice(session: CallSession) -> object:
    """Each is handed out once more than it should be."""
    if not session._callbacks:
        return None
    if session.metadata.setdefault("handed out", 0) == 0:
        session.metadata["handed out"] = 1
        return session._callbacks[0]
    session.metadata["handed out"] = 0
    return session._callbacks.pop(0)


def always_now(reach: Dialling) -> float:
    """A deadline that has come, and comes again."""
    return 0.0


def nothing_given_up(registration: Registration, now: float) -> None:
    """The way to Asterisk is gone, and the calls are not told."""


@pytest.mark.parametrize(
    ("owner", "name", "planted"),
    [
        (AppMachine, "start_callbacks", no_callbacks),
        (CallSession, "take_callback", callbacks_twice),
        (Dialling, "next_deadline", always_now),
        (Registration, "give_up", nothing_given_up),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_bug_in_the_application_is_found(
    owner: type, name: str, planted: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owner, name, planted)
    monkeypatch.setattr("fuzz.search.shrunk", lambda target, data: data)
    _, found = search(TARGETS["application"], seeds_of("application"), seconds=60.0, tries=2000)
    assert found is not None


def parts_are_messages(server: WebSocketServer, opcode: object, payload: bytes, finished: bool) -> None:
    """What has come of a message so far is taken for one."""
    server._events.append(BytesReceived(payload))


@pytest.mark.parametrize(
    ("target", "owner", "name", "planted"),
    [
        ("http_client", HTTPClient, "receive_data", lambda client, data: client._stream._reader.receive_data(data)),
        ("websocket_server", WebSocketServer, "_receive_part", parts_are_messages),
        ("audiosocket_server", AudioSocketServer, "_check", lambda server, kind, length: None),
        ("ari_link", AriLink, "withdraw_request", lambda link, request_id, now: link._messages.append(LinkOpened())),
        ("ari_listener", AriListener, "_forget", lambda listener, conn: None),
        ("audiosocket_port", AudioSocketPort, "_turn_away", lambda port, visitor, why, now: None),
        (
            "http_stream_client",
            HTTPStreamClient,
            "receive_data",
            lambda client, data: client._reader.receive_data(data),
        ),
        ("event_stream", EventStreamParser, "_take_in", lambda parser, part: parser._line.extend(part)),
        ("web_port", WebPort, "_end", lambda port, exchange: None),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_bug_in_the_wire_is_found(
    target: str, owner: type, name: str, planted: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owner, name, planted)
    monkeypatch.setattr("fuzz.search.shrunk", lambda target, data: data)
    _, found = search(TARGETS[target], seeds_of(target), seconds=60.0, tries=2000)
    assert found is not None


@pytest.mark.parametrize(
    ("where", "planted"),
    [
        ("voxtra_core.ari.request.path_segment", lambda name, value: value),
        ("voxtra_core.ari.request.path_segment", lambda name, value: quote(value)),
        ("voxtra_core.ari.request._survives_query", lambda value: True),
        ("voxtra_core.ari.request.Request.target", property(lambda request: unquote(request.path))),
        ("voxtra_core.ari.check.text", lambda name, value: value),
        ("voxtra_core.ari.check._check_texts", lambda name, value: None),
        ("voxtra_core.recording.RecordingOptions.check", lambda options: None),
        ("voxtra_core.wire.ari.quote", lambda text, safe: text),
        ("voxtra_core.wire.socket_requests.request_members", lambda request, body: '"method":"GET","uri":"channels"}'),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_name_that_is_pasted_is_found(where: str, planted: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(where, planted)
    monkeypatch.setattr("fuzz.search.shrunk", lambda target, data: data)
    _, found = search(TARGETS["names"], seeds_of("names"), seconds=60.0, tries=2000)
    assert found is not None
