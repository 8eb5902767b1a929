"""Sentences of a text that is still being written: the same however it comes, and nothing of it lost."""

# ruff: noqa: RUF001  (the letters of other scripts are meant)

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from voxtra_core.agent.sentences import Sentences, joined


def cut(pieces: Sequence[str], limit: int = 240, first_limit: int | None = None) -> list[str]:
    sentences = Sentences(limit=limit, first_limit=first_limit)
    return [sentence for piece in pieces for sentence in sentences.feed(piece)] + sentences.flush()


MORSELS = (
    "Hello|there|Dr|J|e.g|a.m|U.S|No|St|am|der|3|42|10.30|1,000.50|v2.1|Mai|Monday|how|I|We|www.a.com/b?c=d|a@b.de|"
    "你好|今日は|と|مرحبا|नमस्ते|Καλά|สวัสดี|ครับ|ሰላም|Բարեւ|😀|👩‍👩‍👧|é|e\u0301|"
    ".|?|!|...|…|?!|。|！|？|．|」|『|؟|۔|।|։|።|;|,|，|、|:|-|—|"
    "\"|'|”|“|»|)|(|*|**|#| | | | |  |\n|\n\n|\n- |\n1. |\r\n|\t|\u00a0"
).split("|")
texts = st.lists(st.sampled_from(MORSELS) | st.text(max_size=3), max_size=60).map("".join)
limits = st.integers(1, 80)
first_limits = st.none() | st.integers(1, 40)


@settings(max_examples=settings().max_examples * 10)
@given(texts, st.lists(st.integers(1, 12), min_size=1), limits, first_limits)
@example("Hello.\n\n", [1], 80, None)
@example("Good. 😀😀 Yes", [1], 80, None)
@example("am 3. Maintal", [1], 80, None)
@example("」。「", [1], 80, None)
@example("Hello，Hello", [1], 1, 6)
@example("Hello😀」，Hello", [1], 7, 8)
def test_they_are_the_same_however_the_text_comes(
    text: str, lengths: list[int], limit: int, first_limit: int | None
) -> None:
    pieces: list[str] = []
    start = 0
    while start < len(text):
        length = lengths[len(pieces) % len(lengths)]
        pieces.append(text[start : start + length])
        start += length
    whole = cut([text], limit, first_limit)
    assert cut(pieces, limit, first_limit) == whole
    assert cut(list(text), limit, first_limit) == whole


@settings(max_examples=settings().max_examples * 10)
@given(texts, limits, first_limits)
def test_only_white_space_between_them_is_left_out(text: str, limit: int, first_limit: int | None) -> None:
    at = 0
    for sentence in cut([text], limit, first_limit):
        assert sentence
        assert sentence == sentence.strip()
        found = text.index(sentence, at)
        assert not text[at:found].strip()
        at = found + len(sentence)
    assert not text[at:].strip()


@given(texts, st.integers(10, 80))
def test_none_is_much_longer_than_the_limit(text: str, limit: int) -> None:
    """A full stop within it takes its quotes along."""
    assert all(len(sentence) <= limit + 60 for sentence in cut([text], limit))


@settings(max_examples=settings().max_examples * 10)
@given(texts)
@example("Ask Dr.")
@example("It is 3.")
def test_what_a_pause_hands_out_would_end_there_before_a_name_too(text: str) -> None:
    sentences = Sentences()
    known = sentences.feed(text)
    if paused := sentences.pause():
        assert known + paused == cut([text])
        assert [*known, *paused, "Zoe"] == cut([text, " Zoe"])
    assert sentences.pause() == []


@given(texts)
def test_after_the_end_it_is_as_new(text: str) -> None:
    sentences = Sentences()
    once = sentences.feed(text) + sentences.flush()
    assert sentences.flush() == []
    assert sentences.feed(text) + sentences.flush() == once


@pytest.mark.parametrize(
    "text",
    [
        # abbreviations
        "I have seen Dr. Smith and Mrs. Jones.|They are well.",
        "Bring fruit, e.g. Cox apples, i.e. The red ones.|Thanks.",
        "He lives at 5 St. James Road.|It is far.",
        "Take bus No. 5 please.|No.|That is wrong.",
        "J. R. R. Tolkien wrote it.|So did C. S. Lewis.",
        "The U.S. Army is in the U.S.|The rest is not.",
        "We open at 9 a.m. every day.|We close at 5 p.m.|How can I help?",
        "Ask Apple Inc. Legal about it.|Ask Foo Ltd.|We did.",
        "It is vitamin C.|It helps.",
        "In der Hauptstr. 5 ist es.|Ja.",
        "Das ist z. B. Herr Dr. Meier, d.h. Hans.|Gut.",
        "А. С. Пушкин родился в Москве.|Да.",
        "approx. five is about right. and so on",
        "Sie haben einen Termin bei Prof. Dr. med. Weber.|Frau Dr. rer. nat. Meier kommt.|Um drei.",
        "Il Sig. Rossi e il Dott. Bianchi sono qui.|Grazie.",
        "El presidente de EE. UU. Visita Madrid.|Los JJ. OO.|Gracias.",
        "U hebt een afspraak met dhr. De Vries.|Mevr. Jansen belt u.",
        "Nous sommes au 5 bd. Voltaire.|Au 3 av. Foch.|Merci.",
        "Ul. Lenina, d. 5, kv. 7 is the address.|Pan Jan, tel. 555, ul. Długa 5.|Tak.",
        "ул. Ленина, д. 5, кв. 7.|Да.",
        "The total is Rs. 500 today.|It was the S. p. A. Rossi.",
        "Exmo. Sr. Silva, bom dia.|Tudo bem?",
        "We meet on Tues. March 5.|Ask Lt. Col. Brown.|She has a Ph.D. in physics.",
        "डॉ. शर्मा आज यहाँ हैं।|यह है.|मैं हूँ।",
        "นัดกับ ดร. สมชาย",
        "د. أحمد هنا.|نعم.",
        # what is none, though it is short
        "I sent an SMS.|Nobody came.|Ask Joe.|Come at 9 a.m. today.|Tomorrow is bad.|Are you in the U.S. now?|OK.|Bye",
        "네.|알겠습니다.|예. 2시입니다.",
        # numbers
        "Pi is 3.14 or so.|It costs $1,000.50.|OK?",
        "That is v2.1 and not 2.0.|Right!",
        "Um 10.30 Uhr am 3. Mai im 4. Stock.|Bis dann!",
        "Der 2. Weltkrieg, am 24. Dezember.|Am 5. Tag.",
        "You have 42.|Anything else?",
        "Das Treffen ist am Mo. 3. Mai.|Am 3. 5. 2025 um zehn.|Es ist 24. 12. 2025.|Am 3. Sept. 2025.|Ab Gl. 3.|Gut.",
        "It was in 2024.|May I go on?",
        # addresses
        "See https://a.example.com/b.c?d=e!f.|Or www.a.com?|Mail john.doe@example.co.uk.|Done.",
        "Use node.js or .NET today.|Fine.",
        # what belongs to a full stop
        "Well… so I see.|Wait... what?!|No way!!|Yes",
        'He said "Stop."|She did.|"Really?" he asked.|(So it is.)|„Gut.“|«Oui.»|Bon.',
        "**Bold.**|_It is._|`Code.`|Text",
        "Great! 😀|How are you? 👩‍👩‍👧|Fine",
        "Hi!😀|You",
        "Sí.|¿Qué tal?|¡Bien!",
        # other scripts
        "你好。|我是“小明”。|“好！”|他说：“你好吗？”|对",
        "「はい。」と言った。|今日は！|元気？|３．５です。|はい",
        "你好!|再见?|好",
        "감사합니다.|네, 좋아요.",
        "كيف حالك؟|أنا بخير.|یہ ہے۔|اچھا",
        "नमस्ते।|आप कैसे हैं?|ठीक॥|हाँ",
        "Τι κάνεις;|Καλά.|Εσύ;|Ναι",
        "ሰላም።|ደህና ነህ፧|አዎ",
        "Բարեւ։|Ինչպե՞ս ես։|Լավ",
        "สวัสดีครับ ยินดีต้อนรับ ครับ",
    ],
)
def test_sentences_that_there_are(text: str) -> None:
    expected = text.split("|")
    assert cut([joined(expected)]) == expected
    assert cut(["\n\n".join(expected)]) == expected


@pytest.mark.parametrize(
    "text",
    [
        "You can:|- pay|- leave|Bye",
        "Steps:|1. Dial 5.|2. Wait.|a) Hang up|b) Go",
        "A line that is wrapped\ngoes on.|Another One|Two",
        "# A heading|And text",
        "Ask for Dr.|Smith",
    ],
)
def test_lines_that_there_are(text: str) -> None:
    expected = text.split("|")
    assert cut(["\n".join(expected)]) == expected
    assert cut(["\r\n \r\n".join(expected)]) == expected


@pytest.mark.parametrize(
    ("text", "known", "rest"),
    [
        ("Hello. ", [], ["Hello."]),
        ("Hello. W", ["Hello."], ["W"]),
        ("Hello! ", [], ["Hello!"]),
        ("Hello?! w", ["Hello?!"], ["w"]),
        ("Hello.\n\n", ["Hello."], []),
        ("你好。", [], ["你好。"]),
        ("你好。我", ["你好。"], ["我"]),
        ("At 9 a.m. W", [], ["At 9 a.m. W"]),
        ("At 9 a.m. We ", ["At 9 a.m."], ["We"]),
        ("You have 3. M", [], ["You have 3.", "M"]),
        ("You have 3. Mo", ["You have 3."], ["Mo"]),
        ("One\n", [], ["One"]),
        ("One\nT", ["One"], ["T"]),
        ("One\na", [], ["One\na"]),
        ("One\na)", ["One"], ["a)"]),
        ("A las 5 p. m. ¿", ["A las 5 p. m."], ["¿"]),
        (" \n ", [], []),
        ("", [], []),
    ],
)
def test_each_is_handed_out_as_soon_as_it_is_known_to_be_whole(text: str, known: list[str], rest: list[str]) -> None:
    sentences = Sentences()
    assert [sentence for character in text for sentence in sentences.feed(character)] == known
    assert sentences.flush() == rest


@pytest.mark.parametrize(
    "text",
    ["Yes.", "No.", "That is all for today. ", "How are you?", "See www.a.com!", "He said “Go.”", "Wait...", "Well…",
     "It is 5%.", "It is on TV.", "So it is.\n", "(So it is.)", "**Fine.**",
     "你好。", "是的．", "네.", "यह है।", "Ça va ?", "Come at 9 a.m. today.", "Hello.\n\n"],
)  # fmt: skip
def test_what_is_whole_is_handed_out_in_a_pause(text: str) -> None:
    sentences = Sentences()
    assert sentences.feed(text) + sentences.pause() == [text.strip()]
    assert sentences.flush() == []


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ("I will connect you with Dr.", " Smith now."),
        ("It costs 3.", "50 euros."),
        ("It costs 1,000.", "50 euros."),
        ("We open at 9 a.m.", " every day."),
        ("Take bus No.", " 5."),
        ("Am 3.", " Mai."),
        ("J.", " R. R. Tolkien."),
        ("Bei Dr. med.", " Weber."),
        ("EE. UU.", " Visita Madrid."),
        ("Use .", "NET today."),
        ("See www.", "a.com now."),
        ("See https://a.com/b?", "c=d now."),
        ("Mail a@b.", "com now."),
        ("３．", "５です。"),
        ("U.S. A", "rmy."),
        ("We are", " open."),
        ("First,", " we are open."),
    ],
)
def test_what_may_go_on_waits_in_a_pause(text: str, rest: str) -> None:
    sentences = Sentences()
    assert sentences.feed(text) + sentences.pause() == []
    assert sentences.feed(rest) + sentences.flush() == [text + rest]


LONG = "I have looked for your order, which was made on Monday; it is on its way and will arrive tomorrow"


@pytest.mark.parametrize(
    ("limit", "first_limit", "expected"),
    [
        (240, None, [LONG]),
        (240, 60, [LONG[:55], LONG[56:]]),  # at the last comma or the like within it
        (240, 40, [LONG[:29], LONG[30:]]),
        (240, 20, [LONG[:29], LONG[30:]]),  # at the next, where there is none
        (240, 120, [LONG]),
        (60, None, [LONG[:55], LONG[56:]]),
        (40, 40, [LONG[:29], LONG[30:55], LONG[56:88], "tomorrow"]),  # otherwise at a space
    ],
)
def test_what_is_too_long_is_cut(limit: int, first_limit: int | None, expected: list[str]) -> None:
    assert cut([LONG], limit, first_limit) == expected
    assert joined(expected) == LONG


def test_only_the_first_is_cut_early() -> None:
    assert cut([f"{LONG}. {LONG}."], 240, 60) == [LONG[:55], f"{LONG[56:]}.", f"{LONG}."]


def test_a_number_is_not_cut_at_its_comma() -> None:
    assert cut(["It will cost you 1,000,000 dollars"], 240, 15) == ["It will cost you 1,000,000 dollars"]


def test_what_has_neither_spaces_nor_stops_is_cut_anywhere_but_not_between_a_letter_and_its_marks() -> None:
    assert cut(["字" * 25], 10) == ["字" * 10, "字" * 10, "字" * 5]
    assert cut(["字字字，" * 3], 10) == ["字字字，字字字，", "字字字，"]
    assert cut(["e\u0301" * 4], 3) == ["e\u0301", "e\u0301", "e\u0301", "e\u0301"]


def test_thai_is_cut_between_its_phrases() -> None:
    phrase = "สวัสดีครับ"
    assert cut([" ".join([phrase] * 4)], 240, 15) == [phrase, " ".join([phrase] * 3)]


def test_a_model_that_writes_the_same_character_for_ever_is_heard_and_forgotten() -> None:
    for character in ".!x,\n字。😀;-":
        sentences = Sentences(first_limit=60)
        handed_out = sum(len(sentence) for _ in range(2000) for sentence in sentences.feed(character))
        left = sum(map(len, sentences.flush()))
        assert left <= 300
        assert handed_out + left == (0 if character == "\n" else 2000)


@pytest.mark.parametrize(("limit", "first_limit"), [(0, None), (-1, None), (240, 0)])
def test_a_limit_is_at_least_one(limit: int, first_limit: int | None) -> None:
    with pytest.raises(ValueError, match="at least 1 character"):
        Sentences(limit=limit, first_limit=first_limit)


def test_joined_as_the_script_has_it() -> None:
    assert joined(["One.", "Two.", "", "三。", "「四。」", "Five"]) == "One. Two. 三。「四。」Five"
    assert joined([]) == ""
