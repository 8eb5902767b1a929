"""What every test may use: Hypothesis profiles and the length of a soak; and that Ctrl-C is what it is."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

# By default garbage is looked for after 700 new objects: too often where the trees of three hundred files are built and
# kept, and where each example makes a world of its own.
gc.set_threshold(10_000)

# The default run is to stay under two minutes; the soaks search as long as they are given.
# Nothing here is timed by Hypothesis: on a busy machine a deadline measures the neighbours.
settings.register_profile("default", deadline=None, max_examples=6)
# In CI the same commit gives the same verdict; the searching is done by developers and by the soaks.
settings.register_profile("ci", deadline=None, max_examples=6, derandomize=True, print_blob=True)
settings.register_profile("soak", deadline=None, max_examples=10_000, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile(os.environ.get("VOXTRA_HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") else "default"))


@pytest.fixture(scope="session", autouse=True)
def _ctrl_c_is_heeded() -> Iterator[None]:
    """Whoever starts pytest in the background of a shell has it ignore SIGINT, and so would every program that a test
    starts: what is ignored is inherited, what is handled is not.
    """
    former = signal.getsignal(signal.SIGINT)
    if former is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, former)


@pytest.fixture(scope="session")
def soak_seconds() -> float:
    """How long each test marked ``soak`` goes on searching: ``VOXTRA_SOAK_SECONDS``, 30 by default."""
    return float(os.environ.get("VOXTRA_SOAK_SECONDS", "30"))


@pytest.fixture(scope="module")
def only_our_own_garbage() -> None:
    """Collecting after each test of a file is quick when what was there before the first is left alone."""
    gc.collect()
    gc.freeze()


def pytest_collection_finish() -> None:
    """What was collected stays to the end: the garbage collector need not look at nine thousand tests each time."""
    gc.collect()
    gc.freeze()


def pytest_sessionfinish() -> None:
    """Pytest looks for what complains of not having been closed one last time: among all that there is."""
    gc.unfreeze()
