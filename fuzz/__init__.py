"""Fuzz targets: whatever bytes come, the library holds what it promises. See README.md.

A target is a function of ``bytes`` that returns ``None``, or raises: then there is a finding.
"""

from __future__ import annotations

from .targets import TARGETS, Target

__all__ = ["TARGETS", "Target"]
