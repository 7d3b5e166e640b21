"""What the service tells its operators in metrics (Prometheus).

The one rule: nothing a client or a model wrote gets out. Label values come from closed sets or the policy and are
checked, and their number is bounded.

One process, one registry: several workers listen on a port each.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate

from prometheus_client import CollectorRegistry, ProcessCollector, start_http_server
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric as Collected
from prometheus_client.registry import Collector

from safeguards_extproc import __version__
from safeguards_extproc.core.account import Admitted
from safeguards_extproc.core.decision import TERMINAL
from safeguards_extproc.core.record import Phase, Record
from safeguards_extproc.errors import STORE_FAILURES

FAST = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
LONG = (0.01, 0.05, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0)
SIZES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0)


@dataclass(frozen=True, slots=True)
class Metric:
    """A row of METRICS: a histogram if it has `buckets`, else a counter if its name ends in "_total", else a gauge."""

    name: str
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


METRICS = tuple(
    Metric("safeguards_" + name, text, labels, buckets)
    for name, text, labels, buckets in (
        ("build_info", "Always 1; the version of this service.", ("version",), ()),
        ("ready", "1 where a process takes new work, by what it is: filter, keeper.", ("role",), ()),
        ("streams_active", "ext_proc streams that are open.", (), ()),
        ("streams_limit", "ext_proc streams that may be open at once.", (), ()),
        ("streams_total", "ext_proc streams that ended, and how.", ("how",), ()),
        ("streams_refused_total", "Streams that were not taken at all.", ("reason",), ()),
        ("stream_seconds", "How long ext_proc streams lived.", (), LONG),
        ("drain_ends_timestamp_seconds", "When streams that are still open are cut; 0 without a drain.", (), ()),
        ("wait_seconds", "How long Envoy's messages waited to be heard.", (), FAST),
        ("loop_lag_seconds", "How late the event loop woke, looked at once a second.", (), FAST),
        ("held_bytes", "Bytes of bodies held back in all streams.", (), ()),
        ("held_limit_bytes", "Bytes of bodies that may be held back before streams are refused.", (), ()),
        ("received_bytes_total", "Bytes of messages from Envoy.", (), ()),
        ("sent_bytes_total", "Bytes of messages to Envoy.", (), ()),
        ("captures_total", "Exchanges that were taken down, and what became of that.", ("result",), ()),
        ("faults_total", "Bugs and broken promises that ended a stream.", ("where",), ()),
        ("exchanges_total", "Exchanges by outcome and by how they ended.", ("route", "outcome", "termination"), ()),
        ("verdicts_total", "Verdicts: decided with shadow rules, and applied.", ("phase", "decided", "applied"), ()),
        ("rules_fired_total", "Rules that took part in a verdict.", ("phase", "rule", "action", "mode", "cause"), ()),
        ("coverage_total", "Directions by how much of their text was scanned.", ("phase", "coverage"), ()),
        ("uninspectable_total", "Directions whose text could not be read, and why.", ("phase", "reason"), ()),
        ("released_unscanned_total", "Directions of which bytes left before a verdict.", ("phase",), ()),
        (
            "unchecked_total",
            "Directions that policy let go on without all their checks. failure: a detector gave no answer, or there "
            "was no time to read; unreadable: the text, or a part of it, could not be read.",
            ("phase", "why"),
            (),
        ),
        ("windows_total", "Windows of text that were classified.", ("phase",), ()),
        ("characters_total", "Characters of text read, and of those scanned.", ("phase", "kind", "state"), ()),
        ("checks_total", "Windows by detector: run, failed, skipped, not-due.", ("phase", "detector", "result"), ()),
        ("escalations_total", "Windows of a model with `when`: asked, not-due, budget.", ("detector", "result"), ()),
        ("escalated_share", "Share of recent windows that a model with `when` was asked about.", ("detector",), ()),
        ("redactions_total", "Pieces of text redacted.", ("phase", "entity"), ()),
        ("restored_total", "Placeholders that became in an answer what they stand for.", ("entity",), ()),
        ("items_total", "Items of listing answers: listed, decided (shadow counted), dropped.", ("state",), ()),
        (
            "phase_seconds",
            "Time that was added. verdict: last byte in to verdict; first: headers in to first byte out; "
            "last: last byte in to last byte out.",
            ("phase", "step"),
            FAST,
        ),
        ("detector_seconds", "Time to a detector's answer, with queueing.", ("detector",), FAST),
        ("detector_failures_total", "Detectors that gave no answer, and why.", ("detector", "failure"), ()),
        ("model_batch_texts", "Texts in one request to a model server.", ("model",), SIZES),
        ("model_queue_seconds", "Wait of the first text of a request to a model server.", ("model",), FAST),
        ("model_answers_total", "Requests that a model answered, by its version.", ("model", "version"), ()),
        ("breaker_state", "1 for the state that a model's breaker is in.", ("model", "endpoint", "state"), ()),
        ("store_state", "1 for the state of a store of limits or standings: ok, away.", ("store", "state"), ()),
        ("store_failures_total", "Calls of a store that got no answer, and why.", ("store", "reason"), ()),
        ("settlements_total", "Exchanges whose limits were put right: told, late, lost.", ("result",), ()),
        ("policy_loads_total", "Loads of the policy; a failed one keeps the policy before.", ("result",), ()),
        ("policy_info", "1 for the policy in force.", ("digest",), ()),
        ("policy_loaded_timestamp_seconds", "When the policy in force was loaded.", (), ()),
        ("records_total", "Decision records handed to the operating system.", ("sink",), ()),
        ("record_bytes_total", "Bytes of decision records handed to the operating system.", ("sink",), ()),
        ("record_failures_total", "Writes of decision records that failed, and why.", ("sink", "reason"), ()),
        ("records_lost_total", "Decision records that were given up.", ("sink",), ()),
        ("records_free_bytes", "Bytes that are free where decision records are kept.", ("sink",), ()),
        ("certificate_expiry_timestamp_seconds", "When the certificate that is served ends; 0 without TLS.", (), ()),
        ("certificate_loads_total", "Loads of the certificate; a failed one keeps the one before.", ("result",), ()),
        ("admissions_total", "Exchanges that asked whether they may go on, by who counted.", ("source", "result"), ()),
        ("limits_total", "Admissions that found a limit near or over.", ("limit", "mode", "state"), ()),
        ("degraded", "1 where the service works with less than it should.", ("what",), ()),
        ("admission_seconds", "Time to an answer of limits and standings, by who counted.", ("source",), FAST),
        ("account_failures_total", "Accounts: what was not answered or taken, and why.", ("what", "reason"), ()),
        ("account_lost_total", "Accounts: settlements, strikes and observations given up.", ("what",), ()),
        ("standings_held", "Identities that are known not to be in good standing.", (), ()),
        ("standings_age_seconds", "Time since the standings were surely the newest.", (), ()),
        ("strikes_taken_total", "Strikes a keeper took: taken, refused, unreadable.", ("result",), ()),
        ("strikes_waiting", "Strikes that waited when a keeper last looked.", (), ()),
        ("standings_published_total", "Changes of standings that a keeper published.", (), ()),
        ("standings_built_seconds", "How long a keeper last took to publish all standings anew.", (), ()),
        ("keeper_failures_total", "What a keeper could not do, and why.", ("part", "reason"), ()),
        ("sealed_records_total", "Decision records that a sealer put into the store.", (), ()),
        ("sealed_torn_bytes_total", "Bytes at the end of segments that were no record.", (), ()),
        ("sealer_segments_left", "Segments that a sealer could not seal when it last looked.", (), ()),
        ("sealer_looked_timestamp_seconds", "When a sealer last looked through its spool.", (), ()),
        ("reconciled_total", "What reconciliation was told: lines of Envoy's log, records.", ("what",), ()),
        (
            "record_gaps_total",
            "Requests without one record, or records without a request, by what is wrong.",
            ("kind",),
            (),
        ),
        ("reconciled_timestamp_seconds", "When reconciliation last looked.", (), ()),
    )
)
"""Every metric of ours, as the README lists them; `process_*` come with the Prometheus client."""

FROM_ZERO: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "streams_total": tuple((how,) for how in ("complete", "closed", "shutdown", "deadline", "error")),
    "streams_refused_total": tuple((reason,) for reason in ("shutdown", "records", "streams", "overload")),
    "faults_total": tuple((where,) for where in ("exchange", "scorer", "reader", "accounts", "peer")),
    "released_unscanned_total": (("request",), ("response",)),
    "unchecked_total": tuple((phase, why) for phase in ("request", "response") for why in ("failure", "unreadable")),
    "uninspectable_total": tuple(
        (phase, reason) for phase in ("request", "response") for reason in ("overloaded", "unavailable")
    ),
    "policy_loads_total": (("ok",), ("failed",)),
    "certificate_loads_total": (("ok",), ("failed",)),
    "account_lost_total": (("settle",), ("strikes",), ("campaigns",)),
    "record_gaps_total": tuple((kind,) for kind in ("missing", "unseen", "unlogged", "doubled", "lost", "uncounted")),
    "settlements_total": (("told",), ("late",), ("lost",)),
}
"""Series that are there before anything is counted: of one that begins with its first count, Prometheus sees no
increase, and an alert that waits for one would miss it."""

BREAKER_STATES = ("closed", "half-open", "open")
STORE_STATES = ("ok", "away")
NOT_LET_ON = frozenset({*TERMINAL, "refuse", "pass"})
"""What was applied to a direction that did not go on, or that nobody wanted inspected."""
NO_TIME = frozenset({"overloaded", "unavailable"})
"""Why a text was not read that say nothing of the text."""
MOST_SERIES = 2000
OTHER = "other"

_LABEL = re.compile(r"[A-Za-z0-9_*][A-Za-z0-9_.:/@+*-]{0,79}|")


class Family:
    """The series of one metric: bounded in number, with label values that are names.

    Written by the event loop's thread only and read by the scraper's: a count costs a dictionary look-up, no lock. A
    label value that is no name, and every value past MOST_SERIES, is "other".
    """

    __slots__ = ("_row", "_series")

    def __init__(self, row: Metric) -> None:
        self._row = row
        self._series: dict[tuple[str, ...], list[float]] = {}
        if not row.labels:
            self._of(())

    def add(self, amount: float, *labels: str) -> None:
        """Count."""
        (self._series.get(labels) or self._of(labels))[0] += amount

    def set(self, value: float, *labels: str) -> None:
        """Set a gauge."""
        (self._series.get(labels) or self._of(labels))[0] = value

    def only(self, value: float, *labels: str) -> None:
        """Set a gauge and forget its other series."""
        self._series = {}
        self.set(value, *labels)

    def observe(self, value: float, *labels: str) -> None:
        """Add to a histogram: a count for each bucket and one above them, then the sum."""
        series = self._series.get(labels) or self._of(labels)
        series[bisect_left(self._row.buckets, value)] += 1
        series[-1] += value

    def collect(self) -> Collected:
        """The series as the Prometheus client wants them."""
        row = self._row
        items = list(self._series.items())
        if row.buckets:
            histogram = HistogramMetricFamily(row.name, row.help, labels=row.labels)
            for labels, (*counts, total) in items:
                ends = [*map(str, row.buckets), "+Inf"]
                histogram.add_metric(labels, list(zip(ends, accumulate(counts), strict=True)), total)
            return histogram
        made = CounterMetricFamily if row.name.endswith("_total") else GaugeMetricFamily
        family = made(row.name, row.help, labels=row.labels)
        for labels, (value,) in items:
            family.add_metric(labels, value)
        return family

    def _of(self, labels: tuple[str, ...]) -> list[float]:
        key = tuple(label if _LABEL.fullmatch(label) else OTHER for label in labels)
        if key not in self._series and len(self._series) >= MOST_SERIES:
            key = (OTHER,) * len(labels)
        return self._series.setdefault(key, [0.0] * (len(self._row.buckets) + 2 if self._row.buckets else 1))


class Metrics(Collector):
    """Counts. Serves the drivers (adapters.shared.Telemetry), scorers (adapters.triton.Observer) and sinks
    (records.backlog.Observer) as what they tell. Nothing here raises. Called from one thread."""

    def __init__(self) -> None:
        self._of = {row.name.removeprefix("safeguards_"): Family(row) for row in METRICS}
        for name, series in FROM_ZERO.items():
            for labels in series:
                self._of[name].add(0, *labels)
        self._of["build_info"].set(1, __version__)
        self._held: Callable[[], int] = lambda: 0
        self.registry = CollectorRegistry()
        self.registry.register(self)
        ProcessCollector(registry=self.registry)

    def collect(self) -> Iterator[Collected]:
        """Called by the Prometheus client for each scrape, from its thread."""
        self._of["held_bytes"].set(self._held())
        for family in self._of.values():
            yield family.collect()

    def serve(self, host: str, port: int) -> tuple[int, Callable[[], None]]:
        """Answer GET /metrics from a thread; the port (0 chooses one) and how to stop. OSError if it is taken."""
        server, thread = start_http_server(port, host, registry=self.registry)

        def stop() -> None:
            server.shutdown()
            server.server_close()
            thread.join()

        return int(server.server_address[1]), stop

    def watch_held(self, held: Callable[[], int]) -> None:
        """Ask `held` for the bytes held back whenever metrics are read."""
        self._held = held

    def ready(self, role: str, is_so: bool) -> None:
        """Whether this process takes new work."""
        self._of["ready"].set(is_so, role)

    def limits(self, streams: int, held: int) -> None:
        """How many streams may be open, and how many bytes of bodies they may hold back."""
        self._of["streams_limit"].set(streams)
        self._of["held_limit_bytes"].set(held)

    def draining(self, ends: float) -> None:
        """Streams that are open at that Unix time are cut."""
        self._of["drain_ends_timestamp_seconds"].set(ends)

    def waited(self, seconds: float) -> None:
        """A message waited so long to be heard."""
        self._of["wait_seconds"].observe(seconds)

    def loop_lag(self, seconds: float) -> None:
        """The event loop woke so late."""
        self._of["loop_lag_seconds"].observe(seconds)

    def stream_opened(self) -> None:
        """A stream began."""
        self._of["streams_active"].add(1)

    def stream_closed(self, how: str, seconds: float, received: int, sent: int) -> None:
        """A stream ended; bytes are those of gRPC messages."""
        of = self._of
        of["streams_active"].add(-1)
        of["streams_total"].add(1, how)
        of["stream_seconds"].observe(seconds)
        of["received_bytes_total"].add(received)
        of["sent_bytes_total"].add(sent)

    def stream_refused(self, reason: str) -> None:
        """A stream was not taken."""
        self._of["streams_refused_total"].add(1, reason)

    def fault(self, where: str) -> None:
        """A bug or a broken promise."""
        self._of["faults_total"].add(1, where)

    def captured(self, result: str) -> None:
        """An exchange was taken down: what became of that."""
        self._of["captures_total"].add(1, result)

    def admitted(self, answer: Admitted) -> None:
        """An exchange was admitted, or was not."""
        of = self._of
        of["admissions_total"].add(1, answer.source, "refused" if answer.refused is not None else "admitted")
        for each in answer.counted:
            if each.near:
                mode = "enforce" if each.limit.enforced else "shadow"
                of["limits_total"].add(1, each.limit.name, mode, "near" if each.allowed else "over")

    def detector(self, detector: str, failure: str, seconds: float) -> None:
        """A detector's answer; `failure` is "" or a slug of errors.FAILURES."""
        self._of["detector_seconds"].observe(seconds, detector)
        if failure:
            self._of["detector_failures_total"].add(1, detector, failure)

    def escalation(self, detector: str, result: str, share: float) -> None:
        """A window of a model with a condition."""
        self._of["escalations_total"].add(1, detector, result)
        self._of["escalated_share"].set(share, detector)

    def batch(self, model: str, texts: int, waited_s: float) -> None:
        """A request to a model server goes out."""
        self._of["model_batch_texts"].observe(texts, model)
        self._of["model_queue_seconds"].observe(waited_s, model)

    def answered(self, model: str, version: str) -> None:
        """A version of a model answered a request."""
        self._of["model_answers_total"].add(1, model, version)

    def breaker(self, model: str, endpoint: str, state: str) -> None:
        """A breaker is in `state` now."""
        for each in BREAKER_STATES:
            self._of["breaker_state"].set(each == state, model, endpoint, each)

    def store_state(self, store: str, state: str) -> None:
        """A store answers ("ok") or does not ("away")."""
        for each in STORE_STATES:
            self._of["store_state"].set(each == state, store, each)
        for reason in STORE_FAILURES:
            self._of["store_failures_total"].add(0, store, reason)

    def store_failed(self, store: str, reason: str) -> None:
        """A call of a store ended with a slug of errors.STORE_FAILURES."""
        self._of["store_failures_total"].add(1, store, reason)

    def settled(self, result: str, count: int) -> None:
        """Settlements were told at once or late, or were lost."""
        self._of["settlements_total"].add(count, result)

    def policy_loaded(self, digest: str, at: float) -> None:
        """A policy came into force, at a Unix time."""
        self._of["policy_loads_total"].add(1, "ok")
        self._of["policy_info"].only(1, digest)
        self._of["policy_loaded_timestamp_seconds"].set(at)

    def policy_failed(self) -> None:
        """A policy was refused; the one before stays."""
        self._of["policy_loads_total"].add(1, "failed")

    def certificate_loaded(self, expires: float) -> None:
        """A certificate is served that ends at a Unix time."""
        self._of["certificate_loads_total"].add(1, "ok")
        self._of["certificate_expiry_timestamp_seconds"].set(expires)

    def certificate_failed(self) -> None:
        """A certificate could not be used; the one before stays."""
        self._of["certificate_loads_total"].add(1, "failed")

    def free(self, sink: str, size: int) -> None:
        """So many bytes are free where a sink keeps records."""
        self._of["records_free_bytes"].set(size, sink)
        self._of["records_lost_total"].add(0, sink)

    def record_kept(self, sink: str, size: int) -> None:
        """A record of `size` bytes is with the operating system."""
        self._of["records_total"].add(1, sink)
        self._of["record_bytes_total"].add(size, sink)

    def record_failed(self, sink: str, reason: str) -> None:
        """A write failed."""
        self._of["record_failures_total"].add(1, sink, reason)

    def records_lost(self, sink: str, count: int) -> None:
        """Records that could not be kept were given up."""
        self._of["records_lost_total"].add(count, sink)

    def degraded(self, what: str, is_so: bool) -> None:
        """Whether the service works with less than it should."""
        self._of["degraded"].set(is_so, what)

    def admission_took(self, source: str, seconds: float) -> None:
        """An exchange has its answer of limits and standings; `source` is Admitted's."""
        self._of["admission_seconds"].observe(seconds, source)

    def account_failed(self, what: str, reason: str) -> None:
        """A store or sink of accounts did not answer."""
        self._of["account_failures_total"].add(1, what, reason)

    def account_lost(self, what: str, count: int) -> None:
        """Something that was to be told was given up."""
        self._of["account_lost_total"].add(count, what)

    def standings(self, held: int, age_s: float) -> None:
        """How many standings are known, and how old the news is."""
        self._of["standings_held"].set(held)
        self._of["standings_age_seconds"].set(age_s)

    def strikes_taken(self, result: str, count: int) -> None:
        """A keeper took strikes."""
        self._of["strikes_taken_total"].add(count, result)

    def strikes_waiting(self, count: int) -> None:
        """So many strikes wait for a keeper."""
        self._of["strikes_waiting"].set(count)

    def standings_published(self, count: int) -> None:
        """A keeper told filters of changes."""
        self._of["standings_published_total"].add(count)

    def standings_built(self, identities: int, seconds: float) -> None:
        """A keeper has published everybody anew."""
        self._of["standings_published_total"].add(identities)
        self._of["standings_built_seconds"].set(seconds)

    def keeper_failed(self, part: str, reason: str) -> None:
        """A part of a keeper could not do its work."""
        self._of["keeper_failures_total"].add(1, part, reason)

    def sealed(self, records: int, torn: int, left: int, at: float) -> None:
        """A sealer looked through its spool, at a time since 1970."""
        self._of["sealed_records_total"].add(records)
        self._of["sealed_torn_bytes_total"].add(torn)
        self._of["sealer_segments_left"].set(left)
        self._of["sealer_looked_timestamp_seconds"].set(at)

    def reconciled(self, lines: int, records: int, gaps: Mapping[str, int], at: float) -> None:
        """Reconciliation looked, at a time since 1970: what is new, and gaps by kind."""
        self._of["reconciled_total"].add(lines, "line")
        self._of["reconciled_total"].add(records, "record")
        for kind, count in gaps.items():
            self._of["record_gaps_total"].add(count, kind)
        self._of["reconciled_timestamp_seconds"].set(at)

    def exchange(self, record: Record) -> None:
        """A finished exchange."""
        self._of["exchanges_total"].add(1, record.route, record.outcome, record.termination)
        self._phase("request", record.request)
        self._phase("response", record.response)

    def _phase(self, name: str, phase: Phase) -> None:
        of, account = self._of, phase.account
        of["verdicts_total"].add(1, name, phase.decided, phase.applied)
        of["coverage_total"].add(1, name, account.coverage)
        for fired in phase.fired:
            of["rules_fired_total"].add(1, name, fired.rule, fired.action, fired.mode, fired.cause)
        for kind, channel in account.channels.items():
            of["characters_total"].add(channel.chars, name, kind, "read")
            of["characters_total"].add(channel.scanned, name, kind, "scanned")
        for detector, checks in account.checks.items():
            for result, count in (
                ("run", checks.run),
                ("failed", checks.failed),
                ("skipped", checks.skipped),
                ("not-due", checks.not_due),
            ):
                if count:
                    of["checks_total"].add(count, name, detector, result)
        for entity, count in phase.redactions.items():
            of["redactions_total"].add(count, name, entity)
        for entity, count in phase.restored.items():
            of["restored_total"].add(count, entity)
        if phase.items.listed:
            of["items_total"].add(phase.items.listed, "listed")
            of["items_total"].add(phase.items.decided, "decided")
            of["items_total"].add(phase.items.dropped, "dropped")
        if account.windows:
            of["windows_total"].add(account.windows, name)
        if account.uninspectable:
            of["uninspectable_total"].add(1, name, account.uninspectable)
        if account.released_unscanned:
            of["released_unscanned_total"].add(1, name)
        if account.bytes_released and phase.applied not in NOT_LET_ON:
            if phase.failed or account.uninspectable in NO_TIME:
                of["unchecked_total"].add(1, name, "failure")
            elif account.uninspectable:
                of["unchecked_total"].add(1, name, "unreadable")
        for step, begin, end in (
            ("verdict", phase.ended_ms, phase.decided_ms),
            ("first", phase.headers_ms, phase.first_release_ms),
            ("last", phase.ended_ms, phase.last_release_ms),
        ):
            if begin >= 0 and end >= 0:
                of["phase_seconds"].observe(max(end - begin, 0.0) / 1000, name, step)
