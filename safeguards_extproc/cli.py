"""The command line: serve, keeper, eval, replay, capture …, policy check | test | explain, account …,
envoy-config, doctor, version.

Every command ends with 0 if all is well, 1 if something is not as it should be, 2 if it was asked wrongly.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from safeguards_extproc import (
    __version__,
    cli_account,
    cli_attach,
    cli_bulk,
    cli_campaigns,
    cli_capture,
    cli_compact,
    cli_keeper,
    cli_limits,
    cli_models,
    cli_probe,
    cli_reconcile,
    cli_records,
    cli_replay,
    cli_scorer,
)
from safeguards_extproc.core import COMPILED
from safeguards_extproc.core.decision import Facts, Model
from safeguards_extproc.core.text import Direction, Kind
from safeguards_extproc.errors import ConfigError, SafeguardsError
from safeguards_extproc.settings import OnRecordFailure, ScorerKind, Settings, SyncRecords

if TYPE_CHECKING:
    from safeguards_extproc.policy.compile import CompiledPolicy

app = typer.Typer(
    name="safeguards-extproc",
    help="An Envoy external-processing filter that keeps language models safe.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
policies = typer.Typer(help="Check, test and explain a policy file.", no_args_is_help=True)
app.add_typer(policies, name="policy")
app.add_typer(cli_account.app, name="account")
app.add_typer(cli_limits.app, name="limits")
app.add_typer(cli_campaigns.app, name="campaigns")
app.add_typer(cli_records.app, name="records")
cli_records.app.command("reconcile")(cli_reconcile.reconcile)
cli_records.app.command("compact")(cli_compact.compact)
app.add_typer(cli_capture.app, name="capture")
cli_account.app.command("bulk")(cli_bulk.bulk)
app.add_typer(cli_models.app, name="models")
app.command("envoy-config")(cli_attach.envoy_config)
app.command("doctor")(cli_attach.doctor)
app.command("keeper")(cli_keeper.keeper)
app.command("probe")(cli_probe.probe)
app.command("replay")(cli_replay.replay)

PolicyFile = Annotated[Path, typer.Argument(help="A policy file (YAML).")]


def _env(name: str) -> str:
    return f"SAFEGUARDS_{name}"


@app.command()
def serve(
    policy: Annotated[Path, typer.Option(help="The policy file; reloaded when it changes.", envvar=_env("POLICY"))],
    listen: Annotated[
        str, typer.Option(help="Where Envoy connects: host:port or unix:///path.", envvar=_env("LISTEN"))
    ] = "127.0.0.1:9002",
    health: Annotated[
        str, typer.Option(help="Plaintext gRPC health; empty for none.", envvar=_env("HEALTH"))
    ] = "127.0.0.1:9102",
    metrics: Annotated[str, typer.Option(help="Prometheus metrics; empty for none.", envvar=_env("METRICS"))] = "",
    workers: Annotated[
        int, typer.Option(help="Processes, each on a port (or socket) of its own.", envvar=_env("WORKERS"))
    ] = 1,
    scorer: Annotated[
        str, typer.Option(help="triton, or embedded: the models run in this process.", envvar=_env("SCORER"))
    ] = "triton",
    triton: Annotated[
        list[str] | None,
        typer.Option(help="Triton's gRPC address, host:port; repeat it for more.", envvar=_env("TRITON")),
    ] = None,
    models: Annotated[
        Path, typer.Option(help="The model repository of the embedded scorer.", envvar=_env("MODELS"))
    ] = Path("triton_models"),
    hedge_ms: Annotated[
        int, typer.Option(help="Ask a second Triton after so many milliseconds; 0 never.", envvar=_env("HEDGE_MS"))
    ] = 0,
    records: Annotated[
        Path | None, typer.Option(help="Append decision records to this file.", envvar=_env("RECORDS"))
    ] = None,
    spool: Annotated[
        Path | None, typer.Option(help="Keep decision records in this folder, to be sealed.", envvar=_env("SPOOL"))
    ] = None,
    sync_records: Annotated[
        str,
        typer.Option(
            help="When a spooled record has to be on the disk: never, interval (each second, nobody waits), enforced "
            "(before an answer that refuses or changes something), every.",
            envvar=_env("SYNC_RECORDS"),
        ),
    ] = "enforced",
    on_record_failure: Annotated[
        str, typer.Option(help="go-on or refuse, where records cannot be written.", envvar=_env("ON_RECORD_FAILURE"))
    ] = "go-on",
    producer: Annotated[
        str, typer.Option(help="Who writes the records; the host's name if not given.", envvar=_env("PRODUCER"))
    ] = "",
    mask: Annotated[
        list[str] | None,
        typer.Option(
            help="Leave this field of records empty: model, identity.user, …; repeat it.", envvar=_env("MASK")
        ),
    ] = None,
    region: Annotated[str, typer.Option(help="The region that records name.", envvar=_env("REGION"))] = "",
    identity_keys: Annotated[
        Path | None, typer.Option(help="Keys that pseudonyms are made with (YAML).", envvar=_env("IDENTITY_KEYS"))
    ] = None,
    tls_certificate: Annotated[str, typer.Option(help="PEM file with our chain.", envvar=_env("TLS_CERTIFICATE"))] = "",
    tls_key: Annotated[str, typer.Option(help="PEM file with its key.", envvar=_env("TLS_KEY"))] = "",
    tls_client_ca: Annotated[
        str, typer.Option(help="PEM file; clients must have a certificate of these.", envvar=_env("TLS_CLIENT_CA"))
    ] = "",
    socket_mode: Annotated[str, typer.Option(help="Mode of a unix socket.", envvar=_env("SOCKET_MODE"))] = "660",
    drain_delay: Annotated[
        float, typer.Option(help="Seconds for Envoy to notice that we go.", envvar=_env("DRAIN_DELAY"))
    ] = 5.0,
    drain_limit: Annotated[
        float, typer.Option(help="Seconds that streams may then go on.", envvar=_env("DRAIN_LIMIT"))
    ] = 300.0,
    max_stream: Annotated[
        float, typer.Option(help="Seconds after which a stream is ended.", envvar=_env("MAX_STREAM"))
    ] = 3600.0,
    max_streams: Annotated[
        int, typer.Option(help="Streams at a time; more are refused.", envvar=_env("MAX_STREAMS"))
    ] = 20_000,
    max_held_bytes: Annotated[
        int, typer.Option(help="Bytes held in all streams; then new ones are refused.", envvar=_env("MAX_HELD_BYTES"))
    ] = 1 << 30,
    shed_above_ms: Annotated[
        int,
        typer.Option(
            help="Where messages wait longer, what begins is `overloaded`: policy says what that means; 0 never.",
            envvar=_env("SHED_ABOVE_MS"),
        ),
    ] = 250,
    redis: Annotated[
        list[str] | None,
        typer.Option(help="Shared limits and standings, redis://…; repeat it for a cluster.", envvar=_env("REDIS")),
    ] = None,
    ledger: Annotated[
        str, typer.Option(help="One worker without Redis: the ledger that it keeps.", envvar=_env("LEDGER"))
    ] = "",
    capture: Annotated[
        Path | None, typer.Option(help="Capture there what the policy lets be captured.", envvar=_env("CAPTURE"))
    ] = None,
    capture_key: Annotated[
        Path | None, typer.Option(help="The file with the keys of captures.", envvar=_env("CAPTURE_KEY"))
    ] = None,
    capture_bytes: Annotated[
        int, typer.Option(help="Bytes of captures in that folder.", envvar=_env("CAPTURE_BYTES"))
    ] = 10 << 30,
    log_level: Annotated[str, typer.Option(help="debug, info, warning, error.", envvar=_env("LOG_LEVEL"))] = "info",
) -> None:
    """Serve Envoy's external processing."""
    from safeguards_extproc import app as root
    from safeguards_extproc.logs import configure_logging

    settings = Settings(
        policy=policy,
        listen=listen,
        health=health,
        metrics=metrics,
        workers=workers,
        scorer=cast(ScorerKind, _one_of("--scorer", scorer, ("triton", "embedded"))),
        triton=tuple(triton or ()),
        models=models,
        hedge_ms=hedge_ms,
        records=records,
        spool=spool,
        sync_records=cast(
            SyncRecords, _one_of("--sync-records", sync_records, ("never", "interval", "enforced", "every"))
        ),
        on_record_failure=cast(OnRecordFailure, _one_of("--on-record-failure", on_record_failure, ("go-on", "refuse"))),
        producer=producer,
        region=region,
        mask=tuple(mask or ()),
        identity_keys=identity_keys,
        tls_certificate=tls_certificate,
        tls_key=tls_key,
        tls_client_ca=tls_client_ca,
        socket_mode=_octal(socket_mode),
        drain_delay_s=drain_delay,
        drain_limit_s=drain_limit,
        max_stream_s=max_stream,
        max_streams=max_streams,
        max_held_bytes=max_held_bytes,
        shed_above_ms=shed_above_ms,
        redis=tuple(redis or ()),
        ledger=ledger,
        capture=capture,
        capture_key=capture_key,
        capture_bytes=capture_bytes,
        log_level=_one_of("--log-level", log_level, ("debug", "info", "warning", "error")),
    )
    configure_logging(settings.log_level)
    raise typer.Exit(root.serve(settings))


@app.command("eval")
def evaluate(
    files: Annotated[list[Path], typer.Argument(help="Files of labelled texts or exchanges, .jsonl or .jsonl.gz.")],
    policy: Annotated[Path, typer.Option(help="The policy to evaluate.")] = Path("policies/demo.yaml"),
    json_: Annotated[Path | None, typer.Option("--json", help="Write every figure there.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write a page with tables and plots there.")] = None,
    plots: Annotated[Path | None, typer.Option(help="Write each label's plot as PNG into this folder.")] = None,
    examples: Annotated[
        int, typer.Option(min=0, help="Show so many wrong texts of each label on the page; 0 shows no text at all.")
    ] = 0,
    endpoint: cli_scorer.Endpoint = None,
    embedded: cli_scorer.Embedded = None,
    local: cli_scorer.Local = False,
    models: cli_scorer.Models = cli_scorer.MODELS,
    path: Annotated[str, typer.Option(help="The request path that the policy finds its route by.")] = "",
    limit: Annotated[int, typer.Option(min=0, help="Lines of each file; 0 for all.")] = 0,
    robustness: Annotated[
        bool, typer.Option("--robustness", help="Again disguised, padded, split over turns, beside other languages.")
    ] = False,
    each: Annotated[int, typer.Option(min=1, help="Positives, and negatives, of each label for --robustness.")] = 100,
    resume: Annotated[
        Path | None, typer.Option(help="Keep every outcome in this file, and do not play again what it holds.")
    ] = None,
) -> None:
    """Judge labelled texts as the filter would, and say how good the scores and the policy are. Where nobody is named
    to score them, a Triton is started here for the time it takes."""
    import uvloop
    from rich.console import Console

    from safeguards_extproc import wire
    from safeguards_extproc.evaluate import output, run, terminal
    from safeguards_extproc.evaluate.play import PATH
    from safeguards_extproc.evaluate.progress import Telling
    from safeguards_extproc.logs import configure_logging
    from safeguards_extproc.policy.load import load

    configure_logging("warning")
    wanted = output.Files(json_, html, plots, examples)
    output.check(wanted)
    found = load(policy)
    plan = run.Plan(files, limit, path or PATH, each if robustness else 0, resume)
    telling = Telling(Console(stderr=True), lambda known: output.keep(known, wanted))
    cli_scorer.one(endpoint, embedded, local=local)
    with cli_scorer.scorer(policy, found, endpoint, embedded, models) as scorer, telling:
        evaluation = uvloop.run(run.evaluate(plan, found, wire, scorer, telling))
    said = evaluation.report
    console = Console(width=None if sys.stdout.isatty() else 180)
    for table in terminal.tables(said):
        console.print(table, "")
    console.print(terminal.summary(said), highlight=False)
    output.write(evaluation, wanted)
    raise typer.Exit(1 if said.measured.errors else 0)


@policies.command()
def check(policy: PolicyFile) -> None:
    """Read, compile and prove a policy; say every mistake with its line."""
    from safeguards_extproc.policy.load import load

    found = load(policy)
    routes = ", ".join(route.name for route in found.routes)
    models = ", ".join(_asked(found, model) for model in found.models) or "none"
    typer.echo(f"{policy}: good")
    typer.echo(f"  digest   {found.digest}")
    typer.echo(f"  rules    {len(found.document.rules)}, examples {len(found.document.examples)}, all as expected")
    typer.echo(f"  models   {models}")
    typer.echo(f"  routes   {routes}")


@policies.command()
def test(policy: PolicyFile) -> None:
    """Run the policy's own examples, a line each."""
    from safeguards_extproc.policy import examples
    from safeguards_extproc.policy.load import compiled

    found, source = compiled(policy)
    problems = list(examples.run(found, source))
    failed = 0
    for index, example in enumerate(found.document.examples):
        mine = [problem.message for problem in problems if problem.path.startswith(f"examples[{index}]")]
        failed += bool(mine)
        typer.echo(f"  {'FAILED' if mine else 'ok':6}  {example.name}" + "".join(f": {message}" for message in mine))
    typer.echo(f"{len(found.document.examples)} examples, {failed} failed")
    raise typer.Exit(1 if failed else 0)


@policies.command()
def explain(
    policy: PolicyFile,
    on: Annotated[str, typer.Option(help="request or response.")] = "request",
    kind: Annotated[str, typer.Option("--in", help="Whose text it is: user, tool, content, …")] = "",
    text: Annotated[str, typer.Option(help="Text for the detectors that run in process.")] = "",
    score: Annotated[list[str] | None, typer.Option(help="A score: screen.attack=0.97; repeat it.")] = None,
    failed: Annotated[list[str] | None, typer.Option(help="A detector that failed: screen=timeout; repeat it.")] = None,
    uninspectable: Annotated[str, typer.Option(help="Why the text cannot be read: opaque, malformed, …")] = "",
    item: Annotated[bool, typer.Option("--item", help="The text is that of one item of an answer's list.")] = False,
) -> None:
    """Say what the policy would decide, and why: each rule, what it saw, what that did."""
    from safeguards_extproc.policy.examples import one_item, spare
    from safeguards_extproc.policy.explain import explain as lines
    from safeguards_extproc.policy.load import load

    found = load(policy)
    direction = Direction(_one_of("--on", on, tuple(Direction)))
    if item and direction is Direction.REQUEST:
        raise ConfigError("only an answer lists items", where="--item", hint="add --on response")
    usual = Kind.USER if direction is Direction.REQUEST else Kind.CONTENT
    speaker = Kind(_one_of("--in", kind or usual.value, tuple(Kind)))
    facts = Facts(direction, uninspectable=uninspectable)
    if text:
        facts.absorb(speaker, found.find(speaker, text).scores)
    facts.absorb(speaker, {name: _number("--score", name, value) for name, value in _pairs("--score", score)})
    facts.failed.update(_pairs("--failed", failed))
    spare(found, facts, speaker)
    for line in lines(found, one_item(facts) if item else facts):
        typer.echo(line)


@app.command()
def version() -> None:
    """Print the version, and whether the hot path is compiled."""
    typer.echo(f"{__version__} ({'compiled' if COMPILED else 'pure Python'})")


def _asked(policy: CompiledPolicy, model: Model) -> str:
    """A model, and when it is asked."""
    condition = policy.conditions.get(model.detector)
    if condition is None or model.escalation is None:
        return model.model
    share = f", at most {model.escalation.at_most:.4g} of windows" if model.escalation.at_most < 1 else ""
    return f"{model.model} (when {condition.text}{share})"


def _one_of(option: str, given: str, known: tuple[str, ...]) -> str:
    if given not in known:
        raise ConfigError(f"unknown value {given!r}", where=option, hint=f"one of {', '.join(known)}")
    return given


def _octal(given: str) -> int:
    try:
        return int(given, 8)
    except ValueError:
        raise ConfigError(f"not a mode: {given!r}", where="--socket-mode", hint="three octal digits, as 660") from None


def _pairs(option: str, given: list[str] | None) -> list[tuple[str, str]]:
    pairs = []
    for pair in given or ():
        name, equals, value = pair.partition("=")
        if not equals:
            raise ConfigError(f"no value in {pair!r}", where=option, hint="write name=value")
        pairs.append((name, value))
    return pairs


def _number(option: str, name: str, value: str) -> float:
    try:
        return float(value)
    except ValueError:
        raise ConfigError(f"{name} is no number", where=option, hint="scores go from 0 to 1") from None


def main() -> None:
    """Run the command line; mistakes of the operator are said without a traceback."""
    try:
        app()
    except SafeguardsError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(2)
