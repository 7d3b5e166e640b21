"""What evasions cost those who evade nothing: views change no score of ordinary text, and redaction hits the place.

Texts in twelve scripts and more, emoji with joiners, code, images in base64, minified JSON, logs, mathematics. A text
is added by a line in TEXTS.
"""

from __future__ import annotations

import base64
import json
import random
import textwrap
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
    "Vietnamese": "Ủy ban đã họp vào thứ Ba để thảo luận về ngân sách, và mọi người đều đồng ý.",
    "Turkish": "Komite salı günü bütçeyi görüşmek için toplandı; ığdır, İstanbul, çağ.",
    "two scripts": "The word Москва means Moscow, 東京 means Tokyo and Αθήνα is Athens.",
    "emoji": "Great 👍🏽 work 👩‍👩‍👧‍👦 ❤️‍🔥 🏳️‍🌈 👨🏿‍💻 1️⃣ 2️⃣ 🇩🇪🇫🇷 ☺️ ✨",
    "mathematics": "∀x∈ℝ: ⌈x⌉ = −⌊−x⌋, α² + β² = γ², 𝑓(𝑥) = √𝑥, \\frac{\\theta}{2\\pi} \\nabla \\times B",
    "code": CODE,
    "a command": "curl -sS 'https://example.org/api?q=a%20b&n=10' | jq '.items[] | {id, name}' > out.json && wc -l",
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


@pytest.mark.parametrize("name", TEXTS)
def test_views_change_nothing(name: str) -> None:
    """Every score and every mark is what the text alone gives."""
    found = EVERYTHING.find(Kind.CONTENT, TEXTS[name])
    with patch.object(compile, "expand", lambda text: (text,)):
        alone = EVERYTHING.find(Kind.CONTENT, TEXTS[name])
    assert alone.scores == found.scores
    assert list(alone.spans) == list(found.spans)


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
