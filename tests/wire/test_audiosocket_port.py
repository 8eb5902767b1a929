"""The port: who may come, what becomes of those who misbehave, and that they are nobody else's trouble.

No socket, no clock: the test is the driver. What a peer sends is made by Asterisk's end, or by hand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from ipaddress import ip_network
from itertools import count
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxtra_core.effects import (
    Accepted,
    Close,
    Connected,
    Drained,
    Effect,
    EndOfStream,
    Failed,
    Listen,
    Listening,
    Log,
    Received,
    Send,
)
from voxtra_core.media.formats import SLIN, SLIN16, ULAW, AudioFormat
from voxtra_core.wire import AudioSocketClient
from voxtra_core.wire.audiosocket_port import (
    ASK_DRAINED,
    IDENTIFY_TIMEOUT,
    MAX_LOGGED,
    MAX_UNIDENTIFIED,
    MAX_UNSENT,
    AudioSocketPort,
)

from .streams import cut, same_in_any_pieces

FIRST, SECOND, UNKNOWN = (str(UUID(int=number)) for number in (1, 2, 3))
LISTENER = 1
FRAME = bytes(range(160)) * 2
SILENCE = bytes(320)


class Line:
    """A line that remembers what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[object, ...]] = []
        self.frames: list[bytes] = []
        self.on_call: Callable[[str], None] = lambda name: None

    def _tell(self, name: str, *more: object) -> None:
        self.told.append((name, *more))
        self.on_call(name)

    def port_ready(self, address: str, now: float) -> None:
        self._tell("ready", address)

    def started(self, now: float) -> None:
        self._tell("started")

    def audio(self, data: bytes, now: float) -> None:
        self._tell("audio", data)

    def digit(self, digit: str, now: float) -> None:
        self._tell("digit", digit)

    def next_frame(self) -> bytes | None:
        return self.frames.pop(0) if self.frames else None

    def ended(self, reason: str, now: float) -> None:
        self._tell("ended", reason)

    @property
    def end(self) -> object:
        """Why it has ended; ``None`` while it lives."""
        ends = [told[1] for told in self.told if told[0] == "ended"]
        assert len(ends) <= 1, "it ended twice"
        assert not ends or self.told[-1][0] == "ended", "something was said behind the end"
        return ends[0] if ends else None

    @property
    def heard(self) -> bytes:
        return b"".join(told[1] for told in self.told if told[0] == "audio" and isinstance(told[1], bytes))


class Bench:
    """A port, its clock, and what it had the driver do."""

    def __init__(
        self, host: str = "127.0.0.1", advertise: str | None = None, peers: tuple[str, ...] | None = None
    ) -> None:
        self.now = 100.0
        self.conns = count(10)
        networks = None if peers is None else [ip_network(peer) for peer in peers]
        self.port = AudioSocketPort(host=host, port=0, advertise=advertise, peers=networks, new_conn=lambda: LISTENER)
        self.effects: list[Effect] = []
        self.stuck: set[int] = set()
        """Connections of which nothing is taken any more."""

    def collect(self) -> list[Effect]:
        """Perform what it asks for: what is sent is taken at once."""
        effects = self.port.effects_to_perform()
        self.effects += effects
        for effect in effects:
            if isinstance(effect, Send) and effect.tell_drained and effect.conn not in self.stuck:
                self.port.receive(Drained(effect.conn), self.now)
        return effects

    def expect(self, line_id: str = FIRST, audio_format: AudioFormat = SLIN) -> Line:
        line = Line()
        self.port.expect(line_id, line, audio_format, self.now)
        self.collect()
        return line

    def listening(self, port: int = 9092) -> None:
        assert self.port.receive(Listening(LISTENER, port), self.now)
        self.collect()

    def come(self, peer: str = "127.0.0.1") -> int:
        conn = next(self.conns)
        assert self.port.receive(Accepted(LISTENER, conn, peer), self.now)
        self.collect()
        return conn

    def say(self, conn: int, data: bytes) -> bool:
        is_taken = self.port.receive(Received(conn, data), self.now)
        self.collect()
        return is_taken

    def connect(self, line_id: str = FIRST, audio_format: AudioFormat = SLIN) -> tuple[Line, int, AudioSocketClient]:
        """A line, the connection that it has, and Asterisk's end of it."""
        line = self.expect(line_id, audio_format)
        if not any(told[0] == "ready" for told in line.told):
            self.listening()
        conn, asterisk = self.come(), AudioSocketClient()
        assert self.say(conn, asterisk.identify(line_id))
        return line, conn, asterisk

    def wait(self, seconds: float) -> None:
        """Let time pass, woken at each deadline."""
        end = self.now + seconds
        while (deadline := self.port.next_deadline()) is not None and deadline <= end:
            self.now = max(deadline, self.now)
            self.port.handle_timeout(self.now)
            after = self.port.next_deadline()
            assert after is None or after > self.now, "a driver would spin"
            self.collect()
        self.now = end

    def closed(self, conn: int) -> bool:
        closings = self.effects.count(Close(conn))
        assert closings <= 1, "closed twice"
        return closings == 1

    def sent(self, conn: int) -> bytes:
        return b"".join(effect.data for effect in self.effects if isinstance(effect, Send) and effect.conn == conn)

    def logged(self) -> list[str]:
        return [effect.message for effect in self.effects if isinstance(effect, Log)]


def other(bench: Bench) -> Callable[[], None]:
    """Another line, whose call goes on; what is returned fails if it does not."""
    line, conn, asterisk = bench.connect(SECOND)

    def check() -> None:
        line.frames.append(FRAME)
        before, heard = len(bench.sent(conn)), len(line.heard)
        bench.say(conn, asterisk.audio(FRAME))
        bench.wait(0.03)
        assert line.end is None
        assert not bench.closed(conn)
        assert line.heard[heard:] == FRAME
        assert FRAME in bench.sent(conn)[before:]

    return check


# ---- the listener ----------------------------------------------------------------------------------------------------


def test_nothing_is_listened_on_before_a_line_is_expected_and_one_listener_serves_all() -> None:
    bench = Bench()
    assert bench.collect() == []
    first = bench.expect(FIRST)
    second = bench.expect(SECOND)
    assert bench.effects == [Listen(LISTENER, "127.0.0.1", 0)]
    assert first.told == second.told == []
    bench.listening(4711)
    assert first.told == second.told == [("ready", "127.0.0.1:4711")]
    assert bench.expect(UNKNOWN).told == [("ready", "127.0.0.1:4711")]
    assert len(bench.effects) == 1


@pytest.mark.parametrize(
    ("host", "advertise", "told"),
    [
        ("127.0.0.1", None, "127.0.0.1:4711"),
        ("::1", None, "[::1]:4711"),
        ("0.0.0.0", "pbx-side.example:9092", "pbx-side.example:9092"),
        ("0.0.0.0", "192.0.2.1:0", "192.0.2.1:4711"),
        ("::", "[2001:db8::1]:0", "[2001:db8::1]:4711"),
        ("::", "[2001:db8::1]:10", "[2001:db8::1]:10"),
    ],
)
def test_the_address_that_asterisk_is_told(host: str, advertise: str | None, told: str) -> None:
    bench = Bench(host, advertise)
    line = bench.expect()
    bench.listening(4711)
    assert line.told == [("ready", told)]


def test_a_listener_that_cannot_listen_fails_those_who_wait_and_the_next_tries_again() -> None:
    bench = Bench()
    lines = [bench.expect(FIRST), bench.expect(SECOND)]
    assert bench.port.receive(Failed(LISTENER, "address already in use"), bench.now)
    why = "cannot listen for Asterisk's audio on 127.0.0.1 port 0: address already in use"
    assert [line.end for line in lines] == [why, why]
    line = bench.expect(FIRST)
    assert bench.effects.count(Listen(LISTENER, "127.0.0.1", 0)) == 2
    bench.listening()
    assert line.end is None


def test_a_format_that_audiosocket_does_not_have() -> None:
    bench = Bench()
    with pytest.raises(ValueError, match="signed linear"):
        bench.expect(FIRST, ULAW)
    assert bench.effects == []


# ---- who comes -------------------------------------------------------------------------------------------------------


def test_whoever_names_a_line_is_its_asterisk() -> None:
    bench = Bench()
    line, conn, asterisk = bench.connect()
    bench.say(conn, asterisk.audio(FRAME) + asterisk.dtmf("5"))
    assert line.told[1:] == [("started",), ("audio", FRAME), ("digit", "5")]
    assert bench.port.receive(EndOfStream(conn), bench.now)
    bench.collect()
    assert line.end == "Asterisk has closed the connection"
    assert bench.closed(conn)


@pytest.mark.parametrize("line_id", [UNKNOWN, FIRST], ids=["unknown", "in use"])
def test_a_uuid_that_nobody_expects_or_that_is_in_use(line_id: str) -> None:
    bench = Bench()
    check = other(bench)
    line, first, _ = bench.connect()
    conn = bench.come()
    bench.say(conn, AudioSocketClient().identify(line_id))
    assert bench.closed(conn)
    assert not bench.closed(first)
    assert line.end is None
    assert not bench.say(conn, b"more"), "it is known no more"
    check()


def test_a_uuid_counts_once() -> None:
    bench = Bench()
    check = other(bench)
    line, conn, _ = bench.connect()
    bench.port.receive(Failed(conn, "connection reset by the peer"), bench.now)
    assert line.end == "connection reset by the peer"
    again = bench.come()
    bench.say(again, AudioSocketClient().identify(FIRST))
    assert bench.closed(again)
    assert not bench.closed(conn), "it is gone already"
    check()


def test_who_does_not_say_who_it_is_within_two_seconds() -> None:
    bench = Bench()
    check = other(bench)
    silent, slow = bench.come(), bench.come()
    bench.say(slow, AudioSocketClient().identify(UNKNOWN)[:-1])
    bench.wait(IDENTIFY_TIMEOUT - 0.01)
    assert not bench.closed(silent)
    assert not bench.closed(slow)
    bench.wait(0.02)
    assert bench.closed(silent)
    assert bench.closed(slow)
    check()


def test_a_thousand_that_say_nothing() -> None:
    bench = Bench()
    check = other(bench)
    conns = [bench.come() for _ in range(1000)]
    assert sum(not bench.closed(conn) for conn in conns) == MAX_UNIDENTIFIED
    assert len(bench.port._visitors) == MAX_UNIDENTIFIED
    assert all(bench.closed(conn) for conn in conns[:-MAX_UNIDENTIFIED]), "the oldest make room"
    assert len(bench.logged()) == 1
    check()
    line, _, _ = bench.connect(FIRST)
    assert ("started",) in line.told
    bench.wait(IDENTIFY_TIMEOUT)
    assert all(bench.closed(conn) for conn in conns)
    assert len(bench.logged()) == 2


def test_many_that_are_expected_may_come_before_the_first_has_been_read() -> None:
    """As after a moment in which nothing was read: they are not turned away for one another, nor for some others."""
    bench = Bench()
    ids = [str(UUID(int=number)) for number in range(100, 400)]
    lines = [bench.expect(line_id) for line_id in ids]
    bench.listening()
    for _ in range(MAX_UNIDENTIFIED):
        bench.come()
    conns = [bench.come() for _ in ids]
    for conn, line_id in zip(conns, ids, strict=True):
        bench.say(conn, AudioSocketClient().identify(line_id))
    assert all(line.told[-1] == ("started",) for line in lines)
    assert len(bench.port._visitors) == MAX_UNIDENTIFIED


@pytest.mark.parametrize(
    ("peer", "is_welcome"),
    [
        ("10.1.2.3", True),
        ("::ffff:10.1.2.3", True),
        ("2001:db8::5", True),
        ("fe80::1%eth0", True),
        ("192.0.2.1", False),
        ("::ffff:192.0.2.1", False),
        ("2001:db9::1", False),
        ("", False),
        ("no address", False),
    ],
)
def test_peers_that_may_come(peer: str, is_welcome: bool) -> None:
    bench = Bench(peers=("10.0.0.0/8", "2001:db8::/32", "fe80::/10"))
    bench.expect()
    bench.listening()
    conn = bench.come(peer)
    assert bench.closed(conn) is not is_welcome
    assert bench.say(conn, AudioSocketClient().identify(FIRST)) is is_welcome


def test_the_log_is_bounded() -> None:
    bench = Bench(peers=("10.0.0.0/8",))
    bench.expect()
    bench.listening()
    for number in range(3 * MAX_LOGGED):
        bench.come(f"192.0.2.{number % 256}")
        bench.come(f"198.51.100.{number % 256}")
    assert len(bench.logged()) == MAX_LOGGED


# ---- those who misbehave ---------------------------------------------------------------------------------------------

GARBAGE = {
    "http": b"GET / HTTP/1.1\r\n\r\n",
    "zeros": bytes(100),
    "oversized": b"\x10\xff\xff" + bytes(1000),
    "unknown kind": b"\x77\x00\x00",
    "half a sample": b"\x10\x00\x03abc",
    "a second uuid": AudioSocketClient().identify(FIRST),
}


@pytest.mark.parametrize("data", GARBAGE.values(), ids=GARBAGE.keys())
def test_garbage_ends_its_own_connection_and_no_other(data: bytes) -> None:
    bench = Bench()
    check = other(bench)
    line, conn, asterisk = bench.connect()
    bench.say(conn, asterisk.audio(FRAME) + data)
    assert line.heard == FRAME
    assert line.end
    assert bench.closed(conn)
    visitor = bench.come()
    bench.say(visitor, data)
    if data != GARBAGE["a second uuid"]:
        assert bench.closed(visitor)
    check()


@pytest.mark.parametrize("half", range(1, 19))
def test_half_of_what_it_has_to_say_first_and_then_the_end(half: int) -> None:
    bench = Bench()
    check = other(bench)
    line = bench.expect()
    conn = bench.come()
    bench.say(conn, AudioSocketClient().identify(FIRST)[:half])
    assert bench.port.receive(EndOfStream(conn), bench.now)
    bench.collect()
    assert bench.closed(conn)
    assert line.end is None, "its Asterisk may yet come"
    check()


def test_half_a_frame_and_then_the_end() -> None:
    bench = Bench()
    check = other(bench)
    line, conn, asterisk = bench.connect()
    bench.say(conn, asterisk.audio(FRAME)[:100])
    bench.port.receive(EndOfStream(conn), bench.now)
    assert str(line.end).startswith("the connection was closed within a message")
    assert line.heard == b""
    check()


def test_an_error_that_asterisk_reports_is_the_end() -> None:
    bench = Bench()
    check = other(bench)
    line, conn, asterisk = bench.connect()
    bench.say(conn, asterisk.error(b"\x04") + asterisk.audio(FRAME))
    assert line.end == "Asterisk reports an error 04"
    assert bench.closed(conn)
    check()


def test_a_peer_that_reads_nothing_is_given_up_after_two_seconds() -> None:
    bench = Bench()
    check = other(bench)
    line, conn, _ = bench.connect()
    bench.stuck.add(conn)
    bench.wait(1.95)
    before = line.end
    bench.wait(0.1)
    assert before is None
    assert line.end == "Asterisk reads no audio any more"
    assert bench.closed(conn)
    assert len(bench.sent(conn)) <= (MAX_UNSENT + 1) * 323
    check()


@pytest.mark.parametrize("step", [0.02, 0.04, 0.06, 0.1])
def test_who_reads_is_not_given_up_however_late_we_are(step: float) -> None:
    """Frames that are made up for count as any others: we have to ask in time whether they were taken."""
    bench = Bench()
    line, _, _ = bench.connect()
    for _ in range(500):
        bench.now += step
        bench.port.handle_timeout(bench.now)
        bench.collect()
    assert line.end is None


def test_being_told_that_it_was_taken_is_asked_for_seldom() -> None:
    bench = Bench()
    bench.connect()
    bench.wait(10.0)
    asked = [effect.tell_drained for effect in bench.effects if isinstance(effect, Send)]
    assert sum(asked) <= len(asked) / ASK_DRAINED + 1


# ---- sending ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("audio_format", "kind"), [(SLIN, 0x10), (SLIN16, 0x12)])
def test_a_frame_each_20_ms_silence_where_there_is_nothing_to_say(audio_format: AudioFormat, kind: int) -> None:
    bench = Bench()
    line, conn, _ = bench.connect(FIRST, audio_format)
    frame = bytes([7]) * audio_format.frame_bytes
    line.frames = [frame, frame]
    begun = bench.now
    bench.wait(1.99)
    header = bytes([kind]) + len(frame).to_bytes(2, "big")
    silence = header + bytes(len(frame))
    assert bench.sent(conn) == (header + frame) * 2 + silence * 98
    assert (bench.port.frames_sent, bench.port.stalls) == (100, 0)
    assert bench.port.next_deadline() == pytest.approx(begun + 2.0)


def test_a_line_may_be_a_frame_ahead() -> None:
    """Of silence, and of its own; who is not there has none."""
    bench = Bench()
    line, conn, _ = bench.connect()
    _, other_conn, _ = bench.connect(SECOND)
    line.frames = [FRAME]
    bench.port.advance(FIRST)
    bench.wait(0.01)
    message = b"\x10\x01\x40"
    assert bench.sent(conn) == message + SILENCE + message + FRAME
    assert bench.sent(other_conn) == message + SILENCE
    bench.expect(expected := str(UUID(int=4)))
    for line_id in (expected, UNKNOWN):
        bench.port.advance(line_id)
        assert bench.collect() == []


def test_all_lines_have_one_clock() -> None:
    bench = Bench()
    lines = [bench.connect(str(UUID(int=number))) for number in range(10, 20)]
    before = len(bench.effects)
    bench.wait(0.1)
    sends = [effect for effect in bench.effects[before:] if isinstance(effect, Send)]
    assert [effect.conn for effect in sends[:10]] == [conn for _, conn, _ in lines]
    assert len(sends) == 10 * 6


def test_late_frames_are_made_up_for_in_one_send() -> None:
    bench = Bench()
    line, _, _ = bench.connect()
    bench.port.handle_timeout(bench.now)
    line.frames = [FRAME, FRAME]
    bench.now += 0.079
    bench.port.handle_timeout(bench.now)
    *_, last = bench.collect()
    message = b"\x10\x01\x40"
    assert isinstance(last, Send)
    assert last.data == message + FRAME + message + FRAME + message + SILENCE
    assert bench.port.stalls == 0
    bench.now += 5.0
    bench.port.handle_timeout(bench.now)
    assert bench.port.stalls == 1


def test_with_the_last_line_the_clock_stops() -> None:
    bench = Bench()
    _, conn, _ = bench.connect()
    assert bench.port.next_deadline() is not None
    bench.port.release(FIRST, bench.now)
    bench.collect()
    assert bench.closed(conn)
    assert bench.port.next_deadline() is None


# ---- the end ---------------------------------------------------------------------------------------------------------


def test_what_is_released_is_told_nothing_more() -> None:
    bench = Bench()
    check = other(bench)
    line, conn, asterisk = bench.connect()
    told = len(line.told)
    bench.port.release(FIRST, bench.now)
    bench.port.release(FIRST, bench.now)
    bench.port.release(UNKNOWN, bench.now)
    bench.say(conn, asterisk.audio(FRAME))
    bench.port.receive(EndOfStream(conn), bench.now)
    bench.wait(1.0)
    assert len(line.told) == told
    assert bench.closed(conn)
    check()


@pytest.mark.parametrize("when", ["started", "audio", "digit", "ended"])
def test_a_line_may_release_itself_in_the_middle_of_what_it_is_told(when: str) -> None:
    bench = Bench()
    check = other(bench)
    line = bench.expect()
    line.on_call = lambda name: bench.port.release(FIRST, bench.now) if name == when else None
    conn, asterisk = bench.come(), AudioSocketClient()
    bench.say(conn, asterisk.identify(FIRST) + (asterisk.audio(FRAME) + asterisk.dtmf("1")) * 2 + b"\x77\x00\x00")
    assert bench.closed(conn)
    assert line.told[-1][0] == when
    bench.wait(0.1)
    check()


def test_closing_closes_everything_and_tells_nobody() -> None:
    bench = Bench()
    line, conn, _ = bench.connect()
    visitor = bench.come()
    waiting = bench.expect(SECOND)
    told = len(line.told)
    bench.port.close(bench.now)
    assert bench.collect() == [Close(LISTENER), Close(visitor), Close(conn)]
    assert (len(line.told), waiting.end) == (told, None)
    assert bench.port.next_deadline() is None
    bench.port.close(bench.now)
    assert bench.collect() == []


def test_what_is_not_about_the_port_is_left_to_others() -> None:
    bench = Bench()
    bench.connect()
    for event in (Connected(5), Received(5, b"x"), EndOfStream(5), Failed(5, "gone"), Drained(5), Accepted(5, 6)):
        assert not bench.port.receive(event, bench.now)


def test_it_says_whether_anything_but_audio_has_happened() -> None:
    bench = Bench()
    line, conn, asterisk = bench.connect()
    seen = [bench.port.take_stirred(), bench.port.take_stirred()]
    bench.say(conn, asterisk.audio(FRAME))
    bench.wait(0.1)
    seen.append(bench.port.take_stirred())
    bench.say(conn, asterisk.dtmf("1"))
    seen.append(bench.port.take_stirred())
    bench.port.receive(EndOfStream(conn), bench.now)
    assert line.end
    assert [*seen, bench.port.take_stirred()] == [True, False, False, True, True]


def test_whoever_comes_or_goes_without_a_name_is_something_that_has_happened() -> None:
    """There is another deadline, or a connection to close: whoever asks for those after anything but audio must ask."""
    bench = Bench()
    bench.expect()
    bench.listening()
    seen = [bench.port.take_stirred()]
    conn = bench.come()
    seen.append(bench.port.take_stirred())
    bench.port.receive(EndOfStream(conn), bench.now)
    assert [*seen, bench.port.take_stirred()] == [True, True, True]


# ---- any chunking ----------------------------------------------------------------------------------------------------

MESSAGES = st.lists(
    st.one_of(
        st.binary(min_size=1, max_size=20).map(lambda data: ("audio", data * 2)),
        st.sampled_from("0123456789*#").map(lambda digit: ("digit", digit)),
    ),
    max_size=20,
)


@given(st.data(), MESSAGES, st.sampled_from([b"", b"\x77\x00\x00", b"\x10\xff\xff", b"\x10\x00\x02a"]))
def test_the_same_bytes_are_the_same_to_a_line_however_they_are_cut(
    data: st.DataObject, messages: list[tuple[str, bytes | str]], last: bytes
) -> None:
    def told(pieces: Iterable[bytes]) -> list[tuple[object, ...]]:
        bench = Bench()
        line = bench.expect()
        bench.listening()
        conn = bench.come()
        for piece in pieces:
            bench.say(conn, piece)
        bench.port.receive(EndOfStream(conn), bench.now)
        bench.collect()
        assert bench.closed(conn)
        assert line.end is not None
        return line.told

    asterisk = AudioSocketClient()
    stream = asterisk.identify(FIRST)
    for _, payload in messages:
        stream += asterisk.audio(payload) if isinstance(payload, bytes) else asterisk.dtmf(payload)
    in_pieces = data.draw(cut(st.just(stream + last)))
    assert same_in_any_pieces(in_pieces, told)[:-1] == [("ready", "127.0.0.1:9092"), ("started",), *messages]


@given(st.lists(st.binary(min_size=1, max_size=2000), max_size=10))
def test_whatever_a_stranger_sends_others_are_untouched_and_little_is_kept(pieces: list[bytes]) -> None:
    bench = Bench()
    check = other(bench)
    conn = bench.come()
    for piece in pieces:
        bench.say(conn, piece)
    if visitor := bench.port._visitors.get(conn):
        assert len(visitor.parser._partial) < 19
    check()
