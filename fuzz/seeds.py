"""What each target begins with: what Asterisk really sends (tests/fixtures), what was written by hand, and the corpus,
which is what earlier searches found worth keeping (fuzz/corpus).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

from voxtra_core.media import write_wav
from voxtra_core.media.formats import format_of

from .frames import OPENED, frame, message
from .names import ASKED, OPERATIONS

__all__ = ["CORPUS", "HOSTILE", "seeds_of"]

CORPUS = Path(__file__).parent / "corpus"
_FIXTURES = Path(__file__).parents[1] / "tests" / "fixtures"
_IDENTITY = message(1, bytes.fromhex("00000000000040008000000000000000"))
_SCHEDULES = ("application", "ari_link", "ari_listener", "ari_server", "audiosocket_port", "web_port")

HOSTILE: tuple[tuple[int, bytes], ...] = (
    (0, b"plain"),
    (0, b"a/b"),
    (0, b"../../etc/passwd"),
    (0, b".."),
    (0, b"."),
    (0, b"%2e%2e%2f"),
    (0, b"a'b\"c\\d"),
    (0, b"a\nb"),
    (0, b"a\r\nX-Injected: yes\r\n\r\nDELETE /ari/channels/1 HTTP/1.1\r\n\r\n"),
    (0, b"a\0b"),
    (0, b"a?x=1&app=b#c;2"),
    (0, b"a+b c%20d"),
    (0, b"a,b(c[d"),
    (0, "Grüße ☃ 🎉 \u202e\u2028".encode()),
    (0, b'{"a":"b"}'),
    (0, b"${SHELL(id)}"),
    (0, b""),
    (7, b"half a surrogate: \xff"),
    (56, b"x"),
    (56, b"/"),
    (56, "ü".encode()),
)
"""Texts that were made to get out of their place, and before each the byte that says how it is read: the last ones are
of 10,000 characters.
"""


def seeds_of(name: str) -> list[bytes]:
    """All there are for a target, in the same order each time."""
    return [*_written(name), *(path.read_bytes() for path in sorted((CORPUS / name).glob("*")))]


def _written(name: str) -> list[bytes]:
    if name in _SCHEDULES:  # nobody writes those by hand
        random = Random(name)
        return [random.randbytes(size) for size in (50, 200, 600, 1500)]
    match name:
        case "http_client":
            return [
                *(b"\x07\0" + response for _, response in islice(_exchanges(), 0, None, 8)),
                b"\0\0HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
                b"\x01\0HTTP/1.0 200 OK\r\n\r\nuntil the end",
                b"\x05\0HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n",
                b"\x05\xffHTTP/1.1 200 OK\r\nX: y\r\n",
            ]
        case "http_stream_client":
            return [
                b"\0\0HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                b"5\r\nhello\r\n6;x=y\r\n world\r\n0\r\nA: b\r\n\r\n",
                b"\x01\0HTTP/1.0 200 OK\r\n\r\nuntil the end",
                b"\x03\0HTTP/1.1 103 Early Hints\r\nA: b\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
                b"\x07\0HTTP/1.1 429 Slow down\r\nRetry-After: 3\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}",
                b"\x05\xffHTTP/1.1 200 OK\r\nX: y\r\n",
            ]
        case "event_stream":
            return [
                b"\0\0: hello\n\nevent: a\nid: 1\ndata: x\ndata:y\n\ndata\n\n",
                b"\x01\0\xef\xbb\xbfdata: a\r\rdata: b\r\n\r\nretry: 10\nid: \0\n\n",
                b"\x03\xffdata: 0123456789\n",
            ]
        case "chat_answer":
            chunks = [
                '{"choices":[{"index":0,"delta":{"role":"assistant","content":"Hello"},"finish_reason":null}]}',
                '{"choices":[{"delta":{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"{\\"x\\""}}]}}]}',
                '{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":":1}"}}]}}]}',
                '{"choices":[{"delta":{},"finish_reason":"tool_calls"}]}',
                '{"error":{"message":"boom","code":429}}',
                "[DONE]",
            ]
            events = [f"data: {chunk}\n\n".encode() for chunk in chunks]
            return [b"\x05\0" + b"".join(events[:4] + events[5:]), b"\0\0" + b"".join(events), b"\x01\0" + events[4]]
        case "http_server":
            return [
                *(b"\x09\0" + request for request, _ in islice(_exchanges(), 0, None, 8)),
                b"\0\0GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /b HTTP/1.1\r\nHost: a\r\n\r\n",
                b"\x01\0POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
                b"\x03\xffGET /",
            ]
        case "websocket_client":
            frames = b"\x89\0" + frame(b'{"type": "x"}') + frame(b"half", fin=False) + frame(b"rest", 0) + frame(b"", 8)
            return [
                b"\0\0" + OPENED + frames,
                b"\x03\0" + OPENED + frames,
                b"\x05\xff" + OPENED + frame(b"pong", 10),
            ] + [b"\x07\0" + response for _, response in islice(_exchanges("ws-"), 5)]
        case "websocket_server":
            texts = [
                frame(b"hello", masked=True),
                frame(b"half", 2, fin=False, masked=True),
                frame(b"", 9, masked=True),
            ]
            end = frame(b"\x03\xe8bye", 8, masked=True)
            return [b"\0\0\0" + b"".join(texts) + end, b"\0\x02\0" + texts[0] + texts[2] + end, b"\x05\x03abc\0\0"]
        case "audiosocket_server" | "audiosocket_client":
            recorded = "audiosocket-in.bin" if name == "audiosocket_server" else "audiosocket-out.bin"
            more = message(3, b"5") + message(0x10, bytes(320)) + message(0xFF, b"\x01") + message(0)
            return [
                b"\x0b\0" + (_FIXTURES / recorded).read_bytes()[:2000],
                b"\0\0" + _IDENTITY + more,
                b"\x01\0" + more,
                b"\x07\xff" + message(0x10, bytes(160)),
            ]
        case "event_decoder":
            return _lines()
        case "model_decoder":
            bodies = [response.partition(b"\r\n\r\n")[2] for _, response in _exchanges()]
            return [bytes([number]) + body for number, body in enumerate(bodies[:60])]
        case "rest_messages":
            recorded_ones = [line for line in _lines("rest_over_ws*") if b"REST" in line]
            return [
                *recorded_ones[:20],
                b'{"type":"RESTRequest","request_id":"1","method":"GET","uri":"channels?x=1",'
                b'"query_strings":[{"name":"a","value":"b"}]}',
                b'{"type":"RESTRequest","method":"POST","uri":"channels","content_type":"application/json",'
                b'"message_body":"{}"}',
            ]
        case "wav":
            plain = [write_wav(bytes(20), format_of("slin", 8000)), write_wav(b"\xff" * 9, format_of("ulaw", 8000))]
            return [*plain, plain[0][:22] + b"\x02\0" + plain[0][24:], plain[0][:34] + b"\x18\0" + plain[0][36:]]
        case "addresses":
            return [
                b"127.0.0.1:0",
                b"[::1]:8090",
                b"user:secret@host:1",
                b"10.0.0.0/8",
                b"fe80::1%eth0",
                b"slin16",
                b"22.10.1+dfsg+~cs6.17",
                b"certified/20.7-cert5",
                b"SSH-2.0-OpenSSH",
                b"HTTP/1.1 404 Not Found",
                b'{"message": "Resource not found"}',
            ]
        case "options":
            return [
                _texts(b"http://pbx:8088", b"user", b"password", b"app") + b"\0",
                _texts(b"https://pbx/prefix/ari/", b"user", b"a secret word", b"app") + b"\0",
                _texts(b"http://user:a-secret-word@pbx", b"", b"", b"") + b"\0",
                _texts(b"", b"user", b"password", b"voxtra") + b"\1" + _texts(b"[::]:8090"),
            ]
        case "names":
            texts = [_texts_read((text,)) for text in HOSTILE]
            second = [_texts_read((HOSTILE[0], text)) for text in HOSTILE]
            builders = [
                text + bytes([0, number]) + _arguments(operation)
                for number, operation in enumerate(OPERATIONS)
                for text in (texts[number % len(texts)], second[number % len(texts)], second[9], second[17])
            ]
            calls = [bytes([1, call_id, 0, 0, 0, asked]) for call_id in (0, 1) for asked in range(len(ASKED) + 1)]
            recordings = [bytes([2]), bytes([2, 0, 1])]
            return builders + [text + rest for text in texts for rest in [*calls, *recordings, bytes([3])]]
        case "people":
            return [
                b'# both\ncaller 5550100 "Alice \\"A\\"" dials 200 in menu from PJSIP/alice after 2 s rate 16000\n'
                b"set LANG to en\nwait for answer, at most 20 s\nwait for prompt hello-world to start at most .5 s\n"
                b"press 1234# after 0.5 s, 0.25 s apart, held 0.1 s\nwait for digits 12\nhang up with cause 21\n"
                b"agent PJSIP/bob rate 8000\nring\nearly media\nwait 2 s\nbe busy\n",
                b'caller "Bob" dials 1\nsay "a table for two" meanwhile\ntalk 2 s\ntalk "hello.wav"\nhold\nresume\n'
                b"hang up without cause\nagent SIP/a\nanswer\nrefuse with cause 34\nbe congested\n",
            ]
        case "provisioning":
            return [_texts(b"app", b"user", b"password", b"default", b"_X.", b"ws://pbx:8090/x", b"Hangup()")]
    return [b""]


def _texts_read(texts: Sequence[tuple[int, bytes]]) -> bytes:
    """As the target ``names`` reads them."""
    return bytes([len(texts) - 1]) + b"".join(bytes([how, len(text)]) + text for how, text in texts)


def _arguments(operation: dict[str, Any]) -> bytes:
    """Choices that give every parameter of an operation, those in its path the first text, the others the second."""
    chosen = bytearray()
    for about in operation["params"]:
        is_optional = about["in"] != "path" and not about.get("required")
        several = about.get("multiple") and "enum" not in about
        text = [0] if about["in"] == "path" else [1, 1] if about["type"] == "object" else [0, 1] if several else [1]
        chosen += bytes([0] * is_optional + text)
    return bytes(chosen)


def _texts(*texts: bytes) -> bytes:
    return b"".join(bytes([len(text)]) + text for text in texts)


def _exchanges(beginning: str = "") -> list[tuple[bytes, bytes]]:
    """Recorded requests and their responses."""
    pairs = []
    for path in sorted((_FIXTURES / "http").glob(f"{beginning}*.http")):
        request, _, response = path.read_bytes().partition(b"\n======== response\n")
        pairs.append((_with_crlf(request), _with_crlf(response)))
    return pairs


def _with_crlf(text: bytes) -> bytes:
    """The recordings have lost the carriage returns of the head."""
    head, end, body = text.replace(b"\r\n", b"\n").partition(b"\n\n")
    return head.replace(b"\n", b"\r\n") + end.replace(b"\n", b"\r\n") + body


def _lines(pattern: str = "*") -> list[bytes]:
    """One recorded event of each type, and of each length."""
    found: dict[bytes, bytes] = {}
    for path in sorted(_FIXTURES.glob(f"{pattern}.jsonl")):
        for line in path.read_bytes().splitlines():
            found.setdefault(line[:40], line)
    return list(found.values())
