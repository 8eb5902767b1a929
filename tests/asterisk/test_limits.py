"""``max_calls`` on the real Asterisk: what the caller hears, and that the counters tell what was."""

from __future__ import annotations

import pytest

from voxtra_core import CallSession, EndedBy, OriginateFailed, TooManyCalls

from .rig import Rig, eventually

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(("options", "cause"), [({}, 34), ({"busy_reason": "busy"}, 17)])
async def test_callers_beyond_the_limit(rig: Rig, options: dict[str, str], cause: int) -> None:
    app = rig.new_app(rig.app_name, max_calls=2, **options)

    @app.default()
    async def handler(call: CallSession) -> None:
        await call.answer()
        await call.listen_dtmf()

    async with rig.serving(app, rig.far):
        phones = [await rig.call() for _ in range(2)]
        for _ in range(3):
            with pytest.raises(OriginateFailed) as failed:
                await rig.call()
            assert failed.value.end.cause == cause
        with pytest.raises(TooManyCalls):
            await app.originate("Local/answer@far/n")
        stats = app.stats
        assert (stats.calls.inbound, stats.calls.refused, stats.handlers.running) == (5, 3, 2)
        await phones[0].hangup()
        await eventually(lambda: app.stats.calls.now == 1)
        await (await app.originate("Local/answer@far/n")).hangup()
        phones[0] = await rig.call()
        assert app.stats.calls.now == 2
        for phone in phones:
            await phone.hangup()
        await eventually(lambda: app.stats.calls.now == 0)
        stats = app.stats
        assert stats.calls.ended[EndedBy.REMOTE] == 3
        assert stats.calls.ended[EndedBy.LOCAL] == 4  # three were refused, and one was placed
        assert (stats.requests.under_way, stats.requests.unknown, stats.requests.overdue) == (0, 0, 0)
        assert stats.events.malformed == stats.events.unknown == 0
    rig.expect_log("refused, as are all that follow")
    rig.expect_log("calls are taken again; 3 were refused")
