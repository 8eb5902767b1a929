"""Recordings of calls: what can be asked for, and what is known of one when it is over."""

from .metadata import (
    DurationSource,
    RecordingEnd,
    RecordingMetadata,
    RecordingOptions,
    RecordingSink,
    SinkTools,
    Who,
    World,
    check_sink,
)

__all__ = [
    "DurationSource",
    "RecordingEnd",
    "RecordingMetadata",
    "RecordingOptions",
    "RecordingSink",
    "SinkTools",
    "Who",
    "World",
    "check_sink",
]
