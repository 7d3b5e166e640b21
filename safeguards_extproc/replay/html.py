"""What reports that are pages have in common: how they look, and tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 80rem; padding: 0 1rem; color: #222 }
table { border-collapse: collapse; margin: .6rem 0 1.4rem; font-size: 13px }
th, td { padding: .2rem .7rem .2rem 0; text-align: right; border-bottom: 1px solid #e4e4e4; white-space: nowrap }
th { font-weight: 600; vertical-align: bottom } td:first-child, th:first-child, .name { text-align: left }
small { color: #777 } img { max-width: 100% } summary { cursor: pointer; color: #246 }
.low { background: #fbd9d3 } .mid { background: #fdf1cf } .good { background: #dcf0dc }
pre { white-space: pre-wrap; background: #f6f6f6; padding: .5rem }
"""

Cells = Sequence[str]


def document(title: str, body: Iterable[str]) -> str:
    """A page that needs nothing else. `title` is text, `body` HTML."""
    head = f'<meta charset="utf-8"><title>{escape(title)}</title><style>{STYLE}</style>'
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{"".join(body)}</body></html>\n'


def table(head: Cells, rows: Iterable[Cells], named: int = 1) -> str:
    """Cells are HTML already. The first `named` columns are words."""

    def line(cells: Cells, tag: str) -> str:
        marks = [' class="name"' if number < named else "" for number in range(len(cells))]
        return (
            "<tr>" + "".join(f"<{tag}{mark}>{cell}</{tag}>" for mark, cell in zip(marks, cells, strict=True)) + "</tr>"
        )

    return f"<table>{line([escape(name) for name in head], 'th')}{''.join(line(row, 'td') for row in rows)}</table>"
