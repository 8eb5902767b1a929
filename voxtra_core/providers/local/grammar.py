"""A few phrases, understood without a network: digits and the words of a menu, by PocketSphinx, while they are spoken.

Whatever is said is taken for the phrase that sounds most like it: there is no other.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from ...agent.providers import Transcript
from ...media.chunk import AudioChunk
from ...media.formats import SLIN16, AudioFormat
from .extra import needs_the_extra

__all__ = ["DIGITS", "LocalGrammar"]

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")

TELEPHONE = "55.00,32.23,-35.27,43.07,-24.56,6.22,-1.58,-20.71,12.37,-19.26,14.80,-11.04,-1.60"
"""What the model is to take off the cepstrum until it has heard enough of the call itself: the mean of speech between
300 and 3400 Hz. With its own, of a microphone, it is wrong twice as often in the first utterances of a call.
"""
INSERTION = 0.01
"""How likely one word more is, beside how it sounds. With its own, 0.65, short words are heard in any consonant."""
EDGE = SLIN16.silence(SLIN16.bytes_for(0.3))
"""Around the utterance, which a detector of activity has cut close."""


class LocalGrammar:
    """A recogniser of phrases; made for each call, in a tenth of a second.

    ``phrases`` are words of American English between spaces, such as ``"speak to an operator"``; of what the dictionary
    doesn't know ``pronunciations`` says how it is spoken, in ARPAbet: ``{"voxtra": "V AA K S T R AH"}``. With
    ``several`` it may be one after another, as digits are. Or, instead, ``jsgf`` is a whole grammar in JSGF.

    Raises ``ValueError`` for no phrase, a word that nobody knows and a grammar that is none; ``ImportError`` without
    the extra ``local``.
    """

    format: AudioFormat = SLIN16

    def __init__(
        self,
        phrases: Iterable[str] = (),
        *,
        several: bool = False,
        jsgf: str | None = None,
        pronunciations: Mapping[str, str] | None = None,
    ) -> None:
        with needs_the_extra("a grammar"):
            import pocketsphinx
        self._decoder: Any = pocketsphinx.Decoder(lm=None, loglevel="FATAL", cmninit=TELEPHONE, wip=INSERTION)
        for word, phones in (pronunciations or {}).items():
            try:
                self._decoder.add_word(word.lower(), phones, True)
            except RuntimeError as error:
                raise ValueError(f"{phones!r} is no pronunciation of {word!r}") from error
        grammar = self._grammar_of(phrases, several) if jsgf is None else jsgf
        try:
            self._decoder.add_jsgf_string("phrases", grammar)
            self._decoder.activate_search("phrases")
        except (RuntimeError, ValueError) as error:
            raise ValueError("this is no grammar in JSGF of words that the dictionary knows") from error
        self._hearing = False
        self._told = ""

    def hear(self, chunk: AudioChunk) -> list[Transcript]:
        """More of the utterance; what it sounds like by now, where that is something new."""
        if not self._hearing:
            self._decoder.start_utt()
            self._hearing = True
            self._process(EDGE)
        self._process(chunk.data)
        text = self._text()
        if not text or text == self._told:
            return []
        self._told = text
        return [Transcript(text, is_final=False)]

    def finish(self) -> list[Transcript]:
        """The phrase, or phrases, that it sounds like most; of nothing, nothing."""
        if not self._hearing:
            return []
        self._process(EDGE)
        self._decoder.end_utt()
        self._hearing, self._told = False, ""
        text = self._text()
        return [Transcript(text)] if text else []

    def _process(self, data: bytes) -> None:
        if data:
            self._decoder.process_raw(data, False, False)

    def _text(self) -> str:
        found = self._decoder.hyp()
        return "" if found is None else str(found.hypstr)

    def _grammar_of(self, phrases: Iterable[str], several: bool) -> str:
        written = [" ".join(phrase.lower().split()) for phrase in phrases]
        if not any(written):
            raise ValueError("a grammar needs a phrase, or jsgf")
        for word in sorted({word for phrase in written for word in phrase.split(" ")}):
            if not re.fullmatch(r"[a-z][a-z'.-]*", word) or self._decoder.lookup_word(word) is None:
                raise ValueError(f"how {word!r} is spoken is not known: say so in pronunciations")
        choice = " | ".join(f"({phrase})" for phrase in written if phrase)
        return f"#JSGF V1.0;\ngrammar phrases;\npublic <phrases> = ({choice}){'+' if several else ''};\n"
