"""The sink of an application that names none: it looks for the file, on the disk of this machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from voxtra_core.errors import SinkFailed
from voxtra_core.media import SLIN, write_wav
from voxtra_core.session import CallSession

from .site import Site, served, until
from .test_calls import CALLER

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("is_there", [True, False])
async def test_without_a_sink_it_is_local_file_sink(
    office: Site, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, is_there: bool
) -> None:
    """The simulated Asterisk has no disk: what is there is put there beforehand."""
    monkeypatch.setattr("voxtra_core.app.delivering.TRIES", 1)
    app = office.make_app(recording_dir=str(tmp_path))
    stopped: list[str | None] = []
    if is_there:
        (tmp_path / "a-name.wav").write_bytes(write_wav(bytes(16000), SLIN))

    @app.default()
    async def handler(call: CallSession) -> None:
        await call.answer()
        await call.record_start("a-name")
        stopped.append(await call.record_stop())

    async with served(app):
        alice = office.call(CALLER.waits_for_answer(), app)
        await until(lambda: alice.ended_at is not None and (is_there or "its sink failed" in caplog.text))
    assert stopped == ["a-name"]
    failures = {str(record.exc_info[1]) for record in caplog.records if record.exc_info is not None}
    assert failures == (set() if is_there else {f"{tmp_path}/a-name.wav cannot be seen: No such file or directory"})
    assert (SinkFailed.__name__ in caplog.text) is not is_there
