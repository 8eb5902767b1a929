"""What the dialplan does with a channel that comes to it."""

from __future__ import annotations

import attrs

__all__ = ["Extension"]


@attrs.frozen
class Extension:
    """One application of the dialplan, and what follows it: ``Stasis(app,args)``, or else a hangup (cause 16).

    ``StasisBroadcast`` does what it says, as ``data`` has it (``"5000,^sales,a:b,yes"``). Others do nothing:
    ``lasts`` is in seconds; with ``None`` the channel stays until somebody hangs it up, as in a queue or a conference.
    """

    application: str = "Wait"
    data: str = "300"
    lasts: float | None = None
    app: str = ""
    args: tuple[str, ...] = ()
