"""What a person pastes into a configuration file is taken by a real Envoy, the oldest that there is for us included."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from safeguards_extproc.attach import MESHES
from safeguards_extproc.attach.options import Attachment, How, Route, Tls
from safeguards_extproc.errors import ConfigError
from safeguards_extproc.local.envoy import binary, validate
from tests.attach.older import envoy
from tests.attach.pasted import ROUTES, manager_of, save, static, variants
from tests.helm.certificates import write


def saved(wanted: Attachment, folder: Path) -> Path:
    """The configuration, with the files that it reads where it expects them."""
    document, files = static(wanted)
    save(files)
    config = folder / "envoy.json"
    config.write_text(json.dumps(document))
    return config


@pytest.mark.real
@pytest.mark.parametrize("name", variants(""))
def test_envoy_takes_it(name: str, tmp_path: Path) -> None:
    """Every shape of an attachment, pasted by a person, is configuration that Envoy accepts."""
    write(tmp_path / "pem", "localhost")
    assert "" == validate(saved(variants(str(tmp_path / "pem"))[name], tmp_path))


@pytest.mark.real
def test_an_older_envoy_takes_it(tmp_path: Path) -> None:
    """Nothing that is written needs the newest Envoy."""
    write(tmp_path / "pem", "localhost")
    wanted = Attachment(addresses=("localhost:1",), routes=ROUTES, tls=Tls.MUTUAL, tls_folder=str(tmp_path / "pem"))
    argv = [str(envoy("1.36.4")), "--mode", "validate", "-c", str(saved(wanted, tmp_path)), "-l", "warning"]
    done = subprocess.run(argv, capture_output=True, text=True)
    assert 0 == done.returncode, done.stderr


@pytest.mark.real
def test_nothing_that_is_written_is_deprecated(tmp_path: Path) -> None:
    """Envoy would warn of a field that it is about to lose."""
    write(tmp_path / "pem", "localhost")
    wanted = Attachment(addresses=("localhost:1",), routes=ROUTES, tls=Tls.MUTUAL, tls_folder=str(tmp_path / "pem"))
    argv = [binary(), "--mode", "validate", "-c", str(saved(wanted, tmp_path)), "-l", "warning"]
    done = subprocess.run(argv, capture_output=True, text=True)
    assert "deprecated" not in done.stderr.lower()


@pytest.mark.real
def test_the_check_bites(tmp_path: Path) -> None:
    """A setting that Envoy does not know is refused, so a typing slip cannot be shipped."""
    document, _ = static(Attachment())
    manager_of(document)["http_filters"][0]["typed_config"]["failure_mode_alow"] = False
    config = tmp_path / "slip.json"
    config.write_text(json.dumps(document))
    assert "failure_mode_alow" in validate(config)


def test_the_longest_route_counts() -> None:
    """Envoy takes the first route that matches, so the longest stands first."""
    [(_, parts)] = MESHES["static"](Attachment(routes=ROUTES))
    assert ["/files/", "/v1/", "/a", "/"] == [row["match"]["prefix"] for row in parts["routes"]]


def test_routes_switch_on_what_is_off() -> None:
    """A filter that reads nothing unless a route says so is disabled as a whole, and overridden there."""
    [(_, parts)] = MESHES["static"](Attachment(how=How.OFF, routes=(Route("/v1/", How.GUARD),)))
    assert parts["http_filters"][0]["disabled"] is True
    [row] = parts["routes"]
    override = row["typed_per_filter_config"]["envoy.filters.http.ext_proc"]["overrides"]
    assert "FULL_DUPLEX_STREAMED" == override["processing_mode"]["request_body_mode"]


def test_a_file_knows_no_names_of_routes() -> None:
    """A route of a file is told by its path."""
    with pytest.raises(ConfigError, match="is no path"):
        MESHES["static"](Attachment(routes=(Route("chat", How.OFF),)))
