"""A text cut into sentences while it is still being written, to speak the first while the model is at the second.

A sentence that isn't seen to end costs a moment, for it is spoken with the next; one that is cut in two ("I met Dr." —
"Smith") is heard by everybody. Where both are possible there is no cut.
"""

# ruff: noqa: RUF001  (the full stops of other scripts are meant)

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import Enum, auto
from unicodedata import category

__all__ = ["LIMIT", "Sentences", "joined"]

LIMIT = 240
"""Characters of the longest sentence: some 15 s of speech."""

# ---- characters ------------------------------------------------------------------------------------------------------

WIDE = "\u3000-\u30ff\u31f0-\u9fff\uf900-\ufaff\uff01-\uffef\U00020000-\U0003ffff"
"""Chinese and Japanese, which put no spaces between words nor between sentences."""
UNSPACED = f"{WIDE}\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"
"""These, and Thai, Lao, Burmese and Khmer, which put spaces between phrases."""
_WIDE_STOPS = "。！？｡．"
_STOPS = ".…?!‼⁇⁈⁉؟۔।॥။។៕།༎።፧፨։\u037e"
_CLOSERS = "\"'’”»«›)\\]}*_~`」』）】》〉〕"
_OPENERS = "\"'‘“„‚«»‹([{¿¡*_#>~`「『（【《〈〔•–—-"
_EMOJI = "\u2600-\u27bf\u2b00-\u2bff\ufe0f\u200d\u20e3\U0001f000-\U0001faff"

_CANDIDATE = re.compile(rf"[\n;{_STOPS}{_WIDE_STOPS}]")
_RUN = re.compile(rf"[;{_STOPS}{_WIDE_STOPS}][{_STOPS}{_WIDE_STOPS}{_CLOSERS}“‘]{{0,16}}(?: ?[{_EMOJI}]{{1,8}}){{0,4}}")
_WIDE_RUN = re.compile(rf"[{_WIDE_STOPS}][{_STOPS}{_WIDE_STOPS}{_CLOSERS}]{{0,16}}(?: ?[{_EMOJI}]{{1,8}}){{0,4}}")
"""A full stop and all that belongs to it; in Chinese “ opens the next sentence, in German it closes this one."""
_ONLY_STOPS = re.compile(rf"[;{_STOPS}{_WIDE_STOPS}{_EMOJI} ]*")
_SPACE = re.compile(r"\s*")
_BLANK_LINE = re.compile(r"\n[^\S\n]*\n")
_NEXT_WORD = re.compile(rf"[{re.escape(_OPENERS)}]{{0,8}}(\w{{0,24}})")
_IS_WIDE = re.compile(f"[{WIDE}]")
_WIDE_END = re.compile(rf"[{WIDE}][\s{_CLOSERS}{_EMOJI}]*$")
_GREEK = re.compile(r"[\u0370-\u03ff\u1f00-\u1fff]")
_CLAUSE = re.compile(
    r"[,;:،؛、，；：—–፣፤](?=\s)|[、，；：]|(?<=\s)-(?=\s)|(?<=[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff])(?=\s)"
)

# ---- words, in small letters and without their full stop -------------------------------------------------------------
# Before a small letter none ends a sentence, so that these are only what stands before names, numbers and nouns.

_NEVER = frozenset(
    "mr mrs ms mx dr drs prof rev hon gen col lt sgt capt cmdr maj gov sen rep pres mt ft messrs mme mlle "
    "e.g i.e eg ie cf viz vs approx incl excl resp tel ca c.f f.eks t.ex "
    "hr fr frl dipl ing z.b d.h u.a v.a o.ä s.o s.u bzw bspw evtl ggf vgl inkl zzgl geb "
    "sr sra srta ud uds dña dn exmo exma ilmo ilma profa gral avda dott avv geom sigg mevr bijv "
    "ul inż mgr godz doç "
    "т.е т.д т.п ул тел проф акад डॉ प्रो श्रीमती पं रु".split()
)
"""What never ends a sentence."""
_NUMBERED = frozenset("no nos nr num n° vol fig figs art abs kap ch chap sec sect pp pg ext apt ste ed op núm".split())
"""What ends none before a number."""
_SELDOM = frozenset(
    "st str ave av blvd rd dept est inc ltd corp co bros jr etc usw al ph.d phd gmbh "
    "sig rag arq lic dra enz cad sok mah руб тыс им обл "
    "jan feb mar apr jun jul aug sep sept oct nov dec okt dez "
    "mon tue tues wed weds thu thur thurs fri sat sun mo".split()
)
"""What ends one seldom."""
_STARTERS = frozenset(
    "i you he she it we they the this that these those there here what when where why who how which "
    "is are was do does did can could will would shall should may have has if but and so then now please thank thanks "
    "my your our his her their for in on at to after before because while let yes no not as "
    "der die das wir ich sie er es wie wann wo warum wer kann können möchten haben danke und aber wenn "
    "vous nous merci est el los usted hay gracias si il het een ik wij kunt det vi".split()
)
_LETTERS = re.compile(r"(?:[^\W\d_]\.)*[^\W\d_]|([^\W\d_])\1")
"""U.S, p.m, J, and what is doubled for a plural, as *EE. UU.* and *pp.* These too end a sentence seldom."""
_SYLLABLES = re.compile(f"[{WIDE}\uac00-\ud7a3]")
"""Of these one letter is a word."""
_CONSONANTS = re.compile(
    "[b-df-hj-np-tv-xzčćçřšśžźñ]{2,5}|[бвгджзклмнпрстфхцчшщ]{2,5}|[βγδζθκλμνξπρσςτφχψ]{2,5}|[\u0e01-\u0e2e]{2,4}"
)
"""*bd*, *dhr*, *кв*: no word is without a vowel, and so these are seldom the last."""
_SHORT = 3
"""Letters of a word that is taken for an abbreviation before a number, *Rs. 500*; and"""
_SHORT_IN_CHAIN = 4
"""… of one in small letters behind another full stop that ends nothing: *Dr. rer. nat. Meier*."""
_MONTHS = frozenset(
    "januar jänner februar märz april mai juni juli august september oktober november dezember "
    "jan feb mär apr jun jul aug sep sept okt nov dez "
    "januari februari maart mei juni augustus ocak".split()
)
_BEFORE_ORDINALS = frozenset(
    "am der die das dem den des im vom zum zur beim bis ab seit ein eine einen einem einer jeder jede jeden".split()
)
"""What stands before numbers that are ordinals when a full stop follows: *im 3. Stock*."""
_ABBREVIATED = re.compile(r"[^\W\d_]{2,}\.")


class _Ends(Enum):
    """How often a sentence ends with a word and its full stop."""

    NEVER = auto()
    SELDOM = auto()
    """Only if the next word is one that many begin with."""
    BEFORE_NUMBERS_NEVER = auto()
    AS_NUMBER = auto()
    """Unless it is an ordinal."""
    OFTEN = auto()


class _More(Enum):
    """What is known of the text that is still to come."""

    COMES = auto()
    PAUSES = auto()
    """It has not come for a moment: what is whole by itself is."""
    IS_NONE = auto()


class Sentences:
    """One answer, in pieces of any size; out come its sentences, without the white space around them.

    However the text is cut into pieces, the sentences are the same, and in order they are the text: only white space
    between them is left out. :func:`joined` puts it back.

    A sentence is handed out with the first character that shows that it has ended: what follows the full stop and its
    closing quotes, in Chinese and Japanese; the beginning of the next sentence where spaces separate them; all of the
    next one's first word where it matters ("U.S. Army", "3. Mai"); a blank line at once. A line ends a sentence unless
    the next goes on in small letters. The last comes from :meth:`flush`. When the text falters, :meth:`pause` hands out
    one that nothing can go on with; in this alone sentences depend on how the text comes.

    One longer than ``limit`` is cut behind the last comma or the like that fits, otherwise at a space, otherwise
    anywhere. Longer than ``first_limit``, the first is cut at a comma or the like, if there is one: so that speech
    begins soon. Raises ``ValueError`` for limits below 1.
    """

    __slots__ = ("_first_limit", "_limit", "_looked", "_text")

    def __init__(self, *, limit: int = LIMIT, first_limit: int | None = None) -> None:
        if limit < 1 or (first_limit is not None and first_limit < 1):
            raise ValueError(f"a sentence has at least 1 character: limit={limit}, first_limit={first_limit}")
        self._limit = limit
        self._first_limit = first_limit if first_limit is not None and first_limit < limit else None
        self._text = ""  # what is not handed out yet; never begins with white space
        self._looked = 0  # so much of it ends no sentence

    def feed(self, text: str) -> list[str]:
        """More of the text; the sentences that are known to be whole with it."""
        self._text = self._text + text if self._text else text.lstrip()
        return self._sentences(_More.COMES)

    def pause(self) -> list[str]:
        """No more has come for a moment: the last sentence is whole if nothing that may follow could be part of it. So
        it is not after an abbreviation, an initial or a number.
        """
        return self._sentences(_More.PAUSES)

    def flush(self) -> list[str]:
        """The text is over: what is left of it, mostly one sentence or none. What is fed next goes on with it."""
        found = self._sentences(_More.IS_NONE)
        if self._text:
            found.append(self._take(len(self._text)))
        return found

    def _sentences(self, more: _More) -> list[str]:
        found: list[str] = []
        while self._text and (end := self._end(more)):
            found.append(self._take(end))
        return found

    def _take(self, end: int) -> str:
        sentence = self._text[:end].rstrip()
        self._text = self._text[end:].lstrip()
        self._looked, self._first_limit = 0, None
        return sentence

    def _end(self, more: _More) -> int:
        """Where the first sentence ends; 0 if that isn't known."""
        text = self._text
        for candidate in _CANDIDATE.finditer(text, self._looked):
            self._looked = candidate.start()
            if cut := self._cut():
                return cut
            end = _end_at(text, self._looked, more)
            if end is None:
                return 0
            if end:
                return end
        self._looked = len(text)
        return self._cut()

    def _cut(self) -> int:
        """Where it is to be cut, if it is too long; 0 if it is not. As far as was looked, no sentence ends."""
        text, looked = self._text, self._looked
        if (first := self._first_limit) is not None and looked > first:
            if end := _clause_end(text, first):
                return end
            later = _CLAUSE.search(text, first, self._limit + 1)
            if later and later.end() <= min(looked, self._limit):
                return later.end()
        if looked <= self._limit:
            return 0
        return _clause_end(text, self._limit) or _space(text, self._limit) or _anywhere(text, self._limit)


def joined(sentences: Iterable[str]) -> str:
    """Sentences as one text: with a space between any two, except in scripts that have none."""
    text = ""
    for sentence in sentences:
        if text and sentence and not _WIDE_END.search(text, max(0, len(text) - 40)):
            text += " "
        text += sentence
    return text


# ---- whether a sentence ends there: where its end is, 0 if it goes on, None if that isn't known yet ------------------


def _end_at(text: str, at: int, more: _More) -> int | None:
    if text[at] == "\n":
        return _end_at_line(text, at, more)
    if text[at] == ";" and not _GREEK.match(text, at - 1):
        return 0
    run = (_WIDE_RUN if text[at] in _WIDE_STOPS else _RUN).match(text, at)
    assert run is not None
    end = run.end()
    next = _match(_SPACE, text, end).end()
    if next == len(text):
        if more is _More.IS_NONE or _BLANK_LINE.search(text, end):
            return end
        return end if more is _More.PAUSES and _is_whole(text, at, run[0]) else None
    if next == end:
        return end if _ends_without_space(text, at, end) else 0
    if text[at] not in ".…" and _ONLY_STOPS.fullmatch(run[0]):
        return end
    if _BLANK_LINE.search(text, end, next) or text[next] in "¿¡":
        return end
    following = _match(_NEXT_WORD, text, next)
    word, is_whole = following[1], more is _More.IS_NONE or following.end() < len(text) or len(following[1]) == 24
    if not word and not is_whole:
        return None
    if word[:1].islower():
        return 0
    if text[at] != "." or run[0][1:2] in {".", "…"}:
        return end
    return _end_of_word(text, at, end, word, is_whole)


def _is_whole(text: str, at: int, run: str) -> bool:
    """Whether it ends there whatever follows."""
    before, word = _words(text, at)
    if text[at] not in ".．":
        return not ("/" in word and "." in word)  # https://a.com/b?c
    if run[1:2] in {".", "…"}:
        return True
    if not word or word[-1].isdigit() or "." in word or "@" in word:  # .NET; 3.50; p.m.; a@b.de
        return False
    ends = _ends_as(before, word)
    return ends is _Ends.OFTEN or (ends is _Ends.BEFORE_NUMBERS_NEVER and not before and word.casefold() == "no")


def _end_at_line(text: str, at: int, more: _More) -> int | None:
    next = _match(_SPACE, text, at).end()
    if _BLANK_LINE.match(text, at):
        return at
    if next == len(text):
        return at if more is _More.IS_NONE else None
    if not text[next].islower():
        return at
    if next + 1 == len(text) and more is not _More.IS_NONE:
        return None
    return at if text[next + 1 : next + 2] == ")" else 0  # a) an item of a list


def _ends_without_space(text: str, at: int, end: int) -> bool:
    if text[at] not in _WIDE_STOPS:
        return at > 0 and bool(_IS_WIDE.match(text, at - 1) and _IS_WIDE.match(text, end))
    if text[at] == "．" and text[end].isdigit():
        return False
    return not (text[end - 1] in "」』" and "ぁ" <= text[end] <= "ん")  # 「はい。」と言った


def _end_of_word(text: str, at: int, end: int, next: str, is_whole: bool) -> int | None:
    """After one full stop, by the words before it and the next, which begins with no small letter."""
    before, word = _words(text, at)
    ends, starts = _ends_as(before, word), next.casefold()
    if ends is _Ends.NEVER:
        return 0
    if next[:1].isdigit():
        is_plain = ends is _Ends.OFTEN and not (word.isalpha() and len(word) <= _SHORT)
        return end if is_plain else 0
    if ends is _Ends.AS_NUMBER:
        if not before or before.casefold() in _BEFORE_ORDINALS:  # an item of a list; an ordinal
            return 0
        if not is_whole and any(month.startswith(starts) for month in _MONTHS):
            return None
        return 0 if starts in _MONTHS else end
    if ends is _Ends.SELDOM:
        if not is_whole:
            return None
        return end if starts in _STARTERS else 0
    return end


def _words(text: str, at: int) -> tuple[str, str]:
    """The word that ends there, and before it the one before; ``""`` where there is none."""
    words = ["", "", *text[max(0, at - 60) : at].split()]
    return ("", "") if at == 0 or text[at - 1].isspace() else (words[-2], words[-1].lstrip(_OPENERS))


def _ends_as(before: str, word: str) -> _Ends:
    small = word.casefold()
    if small in _NEVER:
        return _Ends.NEVER
    if small in _NUMBERED:
        return _Ends.BEFORE_NUMBERS_NEVER
    if small.isdecimal():
        is_short = len(small) <= 2 or (len(small) == 3 and (not before or before.casefold() in _BEFORE_ORDINALS))
        return _Ends.AS_NUMBER if is_short else _Ends.OFTEN
    is_abbreviation = (
        small in _SELDOM
        or small.endswith("str")
        or (_LETTERS.fullmatch(small) and not _SYLLABLES.match(small))
        or (_CONSONANTS.fullmatch(small) and not word.isupper())
        or (word.islower() and word.isalpha() and len(word) <= _SHORT_IN_CHAIN and _ABBREVIATED.fullmatch(before))
    )
    return _Ends.SELDOM if is_abbreviation else _Ends.OFTEN


def _match(pattern: re.Pattern[str], text: str, at: int) -> re.Match[str]:
    found = pattern.match(text, at)
    assert found is not None  # these patterns match an empty text
    return found


# ---- where to cut what is too long -----------------------------------------------------------------------------------


def _clause_end(text: str, limit: int) -> int:
    """Behind the last comma or the like that fits, unless that leaves too little to speak."""
    ends = [clause.end() for clause in _CLAUSE.finditer(text, 0, limit + 1)]
    return max((end for end in ends if limit // 4 <= end <= limit), default=0)


def _space(text: str, limit: int) -> int:
    return next((at for at in range(limit, 0, -1) if text[at].isspace()), 0)


def _anywhere(text: str, limit: int) -> int:
    """But not between a letter and its marks."""
    for at in range(limit, limit // 2, -1):
        if not category(text[at]).startswith("M") and "\u200d" not in text[at - 1 : at + 1]:
            return at
    return limit
