"""What an operator sets when the service starts. Everything else is policy, which can change while it runs.

The command line fills this in (`safeguards-extproc serve --help`); each option also reads an environment variable,
SAFEGUARDS_ and its name in capitals.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from safeguards_extproc.errors import ConfigError

ScorerKind = Literal["triton", "embedded"]
OnRecordFailure = Literal["go-on", "refuse"]
SyncRecords = Literal["never", "interval", "enforced", "every"]

_REGION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}|")


@dataclass(frozen=True, slots=True)
class Settings:
    """Addresses are "host:port", ":port" or "unix:///path"; an empty one is not served. Times are seconds.

    `records` is a file that decision records are appended to, `spool` a folder that they are kept in for sealing; they
    name `producer`, by default this host, and `region`, and have the fields of `mask` emptied. `sync_records` says when
    a spooled record has to be on the disk. `identity_keys` is a file with the keys of pseudonyms.
    `tls_client_ca` makes TLS mutual. `drain_delay_s` is how long Envoy has to notice that health says no;
    `drain_limit_s` how long streams may then go on. What begins while Envoy's messages wait longer than `shed_above_ms`
    (0: however long) is shed, as the policy says of `overloaded`. `redis` is where filters share limits and standings:
    one URL, or several nodes of a cluster; `ledger` is a database that a single worker without Redis keeps itself. What
    the policy lets be captured goes into the folder `capture`, of at most `capture_bytes`, by a key of `capture_key`.
    """

    policy: Path
    listen: str = "127.0.0.1:9002"
    health: str = "127.0.0.1:9102"
    metrics: str = ""
    workers: int = 1
    scorer: ScorerKind = "triton"
    triton: tuple[str, ...] = ()
    models: Path = Path("triton_models")
    hedge_ms: int = 0
    records: Path | None = None
    spool: Path | None = None
    sync_records: SyncRecords = "enforced"
    on_record_failure: OnRecordFailure = "go-on"
    mask: tuple[str, ...] = ()
    producer: str = ""
    region: str = ""
    identity_keys: Path | None = None
    tls_certificate: str = ""
    tls_key: str = ""
    tls_client_ca: str = ""
    socket_mode: int = 0o660
    drain_delay_s: float = 5.0
    drain_limit_s: float = 300.0
    max_stream_s: float = 3600.0
    max_streams: int = 20_000
    max_held_bytes: int = 1 << 30
    shed_above_ms: int = 250
    redis: tuple[str, ...] = ()
    ledger: str = ""
    capture: Path | None = None
    capture_key: Path | None = None
    capture_bytes: int = 10 << 30
    log_level: str = "info"

    def __post_init__(self) -> None:
        """Raises ConfigError where two settings contradict each other."""
        if self.capture is not None and self.capture_key is None:
            hint = "`safeguards-extproc capture key FILE` makes one"
            raise ConfigError("captures are encrypted", where="--capture-key", hint=hint)
        if self.ledger and self.redis:
            hint = "give filters --redis alone, and run `safeguards-extproc keeper --ledger … --redis …` beside them"
            raise ConfigError("with Redis the ledger is the keeper's", where="--ledger", hint=hint)
        if self.ledger and self.workers > 1:
            hint = "let them share a Redis: --redis URL, and `safeguards-extproc keeper --ledger … --redis …`"
            raise ConfigError("several workers cannot keep one ledger", where="--ledger", hint=hint)
        if bool(self.tls_certificate) != bool(self.tls_key):
            raise ConfigError("TLS needs a certificate and its key", where="--tls-certificate", hint="give both")
        if self.tls_client_ca and not self.tls_certificate:
            raise ConfigError("mutual TLS needs TLS", where="--tls-client-ca", hint="give a certificate and its key")
        if _REGION.fullmatch(self.region) is None:
            hint = "letters, figures, dots, lines and underscores; the first is a letter or figure"
            raise ConfigError("not a name of a region", where="--region", hint=hint)
        if self.workers < 1:
            raise ConfigError("at least one worker is needed", where="--workers", hint="one per core is a good start")
        for name in ("drain_delay_s", "drain_limit_s", "shed_above_ms"):
            if getattr(self, name) < 0:
                raise ConfigError("cannot be negative", where="--" + name.removesuffix("_s").replace("_", "-"))


@dataclass(frozen=True, slots=True)
class KeeperOptions:
    """What a keeper is started with. `anew` publishes all standings again, whatever Redis holds."""

    policy: Path
    ledger: str
    redis: tuple[str, ...]
    health: str = "127.0.0.1:9103"
    metrics: str = ""
    anew: bool = False
    log_level: str = "info"
