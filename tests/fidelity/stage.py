"""Where a scenario is played: an Asterisk, simulated or real, the applications, and the people at the far ends.

A scenario is a plain function that is given a :class:`Stage`. It sends requests, waits for events, and lets the far end
do things; everything that Asterisk says meanwhile is written down. Both kinds of stage are driven in the same blocking
way: on the simulated one to wait is to let virtual time go on.
"""

from __future__ import annotations

import io
import json
import wave
from abc import ABC, abstractmethod
from array import array
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

import attrs

__all__ = [
    "Door",
    "Entry",
    "Far",
    "NeverCame",
    "Phone",
    "Reply",
    "Scenario",
    "Stage",
    "content_of",
    "has_sound",
    "scenarios_of",
]

T = TypeVar("T")
PATIENCE = 6.0
"""Seconds that anything may take which a scenario waits for."""
SIP_PAUSE = 0.05
"""Seconds that a SIP phone takes for each answer: one that takes none races with Asterisk's own word about the call."""


class NeverCame(Exception):
    """What a scenario waits for."""


@attrs.define
class Entry:
    """One line of what happened. ``kind`` is ``do``, ``reply``, ``event``, ``far`` or ``came``."""

    at: float
    kind: str
    fields: dict[str, Any]
    taken: bool = False
    """Whether somebody has waited for it."""


@attrs.frozen
class Reply:
    """The answer to a request."""

    status: int
    body: Any


class Far(ABC):
    """Somebody at the other end of a call that comes in. What they do is written down as well."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage

    def presses(self, digits: str) -> None:
        """Keys: each for 0.1 s, with 0.1 s before each."""
        self.stage.mark("far", does=f"presses {digits}")
        self._press(digits)

    def talks(self) -> None:
        """Says something for about 1.4 s, and is silent then for 3 s."""
        self.stage.mark("far", does="talks")
        self._talk()

    def speaks(self) -> None:
        """Likewise, and sends nothing afterwards."""
        self.stage.mark("far", does="speaks")
        self._speak()

    def sends_silence(self) -> None:
        """As telephones do that nobody speaks into: a frame every 20 ms."""
        self.stage.mark("far", does="sends silence")
        self._send_silence()

    def listens(self) -> None:
        """Takes down from now on what there is to be heard; says nothing meanwhile."""
        self.stage.mark("far", does="listens")
        self._listen()

    def tells(self) -> bool:
        """Whether anything was to be heard since then."""
        sound = self._stop_listening()
        self.stage.mark("event", to="FAR", event={"type": "(heard)", "sound": sound})
        return sound

    def hangs_up(self) -> None:
        """Or gives up."""
        self.stage.mark("far", does="hangs up")
        self._hang_up()

    @abstractmethod
    def _press(self, digits: str) -> None: ...

    @abstractmethod
    def _talk(self) -> None: ...

    @abstractmethod
    def _speak(self) -> None: ...

    @abstractmethod
    def _send_silence(self) -> None: ...

    @abstractmethod
    def _listen(self) -> None: ...

    @abstractmethod
    def _stop_listening(self) -> bool: ...

    @abstractmethod
    def _hang_up(self) -> None: ...


class Phone(ABC):
    """A SIP phone, without sound."""

    endpoint: str
    """How it is called."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage

    def calls(self) -> None:
        """Calls the application: ``Stasis(APP,sip,NUMBER)``."""
        self._does("calls")

    def cancels(self) -> None:
        """Gives up a call that is not answered."""
        self._does("cancels")

    def hangs_up(self) -> None:
        """Ends the call that is up."""
        self._does("hangs up")

    def holds(self) -> None:
        """Puts Asterisk on hold."""
        self._does("holds")

    def resumes(self) -> None:
        """Takes it back."""
        self._does("resumes")

    def answers(self, status: int) -> None:
        """One more answer to the call that rings here."""
        self._does(f"answers {status}")

    def will_answer_a_refer(self, status: int) -> None:
        """When Asterisk asks it to call somebody else: 202 accepts that."""
        self._does(f"will answer a REFER {status}")

    def reports(self, status: int) -> None:
        """What has become of the call that it was asked for."""
        self._does(f"reports {status}")

    def asks_for(self, user: str) -> None:
        """Wants to be connected to somebody else: a blind transfer."""
        self._does(f"asks for {user}")

    def _does(self, what: str) -> None:
        self.stage.mark("far", does=what)
        self._do(what)

    @abstractmethod
    def _do(self, what: str) -> None: ...


class Door(ABC):
    """A place where AudioSocket connections arrive; one at a time. That one has, or has ended, is written down."""

    address: str

    def __init__(self, stage: Stage) -> None:
        self.stage = stage

    def says(self, data: bytes) -> None:
        """Bytes for Asterisk."""
        self.stage.mark("far", does=f"says {data[:8].hex()}")
        self._say(data)

    def hangs_up(self) -> None:
        """Closes the connection."""
        self.stage.mark("far", does="closes the connection")
        self._close()

    @abstractmethod
    def _say(self, data: bytes) -> None: ...

    @abstractmethod
    def _close(self) -> None: ...


class Stage(ABC):
    """An Asterisk, and one application that is connected to it."""

    def __init__(self, app: str) -> None:
        self.app = app
        """The application's name; in what is compared it is ``APP``."""
        self.aliases: dict[str, str] = {}
        """What differs from run to run, and what it is called in what is compared."""
        self.log: list[Entry] = []
        self._requests = 0

    def id(self, name: str) -> str:
        """An id that nobody else uses."""
        return f"{self.app}-{name}"

    # ---- requests ----------------------------------------------------------------------------------------------------

    def begin(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | str | None = None,
    ) -> int:
        """Send a request, and don't wait for its reply. Returns its number."""
        number = self._requests
        self._requests += 1
        target = f"{quote(path, safe='/%;:@')}{'?' + urlencode(query) if query else ''}"
        text = body if isinstance(body, str) else json.dumps(body) if body is not None else ""
        self.mark("do", request=number, send=f"{method} {target} {text}".rstrip())
        self._send(number, method, target, text)
        return number

    def reply_to(self, number: int, timeout: float = PATIENCE) -> Reply:
        """The reply to the request of that number."""

        def found() -> Entry | None:
            return next((e for e in self.log if e.kind == "reply" and e.fields["request"] == number), None)

        entry = self._until(found, timeout, f"the reply to request {number}")
        return Reply(entry.fields["status"], entry.fields["body"])

    def request(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | str | None = None,
    ) -> Reply:
        """Send a request, and wait for its reply."""
        return self.reply_to(self.begin(method, path, query, body))

    def get(self, path: str, **query: str) -> Reply:
        return self.request("GET", path, query)

    def post(self, path: str, **query: str) -> Reply:
        return self.request("POST", path, query)

    def delete(self, path: str, **query: str) -> Reply:
        return self.request("DELETE", path, query)

    # ---- events ------------------------------------------------------------------------------------------------------

    def wait(self, kind: str, timeout: float = PATIENCE, **wanted: str) -> dict[str, Any]:
        """The first event of this type that nobody has waited for, whose fields are these.

        ``channel``, ``playback`` and ``bridge`` are ids, ``recording`` is a name, ``to`` that of an application.
        """

        def found() -> Entry | None:
            for entry in self.log:
                if entry.kind == "event" and not entry.taken and _fits(entry.fields, kind, wanted):
                    return entry
            return None

        entry = self._until(found, timeout, f"{kind} {wanted}")
        entry.taken = True
        self.mark("came", what=kind)
        event: dict[str, Any] = entry.fields["event"]
        return event

    def sleep(self, seconds: float) -> None:
        """Let so much time go by."""
        end = self.now + seconds
        while self._pump(end):
            pass
        self.mark("came", what="time")

    def early_in_a_second(self) -> None:
        """Wait until the calendar's second is 0.2 s old: some things Asterisk does by those."""
        self.sleep((0.2 - self.calendar) % 1)

    def mark(self, kind: str, **fields: Any) -> None:
        """Write something down."""
        self.log.append(Entry(self.now, kind, fields))

    def _until(self, found: Callable[[], T | None], timeout: float, what: str) -> T:
        end = self.now + timeout
        while (value := found()) is None:
            if not self._pump(end):
                value = found()
                break
        if value is None:
            raise NeverCame(what)
        return value

    # ---- calls -------------------------------------------------------------------------------------------------------

    def incoming(self, *, answered: bool = False) -> tuple[str, Far]:
        """Somebody calls, and the application has the call, and answers it: the channel's id, and who is at the other
        end.
        """
        far = self.call()
        call: str = self.wait("StasisStart")["channel"]["id"]
        if answered:
            self.post(f"/channels/{call}/answer")
            self.wait("ChannelStateChange", channel=call)
        return call, far

    def placed(self, exten: str = "answer", name: str = "c1", **query: str) -> str:
        """Call ``Local/exten@far`` until somebody answers. Returns the channel's id."""
        channel = self.id(name)
        self.originate(f"Local/{exten}@far/n", name, **query)
        self.wait("StasisStart", channel=channel)
        return channel

    def originate(self, endpoint: str, name: str = "c1", **query: str) -> Reply:
        """Call somebody, with the application as the destination."""
        return self.request("POST", f"/channels/{self.id(name)}", {"endpoint": endpoint, "app": self.app} | query)

    def hang_up(self, channel: str, last: str = "StasisEnd") -> None:
        """End a channel, and wait for the event that is its last."""
        self.delete(f"/channels/{channel}")
        self.wait(last, channel=channel)

    # ---- what each kind of stage does in its own way -----------------------------------------------------------------

    @property
    @abstractmethod
    def now(self) -> float:
        """Seconds since the beginning."""

    @property
    @abstractmethod
    def calendar(self) -> float:
        """How old its second is, in seconds."""

    @abstractmethod
    def open(self, app: str, *, subscribe_all: bool = False) -> None:
        """One more event socket, for the application of this name."""

    @abstractmethod
    def close(self, app: str) -> None:
        """Close the last socket that was opened for it."""

    @abstractmethod
    def call(self) -> Far:
        """Somebody calls from a telephone that the dialplan joins to ``Stasis(APP,100)``."""

    @abstractmethod
    def offer(self) -> Far:
        """Somebody calls and is offered, for 1 s, to the applications whose names begin with ``APP``."""

    @abstractmethod
    def phone(self, statuses: Sequence[int]) -> Phone:
        """A SIP phone that answers a call with these statuses."""

    @abstractmethod
    def door(self) -> Door:
        """A place for AudioSocket connections."""

    @abstractmethod
    def _send(self, number: int, method: str, target: str, body: str) -> None: ...

    @abstractmethod
    def _pump(self, end: float) -> bool:
        """Let something happen; ``False`` when the end has come."""


def content_of(body: bytes) -> dict[str, Any]:
    """What a reply has in it: JSON; of a sound file its first bytes and, if it is a WAV file, how many milliseconds."""
    if body[:4] != b"RIFF":
        return {"body": json.loads(body) if body else None}
    with wave.open(io.BytesIO(body)) as file:
        frames, rate = file.getnframes(), file.getframerate()
        return {
            "body": f"WAV at {rate} Hz",
            "duration": frames * 1000 // rate,
            "sound": has_sound(file.readframes(frames)),
        }


def has_sound(audio: bytes) -> bool:
    """Whether there is anything but silence in some signed linear: louder than what a codec makes of that."""
    return any(abs(sample) > 300 for sample in array("h", audio))


def _fits(fields: Mapping[str, Any], kind: str, wanted: Mapping[str, str]) -> bool:
    event = fields["event"]
    if event["type"] != kind:
        return False
    for name, value in wanted.items():
        match name:
            case "to":
                found = fields["to"]
            case "channel":
                referrer = event.get("referred_by", {}).get("source_channel")
                found = (event.get("channel") or event.get("peer") or referrer or {}).get("id")
            case "playback" | "bridge":
                found = event.get(name, {}).get("id")
            case "recording":
                found = event.get(name, {}).get("name")
            case _:
                found = event.get(name)
        if found != value:
            return False
    return True


@attrs.frozen
class Scenario:
    """One story, and its name."""

    name: str
    play: Callable[[Stage], None]


def scenarios_of(**modules: Any) -> list[Scenario]:
    """The functions of these modules that are theirs and public."""
    return [
        Scenario(f"{prefix}_{name}", play)
        for prefix, module in modules.items()
        for name, play in vars(module).items()
        if callable(play) and not name.startswith("_") and getattr(play, "__module__", "") == module.__name__
    ]
