"""Which signals an application that is run decides about.

What it decides is in :meth:`.machine.AppMachine.receive_signal`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

__all__ = ["SIGNALS", "SIGNALS_HEEDED", "SignalHandler"]

SIGNALS = ("SIGINT", "SIGTERM")
"""Those that are to end the program, by name: Ctrl-C, and what kill, systemd, Docker and Kubernetes send."""
SIGNALS_HEEDED = 2
"""How many of them, of either name, are the application's; the next one has the system's default effect."""
SignalHandler: TypeAlias = Callable[[str, int], None]
"""Called with a signal's name and number."""
