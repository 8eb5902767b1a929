"""``python -m tests.benchmarks``: measures, prints a table, and exits 1 when a limit is not kept.

Each benchmark is a function in a file of its own that returns rows. What is measured is measured once, in rounds
(:class:`~.row.Row`): a limit that is missed is not tried for again.
"""

from __future__ import annotations

import sys
from statistics import median

from .audiosocket import audiosocket
from .conversation import conversation
from .core_events import accepted_events, events, weight
from .driver_events import driver_events, handed_over, new_calls
from .import_time import import_time
from .media import media
from .row import Benchmark, Row
from .simulated_call import simulated_call
from .voice import voice

BENCHMARKS: tuple[Benchmark, ...] = (
    import_time,
    events,
    accepted_events,
    weight,
    audiosocket,
    new_calls,
    driver_events,
    handed_over,
    media,
    voice,
    conversation,
    simulated_call,
)


def line(row: Row) -> str:
    """One row of the table."""
    floor = "" if row.floor is None else f"{row.floor:.2f}"
    ratios = row.ratios
    ratio = f"{median(ratios):.2f} ({ratios[0]:.2f}–{ratios[-1]:.2f})" if ratios else ""
    limit = "" if row.limit is None else f"{row.bounded} ≤ {row.limit:g}"
    verdict = "" if row.kept else f"MISSED: {row.measured:.2f}"
    return f"{row.name:<44} {row.value:>9.2f} {row.unit:<4} {floor:>9}  {ratio:<17} {limit:<14} {verdict}".rstrip()


def main() -> int:
    """Print the table; the exit status."""
    print(f"{'':<44} {'value':>9} {'unit':<4} {'floor':>9}  {'ratio (of rounds)':<17} limit")
    missed = []
    for benchmark in BENCHMARKS:
        for row in benchmark():
            print(line(row), flush=True)
            if not row.kept:
                missed.append(row.name)
    print(f"limits missed: {'; '.join(missed) or 'none'}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
