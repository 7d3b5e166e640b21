"""Path tricks lead to the same format as the plain path."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safeguards_extproc.wire.paths import normalise

PLAIN = "/v1/chat/completions"


@pytest.mark.parametrize(
    "target",
    [
        PLAIN,
        "//v1/chat/completions",
        "/v1//chat///completions/",
        "/V1/Chat/COMPLETIONS",
        "/v1/chat/./completions",
        "/v1/x/../chat/completions",
        "/../v1/chat/completions",
        "/v1/chat/%63ompletions",
        "/v1%2fchat%2Fcompletions",
        "/v1/x/%2e%2E/chat/completions",
        "/v1/x%2f..%2fchat/completions",
        "/v1%252fchat%252fcompletions",
        "/v1\\chat\\completions",
        "/v1%5cchat/completions",
        "/v1;a=b/chat/completions;c",
        "/x/..;/v1/chat/completions",
        "/v1/chat/completions%20",
        "/v1/chat/completions%00",
        "/v1/chat/comple%0d%0ations",
        "/v1/chat/completions#x",
        "https://api.example:443/v1/chat/completions",
        "v1/chat/completions",
    ],
)
def test_tricks_lead_to_the_plain_path(target: str) -> None:
    """Evasion 16: matching sees the path that the most lenient server would see."""
    assert normalise(target) == (PLAIN, "")
    assert normalise(target.partition("#")[0] + "?alt=sse&x=%2e") == (PLAIN, "alt=sse&x=%2e")


@pytest.mark.parametrize(
    ("target", "path"),
    [("", "/"), ("/", "/"), ("*", "/*"), ("/%", "/%"), ("/a%3fb", "/a%3fb"), ("/caf%C3%A9", "/caf%c3%a9")],
)
def test_other_paths_stay_what_they_are(target: str, path: str) -> None:
    """Nothing is decoded that would read as the target's own punctuation, and nothing beyond ASCII."""
    assert (path, "") == normalise(target)


@settings(max_examples=100)
@given(target=st.text(st.sampled_from("/.%2eEfF5c;?#\\ aA:\x00é\ud800"), max_size=30))
def test_any_target_has_a_normal_form(target: str) -> None:
    """Total, absolute, without dot segments or doubled slashes, and the same a second time."""
    path, _ = normalise(target)
    assert path.startswith("/")
    assert not {"..", ".", ""} & set(path[1:].split("/")) or path == "/"
