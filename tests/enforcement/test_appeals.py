"""Appeals: nobody decides about what they did themselves."""

from __future__ import annotations

import pytest

from safeguards_extproc.core.account import Step
from safeguards_extproc.enforcement.events import Kind
from safeguards_extproc.errors import NotAllowed
from tests.enforcement.given import event, kinds, ledger, told

pytestmark = pytest.mark.long


def test_appeals(url):
    """Nobody decides about their own act; what is overturned is undone, with what followed; what is upheld stays."""
    book, _ = ledger(url)
    struck = book.strikes([told(1), told(2), told(3)])
    (ban,) = book.append(event(Kind.BAN))
    (first,) = book.append(event(Kind.APPEAL, actor="customer", cause=ban.id))
    (second,) = book.append(event(Kind.APPEAL, actor="customer", cause=struck[2].id))

    assert [first, second] == book.appeals()
    with pytest.raises(NotAllowed, match="had no part"):
        book.overturn(first.id, "maria", "sorry")
    with pytest.raises(NotAllowed, match="is open"):
        book.append(event(Kind.APPEAL, cause=ban.id))
    with pytest.raises(NotAllowed, match="no appeal"):
        book.overturn(ban.id, "omar", "sorry")
    assert ["overturn"] == kinds(book.overturn(first.id, "omar", "sorry"))
    assert Step.WARNED == book.standing("a").step
    with pytest.raises(NotAllowed, match="decided already"):
        book.uphold(first.id, "omar", "no")
    assert ["overturn", "undo"] == kinds(book.overturn(second.id, "omar", "sorry"))
    assert (Step.GOOD, []) == (book.standing("a").step, book.appeals())

    (third,) = book.append(event(Kind.APPEAL, actor="customer", cause=struck[0].id))
    assert ["note"] == kinds(book.uphold(third.id, "omar", "it was"))
    assert [] == book.appeals()
