"""eSpeak NG in this process, through its C interface.

The library is one global state, so that one lock guards all of it; it is given a clause or two at a time, and makes a
second of audio in two milliseconds.
"""

from __future__ import annotations

import ctypes
import threading
from itertools import count, takewhile

import attrs

from .extra import needs_the_extra

__all__ = ["Espeak", "Mark", "Settings", "espeak"]

SYNCHRONOUS = 2  # espeak_AUDIO_OUTPUT: audio goes to the callback while espeak_Synth runs
DONT_EXIT = 0x8000  # espeakINITIALIZE: return an error for data that cannot be read
UTF8 = 1  # espeakCHARS; without espeakSSML and espeakPHONEMES, so that "<" and "[[" are only read out
POSITION_IN_CHARACTERS = 1
RATE, PITCH, RANGE, WORD_GAP = 1, 3, 4, 7  # espeak_PARAMETER
LIST_ENDS, WORD, END = 0, 1, 5  # espeak_EVENT_TYPE
STOP = 1  # what the callback returns to have no more


class Event(ctypes.Structure):
    """``espeak_EVENT`` of speak_lib.h."""

    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", ctypes.c_char * 8),
    )


class Voice(ctypes.Structure):
    """``espeak_VOICE`` of speak_lib.h."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("languages", ctypes.c_char_p),
        ("identifier", ctypes.c_char_p),
        ("gender", ctypes.c_ubyte),
        ("age", ctypes.c_ubyte),
        ("variant", ctypes.c_ubyte),
        ("xx1", ctypes.c_ubyte),
        ("score", ctypes.c_int),
        ("spare", ctypes.c_void_p),
    )


CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.POINTER(Event))


@attrs.frozen
class Settings:
    """How it is to speak."""

    voice: str
    speed: int
    pitch: int
    pitch_range: int
    word_gap: int


@attrs.frozen
class Mark:
    """Something begins in the audio: a word of the text, or the silence behind a clause (``position`` is ``None``)."""

    position: int | None
    """Where in the text, in characters from its beginning."""
    at: float
    """Seconds."""


_loading = threading.Lock()
_loaded: list[Espeak] = []


def espeak() -> Espeak:
    """The library, loaded when it is first asked for."""
    with _loading:
        if not _loaded:
            _loaded.append(Espeak())
        return _loaded[0]


class Espeak:
    """The library. Of any number of threads, one of which it speaks for at a time.

    Raises ``ImportError`` without the extra, and ``OSError`` where the library or its data cannot be loaded.
    """

    def __init__(self) -> None:
        with needs_the_extra("a voice"):
            import espeakng_loader
        self._lock = threading.Lock()
        self._audio: list[bytes] = []
        self._marks: list[Mark] = []
        self._settings: Settings | None = None
        self._library = ctypes.CDLL(espeakng_loader.get_library_path())
        data = espeakng_loader.get_data_path().encode()
        self.rate: int = self._library.espeak_Initialize(SYNCHRONOUS, 0, data, DONT_EXIT)
        """Hz, of the audio it makes."""
        if self.rate <= 0:
            raise OSError("eSpeak NG cannot read its data")
        self._library.espeak_ListVoices.restype = ctypes.POINTER(ctypes.POINTER(Voice))
        self._variants = self._list("variant")
        self._callback = CALLBACK(self._hear)  # the library keeps only a pointer to it
        self._library.espeak_SetSynthCallback(self._callback)

    def check(self, settings: Settings) -> None:
        """``ValueError`` where there is no such voice."""
        with self._lock:
            self._set(settings)

    def speak(self, text: str, settings: Settings) -> tuple[bytes, list[Mark]]:
        """A text's audio, ``slin`` at :attr:`rate`, and what begins where in it. Whatever is in the text."""
        written = "".join(letter if letter.isprintable() else " " for letter in text)
        utf8 = written.encode(errors="replace") + b"\0"
        with self._lock:
            self._set(settings)
            self._library.espeak_Synth(utf8, len(utf8), 0, POSITION_IN_CHARACTERS, 0, UTF8, None, None)
            audio, marks = b"".join(self._audio), self._marks
            self._audio, self._marks = [], []
        return audio, marks

    def _set(self, settings: Settings) -> None:
        if settings == self._settings:
            return
        self._settings = None
        _, plus, variant = settings.voice.partition("+")
        known = not plus or f"!v/{variant}" in self._variants  # which the library would silently do without
        if not known or "\0" in settings.voice or self._library.espeak_SetVoiceByName(settings.voice.encode()) != 0:
            raise ValueError(f"eSpeak NG has no voice {settings.voice!r}")
        values = (
            (RATE, settings.speed),
            (PITCH, settings.pitch),
            (RANGE, settings.pitch_range),
            (WORD_GAP, settings.word_gap),
        )
        for parameter, value in values:
            self._library.espeak_SetParameter(parameter, value, 0)
        self._settings = settings

    def _list(self, language: str) -> frozenset[str]:
        """The identifiers of all voices of a language; of all variants of ``variant``."""
        found = self._library.espeak_ListVoices(ctypes.byref(Voice(languages=language.encode())))
        until_null = takewhile(bool, map(found.__getitem__, count()))
        return frozenset(voice.contents.identifier.decode(errors="replace") for voice in until_null)

    def _hear(self, samples: int | None, count: int, events: ctypes._Pointer[Event]) -> int:
        """C calls this, and could not be told of an exception."""
        try:
            if samples and count > 0:
                self._audio.append(ctypes.string_at(samples, 2 * count))
            number = 0
            while (event := events[number]).type != LIST_ENDS:
                if event.type in (WORD, END):
                    position = event.text_position - 1 if event.type == WORD else None
                    self._marks.append(Mark(position, event.audio_position / 1000))
                number += 1
        except Exception:
            return STOP
        return 0
