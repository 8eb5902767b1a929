"""What a real Asterisk 22.10.1 said in each scenario: ``tests/fixtures/fidelity``, one file each."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from tests.fidelity.trace import Trace

__all__ = ["FOLDER", "recorded"]

FOLDER: Final = Path(__file__).parents[1] / "fixtures" / "fidelity"


def recorded(name: str) -> Trace:
    """The recording of a scenario."""
    return Trace.parse((FOLDER / f"{name}.jsonl").read_text())
