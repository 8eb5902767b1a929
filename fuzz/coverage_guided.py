"""Atheris: libFuzzer, led by the coverage of our own code. Optional; nothing else here needs it."""

from __future__ import annotations

import sys
from pathlib import Path

import atheris

__all__ = ["run"]


def run(name: str, corpus: Path, seconds: float, findings: Path) -> None:
    """Search one target. Ends the process, with a status other than 0 if something was found.

    What is new goes into the corpus.
    """
    for module in [module for module in sys.modules if module.partition(".")[0] in {"voxtra_core", "fuzz"}]:
        if module not in {"fuzz.__main__", __name__}:
            del sys.modules[module]
    with atheris.instrument_imports(include=["voxtra_core", "h11", "wsproto"]):
        from .targets import TARGETS
    options = [f"-max_total_time={seconds:.0f}", "-max_len=4096", "-timeout=20", "-rss_limit_mb=2048"]
    atheris.Setup([name, str(corpus), f"-artifact_prefix={findings}/{name}-", *options], TARGETS[name])
    atheris.Fuzz()
