"""Where no Envoy answers, that is what is said."""

from __future__ import annotations

import pytest

from safeguards_extproc.doctor.look import ask
from safeguards_extproc.errors import ConfigError
from safeguards_extproc.local.processes import free_port


@pytest.mark.parametrize("url", ["https://127.0.0.1:1", "ftp://x", "http://"])
def test_another_kind_of_address_is_refused(url: str) -> None:
    """Envoy's admin interface speaks plain HTTP."""
    with pytest.raises(ConfigError, match="is no address"):
        ask(url)


def test_nobody_there() -> None:
    """The hint says where admin interfaces are."""
    with pytest.raises(ConfigError, match="no admin interface answers: ConnectionRefusedError"):
        ask(f"127.0.0.1:{free_port()}")
