"""The command line, on either loop: ``voxtra``, ``python -m voxtra_asyncio``, ``python -m voxtra_trio``."""

from .main import main

__all__ = ["main"]
