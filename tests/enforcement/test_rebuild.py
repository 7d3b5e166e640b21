"""The projection can be lost: the events give it again."""

from __future__ import annotations

from tests.enforcement.given import ledger, told


def test_the_projection_can_be_made_anew(url):
    """Rows that are lost, wrong or unreadable are found and put right, and told as changes; what is right stays."""
    book, _ = ledger(url)
    book.strikes([told(number, subject) for subject in ("a", "b", "c", "d") for number in range(5)])
    revision = book.revision()
    assert 0 == book.rebuild()
    right = {each.subject: each.standing.step for each in book.subjects()}

    for statement in (
        "DELETE FROM safeguards_account WHERE subject = 'a'",
        "UPDATE safeguards_account SET step = 'good' WHERE subject = 'b'",
        "UPDATE safeguards_account SET state = 'x' WHERE subject = 'c'",
    ):
        with book.writing() as work:
            work.connection.exec_driver_sql(statement)

    assert 3 == book.rebuild()
    assert right == {each.subject: each.standing.step for each in book.subjects()}
    assert {"a", "b"} == {name for name, _ in book.changed(revision, 10)}
    assert 0 == book.rebuild()
