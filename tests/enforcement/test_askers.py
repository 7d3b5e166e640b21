"""A policy and its keys come into force together."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from safeguards_extproc.core.account import NOBODY_KNOWN
from safeguards_extproc.core.events import BodyMode, Opened
from safeguards_extproc.enforcement.askers import KEPT, Askers
from safeguards_extproc.enforcement.pseudonyms import read_keys
from safeguards_extproc.enforcement.sketch import Sketcher
from safeguards_extproc.errors import ConfigError
from safeguards_extproc.policy.load import load
from tests.enforcement.test_pseudonyms import SECRETS, entry

HEAD = "version: 1\nname: test\ndetectors: {}\nrules: []\n"
KEYED = HEAD + "identity:\n  key: [{header: x-key, secret: true}]\n"
SENT = Opened(BodyMode.NONE, BodyMode.NONE)


def policy(folder: Path, text: str = KEYED) -> Path:
    (folder / "policy.yaml").write_text(text)
    return folder / "policy.yaml"


def keys(folder: Path, *ids: str) -> Path:
    (folder / "keys.json").write_text(json.dumps([entry(id_, SECRETS[n]) for n, id_ in enumerate(ids)]))
    return folder / "keys.json"


def name(askers: Askers, path: Path) -> str:
    found = askers.of(askers.load(path)).identify({"x-key": "sk"}, SENT, {})
    return found.names["key"]


def test_keys_are_read_again_with_the_policy(tmp_path: Path) -> None:
    """A new key makes new names at once, though the policy is the same."""
    file, path = keys(tmp_path, "one"), policy(tmp_path)
    askers = Askers(file, load, alone=False)
    assert name(askers, path).startswith("one.")
    keys(tmp_path, "two", "one")
    assert name(askers, path).startswith("two.")
    assert [file] == list(askers.files)


def test_campaigns_that_read_have_sketches_made(tmp_path: Path) -> None:
    """Under the region's key, and only where a campaign reads them."""
    file, made = keys(tmp_path, "one"), {}
    for detect in ("template", "refusals"):
        told = f"campaigns:\n  detect: [{{name: x, detect: {detect}, threshold: 0.5}}]\n"
        askers = Askers(file, load, alone=False)
        made[detect] = askers.of(askers.load(policy(tmp_path, KEYED + told))).sketch
    assert made["refusals"] is None
    assert made["template"] is not None
    assert Sketcher(read_keys(file)[0].secret).sketch("a text that is long enough") == made["template"](
        "a text that is long enough"
    )


def test_a_file_that_cannot_be_used_changes_nothing(tmp_path: Path) -> None:
    """Whoever asks is named as before."""
    file, path = keys(tmp_path, "one"), policy(tmp_path)
    askers = Askers(file, load, alone=False)
    found = askers.load(path)
    file.write_text("[]")
    with pytest.raises(ConfigError, match="no list of keys"):
        askers.load(path)
    assert askers.of(found).identify({"x-key": "sk"}, SENT, {}).names["key"].startswith("one.")


def test_a_process_alone_needs_no_keys_and_says_so(tmp_path: Path) -> None:
    """Once; a policy that names nobody needs none and says nothing."""
    askers, path = Askers(None, load, alone=True), policy(tmp_path)
    with capture_logs() as logs:
        assert name(askers, path) == name(askers, path)
    assert ["warning"] == [entry["log_level"] for entry in logs]
    with capture_logs() as logs:
        nobody = Askers(None, load, alone=False)
        assert NOBODY_KNOWN is nobody.of(nobody.load(policy(tmp_path, HEAD)))
    assert [] == logs


def test_workers_share_their_keys(tmp_path: Path) -> None:
    """Or everyone would be somebody else on each of them."""
    with pytest.raises(ConfigError, match="all workers share"):
        Askers(None, load, alone=False).load(policy(tmp_path))


def test_the_key_set_of_tokens_is_beside_the_policy(tmp_path: Path) -> None:
    """A policy whose tokens cannot be checked does not load."""
    text = HEAD + "identity:\n  end_user: [{claim: sub}]\n  tokens: {jwks: jwks.json}\n"
    askers = Askers(None, load, alone=True)
    with pytest.raises(ConfigError, match=r"jwks\.json: cannot be read"):
        askers.load(policy(tmp_path, text))


def test_few_policies_are_kept(tmp_path: Path) -> None:
    """Those that were in force last."""
    askers = Askers(keys(tmp_path, "one"), load, alone=False)
    loaded = [askers.load(policy(tmp_path, KEYED + f"# {n}\nmessage: m{n}\n")) for n in range(KEPT + 2)]
    assert [False, False, *[True] * KEPT] == [askers.of(each) is not NOBODY_KNOWN for each in loaded]
