"""The command `probe`: asks a running filter, as Envoy would, whether it is well and decides what it should."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    import grpc


def probe(
    address: Annotated[str, typer.Argument(metavar="HOST:PORT", help="Where Envoy connects.")],
    health: Annotated[str, typer.Option(help="HOST:PORT of its health service, asked first.")] = "",
    allow: Annotated[list[str] | None, typer.Option(help="A message that must pass; repeat it.")] = None,
    block: Annotated[list[str] | None, typer.Option(help="A message that must be refused; repeat it.")] = None,
    ca: Annotated[Path | None, typer.Option(help="PEM file; TLS with a server of these.", dir_okay=False)] = None,
    certificate: Annotated[Path | None, typer.Option(help="PEM file with a chain of ours.", dir_okay=False)] = None,
    key: Annotated[Path | None, typer.Option(help="PEM file with its key.", dir_okay=False)] = None,
    server_name: Annotated[str, typer.Option(help="The name in its certificate, if not HOST.")] = "",
    timeout: Annotated[float, typer.Option(help="Seconds for each answer.")] = 10.0,
) -> None:
    """Ask a running filter whether it is ready, and put messages to it; 1 if it does not answer as it should."""
    from safeguards_extproc.replay import live

    pem = {name: _read(path) for name, path in (("ca", ca), ("certificate", certificate), ("key", key))}
    questions: list[tuple[str, str, Callable[[], object]]] = []
    with live.channel(address, **pem, name=server_name) as filter_, live.channel(health or address) as plain:
        if health:
            questions.append(("ready", "SERVING", partial(live.ready, plain, timeout)))
        for number, text in enumerate(allow or (), 1):
            questions.append((f"allow {number}", "allowed", partial(live.ask, filter_, text, timeout)))
        for number, text in enumerate(block or (), 1):
            questions.append((f"block {number}", "refused", partial(live.ask, filter_, text, timeout)))
        wrong = [name for name, well in _answers(questions) if not well]
    raise typer.Exit(1 if wrong else 0)


def _answers(questions: list[tuple[str, str, Callable[[], object]]]) -> Iterator[tuple[str, bool]]:
    """Each question's name, and whether the answer begins as it should; said as they come."""
    import grpc

    for name, expected, ask in questions:
        try:
            found = str(ask())
        except grpc.RpcError as error:
            found = f"no answer: {_why(error)}"
        well = found.startswith(expected)
        sys.stdout.write(f"{'ok  ' if well else 'FAIL'}  {name}: {found}\n")
        sys.stdout.flush()
        yield name, well


def _why(error: grpc.RpcError) -> str:
    code = getattr(error, "code", None)
    return str(code().name) if callable(code) else str(error)


def _read(path: Path | None) -> bytes:
    from safeguards_extproc.errors import ConfigError

    try:
        return path.read_bytes() if path else b""
    except OSError as error:
        raise ConfigError(error.strerror or "cannot be read", where=str(path)) from None
