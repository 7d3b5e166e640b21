"""A script on Redis: its answer, or an error of ours."""

import tempfile
from pathlib import Path

import pytest

from safeguards_extproc.adapters.redis_link import RedisLink, RedisSettings
from safeguards_extproc.adapters.redis_script import ask, script
from safeguards_extproc.errors import StoreError
from tests import redis_server


async def test_a_script_answers_or_fails():
    """The second time by its digest; a fault of the script is a bad response."""
    with tempfile.TemporaryDirectory(prefix="redis-") as folder, redis_server.running(Path(folder)) as server:
        link = RedisLink(RedisSettings(server.url, deadline_s=1.0))
        add = script("return tonumber(ARGV[1]) + tonumber(redis.call('INCR', KEYS[1]))")
        answers = [await ask(link, add, ["{a}"], [5]) for _ in range(2)]
        with pytest.raises(StoreError, match="bad-response"):
            await ask(link, script("return redis.call('NOSUCH')"), ["{a}"], [])
        await link.close()

    assert answers == [6, 7]
