"""Both ends of AudioSocket: the same under any cutting, bounded, and garbage is an error with a hint and nothing else.

Nothing here depends on time: bytes go in, messages come out. Expectations are built from the protocol's own numbers,
not from the code's tables.
"""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from voxtra_core.errors import LocalProtocolError, RemoteProtocolError
from voxtra_core.media.messages import (
    AudioReceived,
    DtmfReceived,
    MediaEnded,
    MediaErrorReceived,
    MediaIdentified,
    MediaMessage,
)
from voxtra_core.wire import AUDIOSOCKET_RATES, AudioSocketClient, AudioSocketServer
from voxtra_core.wire.audiosocket import MAX_FRAME

from .streams import cut, one_by_one, same_in_any_pieces, spoilt

FIXTURES = Path(__file__).parents[1] / "fixtures"
RATES = {
    0x10: 8000,
    0x11: 12000,
    0x12: 16000,
    0x13: 24000,
    0x14: 32000,
    0x15: 44100,
    0x16: 48000,
    0x17: 96000,
    0x18: 192000,
}
UUID_TEXT = "40325ec2-5efd-4bd3-805f-53576e581d13"
IDENTIFIED = MediaIdentified(UUID_TEXT)
LIMIT = 400

AudioSocket = AudioSocketServer | AudioSocketClient
Frame = tuple[int, bytes]


def raw(kind: int, payload: bytes = b"", length: int | None = None) -> bytes:
    """One message, perhaps with a length that isn't its own."""
    return bytes([kind]) + (len(payload) if length is None else length).to_bytes(2, "big") + payload


NAMED = raw(0x01, UUID(UUID_TEXT).bytes)


def new_server() -> AudioSocketServer:
    return AudioSocketServer(max_payload=LIMIT)


def named_server() -> AudioSocketServer:
    server = new_server()
    server.receive_data(NAMED)
    assert server.next_event() == IDENTIFIED
    return server


def new_client() -> AudioSocketClient:
    return AudioSocketClient(max_payload=LIMIT)


def named_client() -> AudioSocketClient:
    client = new_client()
    assert client.identify(UUID_TEXT) == NAMED
    return client


def events_of(end: AudioSocket) -> list[MediaMessage]:
    events = []
    while (event := end.next_event()) is not None:
        events.append(event)
    return events


def receive_all(end: AudioSocket, pieces: Iterable[bytes]) -> None:
    for piece in pieces:
        end.receive_data(piece)
    end.receive_eof()


def fed(new: Callable[[], AudioSocket], pieces: Iterable[bytes]) -> tuple[list[MediaMessage], str]:
    """The messages from a stream and its end, and the error there was."""
    end = new()
    error = hint = ""
    try:
        receive_all(end, pieces)
    except RemoteProtocolError as exc:
        error, hint = str(exc), exc.hint
    assert bool(hint) is bool(error)
    assert end.is_closed
    events = events_of(end)
    end.receive_data(NAMED + raw(0x10, b"12"))
    end.receive_eof()
    assert end.next_event() is None
    with pytest.raises(LocalProtocolError):
        end.audio(b"12")
    return events, error


# ---- streams


def samples(max_size: int = 60) -> st.SearchStrategy[bytes]:
    return st.binary(max_size=max_size // 2).map(lambda data: data + data)


AUDIO = st.tuples(st.sampled_from(sorted(RATES)), samples())
SAME_AUDIO = st.tuples(st.just(0x10), st.binary(min_size=8, max_size=8))
DIGIT = st.tuples(st.just(0x03), st.sampled_from([bytes([byte]) for byte in b"0123456789*#ABCDf"]))
ERROR = st.tuples(st.just(0xFF), st.binary(max_size=12))


def frames(*kinds: st.SearchStrategy[Frame]) -> st.SearchStrategy[list[Frame]]:
    return st.lists(st.one_of(*kinds), max_size=8)


FROM_ASTERISK = frames(SAME_AUDIO, AUDIO, DIGIT, ERROR)
TO_ASTERISK = frames(SAME_AUDIO, AUDIO.filter(lambda frame: frame[1] != b""))


def encoded(messages: list[Frame]) -> bytes:
    return b"".join(raw(kind, payload) for kind, payload in messages)


def expected(messages: list[Frame]) -> list[MediaMessage]:
    events: list[MediaMessage] = []
    for kind, payload in messages:
        if kind in RATES:
            events += [AudioReceived(payload, RATES[kind])] if payload else []
        elif kind == 0x03:
            events.append(DtmfReceived(payload.decode()))
        else:
            events.append(MediaErrorReceived(payload[:8].hex(" ") + ("…" if payload[8:] else "")))
    return events


@given(FROM_ASTERISK, st.booleans(), st.data())
def test_what_asterisk_says_is_the_same_in_any_pieces(
    messages: list[Frame], hangs_up: bool, data: st.DataObject
) -> None:
    stream = NAMED + encoded(messages) + (raw(0x00) + b"whatever" if hangs_up else b"")
    events, error = same_in_any_pieces(data.draw(cut(st.just(stream))), partial(fed, new_server))
    assert not error
    assert events == [IDENTIFIED, *expected(messages), MediaEnded(hangup=hangs_up)]


@given(TO_ASTERISK, st.booleans(), st.data())
def test_what_is_said_to_asterisk_is_the_same_in_any_pieces(
    messages: list[Frame], hangs_up: bool, data: st.DataObject
) -> None:
    stream = encoded(messages) + (raw(0x00) + b"whatever" if hangs_up else b"")
    events, error = same_in_any_pieces(data.draw(cut(st.just(stream))), partial(fed, new_client))
    assert not error
    assert events == [*expected(messages), MediaEnded(hangup=hangs_up)]


@given(st.lists(frames(SAME_AUDIO, SAME_AUDIO, AUDIO, DIGIT)), st.lists(st.integers(0, 12)))
def test_one_message_a_read_or_many_makes_no_difference(reads: list[list[Frame]], tails: list[int]) -> None:
    """Where the reads end with messages, now and then within one, messages are taken in between, and alike ones follow
    one another: as it nearly always is on a real connection.
    """
    server, got = named_server(), []
    left = b""
    for number, read in enumerate(reads):
        data = left + encoded(read)
        tail = len(data) - (tails[number] if number < len(tails) else 0)
        left = data[max(tail, 0) :]
        server.receive_data(data[: max(tail, 0)])
        got += events_of(server)
    server.receive_data(left)
    assert got + events_of(server) == expected([frame for read in reads for frame in read])


# ---- garbage

ENDS = pytest.mark.parametrize("new", [new_server, named_server, new_client, named_client])


def fuzz(data: bytes) -> None:
    """Whatever comes in, at either end: parsed, or :class:`RemoteProtocolError`, nothing else."""
    for new in (new_server, named_server, new_client, named_client):
        fed(new, [data])


@given(st.binary(max_size=2000))
@example(b"GET / HTTP/1.1\r\nHost: pbx\r\n\r\n")
@example(NAMED + NAMED)
@example(b"\xff\xff\xff" * 100)
def test_whatever_comes_is_parsed_or_a_protocol_error(data: bytes) -> None:
    fuzz(data)


@ENDS
@given(data=st.data())
def test_garbage_is_the_same_in_any_pieces(new: Callable[[], AudioSocket], data: st.DataObject) -> None:
    streams = st.one_of(FROM_ASTERISK.map(encoded), TO_ASTERISK.map(encoded), st.binary())
    whole = data.draw(spoilt(st.tuples(st.sampled_from([b"", NAMED]), streams).map(b"".join)))
    same_in_any_pieces(data.draw(cut(st.just(whole))), partial(fed, new))


AUDIO_8 = raw(0x10, b"12345678")


@pytest.mark.parametrize(
    ("new", "data", "message", "hint"),
    [
        (new_server, AUDIO_8, "is no UUID, but of kind 0x10", "is this Asterisk's AudioSocket"),
        (new_server, raw(0x03, b"1"), "is no UUID, but of kind 0x03", "is this Asterisk's AudioSocket"),
        (new_server, raw(0x00), "is no UUID, but of kind 0x00", "is this Asterisk's AudioSocket"),
        (new_server, b"GET / HTTP/1.1\r\n\r\n", "is no UUID, but of kind 0x47", "is this Asterisk's AudioSocket"),
        (new_server, raw(0x01, b"1" * 15), "a UUID of 15 bytes", "is this Asterisk's AudioSocket"),
        (new_server, raw(0x01, UUID_TEXT.encode()), "a UUID of 36 bytes", "is this Asterisk's AudioSocket"),
        (new_server, NAMED[:-1], "closed within a message", "open another"),
        (named_server, NAMED, "a second UUID", "open another"),
        (named_server, raw(0x10, b"123"), "3 bytes, half a sample", "with a slin format"),
        (named_server, raw(0x18, b"1"), "1 bytes, half a sample", "with a slin format"),
        (named_server, raw(0x10, b"x", LIMIT + 2), "402 bytes, of kind 0x10; at most 400", "max_payload"),
        (named_server, raw(0xFF, b"x", 0xFFFF), "65535 bytes, of kind 0xff", "max_payload"),
        (named_server, raw(0x03), "a digit of 0 bytes", "open another"),
        (named_server, raw(0x03, b"12"), "a digit of 2 bytes", "open another"),
        (named_server, raw(0x03, b"\x01"), "no printable ASCII", "open another"),
        (named_server, raw(0x03, b"\xb2"), "no printable ASCII", "open another"),
        (named_server, raw(0x00, b"1"), "a hangup of 1 bytes", "open another"),
        (named_server, raw(0x02), "the unknown kind 0x02", "open another"),
        (named_server, raw(0x0F), "the unknown kind 0x0f", "open another"),
        (named_server, raw(0x19, b"12"), "the unknown kind 0x19", "open another"),
        (named_server, raw(0xFE), "the unknown kind 0xfe", "open another"),
        (named_server, b"\x10", "closed within a message", "open another"),
        (named_server, b"\x10\x00\x02", "closed within a message", "open another"),
        (named_server, AUDIO_8[:-1], "closed within a message", "open another"),
        (new_client, NAMED, "kind 0x01, which is not for Asterisk", "Asterisk hangs up on this"),
        (new_client, raw(0x03, b"1"), "kind 0x03, which is not for Asterisk", "Asterisk hangs up on this"),
        (new_client, raw(0xFF), "kind 0xff, which is not for Asterisk", "Asterisk hangs up on this"),
        (new_client, raw(0x19, b"12"), "kind 0x19, which is not for Asterisk", "Asterisk hangs up on this"),
        (new_client, raw(0x10), "audio of 0 bytes", "Asterisk hangs up on this"),
        (new_client, raw(0x12, b"1"), "audio of 1 bytes", "Asterisk hangs up on this"),
    ],
)
def test_what_breaks_the_protocol_is_named_and_ends_it(
    new: Callable[[], AudioSocket], data: bytes, message: str, hint: str
) -> None:
    """After something that is right, which stays to be taken; nothing that follows is looked at."""
    before = [] if new is new_server else [AudioReceived(b"ab", 16000)]
    good = b"" if new is new_server else raw(0x12, b"ab")
    for pieces in ([good + data], one_by_one(good + data), [good, data]):
        end = new()
        with pytest.raises(RemoteProtocolError, match=message) as caught:
            receive_all(end, pieces)
        assert hint in caught.value.hint
        assert end.is_closed
        end.receive_data(AUDIO_8)
        end.receive_eof()
        assert events_of(end) == before


def test_a_mistake_is_found_as_soon_as_the_header_is_there() -> None:
    with pytest.raises(RemoteProtocolError):
        named_server().receive_data(raw(0x10, length=LIMIT + 2))


def test_who_says_nothing_and_goes_has_only_ended() -> None:
    """A load balancer that looks whether the port is open, for one."""
    assert fed(new_server, []) == ([MediaEnded(hangup=False)], "")


# ---- memory


@pytest.mark.parametrize("size", [1, 7, 1000, 65536])
def test_memory_is_bounded_whatever_comes(size: int) -> None:
    """Half a message of the largest size, messages without a sample, and what comes after an error: nothing is kept but
    the first, once.
    """
    largest = raw(0x10, bytes(MAX_FRAME))
    empty = raw(0x10) * 20_000
    hostile = empty + largest[:-1]
    server = AudioSocketServer()
    server.receive_data(NAMED)
    server.next_event()

    def pieces(data: bytes) -> Iterable[bytes]:
        return (data[start : start + size] for start in range(0, len(data), size))

    tracemalloc.start()
    try:
        for piece in pieces(hostile):
            server.receive_data(piece)
        kept, peak = tracemalloc.get_traced_memory()
        assert server.next_event() is None
        assert kept < 2 * MAX_FRAME
        assert peak < 3 * MAX_FRAME + 2 * size
        with pytest.raises(RemoteProtocolError):
            server.receive_data(largest[-1:] + b"garbage")
        for piece in pieces(empty):
            server.receive_data(piece)
        assert server.next_event() == AudioReceived(bytes(MAX_FRAME), 8000)
        assert server.next_event() is None
        assert tracemalloc.get_traced_memory()[0] < 3000
    finally:
        tracemalloc.stop()


def test_a_limit_can_be_set_within_the_protocols_own() -> None:
    audio = bytes(0xFFFE)
    server, client = AudioSocketServer(max_payload=0xFFFF), AudioSocketClient()
    server.receive_data(client.identify(UUID_TEXT) + client.audio(audio))
    assert events_of(server) == [IDENTIFIED, AudioReceived(audio, 8000)]
    client.receive_data(server.audio(audio))
    assert events_of(client) == [AudioReceived(audio, 8000)]
    for limit in (15, 0x10000):
        with pytest.raises(ValueError, match="16"):
            AudioSocketServer(max_payload=limit)
        with pytest.raises(ValueError, match="16"):
            AudioSocketClient(max_payload=limit)


def test_the_limit_leaves_room_for_what_asterisk_sends() -> None:
    """60 ms at its highest rate, and 1 s at its lowest."""
    assert MAX_FRAME >= 192_000 * 2 * 60 // 1000
    assert MAX_FRAME >= 8_000 * 2


# ---- one end wired to the other


def send(end: AudioSocket, message: MediaMessage) -> bytes:
    """The bytes that make the other end have this message."""
    match message:
        case MediaIdentified(uuid):
            assert isinstance(end, AudioSocketClient)
            return end.identify(uuid)
        case AudioReceived(data, rate):
            return end.audio(data, rate)
        case DtmfReceived(digit):
            assert isinstance(end, AudioSocketClient)
            return end.dtmf(digit)
        case MediaErrorReceived(reason):
            assert isinstance(end, AudioSocketClient)
            return end.error(bytes.fromhex(reason))
        case MediaEnded(hangup):
            return end.hangup() if hangup else b""


SENT_AUDIO: st.SearchStrategy[MediaMessage] = st.builds(
    AudioReceived, samples(MAX_FRAME).filter(bool), st.sampled_from(AUDIOSOCKET_RATES)
)
ASTERISKS_OWN: st.SearchStrategy[MediaMessage] = st.one_of(
    st.builds(DtmfReceived, st.sampled_from("0123456789*#ABCD")),
    st.builds(MediaErrorReceived, st.binary(max_size=8).map(lambda code: code.hex(" "))),
)


@given(st.uuids(), st.lists(st.one_of(SENT_AUDIO, ASTERISKS_OWN)), st.lists(SENT_AUDIO), st.booleans(), st.booleans())
def test_what_goes_in_at_one_end_comes_out_at_the_other(
    uuid: UUID, there: list[MediaMessage], back: list[MediaMessage], client_ends: bool, server_ends: bool
) -> None:
    server, client = AudioSocketServer(), AudioSocketClient()
    there = [MediaIdentified(str(uuid)), *there, MediaEnded(client_ends)]
    back = [*back, MediaEnded(server_ends)]
    to_server = b"".join([send(client, message) for message in there])
    to_client = b"".join([send(server, message) for message in back])
    for end, data, messages in ((server, to_server, there), (client, to_client, back)):
        end.receive_data(data)
        end.receive_eof()
        assert events_of(end) == messages
        assert end.is_closed


def test_audio_is_one_message_of_its_rates_kind() -> None:
    assert tuple(RATES.values()) == AUDIOSOCKET_RATES
    for kind, rate in RATES.items():
        assert new_server().audio(b"\x01\x02\x03\x04", rate) == bytes([kind, 0, 4, 1, 2, 3, 4])
    assert new_server().audio(bytes(320)) == b"\x10\x01\x40" + bytes(320)
    assert new_server().hangup() == b"\x00\x00\x00"


def test_a_uuid_may_be_written_in_capitals() -> None:
    assert new_client().identify(UUID_TEXT.upper()) == NAMED


@pytest.mark.parametrize(
    "mistake",
    [
        lambda end: end.audio(b""),
        lambda end: end.audio(b"123"),
        lambda end: end.audio(bytes(LIMIT + 2)),
        lambda end: end.audio(b"12", 11025),
        lambda end: end.audio(b"12", 0),
    ],
)
def test_what_the_caller_may_not_send_changes_nothing(mistake: Callable[[AudioSocket], bytes]) -> None:
    for new in (new_server, named_client):
        end = new()
        with pytest.raises(LocalProtocolError):
            mistake(end)
        assert not end.is_closed
        assert end.audio(b"12") == b"\x10\x00\x0212"


def test_nothing_is_sent_after_our_hangup_but_all_that_comes_is_read() -> None:
    server = named_server()
    server.receive_data(AUDIO_8)
    server.hangup()
    attempts: list[Callable[[], bytes]] = [lambda: server.audio(b"12"), server.hangup]
    for late in attempts:
        with pytest.raises(LocalProtocolError, match="hung up"):
            late()
    server.receive_data(AUDIO_8)
    server.receive_eof()
    audio = AudioReceived(b"12345678", 8000)
    assert events_of(server) == [audio, audio, MediaEnded(hangup=False)]


def test_asterisks_end_says_first_and_once_who_it_is() -> None:
    client = new_client()
    attempts: list[Callable[[], bytes]] = [
        lambda: client.audio(b"12"),
        lambda: client.dtmf("1"),
        client.hangup,
        client.error,
    ]
    for early in attempts:
        with pytest.raises(LocalProtocolError, match="UUID comes first"):
            early()
    for no_uuid in ("", "x", UUID_TEXT + "0", UUID_TEXT.replace("-", ""), UUID_TEXT + "\n", "\u0664" + UUID_TEXT[1:]):
        with pytest.raises(LocalProtocolError, match="no UUID"):
            client.identify(no_uuid)
    assert client.identify(UUID_TEXT) == NAMED
    with pytest.raises(LocalProtocolError, match="once"):
        client.identify(UUID_TEXT)
    assert client.dtmf("#") == b"\x03\x00\x01#"
    with pytest.raises(LocalProtocolError, match="401 bytes"):
        client.error(bytes(LIMIT + 1))
    for no_digit in ("", "12", "\u0661", " ", "\n"):
        with pytest.raises(LocalProtocolError, match="digit"):
            client.dtmf(no_digit)


# ---- a real Asterisk


@pytest.mark.parametrize("path", sorted(FIXTURES.glob("audiosocket-*in.bin")), ids=lambda path: path.stem)
def test_what_asterisk_sent_is_read_to_the_last_byte_and_can_be_said_again(path: Path) -> None:
    data = path.read_bytes()
    whole = [data[start : start + 65536] for start in range(0, len(data), 65536)]
    events, error = fed(AudioSocketServer, whole)
    assert not error
    assert isinstance(events[0], MediaIdentified)
    assert events[-1] == MediaEnded(hangup=False)
    client = AudioSocketClient()
    assert b"".join([send(client, event) for event in events]) == data
    assert fed(AudioSocketServer, one_by_one(data)) == (events, "")


def test_what_asterisk_was_sent_is_read_by_its_end_and_can_be_said_again() -> None:
    data = (FIXTURES / "audiosocket-out.bin").read_bytes()
    events, error = fed(AudioSocketClient, [data])
    assert not error
    assert events[-1] == MediaEnded(hangup=True)
    server = AudioSocketServer()
    assert b"".join([send(server, event) for event in events]) == data


@pytest.mark.parametrize(
    ("name", "rate", "size", "digits"),
    [
        ("in", 8000, 320, "5"),
        ("ari-hangup-in", 8000, 320, "1234*#"),
        ("server-close-in", 16000, 640, ""),
        ("slin48-in", 48000, 1920, ""),
        ("ulaw-in", 8000, 160, ""),  # which is µ-law, and says that it is linear
    ],
)
def test_rates_frames_and_digits_are_what_they_were(name: str, rate: int, size: int, digits: str) -> None:
    events, _ = fed(AudioSocketServer, [(FIXTURES / f"audiosocket-{name}.bin").read_bytes()])
    audio = [event for event in events if isinstance(event, AudioReceived)]
    assert {(event.rate, len(event.data)) for event in audio} == {(rate, size)}
    assert "".join(event.digit for event in events if isinstance(event, DtmfReceived)) == digits


# ---- messages


def test_no_message_shows_what_was_said_or_pressed() -> None:
    assert repr(AudioReceived(b"secret", 8000)) == "AudioReceived(data=<6 bytes>, rate=8000)"
    assert repr(DtmfReceived("7")) == "DtmfReceived()"


def test_messages_are_equal_by_value() -> None:
    assert AudioReceived(b"12", 8000) == AudioReceived(b"12", 8000)
    assert AudioReceived(b"12", 8000) != AudioReceived(b"12", 16000)
    assert DtmfReceived("1") != DtmfReceived("2")
