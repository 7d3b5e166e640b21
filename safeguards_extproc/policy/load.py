"""From a file to a policy: read, check, compile, and run its examples. The only place in policy/ that opens a file."""

from __future__ import annotations

from pathlib import Path

from safeguards_extproc.errors import ConfigError
from safeguards_extproc.policy import document, examples, source
from safeguards_extproc.policy.compile import CompiledPolicy, compile_policy
from safeguards_extproc.policy.problems import PolicyError
from safeguards_extproc.policy.source import Source


def load(path: str | Path) -> CompiledPolicy:
    """The policy in a file of UTF-8 YAML. Raises ConfigError; PolicyError, one of its kind, lists every mistake."""
    return _proven(*compiled(path))


def compiled(path: str | Path) -> tuple[CompiledPolicy, Source]:
    """The policy in a file and where it says what, its examples not yet run. Raises ConfigError."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ConfigError(f"cannot be read: {reason}", where=str(path), hint="is the path right?") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"not UTF-8 at byte {error.start}", where=str(path), hint="save it as UTF-8") from None
    return _compiled(text, str(path))


def parse(text: str, name: str) -> CompiledPolicy:
    """The policy in `text`; `name` stands for the file in errors. Raises PolicyError."""
    return _proven(*_compiled(text, name))


def _compiled(text: str, name: str) -> tuple[CompiledPolicy, Source]:
    read = source.read(text, name)
    return compile_policy(document.parse(read), read), read


def _proven(policy: CompiledPolicy, read: Source) -> CompiledPolicy:
    failed = list(examples.run(policy, read))
    if failed:
        raise PolicyError(failed)
    return policy
