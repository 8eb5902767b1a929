"""Searches that find the same each time."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import settings

__all__ = ["the_same_each_time"]


@pytest.fixture
def the_same_each_time() -> Iterator[None]:
    """For tests about what a search finds, which are not to depend on luck."""
    before = settings.get_current_profile_name()
    settings.load_profile("ci")
    yield
    settings.load_profile(before)
