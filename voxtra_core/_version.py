"""The version; nowhere else is it written down."""

__version__ = "0.4.0.dev0"
