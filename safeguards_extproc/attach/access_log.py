"""What Envoy's access log says of an exchange: the filter's verdict and cost, and nothing that a client wrote.

No query string and no header of the client's choosing: they may hold user text.
"""

from __future__ import annotations

from typing import Any

from envoy.config.accesslog.v3.accesslog_pb2 import AccessLog  # type: ignore[import-untyped]
from envoy.config.core.v3.substitution_format_string_pb2 import (  # type: ignore[import-untyped]
    SubstitutionFormatString,
)
from envoy.extensions.access_loggers.stream.v3.stream_pb2 import StdoutAccessLog  # type: ignore[import-untyped]
from google.protobuf.struct_pb2 import Struct

from safeguards_extproc.attach.messages import FILTER, NAMESPACE, packed
from safeguards_extproc.attach.plain import plain

FIELDS = {
    "time": "%START_TIME%",
    "method": "%REQ(:METHOD)%",
    "status": "%RESPONSE_CODE%",
    "details": "%RESPONSE_CODE_DETAILS%",
    "flags": "%RESPONSE_FLAGS%",
    "bytes_received": "%BYTES_RECEIVED%",
    "bytes_sent": "%BYTES_SENT%",
    "duration_ms": "%DURATION%",
    "upstream": "%UPSTREAM_CLUSTER%",
    "safeguards": f"%DYNAMIC_METADATA({NAMESPACE})%",
    "ext_proc": f"%FILTER_STATE({FILTER}:PLAIN)%",
}
"""`details` is a refusal's slug or the error of ext_proc, `safeguards` the verdict, `ext_proc` the cost by phase."""


def access_log() -> Any:
    """An access logger on standard output, as a message."""
    fields = Struct()
    fields.update(FIELDS)
    return AccessLog(
        name="envoy.access_loggers.stdout",
        typed_config=packed(StdoutAccessLog(log_format=SubstitutionFormatString(json_format=fields))),
    )


def entry() -> dict[str, Any]:
    """The same as an entry of `access_log`, its fields in the order of `FIELDS`, which protobuf's maps forget."""
    found = plain(access_log())
    found["typed_config"]["log_format"]["json_format"] = dict(FIELDS)
    return found
