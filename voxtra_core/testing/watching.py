"""Who is shown the report of each run. By itself, so that the pytest plugin loads nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .report import RunReport

__all__ = ["on_report"]

on_report: list[Callable[[RunReport], object]] = []
"""Called with each report."""
