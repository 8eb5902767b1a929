"""An application under test on one loop, and somebody at the other end of its calls.

The far end is a second Voxtra application, the phone: ``Local/APP@stasis`` called by it is a call that enters the
application, and the half it keeps is the caller's: what that presses, the application receives; what the application
plays, that can record.
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import count
from typing import Any, TypeVar

import anyio
import pytest

from voxtra_core.app import AppMachine, BaseApp
from voxtra_core.ari import Event, RecordingFinished, Request, bridges, recordings
from voxtra_core.session import CallSession

from .pbx import Asterisk
from .sound import Sound

__all__ = ["Rig", "both_ways", "eventually", "left_in", "machine_of"]

both_ways = pytest.mark.parametrize("way", ["http", "websocket"], indirect=True)
"""Marks a test, or a file of tests, that is to run over each of the two ways of sending requests."""

T = TypeVar("T")
E = TypeVar("E", bound=Event)

PATIENCE = 5.0
"""Seconds that Asterisk may take for what it does at once."""


async def eventually(condition: Callable[[], T], within: float = PATIENCE) -> T:
    """What the condition says once it says something true."""
    with anyio.move_on_after(within):
        while not (value := condition()):  # noqa: ASYNC110 - there is nobody to set an event
            await anyio.sleep(0.01)
        return value
    raise AssertionError(f"not so within {within:g} s: {condition}")


def machine_of(app: BaseApp) -> AppMachine:
    """The machine of an application that is being served."""
    assert app._machine is not None
    return app._machine


def left_in(machine: AppMachine) -> list[object]:
    """What an application still keeps of calls, requests and tasks: nothing, when all of them have ended."""
    stasis = [registration.stasis for registration in machine._reach.registrations]
    kept = [kept for each in stasis for kept in (*each.calls.values(), *each._asked.values())]
    return [*kept, *machine._sessions, *machine._tasks.values()]


class Rig:
    """One test's applications: ``app`` is under test, ``far`` has the phones."""

    def __init__(
        self, asterisk: Asterisk, backend: str, app_name: str, way: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        self.asterisk = asterisk
        self.backend = backend
        self.app_name = app_name
        self.way = way
        """How applications send their requests. The far end does so over HTTP."""
        self.caplog = caplog
        self.seen: list[object] = []
        """All that the application under test has seen, in order: events, requests, replies, changes."""
        self.far_seen: list[object] = []
        """All that the far end has seen."""
        self.app = self.new_app(app_name, observer=self.seen.append)
        self.far = self.new_app(f"{app_name}far", requests="http", observer=self.far_seen.append)
        self._recordings = count(1)

    def new_app(self, app_name: str, **options: Any) -> BaseApp:
        """An application on this loop: ``voxtra_trio``'s or ``voxtra_asyncio``'s."""
        package = importlib.import_module(f"voxtra_{self.backend}")
        arguments = {
            "ari_url": self.asterisk.url,
            "ari_user": self.asterisk.user,
            "ari_password": self.asterisk.password,
            "app_name": app_name,
            "requests": self.way,
        }
        app: BaseApp = package.VoxtraApp(**(arguments | options))
        return app

    @asynccontextmanager
    async def serving(self, *only: BaseApp) -> AsyncIterator[None]:
        """Serve the application and the far end, or only these, for as long as the block lasts.

        Fails if afterwards one of them keeps a call, a session or a request, or a task is left that was not there.
        """
        apps = only or (self.app, self.far)
        tasks_before = {task.id for task in anyio.get_running_tasks()}
        machines = []
        async with anyio.create_task_group() as tasks:
            for app in apps:
                tasks.start_soon(app.serve)
            for app in apps:
                await app.started()
                machines.append(machine_of(app))
            yield
            for app in apps:
                await app.stop(0)
        for machine in machines:
            assert left_in(machine) == []
        await eventually(lambda: {task.id for task in anyio.get_running_tasks()} <= tasks_before)

    async def settled(self) -> None:
        """Return when neither the application nor the far end keeps anything of its calls."""
        await eventually(lambda: not left_in(machine_of(self.app)) + left_in(machine_of(self.far)))

    # ---- the far end -----------------------------------------------------------------------------------------------

    async def call(self, **options: Any) -> CallSession:
        """Call the application under test. Returns when it has answered, with the caller's end."""
        return await self.far.originate(f"Local/{self.app_name}@stasis/n", **options)

    @asynccontextmanager
    async def recorded(self, phone: CallSession, by: BaseApp | None = None) -> AsyncIterator[Callable[[], Sound]]:
        """Record what a phone hears during the block; what is yielded gives it afterwards. It is the far end's phone,
        unless it is said whose it is.

        By way of a bridge: recording the channel itself puts a silence generator on it, and a Local channel with a
        generator at both ends carries nothing (``unreal_queue_frame``), no music and no tones.
        """
        owner = by or self.far
        name = f"{self.app_name}-{next(self._recordings)}"
        path = self.asterisk.dir / "var/spool/recording" / f"{name}.wav"
        await owner.request(bridges.create_with_id(name, type="mixing"))
        await owner.request(bridges.add_channel(name, channel=[phone.id]))
        await owner.request(bridges.record(name, name=name, format="wav"))
        yield lambda: Sound.of(path)
        await owner.request(recordings.stop(name))
        seen = self.seen if owner is self.app else self.far_seen
        await eventually(lambda: [e for e in _matching(seen, RecordingFinished, {}) if e.recording.name == name])
        await owner.request(bridges.destroy(name))

    # ---- the log ---------------------------------------------------------------------------------------------------

    @property
    def warnings(self) -> list[logging.LogRecord]:
        """What has been logged that somebody ought to look at."""
        return [record for record in self.caplog.get_records("call") if record.levelno >= logging.WARNING]

    def expect_log(self, text: str) -> logging.LogRecord:
        """Take away the one warning that has this text."""
        (record,) = (record for record in self.warnings if text in record.getMessage())
        self.caplog.get_records("call").remove(record)
        return record

    def expect_logs(self, *texts: str) -> None:
        """Take away the warnings that have one of these texts; at least one has."""
        assert self.excuse_logs(*texts)

    def excuse_logs(self, *texts: str) -> bool:
        """Take away the warnings that have one of these texts, if any has; whether one had."""
        records = [record for record in self.warnings if any(text in record.getMessage() for text in texts)]
        for record in records:
            self.caplog.get_records("call").remove(record)
        return bool(records)

    # ---- what was seen ---------------------------------------------------------------------------------------------

    def events(self, kind: type[E], **fields: Any) -> list[E]:
        """The events of this type and with these fields that the application has seen."""
        return _matching(self.seen, kind, fields)

    def requests(self, operation: str) -> list[Request[Any]]:
        """The requests of the application under test that were of this operation."""
        return [seen for seen in self.seen if isinstance(seen, Request) and seen.operation == operation]

    def far_events(self, kind: type[E], **fields: Any) -> list[E]:
        """The events of this type and with these fields that the far end has seen."""
        return _matching(self.far_seen, kind, fields)


def _matching(seen: list[object], kind: type[E], fields: dict[str, object]) -> list[E]:
    return [
        event
        for event in seen
        if isinstance(event, kind) and all(getattr(event, name) == value for name, value in fields.items())
    ]
