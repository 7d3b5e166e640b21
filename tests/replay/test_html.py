"""What pages have in common."""

from __future__ import annotations

from safeguards_extproc.replay.html import document, table


def test_a_document_is_whole() -> None:
    """Title escaped, body as it is."""
    shown = document("a<b", ["<p>x</p>"])
    assert shown.startswith("<!doctype html>")
    assert "<title>a&lt;b</title>" in shown
    assert "<body><p>x</p></body>" in shown


def test_a_table_has_words_and_numbers() -> None:
    """The first columns are words; heads are escaped, cells are HTML."""
    shown = table(("a&b", "n"), [("<b>x</b>", "1")])
    assert '<th class="name">a&amp;b</th><th>n</th>' in shown
    assert '<td class="name"><b>x</b></td><td>1</td>' in shown
