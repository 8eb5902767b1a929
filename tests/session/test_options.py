"""Options that contradict each other, and secrets in those that cannot be."""

from __future__ import annotations

import math
import traceback
from itertools import count
from typing import Any, Literal
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from voxtra_core.app.connect import ari_link
from voxtra_core.app.options import make_options
from voxtra_core.ari import asterisk
from voxtra_core.ari.messages import LinkClosed
from voxtra_core.testing import SimulatedAsterisk
from voxtra_core.testing.virtual import VirtualApp, VirtualLoop

from ..wire.memory import PORT, new_network


def app(environ: dict[str, str] | None = None, **options: Any) -> VirtualApp:
    loop = VirtualLoop(environ)
    return VirtualApp(loop, SimulatedAsterisk(new_id=loop.new_id), **options)


@pytest.mark.parametrize("options", [{"app_name": "orders"}, {"requests": "websocket"}], ids=str)
def test_what_means_nothing_with_listen_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="give neither app_name nor requests"):
        app(listen="[::]:8090", **options)


@pytest.mark.parametrize("seconds", [-1.0, math.inf, math.nan])
def test_an_orphans_patience_that_cannot_be(seconds: float) -> None:
    with pytest.raises(ValueError, match="orphan_patience must be 0 or more seconds, and finite, not"):
        app(orphan_patience=seconds)


def test_what_happens_when_replaced_is_one_of_two() -> None:
    with pytest.raises(ValueError, match="when_replaced must be one of finish, hangup, not 'fight'"):
        app(when_replaced="fight")


def test_the_environments_url_means_nothing_with_listen() -> None:
    assert "8090" in repr(app({"VOXTRA_ARI_URL": "what is this"}, listen="[::]:8090"))


@pytest.mark.parametrize("listen", ["user:hunter2@0.0.0.0:80", "hunter2@[::]", "ws://user:hunter2@host:1"])
def test_no_secret_in_what_is_said_about_listen(listen: str) -> None:
    with pytest.raises(ValueError, match="listen must be host:port") as caught:
        app(listen=listen)
    assert "hunter2" not in "".join(traceback.format_exception(caught.value)).partition("listen=listen")[2]
    assert "hunter2" not in str(caught.value)


WHERE = [
    "http://voxtra:{}@pbx:8088",
    "https://{}@pbx",
    "voxtra:{}@pbx:8088",
    "http://voxtra:{}\N{FULLWIDTH COMMERCIAL AT}pbx",  # which is an @ to some
    "http://voxtra:{}",
    "http://pbx/{}@ari",
    "http://pbx:8088/ari?api_key=voxtra:{}",
    "http://pbx:8088/ari#api_key=voxtra:{}",
    "voxtra:{}@",
    "ws://voxtra:{}",
    "{}",
]
"""Where people put a password."""


@given(template=st.sampled_from(WHERE), before=st.text(max_size=3), after=st.text(max_size=3), quoted=st.booleans())
@example("http://voxtra:{}@pbx:8088", "[", "]", False)
@example("http://voxtra:{}@pbx", "", "℀", False)
@example("http://voxtra:{}@pbx", "x://", "", False)
def test_no_secret_in_what_is_said_about_a_url(template: str, before: str, after: str, quoted: bool) -> None:
    """Nor in what that error came of, which some show."""
    secret = f"{before}hunter2{after}"
    url = template.format(quote(secret, errors="replace") if quoted else secret)
    cases: list[dict[str, Any]] = [{"ari_url": url}, {"environ": {"VOXTRA_ARI_URL": url}}, {"listen": url}]
    for options in cases:
        assert "hunter2" not in said_about(secret, **options)


@pytest.mark.parametrize("environ", [False, True])
@pytest.mark.parametrize(("name", "what"), [("ari_user", "half of a surrogate"), ("ari_password", "a NUL")])
def test_credentials_that_nobody_could_send(name: str, what: str, environ: bool) -> None:
    """As from an environment that is not UTF-8: ``os.environ`` has half surrogates then. The error holds no secret."""
    given = {"ari_user": "voxtra", "ari_password": "hunter2"}
    given[name] += "\udcff" if what == "half of a surrogate" else "\0"
    in_environ = {f"VOXTRA_{key.upper()}": value for key, value in given.items()} if environ else {}
    user, password = (None, None) if environ else (given["ari_user"], given["ari_password"])
    with pytest.raises(ValueError, match=f"{name} must not contain {what}") as caught:
        make_options(None, user, password, app_name="app", number_variable=None, environ=in_environ)
    assert "hunter2" not in repr(caught.value)
    assert caught.value.__context__ is None


def said_about(
    ari_password: str, ari_url: str | None = None, environ: dict[str, str] | None = None, **more: Any
) -> str:
    """All of a ``ValueError``, if there is one."""
    more |= {"app_name": "app", "number_variable": None}
    try:
        make_options(ari_url, "voxtra", ari_password, environ=environ or {}, **more)
    except ValueError as error:
        return f"{error} {error.__cause__} {error.__context__}"
    return ""


@pytest.mark.parametrize(("requests", "patience"), [("http", 2.0), ("websocket", 5.0)])
def test_how_long_a_half_dead_connection_may_be_busy(requests: Literal["http", "websocket"], patience: float) -> None:
    """Nothing comes any more, while one request is under way: what Asterisk does over HTTP keeps it from no pong."""
    options = make_options(
        f"http://127.0.0.1:{PORT}",
        "tester",
        "s3cret",
        app_name="app",
        number_variable=None,
        requests=requests,
        ping_interval=1.0,
        ping_timeout=2.0,
        busy_timeout=5.0,
        environ={},
    )
    network, conns = new_network(), count(1)
    network.link = ari_link(options, "app", lambda: next(conns))
    network.link.open(0.0)
    network.carry_all()
    network.link.send_request("1", asterisk.get_info(), 0.0)
    network.run()
    network.advance(1.0 + patience - 0.01)
    assert not any(isinstance(message, LinkClosed) for message in network.messages)
    network.advance(0.01)
    assert isinstance(network.messages[-1], LinkClosed)
