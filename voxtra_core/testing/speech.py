"""Text as telephone audio, and back: speech that needs no engine, and of which every whole word is understood exactly.

A word is a row of tones of 20 ms, one at a time: two that nothing else has, by which a listener finds where it begins;
two for each byte of its UTF-8, and three for a checksum, of one of 16 frequencies each; one that ends it. Words are
40 ms apart. That makes some three words a second, as people speak, and to
:class:`~voxtra_core.media.activity.VoiceActivity` a text is one stretch of speech.

It survives being cut anywhere, G.711, a change of rate and of level: what lies between 450 and 3,150 Hz, loud enough
and alone. A word is understood if it was heard from its beginning to its end; one that was cut off is not.
"""

from __future__ import annotations

from array import array
from binascii import crc_hqx
from collections.abc import Iterable, Iterator
from functools import lru_cache
from math import cos, pi, sin
from typing import Final, NamedTuple, TypeAlias

from ..agent.providers import SpokenWord
from ..media._audioop import audioop
from ..media.chunk import AudioChunk
from ..media.formats import SLIN, AudioFormat, as_format, format_of
from ..media.transcode import Transcoder

__all__ = [
    "PAUSE",
    "QUIET",
    "SpeechDecoder",
    "Utterance",
    "heard_words",
    "speak",
    "understand",
    "utterances",
    "word_times",
]

PAUSE: Final = 0.3
"""Seconds of silence that end an utterance."""
QUIET: Final = 16
"""The root mean square of samples below which there is silence: −63 dBFS."""

_SYMBOL: Final = 0.02
"""Seconds of a tone: whole periods of each, so that one goes over into the next."""
_GAP: Final = 2
"""Symbols of silence between two words."""
_AMPLITUDE: Final = 6000
_LOWEST, _APART = 450, 150
_FIRST, _SECOND, _LAST = 18, 0, 9
"""The tones that begin a word, and the one that ends it. The other 16 stand for four bits each."""
_DATA: Final = tuple(tone for tone in range(19) if tone not in {_FIRST, _SECOND, _LAST})
_CHECK_BITS: Final = 12
_OVERHEAD: Final = 2 + _CHECK_BITS // 4 + 1
"""Symbols of a word beside those of its bytes."""

# ---- for listening, in samples at 8 kHz ----

_LENGTH: Final = 160
_EDGE: Final = 24
"""At either side of a tone, what is not looked at: a resampler smears there, and the beginning is found to 1 ms."""
_MIDDLE: Final = _LENGTH - 2 * _EDGE
_HALF: Final = 80
_STEP: Final = 8
_ALONE: Final = 0.5
"""The share of the energy that a tone must have at least."""
_SURE: Final = 0.7
"""… the first one, over 10 ms, to be taken for the beginning of a word."""


class Utterance(NamedTuple):
    """Words without a pause of :data:`PAUSE` between them."""

    start: float
    """In seconds, as :attr:`end`."""
    end: float
    text: str


# ---- speaking --------------------------------------------------------------------------------------------------------


def speak(text: str, format: str | AudioFormat = SLIN) -> AudioChunk:
    """This text as audio. Its words are what whitespace separates; without any it is no audio at all."""
    format = as_format(format)
    linear = format_of("slin", format.rate if format.rate % 50 == 0 and format.rate >= 8000 else SLIN.rate)
    tones, gap = _tones(linear.rate), linear.silence(_GAP * linear.bytes_for(_SYMBOL))
    data = gap.join(b"".join([tones[symbol] for symbol in _symbols(word)]) for word in text.split())
    if linear != format:
        transcoder = Transcoder(linear, format)
        data = transcoder.convert(data) + transcoder.flush()
    return AudioChunk(data, format)


def word_times(text: str) -> list[SpokenWord]:
    """When each word is spoken in the audio that :func:`speak` makes of this text."""
    times: list[SpokenWord] = []
    symbols = 0
    for word in text.split():
        end = symbols + _OVERHEAD + 2 * len(_encoded(word))
        times.append(SpokenWord(word, round(symbols * _SYMBOL, 3), round(end * _SYMBOL, 3)))
        symbols = end + _GAP
    return times


def _symbols(word: str) -> Iterator[int]:
    data = _encoded(word)
    yield from (_FIRST, _SECOND)
    for byte in data:
        yield from (_DATA[byte >> 4], _DATA[byte & 15])
    check = _checksum(data)
    yield from (_DATA[check >> shift & 15] for shift in range(_CHECK_BITS - 4, -1, -4))
    yield _LAST


def _encoded(word: str) -> bytes:
    return word.encode("utf-8", "surrogatepass")  # what Python takes for a text has to be one here


def _checksum(data: bytes) -> int:
    return crc_hqx(data, 0xFFFF) & (1 << _CHECK_BITS) - 1


@lru_cache(maxsize=8)
def _tones(rate: int) -> list[bytes]:
    samples = range(rate // 50)
    return [
        array("h", [round(_AMPLITUDE * sin(2 * pi * hertz * n / rate)) for n in samples]).tobytes()
        for hertz in _frequencies()
    ]


def _frequencies() -> Iterator[int]:
    return (_LOWEST + _APART * tone for tone in range(len(_DATA) + 3))


# ---- listening -------------------------------------------------------------------------------------------------------

_Waves: TypeAlias = list[tuple[bytes, bytes]]


@lru_cache(maxsize=2)
def _waves(length: int) -> _Waves:
    """So many samples of cosine and of sine for each tone, as loud as can be."""
    samples = range(length)
    return [
        (
            array("h", [round(32767 * cos(2 * pi * hertz * n / SLIN.rate)) for n in samples]).tobytes(),
            array("h", [round(32767 * sin(2 * pi * hertz * n / SLIN.rate)) for n in samples]).tobytes(),
        )
        for hertz in _frequencies()
    ]


def _power(window: bytes, wave: tuple[bytes, bytes]) -> float:
    """The square of this tone's root mean square in a window."""
    in_phase, across = audioop.findfactor(window, wave[0]), audioop.findfactor(window, wave[1])
    return float(in_phase * in_phase + across * across) * (32767 * 32767 / 2)


class SpeechDecoder:
    """Understands the words in one stream of audio, which may be cut into pieces in any way.

    Silence costs next to nothing, speech about a five-hundredth of its time.
    """

    __slots__ = ("_at", "_begun", "_held", "_nibbles", "_transcoder", "_word", "format")

    def __init__(self, format: str | AudioFormat = SLIN) -> None:
        self.format = as_format(format)
        self._transcoder = Transcoder(self.format, SLIN)
        self._reset()

    def _reset(self) -> None:
        self._held = b""
        self._begun = 0  # the number of the first sample that is held
        self._at = 0  # … of the next to be looked at: a place to look for a word, or a symbol of the one that is heard
        self._word: int | None = None  # … where that began
        self._nibbles: list[int] = []

    def decode(self, data: bytes) -> list[SpokenWord]:
        """The next of the audio; the words that have ended in it, with times since the first of the audio.

        ``ValueError`` for half a sample of ``slin``.
        """
        return self._take(self._transcoder.convert(data))

    def flush(self) -> list[SpokenWord]:
        """The audio has ended: the last word, if it was whole. What is given afterwards is other audio."""
        words = self._take(self._transcoder.flush() + SLIN.silence(2 * 3 * _LENGTH))
        self._reset()
        return words

    def _take(self, data: bytes) -> list[SpokenWord]:
        self._held = self._held + data if self._held else data
        end = self._begun + len(self._held) // 2
        words: list[SpokenWord] = []
        while True:
            if self._word is not None:
                if self._at + _LENGTH > end:
                    break
                word = self._hear_symbol(self._word)
                if word is not None:
                    words.append(word)
            elif self._at + 3 * _HALF + _LENGTH > end:
                break
            else:
                self._look_for_word()
        keep = self._at - _LENGTH
        if keep > self._begun:
            self._held = self._held[2 * (keep - self._begun) :]
            self._begun = keep
        return words

    def _window(self, start: int, length: int) -> bytes:
        first = 2 * (start - self._begun)
        return self._held[first : first + 2 * length]

    def _look_for_word(self) -> None:
        """Where its first tone goes over into the second is found by how much of either lies on its side."""
        if self._share(self._at, _FIRST) < _SURE:
            self._at += _HALF
            return
        scores = {
            border: self._share(border - _HALF, _FIRST) + self._share(border, _SECOND)
            for border in range(self._at + _HALF // 2, self._at + 3 * _HALF, _STEP)
            if border - _HALF >= self._begun
        }
        border = max(scores, key=scores.__getitem__)
        if scores[border] < 2 * _SURE:
            self._at += _HALF
            return
        self._word, self._at, self._nibbles = border - _LENGTH, border + _LENGTH, []

    def _share(self, start: int, tone: int) -> float:
        """Of this tone, in the energy of 10 ms."""
        window = self._window(start, _HALF)
        energy = audioop.rms(window, 2)
        if energy < QUIET:
            return 0.0
        return _power(window, _waves(_HALF)[tone]) / (energy * energy)

    def _hear_symbol(self, began: int) -> SpokenWord | None:
        window = self._window(self._at + _EDGE, _MIDDLE)
        energy = audioop.rms(window, 2)
        tone = None
        if energy >= QUIET:
            powers = [_power(window, wave) for wave in _waves(_MIDDLE)]
            power = max(powers)
            if power >= _ALONE * energy * energy:
                tone = powers.index(power)
        if tone in _NIBBLES:
            self._nibbles.append(_NIBBLES[tone])
            self._at += _LENGTH
            return None
        self._word = None
        if tone != _LAST:  # it was cut off; another may have begun
            self._at = max(self._at - _HALF, self._begun)
            return None
        self._at += _LENGTH
        text = _read(self._nibbles)
        if text is None:
            return None
        return SpokenWord(text, max(began, 0) / SLIN.rate, self._at / SLIN.rate)


_NIBBLES: Final[dict[int | None, int]] = {tone: nibble for nibble, tone in enumerate(_DATA)}


def _read(nibbles: list[int]) -> str | None:
    """The word that these are, if they are one."""
    checks = _CHECK_BITS // 4
    if len(nibbles) < 2 + checks or (len(nibbles) - checks) % 2:
        return None
    digits = "".join([f"{nibble:x}" for nibble in nibbles])
    data = bytes.fromhex(digits[:-checks])
    if int(digits[-checks:], 16) != _checksum(data):
        return None
    try:
        return data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return None


def heard_words(audio: bytes | AudioChunk | Iterable[AudioChunk], format: str | AudioFormat = SLIN) -> list[SpokenWord]:
    """The words in some audio, with times since its beginning. ``format`` is that of bytes; chunks have their own."""
    chunks = [AudioChunk(audio, as_format(format))] if isinstance(audio, bytes) else audio
    chunks = [chunks] if isinstance(chunks, AudioChunk) else [*chunks]
    decoder = SpeechDecoder(chunks[0].format if chunks else SLIN)
    words = [word for chunk in chunks for word in decoder.decode(chunk.data)]
    return words + decoder.flush()


def understand(audio: bytes | AudioChunk | Iterable[AudioChunk], format: str | AudioFormat = SLIN) -> str:
    """What is said in some audio: its words, with a space between each two."""
    return " ".join([word.text for word in heard_words(audio, format)])


def utterances(words: Iterable[SpokenWord], *, pause: float = PAUSE) -> list[Utterance]:
    """These words in one text for each time that somebody has spoken: until a pause of so many seconds."""
    said: list[Utterance] = []
    for word in words:
        if said and word.start - said[-1].end < pause:
            said[-1] = Utterance(said[-1].start, word.end, f"{said[-1].text} {word.text}")
        else:
            said.append(Utterance(word.start, word.end, word.text))
    return said
