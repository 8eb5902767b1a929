"""``check`` against servers in memory. Deterministic: no sockets, and a clock that is a number."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterator, Mapping
from itertools import count
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxtra_core.app.check import CheckMachine
from voxtra_core.app.findings import Finding
from voxtra_core.app.options import make_options
from voxtra_core.app.versions import CALLS, FEATURES, Feature, Version
from voxtra_core.effects import TLS, Close, Connect, Finish, Listen, Listening

from .memory import APPLICATION, ASTERISK, DEVICE, INFO, MODULES, WRITE, Server, as_ari, modules, run

USER, PASSWORD = "tester", "s3cret-sesame"


def new_check(
    url: str = "http://pbx:8088", user: str = USER, password: str = PASSWORD, app_name: str = "app", **options: Any
) -> CheckMachine:
    ids = count()
    return CheckMachine(
        make_options(url, user, password, app_name=app_name, number_variable=None, environ={}),
        new_id=lambda: f"id{next(ids)}",
        **options,
    )


def findings(server: Server, **options: Any) -> list[Finding]:
    machine = new_check(**options)
    run(machine, server)
    return machine.findings


def faults(server: Server, **options: Any) -> list[str]:
    """The lines that say that something is wrong."""
    return [f"{finding}" for finding in findings(server, **options) if not finding.ok]


def asterisk(answers: Mapping[str, bytes]) -> Server:
    """An Asterisk with which all is well, but for these answers."""
    return Server({**ASTERISK, **answers})


# ---- what it asks ----------------------------------------------------------------------------------------------------


def test_all_is_well() -> None:
    seen: list[Finding] = []
    machine = new_check(extension="100@in", observer=seen.append)
    requests, now = run(machine, Server(ASTERISK))
    assert [finding.ok for finding in machine.findings] == [True] * 6
    assert [finding.mend for finding in machine.findings] == [""] * 6
    assert machine.findings[0].what == "Asterisk 22.10.1 answers at http://pbx:8088/ari"
    assert seen == machine.findings
    assert now == 100.0
    assert [request.split(" HTTP", 1)[0] for request in requests] == [
        "GET /ari/asterisk/info?only=system",
        "POST /ari/channels/no-such-channel-id0/ring",
        "GET /ari/asterisk/modules",
        "GET /ari/applications/app",
        "GET /ari/deviceStates/Local%2F100%40in",
    ]


def test_each_request_says_who_asks() -> None:
    requests, _ = run(new_check("http://[::1]:8088/prefix/ari"), Server({"GET /prefix/ari/": ASTERISK[INFO]}))
    credentials = b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    for request in requests:
        assert "\r\nHost: [::1]:8088\r\n" in request
        assert f"\r\nAuthorization: Basic {credentials}\r\n" in request


@pytest.mark.parametrize(
    ("url", "effect"),
    [
        ("http://pbx.example:1234", Connect(1, "pbx.example", 1234)),
        ("http://pbx.example", Connect(1, "pbx.example", 80)),
        ("https://pbx.example", Connect(1, "pbx.example", 443, TLS())),
    ],
)
def test_it_connects_where_the_url_says(url: str, effect: Connect) -> None:
    machine = new_check(url)
    machine.start(0.0)
    assert machine.effects_to_perform() == [effect]


@given(
    st.text(st.characters(exclude_characters=',"\\\0', exclude_categories=["Cs", "Z", "Cc"]), min_size=1, max_size=18)
)
def test_it_never_takes_the_applications_name(app_name: str) -> None:
    """Whatever its name: only an event socket takes it, and that is a ``GET`` of ``/events``."""
    requests, _ = run(new_check(app_name=app_name), Server(ASTERISK))
    assert len(requests) == 4
    assert not [request for request in requests if "/events" in request or "Upgrade" in request]
    assert [request.split()[1] for request in requests if not request.startswith("GET ")] == [
        "/ari/channels/no-such-channel-id0/ring"
    ]


# ---- what it finds ---------------------------------------------------------------------------------------------------

NO_RESOURCE = '{"message":"Resource not found"}'
HTML = b"""<!DOCTYPE HTML PUBLIC "-//IETF//DTD HTML 2.0//EN">\r\n<html><head>\r\n<title>%s</title>\r\n</head><body>\r\n\
<h1>%s</h1>\r\n<p>%s</p>\r\n<hr />\r\n<address>%s</address>\r\n</body></html>\r\n"""


def html(status: bytes, text: bytes, server: bytes = b"Asterisk") -> bytes:
    """As ``ast_http_error`` makes it (``main/http.c``)."""
    body = HTML % (status[4:], status[4:], text, server)
    head = b"HTTP/1.1 %s\r\nServer: %s\r\nContent-type: text/html\r\nContent-Length: %d\r\n\r\n"
    return head % (status, server, len(body)) + body


TROUBLES: dict[str, tuple[Server, str]] = {
    "refused": (Server(refusal="connection refused"), "no connection to pbx:8088: connection refused – "),
    "unresolved": (Server(refusal="Name or service not known"), "does it resolve here?"),
    "no route": (Server(refusal="no route to host"), "is that machine up?"),
    "dead": (Server(dead=True), "no connection to pbx:8088 within 5 s: timeout – "),
    "silent": (Server(), "takes connections, and did not answer within 5 s"),
    "closed": (Server(closes=True), "closed the connection without an answer"),
    "reset": (Server(breaks=True), "closed the connection without an answer"),
    "not HTTP": (Server(greeting=b"220 mail ESMTP\r\n"), "pbx:8088 does not speak HTTP – "),
    "AMI": (Server(greeting=b"Asterisk Call Manager/9.0.0\r\n"), "manager interface"),
    "SSH": (Server(greeting=b"SSH-2.0-OpenSSH_9.2\r\n"), "it is SSH"),
    "TLS": (Server({"GET": b"\x15\x03\x03\x00\x02\x02\x16"}), "begin the URL with https"),
    "broken HTTP": (Server({"GET": b"HTTP/1.1 broken\r\n\r\n"}), "pbx:8088 does not speak HTTP – "),
    "another server": (Server({"GET": html(b"404 Not Found", b"", b"nginx")}), "HTTP, but not Asterisk: status 404"),
    "a page": (Server({"GET": html(b"200 OK", b"Welcome")}), "HTTP, but not Asterisk: status 200"),
    "another API": (Server({"GET": as_ari("200 OK", '{"system":"?"}')}), "HTTP, but not Asterisk: status 200"),
    "a proxy's login": (Server({"GET": html(b"401 Unauthorized", b"", b"proxy")}), "not Asterisk: status 401"),
    "no ARI": (Server({"GET": html(b"404 Not Found", b"Not found.")}), "has no ARI at http://pbx:8088/ari (404)"),
    "booting": (Server({"GET": html(b"503 Unavailable", b"Asterisk not booted")}), "not finished booting (503)"),
    "wrong password": (
        Server({"GET": as_ari("401 Unauthorized", '{"message":"Authentication required"}')}),
        "refuses the user 'tester' with this password (401)",
    ),
    "wrong address": (
        Server({"GET": as_ari("403 Forbidden", '{"message":"Access denied by ACL"}')}),
        "does not let the user 'tester' in from this address (403)",
    ),
    "no /asterisk": (Server({"GET": as_ari("404 Not Found", NO_RESOURCE)}), "module load res_ari_asterisk.so"),
    "too old": (
        asterisk({INFO: as_ari("200 OK", '{"system":{"version":"16.28.0","entity_id":""}}')}),
        "Asterisk 16.28 is too old for refer – upgrade to 18.20 or 20.5, or to a later series",
    ),
    "read-only": (
        asterisk({WRITE: as_ari("403 Forbidden", '{"message":"Write access denied"}')}),
        "the user 'tester' may only read (403) – set read_only=no",
    ),
    "GET only": (asterisk({WRITE: html(b"405 No", b"", b"proxy")}), "a POST was answered with status 405"),
    "a module missing": (
        asterisk({MODULES: modules(*CALLS.modules[:-1], "res_ari_endpoints")}),
        f"not loaded, and needed for calls: {CALLS.modules[-1]}.so – ",
    ),
    "modules unknown": (asterisk({MODULES: as_ari("501 No", "{}")}), "which modules are loaded cannot be told"),
    "in use": (asterisk({APPLICATION: as_ari("200 OK", '{"name":"app"}')}), "'app' is in use, or was a moment ago – "),
    "name unknown": (asterisk({APPLICATION: as_ari("500 No", "{}")}), "whether the name is free cannot be told"),
    "no extension": (
        asterisk({DEVICE: as_ari("200 OK", '{"name":"Local/100@in","state":"INVALID"}')}),
        "the dialplan has no 100@in – put `exten => 100,1,Stasis(app)` below [in]",
    ),
    "extension unknown": (asterisk({DEVICE: as_ari("404 Not Found", NO_RESOURCE)}), "whether 100@in exists cannot be"),
}


@pytest.mark.parametrize("trouble", TROUBLES)
def test_a_trouble_is_named(trouble: str) -> None:
    server, words = TROUBLES[trouble]
    (line,) = faults(server, extension="100@in", needs=[FEATURES["refer"]])
    assert words in line
    assert " – " in line  # how to mend it


def test_each_trouble_has_words_of_its_own() -> None:
    lines = {trouble: faults(server, extension="100@in") for trouble, (server, _) in TROUBLES.items()}
    same = {
        "reset": "closed",
        "broken HTTP": "not HTTP",
        "a page": "another API",
    }  # these mean the same, and are mended in the same way
    told = [tuple(line) for trouble, line in lines.items() if trouble not in same]
    assert len(set(told)) == len(told)
    assert all(lines[one] == lines[other] for one, other in same.items())


@pytest.mark.parametrize("trouble", ["not HTTP", "AMI", "SSH", "TLS", "broken HTTP", "closed", "reset"])
def test_what_is_no_answer_is_not_waited_for(trouble: str) -> None:
    assert run(new_check(), TROUBLES[trouble][0])[1] == 100.0


@pytest.mark.parametrize("body", ["[]", "null", '"message"', '{"message":1}', "{", ""])
@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_refusal_in_other_words_than_aris_is_somebody_elses(status: int, body: str) -> None:
    (line,) = faults(Server({"GET": as_ari(f"{status} No", body)}))
    assert line.startswith(f"HTTP, but not Asterisk: status {status} at http://pbx:8088/ari – ")


def test_what_has_no_user_is_not_even_asked() -> None:
    machine = new_check(user="")
    machine.start(0.0)
    assert machine.effects_to_perform() == [Finish()]
    assert [f"{finding}" for finding in machine.findings] == [
        "no ARI user is given – name one of Asterisk's ari.conf, with its password"
    ]


@pytest.mark.parametrize("address", ["192.0.2.1:8088", "[2001:db8::1]:8088"])
def test_an_address_is_not_said_to_be_a_name(address: str) -> None:
    server = Server(refusal="address not available")
    line = f"no connection to {address}: address not available – is the address right?"
    assert faults(server, url=f"http://{address}") == [line]


def test_a_read_only_user_is_told_the_rest_all_the_same() -> None:
    server, _ = TROUBLES["read-only"]
    assert [finding.ok for finding in findings(server, extension="100@in")] == [True, True, False, True, True, True]


def test_the_context_that_comes_with_the_application_need_not_be_there_yet() -> None:
    server, _ = TROUBLES["no extension"]
    assert faults(server, extension="anything@stasis-app") == []


def test_a_version_without_a_release_is_no_fault() -> None:
    server = asterisk({INFO: as_ari("200 OK", '{"system":{"version":"GIT-master-5a3f","entity_id":""}}')})
    found = findings(server, needs=[FEATURES["refer"]])
    assert found[0].what.startswith("Asterisk of an unnamed release answers")
    assert found[1] == Finding(True, "whether it is new enough for calls, refer cannot be told, as it names no release")


@given(
    needs=st.lists(st.sampled_from(list(FEATURES.values())), unique=True),
    version=st.builds(Version, st.sampled_from([16, 18, 20, 21, 22, 23]), st.integers(0, 30)),
    absent=st.sets(st.sampled_from(sorted({module for f in FEATURES.values() for module in f.modules}))),
)
def test_what_is_needed_is_held_against_version_and_modules(
    needs: list[Feature], version: Version, absent: set[str]
) -> None:
    loaded = {module for feature in FEATURES.values() for module in feature.modules} - absent
    lines = faults(
        asterisk(
            {
                INFO: as_ari("200 OK", json.dumps({"system": {"version": f"{version}", "entity_id": ""}})),
                MODULES: modules(*loaded),
            }
        ),
        needs=needs,
    )
    too_old = [line for line in lines if line.startswith(f"Asterisk {version} is too old for ")]
    missing = [line for line in lines if line.startswith("not loaded, and needed for ")]
    assert len(lines) == len(too_old) + len(missing)
    needed = [CALLS, *(feature for feature in needs if feature is not CALLS)]
    assert [line.split(" – ")[0].rpartition(" ")[2] for line in too_old] == [
        feature.name for feature in needed if not feature.works_on(version)
    ]
    assert [line.split(" – ")[0].split(": ")[1] for line in missing] == [
        ", ".join(f"{module}.so" for module in feature.modules if module in absent)
        for feature in needed
        if absent & set(feature.modules)
    ]


def test_a_module_that_does_not_run_is_not_there() -> None:
    stopped = modules(*(module for feature in FEATURES.values() for module in feature.modules), status="Not Running")
    (line,) = faults(asterisk({MODULES: stopped}))
    assert ", ".join(f"{module}.so" for module in CALLS.modules) in line


# ---- whatever comes --------------------------------------------------------------------------------------------------

statuses = st.sampled_from([200, 204, 301, 400, 401, 403, 404, 405, 503])
bodies = st.one_of(
    st.binary(max_size=200),
    st.sampled_from([b'{"message":"no"}', b'{"message":1}', b"[]", b"[" * 5000, b"not booted", b"Asterisk"]),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["system", "version", "name"]), inner),
    ).map(lambda value: json.dumps(value).encode()),
)


@st.composite
def responses(draw: st.DrawFn) -> bytes:
    """Good ones, broken ones, and what is none."""
    body = draw(bodies)
    length = draw(st.sampled_from([len(body), len(body), len(body), len(body) + 1, 0]))
    response = b"HTTP/1.1 %d Word\r\nContent-Length: %d\r\n\r\n%s" % (draw(statuses), length, body)
    return draw(st.sampled_from([response, response, response, body, response[: len(response) // 2]]))


@given(
    answers=st.fixed_dictionaries({}, optional={beginning: responses() for beginning in ASTERISK}),
    greeting=st.just(b"") | st.binary(max_size=30) | st.sampled_from([b"Asterisk Call Manager/9\r\n", b"Asterisk?"]),
    closes=st.booleans(),
    breaks=st.booleans(),
    sizes=st.lists(st.integers(1, 50), min_size=1, max_size=5),
)
def test_whatever_comes_is_found_out_in_time_however_it_is_cut(
    answers: dict[str, bytes], greeting: bytes, closes: bool, breaks: bool, sizes: list[int]
) -> None:
    server = Server({**ASTERISK, **answers}, greeting=greeting, closes=closes, breaks=breaks)

    def cut(data: bytes) -> Iterator[bytes]:
        for size in sizes * len(data):
            if data:
                yield data[:size]
                data = data[size:]

    whole, cut_up = new_check(extension="100@in"), new_check(extension="100@in")
    _, over = run(whole, server)
    assert over <= 105.0
    assert run(cut_up, server, cut)[1] == over
    assert cut_up.findings == whole.findings
    assert all(finding.what and bool(finding.mend) != finding.ok for finding in whole.findings)


@given(
    secret=st.uuids().map(str),
    template=st.sampled_from(
        [
            b"%s",
            b"HTTP/1.1 200 OK\r\n%s\r\n\r\n",
            b"HTTP/1.1 401 %s\r\nContent-Length: 0\r\n\r\n",
            b"HTTP/1.1 404 Not Found\r\n\r\nAsterisk %s",
            b'HTTP/1.1 401 No\r\n\r\n{"message":"%s"}',
            b'HTTP/1.1 200 OK\r\n\r\n{"system":{"version":"%s","entity_id":""}}',
            b'HTTP/1.1 200 OK\r\n\r\n{"system":{"version":"22.10 %s","entity_id":""}}',
        ]
    ),
    later=st.booleans(),
    encoded=st.booleans(),
)
def test_no_secret_is_repeated_even_if_the_server_repeats_it(
    secret: str, template: bytes, later: bool, encoded: bool
) -> None:
    credentials = b64encode(f"{USER}:{secret}".encode()).decode()
    answer = template % (credentials if encoded else secret).encode()
    server = Server(({INFO: ASTERISK[INFO]} if later else {}) | {"": answer}, closes=True)
    machine = new_check(password=secret)
    run(machine, server)
    told = f"{machine!r} {machine.findings}"
    assert secret not in told
    assert credentials not in told


# ---- what the options take -------------------------------------------------------------------------------------------


def configured(ari: bool = False, **options: Any) -> CheckMachine:
    """A check of an application with these options, and of this Asterisk if that is to connect to it."""
    told = {"ari_url": "http://pbx:8088", "ari_user": USER, "ari_password": PASSWORD}
    common: dict[str, Any] = {"app_name": "voxtra", "number_variable": None, "environ": {}}
    with_listen: dict[str, Any] = {"ari_url": None} if "listen" in options else {}
    checked = make_options(**(told | common | with_listen | options))
    return CheckMachine(checked, new_id=lambda: "id", ari=make_options(**(told | common)) if ari else None)


@pytest.mark.parametrize(
    ("release", "says"), [("20.14.0", "is new enough for calls, rest"), ("20.13.0", "too old for rest-over-websocket")]
)
def test_requests_over_the_socket_take_an_asterisk_that_knows_them(release: str, says: str) -> None:
    machine = configured(requests="websocket")
    run(machine, Server({**ASTERISK, INFO: as_ari("200 OK", json.dumps({"system": {"version": release}}))}))
    assert says in machine.findings[1].what


def test_whether_it_can_listen() -> None:
    machine = configured(listen="0.0.0.0:8090", ari_url=None)
    requests, _ = run(machine, Server(ASTERISK))
    first, second = machine.findings
    assert (first.ok, first.what, second.ok, requests) == (True, "it can listen on 0.0.0.0:8090", True, [])
    machine = configured(ari=True, listen="0.0.0.0:8090", ari_url=None)
    requests, _ = run(machine, Server({**ASTERISK, MODULES: modules("res_ari")}, taken="address already in use"))
    taken, there, version, *missing = machine.findings
    assert f"{taken}".startswith("it cannot listen on 0.0.0.0:8090: address already in use – end the program that")
    assert (there.ok, version.what) == (True, "it is new enough for calls, outbound-websocket")
    assert [finding.what.partition(":")[0] for finding in missing] == [
        "not loaded, and needed for calls",
        "not loaded, and needed for outbound-websocket",
    ]
    assert [request.split("?")[0].split(" HTTP")[0] for request in requests] == [
        "GET /ari/asterisk/info",
        "GET /ari/asterisk/modules",
    ]


@pytest.mark.parametrize("late", [True, False])
def test_a_listener_that_never_comes_up(late: bool) -> None:
    machine = configured(listen="[::1]:8090", ari_url=None)
    machine.start(0.0)
    assert machine.effects_to_perform() == [Listen(1, "::1", 8090)]
    if late:
        machine.handle_timeout(5.0)
        assert machine.findings[0].what == "it cannot listen on [::1]:8090: no answer in time"
    else:
        machine.interrupt(1.0)
        assert machine.findings == []
    assert machine.effects_to_perform() == [Close(1), Finish()]
    machine.receive(Listening(1, 8090), 6.0)
    assert machine.effects_to_perform() == []


def test_with_listen_there_is_no_extension_to_look_for() -> None:
    options = make_options(None, USER, PASSWORD, app_name="voxtra", number_variable=None, listen="[::]:1", environ={})
    with pytest.raises(ValueError, match="no extension with listen"):
        CheckMachine(options, new_id=lambda: "id", extension="100@in")


# ---- the machine -----------------------------------------------------------------------------------------------------


@given(timeout=st.floats(0.001, 1000), elapsed=st.floats(0, 0.999))
def test_a_dead_host_costs_the_timeout_and_no_more(timeout: float, elapsed: float) -> None:
    machine = new_check(timeout=timeout)
    machine.start(50.0)
    assert machine.next_deadline() == 50.0 + timeout
    machine.handle_timeout(50.0 + timeout * elapsed)
    assert machine.findings == []
    machine.handle_timeout(50.0 + timeout)
    assert [finding.ok for finding in machine.findings] == [False]
    assert f"within {timeout:g} s" in machine.findings[0].what
    assert machine.next_deadline() is None


def test_the_timeout_is_for_all_questions_together() -> None:
    """An answer does not start the clock again."""
    machine = new_check()
    requests, over = run(machine, Server({INFO: ASTERISK[INFO]}))
    assert len(requests) == 2
    assert over == 105.0
    assert [finding.ok for finding in machine.findings] == [True, True, False]


def test_interrupted_it_stops_at_once() -> None:
    machine = new_check()
    machine.start(0.0)
    assert machine.effects_to_perform() == [Connect(1, "pbx", 8088)]
    machine.interrupt(1.0)
    assert machine.effects_to_perform() == [Close(1), Finish()]
    assert machine.findings == []
    assert machine.next_deadline() is None


@pytest.mark.parametrize("extension", ["", "100", "@in", "100@", "100@in/n", "a/b@c"])
def test_an_extension_that_is_none(extension: str) -> None:
    with pytest.raises(ValueError, match="an extension must look like 100@from-phones, not "):
        new_check(extension=extension)


@pytest.mark.parametrize("timeout", [0.0, -1.0, float("nan")])
def test_a_timeout_that_is_none(timeout: float) -> None:
    with pytest.raises(ValueError, match="timeout must be more than 0 seconds"):
        new_check(timeout=timeout)


def test_a_host_that_http_cannot_carry() -> None:
    with pytest.raises(ValueError, match="ari_url must be ASCII without spaces"):
        new_check("http://bücher.example")
