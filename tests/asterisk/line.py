"""An application whose calls last: what the caller presses it says back, one higher, until somebody hangs up.

Also a program, to be killed with calls in it and started again. Where Asterisk is and as whom, the usual variables say:

    LINE_LOOP=trio LINE_APP=name LINE_ORPHANS=adopt LINE_PATIENCE=3 LINE_SNOOPS=1 python -m tests.asterisk.line
"""

from __future__ import annotations

import importlib
import os
import sys
from collections import Counter

from voxtra_core.app import BaseApp
from voxtra_core.session import CallSession

__all__ = ["REPLIES", "Line"]

REPLIES = dict(zip("123456789", "234567890", strict=True))


class Line:
    """An application that keeps its calls until somebody hangs up, and what has become of each. It ``snoops`` on them
    all the while, or does not.
    """

    def __init__(self, app: BaseApp, *, snoops: bool = False) -> None:
        self.app = app
        self._snoops = snoops
        self.handled: list[CallSession] = []
        self.hung_up: Counter[str] = Counter()
        """How often ``on_hangup`` has run, by call."""
        self.outages: Counter[str] = Counter()
        """How often ``on_outage`` has run, by call."""
        self.done: Counter[str] = Counter()
        """How often the handler has ended, by call."""
        app.default()(self.handle)

    async def handle(self, call: CallSession) -> None:
        self.handled.append(call)
        call.on_hangup(lambda: self._count(self.hung_up, call))
        call.on_outage(lambda outage: self._count(self.outages, call))
        try:
            await call.answer()
            if self._snoops:
                await call.snoop()
            while True:
                key = await call.listen_dtmf()
                assert key is not None
                await call.send_dtmf(REPLIES[key])
        finally:
            self.done[call.id] += 1

    async def _count(self, what: Counter[str], call: CallSession) -> None:
        what[call.id] += 1

    @property
    def living(self) -> list[CallSession]:
        """The calls that have not ended."""
        return [call for call in self.handled if call.end is None]


if __name__ == "__main__":
    package = importlib.import_module(f"voxtra_{os.environ['LINE_LOOP']}")
    app = package.VoxtraApp(
        app_name=os.environ["LINE_APP"],
        orphans=os.environ["LINE_ORPHANS"],
        orphan_patience=float(os.environ["LINE_PATIENCE"]),
    )
    sys.exit(Line(app, snoops=bool(os.environ["LINE_SNOOPS"])).app.run())
