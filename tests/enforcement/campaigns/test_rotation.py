"""New keys that do what the last ones did."""

from __future__ import annotations

from safeguards_extproc.core.account import Settlement
from tests.enforcement.campaigns.playing import play, settled, spec

ROTATION = spec("rotation", 12, window="6h")


def fresh(count: int, share: int) -> list[Settlement]:
    """Keys of one organisation, ten exchanges each, one in `share` refused."""
    return [settled(n, user="", names={"key": f"key-{n // 10}"}, refused=n % share == 0) for n in range(count)]


async def test_key_after_key() -> None:
    """Told at the twelfth key, with the organisation as the case and the keys in it."""
    told = await play(ROTATION, fresh(200, 2))
    assert ("rotation:acme",) == told[0].keys
    assert {("key", f"key-{n}") for n in range(12)} == {(one.kind, one.pseudonym) for one in told[0].members}


async def test_a_product_opens() -> None:
    """Hundreds of new keys, one in thirty exchanges refused."""
    assert [] == await play(ROTATION, fresh(2000, 30))


async def test_limits_count() -> None:
    """Each key runs into its limit, and the next goes on."""
    asks = [settled(n, user="", names={"key": f"key-{n // 10}"}, limited=n % 10 > 5) for n in range(200)]
    assert await play(ROTATION, asks)


async def test_who_was_known_is_not_new() -> None:
    """The same keys, a day and a half after they began."""
    known = [settled(n, user="", names={"key": f"key-{n}"}) for n in range(20)]
    pause = [settled(n, user="", names={"key": "pause"}) for n in range(20)]
    asks = [*known, *pause, *(settled(n, user="", names={"key": f"key-{n % 20}"}, refused=True) for n in range(60))]
    assert [] == await play(ROTATION, asks, every_s=6500)
    assert await play(ROTATION, asks[40:], every_s=60)


async def test_nobody_above() -> None:
    """An organisation alone is in nothing in which it could rotate."""
    asks = [settled(n, user="", refused=True) for n in range(40)]
    for each in asks:
        del each.admission.identity.names["key"]  # type: ignore[attr-defined]
    assert [] == await play(ROTATION, asks)
