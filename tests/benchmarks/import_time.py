"""What ``import voxtra_core`` costs, beside ``import attrs``, its one dependency."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from .row import Row, rounds_of

ROOT = Path(__file__).parents[2]
ROUNDS = rounds_of(15)

SCRIPT = f"""
import sys
from time import perf_counter
sys.path.insert(0, {str(ROOT)!r})
start = perf_counter()
import {{module}}
print(perf_counter() - start)
"""


def milliseconds(module: str) -> float:
    """One import in a fresh interpreter, the interpreter's own start not counted."""
    run = [sys.executable, "-I", "-c", SCRIPT.format(module=module)]
    return float(subprocess.run(run, stdout=subprocess.PIPE, check=True).stdout) * 1000


def import_time() -> list[Row]:
    """In turns."""
    rounds = [(milliseconds("attrs"), milliseconds("voxtra_core")) for _ in range(ROUNDS)]
    return [Row("import voxtra_core", rounds, "ms", limit=2.5)]
