"""What evasions cost those who evade nothing: views change no score of ordinary text, and redaction hits the place.

Texts in twelve scripts and more, emoji with joiners, code, images in base64, minified JSON, logs, mathematics. A text
is added by a line in TEXTS.
"""

from __future__ import annotations

import base64
import json
import random
import textwrap
import unicodedata
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safeguards_extproc.core.redact import placeholder
from safeguards_extproc.core.text import Kind
from safeguards_extproc.policy import compile, load
from tests.evasions.scene import DIALECTS, STRICT, answer, ask, passed, plain, saying, streaming

EVERYTHING = load.parse(
    """
version: 1
name: everything
detectors:
  secrets: {kind: secrets}
  pii: {kind: pii}
  lists: {kind: patterns, lists: {words: [bomb, kill, attack, drop table, ignore all previous instructions]}}
rules:
  - {name: mask, when: "max(scores.pii.email, scores.pii.card) > 0.5", then: redact, entities: ['*']}
""",
    "everything.yaml",
)
"""Every row of every table, and a rule that redacts all of them."""

IMAGE = base64.b64encode(b"\x89PNG\r\n\x1a\n" + random.Random(3).randbytes(900)).decode()
ORDERS = [
    {"id": n, "name": f"Item {n}", "price": n * 1.25, "tags": ["a", "b"], "ok": True, "x": None} for n in range(9)
]
CODE = r'''
import re
PATTERN = re.compile(r"^\s*(\d{1,3})\.(\d+)\\n?$", re.M)

def total(rows: list[dict[str, float]], *, rate=0.19) -> float:
    """Sum of prices, with tax: a*b + c*d."""
    return sum(row["price"] * (1 + rate) for row in rows if row["ok"]) or 0.0  # 100% of it

print(f"{total([]):>8.2f}\t{PATTERN!r}", '\x1b[1m', "C:\\temp\\new", "a" + "b")
'''

TEXTS = {
    "Latin": "The committee met on Tuesday; Zoë and François agreed (mostly) that it's fine – naïve, but fine.",
    "Cyrillic": "Комитет собрался во вторник, чтобы обсудить бюджет; все согласились с предложением.",
    "Greek": "Η επιτροπή συνεδρίασε την Τρίτη για τον προϋπολογισμό και όλοι συμφώνησαν.",
    "Arabic": "اجتمعت اللجنة يوم الثلاثاء لمناقشة الميزانية، ووافق الجميع على الاقتراح. می‌خواهم بدانم",
    "Hebrew": "הוועדה נפגשה ביום שלישי כדי לדון בתקציב, וכולם הסכימו להצעה.",
    "Devanagari": "समिति ने मंगलवार को बजट पर चर्चा की और सभी प्रस्ताव से सहमत थे। क्‍या आप?",
    "Bengali": "কমিটি মঙ্গলবার বাজেট নিয়ে আলোচনা করেছে এবং সবাই প্রস্তাবে সম্মত হয়েছে।",
    "Tamil": "குழு செவ்வாய்க்கிழமை பட்ஜெட் பற்றி விவாதித்தது; அனைவரும் ஒப்புக்கொண்டனர்.",
    "Thai": "คณะกรรมการประชุมเมื่อวันอังคารเพื่อหารือเรื่องงบประมาณ และทุกคนเห็นด้วย",
    "Han": "委员会星期二开会，讨论年度预算（大家都同意）。价格为￥３００。",
    "Kana": "委員会は火曜日に会合を開き、予算について話し合いました。ﾊﾝｶｸもガギグも。",
    "Hangul": "위원회는 화요일에 모여 예산을 논의했고 모두가 제안에 동의했습니다.",
    "Georgian": "კომიტეტი სამშაბათს შეიკრიბა ბიუჯეტის განსახილველად.",
    "Armenian": "Հանձնաժողովը հավաքվեց երեքշաբթի օրը՝ բյուջեն քննարկելու համար։",
    "Telugu": "కమిటీ మంగళవారం బడ్జెట్ గురించి చర్చించింది; అందరూ ప్రతిపాదనకు అంగీకరించారు.",
    "Malayalam": "സമിതി ചൊവ്വാഴ്ച ബജറ്റ് ചർച്ച ചെയ്തു; എല്ലാവരും നിർദ്ദേശത്തോട് യോജിച്ചു. അവന്\u200d",
    "Ethiopic": "ኮሚቴው ማክሰኞ ስለ በጀቱ ለመወያየት ተሰበሰበ፤ ሁሉም በሐሳቡ ተስማሙ።",
    "Khmer": "គណៈកម្មាធិការបានជួបប្រជុំនៅថ្ងៃអង្គារ ដើម្បីពិភាក្សាអំពីថវិកា។",
    "Tibetan": "ཚོགས་ཆུང་གིས་གཟའ་མིག་དམར་ལ་སྔོན་རྩིས་སྐོར་བགྲོ་གླེང་བྱས།",
    "Persian with joiners": "می\u200cخواهم کتاب\u200cها را بخوانم؛ نیم\u200cفاصله لازم است.",
    "Hebrew with points": "בְּרֵאשִׁית בָּרָא אֱלֹהִים אֵת הַשָּׁמַיִם וְאֵת הָאָרֶץ.",
    "marks of direction": "It is \u200e120 ₪\u200f, and the file is \u2066report.pdf\u2069 (in \u2067עברית\u2069).",
    "Vietnamese, decomposed": unicodedata.normalize("NFD", "Ủy ban đã họp vào thứ Ba để thảo luận về ngân sách."),
    "Hangul, decomposed": unicodedata.normalize("NFD", "위원회는 화요일에 모여 예산을 논의했습니다."),
    "Vietnamese": "Ủy ban đã họp vào thứ Ba để thảo luận về ngân sách, và mọi người đều đồng ý.",
    "Turkish": "Komite salı günü bütçeyi görüşmek için toplandı; ığdır, İstanbul, çağ.",
    "two scripts": "The word Москва means Moscow, 東京 means Tokyo and Αθήνα is Athens.",
    "emoji": "Great 👍🏽 work 👩‍👩‍👧‍👦 ❤️‍🔥 🏳️‍🌈 👨🏿‍💻 1️⃣ 2️⃣ 🇩🇪🇫🇷 ☺️ ✨",
    "flags of tags": "England 🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f plays Wales 🏴\U000e0067"
    "\U000e0062\U000e0077\U000e006c\U000e0073\U000e007f today ⚽",
    "emoji between words": "we 👩‍💻 ship 🚀 on 🗓️ Friday 🎉 and 🧑🏽‍🤝‍🧑🏻 celebrate 🥳 with 🍕",
    "mathematics": "∀x∈ℝ: ⌈x⌉ = −⌊−x⌋, α² + β² = γ², 𝑓(𝑥) = √𝑥, \\frac{\\theta}{2\\pi} \\nabla \\times B",
    "code": CODE,
    "a command": "curl -sS 'https://example.org/api?q=a%20b&n=10' | jq '.items[] | {id, name}' > out.json && wc -l",
    "SQL": "SELECT u.id, COUNT(*) AS n FROM users u LEFT JOIN orders o ON o.user_id = u.id WHERE n > 3 GROUP BY 1;",
    "a patch": "@@ -1,4 +1,4 @@\n-    return a+b\n+    return a + b  # spaces\n index 3b18e51..a9c0f4d 100644",
    "minified code": "!function(e,t){for(var n=0,r=[];n<e.length;n++)r.push(t(e[n]));return r}([1,2,3],e=>e*2);",
    "a dump": "00000000  89 50 4e 47 0d 0a 1a 0a  00 00 00 0d 49 48 44 52  |.PNG........IHDR|",
    "a token": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjMifQ.3Thp81rDFrKXr3WrY1MyMnNK8kKoZBX9lg-JwFznR-M expired",
    "an address of a page": "https://example.org/s?q=caf%C3%A9+au+lait&lang=fr&u=https%3A%2F%2Fexample.org%2Fa%20b#top",
    "HTML of a menu": "<p>Fish &amp; chips &mdash; &pound;9.50&nbsp;only &lt;today&gt;</p><!-- menu v2 -->",
    "Markdown with quotes": '| a | b |\n|---|:-:|\n| *1* | `x = "y"` |\n\n> **Note** - - -\n\n* * *\n',
    "a picture in XML": f'<svg><image href="data:image/png;base64,{IMAGE[:400]}"/><path d="M10 10 h 5 v-3z"/></svg>',
    "escapes": r"caf\u00e9 \x41 \n \t C:\new\table \0 \101 &#233; %41 =E9 \N{DASH}",
    "an image": f'<img src="data:image/png;base64,{IMAGE}" alt="a chart">',
    "base64 in lines": "\n".join(textwrap.wrap(IMAGE, 76)),
    "minified JSON": json.dumps(ORDERS, separators=(",", ":")),
    "JSON in JSON": json.dumps({"arguments": json.dumps({"query": "the weather\nin Zürich", "days": 3})}),
    "a log": "2026-11-21T10:20:30.123Z INFO id=550e8400-e29b-41d4-a716-446655440000 took=12ms, status=200 path=/a/b",
    "a table": "| a | b |\n|---|---|\n| 1.5 | 20 % |\n| 104 105 32 116 | - |\n",
    "Markdown": "# Title\n\n**Bold**, _italic_, ~~gone~~, `code`, [a link](https://example.org/a_b?c=d#e)\n- one\n",
    "HTML": "<!doctype html><!-- page --><p class='x'>Tom &amp; Ann&nbsp;&mdash; 5 &lt; 6</p><b>b</b>old",
    "a hash": "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08 of build 4f1b2b0",
    "a shout": "WHAT?!?! That's $$$ and 50% off!!! @home #fun :-) ;-) <3 o_O ^_^",
    "a list": "A. first\nB. second\nC. third\n1) one 2) two - e.g. U.S. and U.K., i.e. both; C3PO, R2D2, H2O, CO2",
}


SCRIPTS = [
    "Latin",
    "Cyrillic",
    "Greek",
    "Arabic",
    "Hebrew",
    "Devanagari",
    "Bengali",
    "Tamil",
    "Telugu",
    "Malayalam",
    "Thai",
    "Khmer",
    "Tibetan",
    "Ethiopic",
    "Hangul",
    "Georgian",
    "Armenian",
]
"""Texts that are named after their script; Han and Kana are written together."""


@pytest.mark.parametrize("name", [*SCRIPTS, "Han", "Kana"])
def test_a_text_is_in_the_script_that_it_is_named_after(name: str) -> None:
    """Twelve scripts and more, none of them a sample of Latin letters by mistake."""
    words = {"Han": "CJK", "Kana": "KATAKANA|HIRAGANA|CJK"}.get(name, name.upper()).split("|")
    letters = [unicodedata.name(char) for char in TEXTS[name] if char.isalpha()]
    assert sum(any(word in letter for word in words) for letter in letters) > 0.9 * len(letters) > 10


def test_what_joins_and_what_is_packed_is_among_them() -> None:
    """Emoji with joiners, selectors, tags and tones; joiners that a script needs; an image; JSON without a space."""
    assert {"\u200d", "\ufe0f", "\u20e3", "\U0001f3fd"} <= set(TEXTS["emoji"])
    assert "\U000e007f" in TEXTS["flags of tags"]
    assert "\u200c" in TEXTS["Persian with joiners"]
    assert "\u200d" in TEXTS["Malayalam"]
    assert base64.b64decode(TEXTS["base64 in lines"]).startswith(b"\x89PNG")
    assert IMAGE in TEXTS["an image"]
    assert ORDERS == json.loads(TEXTS["minified JSON"])
    assert ": " not in TEXTS["minified JSON"]


@pytest.mark.parametrize("name", TEXTS)
def test_views_change_nothing(name: str) -> None:
    """Every score and every mark is what the text alone gives."""
    found = EVERYTHING.find(Kind.CONTENT, TEXTS[name])
    with patch.object(compile, "expand", lambda text: (text,)):
        alone = EVERYTHING.find(Kind.CONTENT, TEXTS[name])
    assert alone.scores == found.scores
    assert list(alone.spans) == list(found.spans)


@pytest.mark.interpreted
def test_that_the_law_bites() -> None:
    """Planted fault: a view that turns ordinary words into others."""
    eager = patch.object(compile, "expand", lambda text: (text, text.lower().replace("met", "bomb")))
    with eager, pytest.raises(AssertionError):
        test_views_change_nothing("Latin")


MASK = placeholder("email")
ADDRESS = "tom.keller@example.com"


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("dialect", DIALECTS)
def test_redaction_hits_the_place(name: str, dialect: str) -> None:
    """An address in ordinary text is masked, and no other character changes, on the way in and on the way out."""
    text = TEXTS[name]
    said, masked = f"{text}\n{ADDRESS} {text}", f"{text}\n{MASK} {text}"
    assert plain(dialect, masked).body == ask(plain(dialect, said)).upstream_saw()
    assert saying(dialect, masked).body == answer(dialect, saying(dialect, said)).client_saw()


@pytest.mark.parametrize("name", TEXTS)
def test_redaction_of_a_stream_hits_the_place(name: str) -> None:
    """Also where the answer comes in small pieces: joined, they are the text with the address masked."""
    text = TEXTS[name]
    talk = answer("openai_chat", streaming("openai_chat", f"{text}\n{ADDRESS} {text}", step=11))
    data = [line[6:] for line in talk.client_saw().decode().splitlines() if line.startswith("data: {")]
    spoken = "".join(json.loads(line)["choices"][0]["delta"].get("content", "") for line in data)
    assert f"{text}\n{MASK} {text}" == spoken


@given(st.sampled_from(sorted(TEXTS)), st.integers(0, 40))
@settings(max_examples=60, deadline=None)
def test_redaction_between_any_two_words(name: str, place: int) -> None:
    """Offsets are exact wherever the address stands, in letters that fold, join, or take several code points."""
    words = TEXTS[name].split(" ")
    at = place % (len(words) + 1)
    said, masked = (" ".join([*words[:at], one, *words[at:]]) for one in (ADDRESS, MASK))
    assert plain("openai_chat", masked).body == ask(plain("openai_chat", said)).upstream_saw()
    assert saying("openai_chat", masked).body == answer("openai_chat", saying("openai_chat", said)).client_saw()


@given(st.lists(st.sampled_from(sorted(TEXTS)), min_size=2, max_size=5), st.sampled_from(["\n", " ", ""]))
@settings(max_examples=60, deadline=None)
def test_views_change_nothing_in_any_company(names: list[str], between: str) -> None:
    """Texts side by side, as in a document of many parts."""
    text = between.join(TEXTS[name] for name in names)
    found = EVERYTHING.find(Kind.CONTENT, text)
    with patch.object(compile, "expand", lambda text: (text,)):
        alone = EVERYTHING.find(Kind.CONTENT, text)
    assert alone.scores == found.scores
    assert list(alone.spans) == list(found.spans)


@given(st.lists(st.sampled_from(sorted(TEXTS)), min_size=1, max_size=4), st.integers(0, 3))
@settings(max_examples=40, deadline=None)
def test_redaction_among_other_texts(names: list[str], place: int) -> None:
    """In any company."""
    texts = [TEXTS[name] for name in names]
    at = min(place, len(texts))
    said, masked = ("\n".join([*texts[:at], one, *texts[at:]]) for one in (ADDRESS, MASK))
    assert plain("openai_chat", masked).body == ask(plain("openai_chat", said)).upstream_saw()


@pytest.mark.parametrize("name", TEXTS)
def test_ordinary_text_passes(name: str) -> None:
    """Byte for byte."""
    for dialect in DIALECTS:
        said, reply = plain(dialect, TEXTS[name]), streaming(dialect, TEXTS[name])
        assert passed(ask(said))
        assert said.body == ask(said, STRICT).upstream_saw()
        assert reply.body == answer(dialect, reply).client_saw()
