"""Options that contradict each other, and secrets in those that cannot be."""

from __future__ import annotations

import traceback
from typing import Any

import pytest

from voxtra_core.testing import SimulatedAsterisk
from voxtra_core.testing.virtual import VirtualApp, VirtualLoop


def app(environ: dict[str, str] | None = None, **options: Any) -> VirtualApp:
    loop = VirtualLoop(environ)
    return VirtualApp(loop, SimulatedAsterisk(new_id=loop.new_id), **options)


@pytest.mark.parametrize("options", [{"app_name": "orders"}, {"requests": "websocket"}], ids=str)
def test_what_means_nothing_with_listen_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="give neither app_name nor requests"):
        app(listen="[::]:8090", **options)


def test_the_environments_url_means_nothing_with_listen() -> None:
    assert "8090" in repr(app({"VOXTRA_ARI_URL": "what is this"}, listen="[::]:8090"))


@pytest.mark.parametrize("listen", ["user:hunter2@0.0.0.0:80", "hunter2@[::]", "ws://user:hunter2@host:1"])
def test_no_secret_in_what_is_said_about_listen(listen: str) -> None:
    with pytest.raises(ValueError, match="listen must be host:port") as caught:
        app(listen=listen)
    assert "hunter2" not in "".join(traceback.format_exception(caught.value)).partition("listen=listen")[2]
    assert "hunter2" not in str(caught.value)
