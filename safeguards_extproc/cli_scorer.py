"""Who answers for models on the command line: a Triton that runs, one of our own for the time it takes, or nobody but
this process."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from safeguards_extproc.errors import ConfigError
from safeguards_extproc.settings import ScorerKind, Settings

if TYPE_CHECKING:
    from safeguards_extproc.policy.compile import CompiledPolicy
    from safeguards_extproc.ports import Scorer

Endpoint = Annotated[list[str] | None, typer.Option(help="Triton's gRPC address, host:port; repeat it for more.")]
Embedded = Annotated[
    Path | None, typer.Option(help="Run the models of this repository in this process, without Triton.")
]
Local = Annotated[bool, typer.Option("--local", help="Start a Triton here for the time it takes.")]
Models = Annotated[Path, typer.Option(help="The model repository that a Triton started here serves.")]
MODELS = Path("triton_models")


def one(endpoint: list[str] | None, embedded: Path | None, *, local: bool) -> bool:
    """Whether one was named. ConfigError if more were."""
    if bool(endpoint) + bool(embedded) + local > 1:
        raise ConfigError("who is to score?", where="--endpoint, --embedded, --local", hint="give one of them")
    return bool(endpoint) or bool(embedded) or local


@contextmanager
def scorer(
    file: Path, policy: CompiledPolicy, endpoint: list[str] | None, embedded: Path | None, models: Path
) -> Iterator[Scorer]:
    """The scorer that was asked for; a Triton of our own runs until the end of the block."""
    from safeguards_extproc import app as root
    from safeguards_extproc.telemetry import Metrics

    if endpoint or embedded or not policy.models:
        kind: ScorerKind = "embedded" if embedded else "triton"
        settings = Settings(file, scorer=kind, triton=tuple(endpoint or ()), models=embedded or models)
        yield root.scorer_of(settings, policy, Metrics())
        return
    from safeguards_extproc.local import triton
    from safeguards_extproc.local.processes import PartFailed, ended_by_sigterm

    hint = f"name a Triton that runs, --endpoint HOST:PORT, or do without: --embedded {models}"
    with ended_by_sigterm(), tempfile.TemporaryDirectory(prefix="safeguards-triton-") as folder:
        try:
            running = triton.start(
                models, Path(folder), only=triton.among(models, {one.model for one in policy.models})
            )
        except PartFailed as failed:
            raise ConfigError(str(failed), where="--local", hint=hint) from None
        try:
            yield root.scorer_of(Settings(file, triton=(running.grpc,)), policy, Metrics())
        finally:
            running.stop()
