"""The command line of attachments: what an Envoy needs, written for its mesh, and what is wrong with one that runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from safeguards_extproc import cli_say
from safeguards_extproc.errors import ConfigError

if TYPE_CHECKING:
    from safeguards_extproc.attach import Document


def envoy_config(
    mesh: Annotated[str, typer.Option(help="static, istio, envoy-gateway or gke.")],
    address: Annotated[
        list[str] | None,
        typer.Option(help="static: where the filter listens, host:port or unix:///path; repeat it for each process."),
    ] = None,
    service: Annotated[str, typer.Option(help="The filter's Service, in Kubernetes.")] = "safeguards-extproc",
    namespace: Annotated[str, typer.Option(help="The namespace of that Service.")] = "safeguards",
    port: Annotated[int, typer.Option(help="The port of that Service.")] = 9002,
    health_port: Annotated[int, typer.Option(help="gke: the port of the filter's health service.")] = 9003,
    gateway: Annotated[
        str, typer.Option(help="The Gateway to attach to; without one, Istio's own ingress gateway.")
    ] = "",
    gateway_namespace: Annotated[str, typer.Option(help="The namespace of that Gateway.")] = "",
    default: Annotated[
        str, typer.Option(help="What every route gets: guard, buffered (without full duplex), fail-open or off.")
    ] = "guard",
    route: Annotated[
        list[str] | None,
        typer.Option(
            help="A route that differs, NAME=HOW (the same words); NAME alone is guarded. It is a path's "
            "beginning (static, gke), a route's name (istio) or an HTTPRoute (envoy-gateway). Repeat it."
        ),
    ] = None,
    streams: Annotated[int, typer.Option(help="Circuit breaker: the most answers that live at once.")] = 40_000,
    message_timeout: Annotated[float, typer.Option(help="Seconds that Envoy waits for one answer of the filter.")] = 10,
    tls: Annotated[str, typer.Option(help="none, server (its name is checked) or mutual.")] = "none",
    tls_name: Annotated[str, typer.Option(help="The name in the filter's certificate, if it is another.")] = "",
    tls_folder: Annotated[
        str, typer.Option(help="static: where ca.crt, tls.crt and tls.key lie on Envoy's machine.")
    ] = "/etc/envoy/safeguards",
    tls_secret: Annotated[
        str, typer.Option(help="istio, envoy-gateway: the Secret with ca.crt, tls.crt and tls.key.")
    ] = "safeguards-extproc-envoy",  # noqa: S107 - the name of a Secret
    pod_label: Annotated[
        list[str] | None, typer.Option(help="gke: a label of the filter's pods, NAME=VALUE; repeat it.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Write each document as a file into this folder, not to standard output.")
    ] = None,
) -> None:
    """Write what an Envoy needs to send its traffic here: filter, routes, cluster, TLS, access log, each with why."""
    from safeguards_extproc.attach import MESHES
    from safeguards_extproc.attach.options import Attachment, How, Tls
    from safeguards_extproc.attach.options import route as parsed
    from safeguards_extproc.attach.yaml_text import stream

    if mesh not in MESHES:
        raise ConfigError(f"unknown: {mesh!r}", where="--mesh", hint=f"one of {', '.join(MESHES)}")
    for option, given, known in (("--default", default, tuple(How)), ("--tls", tls, tuple(Tls))):
        if given not in known:
            raise ConfigError(f"unknown: {given!r}", where=option, hint=f"one of {', '.join(known)}")
    here = ("127.0.0.1:9002",) if mesh == "static" else (f"{service}.{namespace}.svc:{port}",)
    wanted = Attachment(
        addresses=tuple(address) if address else here,
        service=service,
        namespace=namespace,
        port=port,
        health_port=health_port,
        gateway=gateway,
        gateway_namespace=gateway_namespace,
        how=How(default),
        routes=tuple(map(parsed, route or ())),
        streams=streams,
        timeout_s=message_timeout,
        tls=Tls(tls),
        tls_name=tls_name,
        tls_folder=tls_folder,
        tls_secret=tls_secret,
        **({"pods": _labels(pod_label)} if pod_label else {}),
    )
    documents = MESHES[mesh](wanted)
    if out is None:
        typer.echo(stream(documents), nl=False)
        return
    out.mkdir(parents=True, exist_ok=True)
    for name, document in _named(mesh, documents):
        (out / name).write_text(stream([document]))
        typer.echo(str(out / name))


def doctor(
    envoy: Annotated[str, typer.Option(help="The admin interface of a running Envoy.")] = "http://127.0.0.1:9901",
    cluster: Annotated[
        str, typer.Option(help="The filter's cluster; without it, what looks like ours, else every ext_proc filter.")
    ] = "",
    streams: Annotated[int, typer.Option(help="The most answers that will live at once.")] = 1025,
    drain_delay: Annotated[float, typer.Option(help="The filter's --drain-delay, seconds.")] = 5.0,
    accept: Annotated[
        list[str] | None, typer.Option(help="A check whose finding is meant to be so; repeat it.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Say what is wrong with how a running Envoy is attached; ends with 1 if traffic goes unread, or breaks."""
    from safeguards_extproc.doctor import CHECKS, examine
    from safeguards_extproc.doctor.finding import Level
    from safeguards_extproc.doctor.look import ask
    from safeguards_extproc.doctor.seen import seen

    accepted = set(accept or ())
    if unknown := accepted - {check.code for check in CHECKS}:
        raise ConfigError(f"no such check: {', '.join(sorted(unknown))}", where="--accept")
    examined = examine(seen(*ask(envoy), wanted=cluster, streams=streams, drain_s=drain_delay))
    rows = [
        {
            "check": check.code,
            "asks": check.asks,
            "result": "accepted" if check.code in accepted else str(check.level),
            "where": found.where,
            "what": found.what,
            "remedy": check.remedy,
        }
        if found
        else {"check": check.code, "asks": check.asks, "result": "ok"}
        for check, findings in examined
        for found in findings or (None,)
    ]
    counted = {level: sum(row["result"] == level for row in rows) for level in Level}
    title = f"{envoy}: {len(CHECKS)} checks, {counted[Level.WRONG]} wrong, {counted[Level.CARE]} to take care of"
    cli_say.rows(title, rows, ("check", "asks", "result", "where", "what", "remedy"), as_json=as_json)
    raise typer.Exit(1 if counted[Level.WRONG] else 0)


def _named(mesh: str, documents: list[Document]) -> list[tuple[str, Document]]:
    """Each document with the name of its file: what it is saved as, else its place and kind."""
    found = []
    for number, document in enumerate(documents):
        title, content = document
        kind = str(content.get("kind", mesh)).lower()
        _, saved, path = title.partition("Save as ")
        found.append((path.rpartition("/")[2] if saved else f"{number:02}-{kind}.yaml", document))
    return found


def _labels(given: list[str]) -> dict[str, str]:
    found = {}
    for pair in given:
        name, equals, value = pair.partition("=")
        if not (name and equals and value):
            raise ConfigError(f"no label in {pair!r}", where="--pod-label", hint="write NAME=VALUE")
        found[name] = value
    return found
