"""The record of an exchange is plain data, complete without text."""

import dataclasses

from safeguards_extproc.core.record import Record
from tests.playbook import Conversation
from tests.world import WordPolicy, plain_request


def test_a_record_is_plain_data():
    """Any encoder can write it."""

    def plain(value):
        match value:
            case dict():
                return all(isinstance(key, str) and plain(item) for key, item in value.items())
            case list():
                return all(map(plain, value))
            case _:
                return isinstance(value, str | int | float | bool)

    record = Conversation(WordPolicy()).request(plain_request("hello")).response(b'{"text": "hi"}').record

    assert plain(dataclasses.asdict(record))


def test_the_record_names_the_rule_that_decided():
    """And lists all that fired, with mode and cause."""
    record = Conversation(WordPolicy()).request(plain_request("FORBIDDEN")).record

    assert (record.rule, [(fired.rule, fired.mode) for fired in record.request.fired]) == (
        "FORBIDDEN",
        [("FORBIDDEN", "enforce")],
    )


def test_an_empty_record_claims_nothing():
    """Coverage is "none" until something was scanned."""
    assert Record("1").request.account.coverage == "none"
