"""TLS from Envoy to the filter: the filter's name is checked, and a renewed certificate is taken without a restart.

Envoy reads files that its configuration names once, at its start. What a secret discovery service says may change, and
files can be one: a document for each secret, which names the files and the folder to watch (cert-manager's Secrets,
mounted, change by a rename in that folder). In Istio the control plane is that service.
"""

from __future__ import annotations

from typing import Any

from envoy.config.core.v3.base_pb2 import DataSource, TransportSocket, WatchedDirectory  # type: ignore[import-untyped]
from envoy.config.core.v3.config_source_pb2 import (  # type: ignore[import-untyped]
    AggregatedConfigSource,
    ApiVersion,
    ConfigSource,
    PathConfigSource,
)
from envoy.extensions.transport_sockets.tls.v3.common_pb2 import (  # type: ignore[import-untyped]
    CertificateValidationContext,
    SubjectAltNameMatcher,
    TlsCertificate,
)
from envoy.extensions.transport_sockets.tls.v3.secret_pb2 import (  # type: ignore[import-untyped]
    SdsSecretConfig,
    Secret,
)
from envoy.extensions.transport_sockets.tls.v3.tls_pb2 import (  # type: ignore[import-untyped]
    CommonTlsContext,
    UpstreamTlsContext,
)
from envoy.service.discovery.v3.discovery_pb2 import DiscoveryResponse  # type: ignore[import-untyped]
from envoy.type.matcher.v3.string_pb2 import StringMatcher  # type: ignore[import-untyped]

from safeguards_extproc.attach.messages import packed
from safeguards_extproc.attach.options import Attachment, Tls

AUTHORITY, CERTIFICATE = "safeguards_authority", "safeguards_certificate"
SECRET = "kubernetes://"  # noqa: S105 - a scheme
"""How Istio's control plane names a Secret beside the gateway; `-cacert` after it is its authority."""


def from_files(wanted: Attachment) -> Any:
    """A transport socket with what `secrets` says."""
    return _socket(wanted, _file(wanted, AUTHORITY), _file(wanted, CERTIFICATE))


def from_istio(wanted: Attachment) -> Any:
    """A transport socket with a Secret that istiod delivers."""
    source = ConfigSource(ads=AggregatedConfigSource(), resource_api_version=ApiVersion.V3)
    name = f"{SECRET}{wanted.tls_secret}"
    return _socket(
        wanted,
        SdsSecretConfig(name=f"{name}-cacert", sds_config=source),
        SdsSecretConfig(name=name, sds_config=source),
    )


def secrets(wanted: Attachment) -> dict[str, Any]:
    """The documents beside the configuration, by the path that it expects them at."""
    folder = wanted.tls_folder.rstrip("/")
    watched = WatchedDirectory(path=folder)
    authority = Secret(
        name=AUTHORITY,
        validation_context=CertificateValidationContext(
            trusted_ca=DataSource(filename=f"{folder}/ca.crt"),
            match_typed_subject_alt_names=[_name(wanted)],
            watched_directory=watched,
        ),
    )
    found = {_path(wanted, AUTHORITY): DiscoveryResponse(resources=[packed(authority)])}
    if wanted.tls is Tls.MUTUAL:
        own = Secret(
            name=CERTIFICATE,
            tls_certificate=TlsCertificate(
                certificate_chain=DataSource(filename=f"{folder}/tls.crt"),
                private_key=DataSource(filename=f"{folder}/tls.key"),
                watched_directory=watched,
            ),
        )
        found[_path(wanted, CERTIFICATE)] = DiscoveryResponse(resources=[packed(own)])
    return found


def _socket(wanted: Attachment, authority: Any, own: Any) -> Any:
    common = CommonTlsContext(
        alpn_protocols=["h2"],
        combined_validation_context=CommonTlsContext.CombinedCertificateValidationContext(
            default_validation_context=CertificateValidationContext(match_typed_subject_alt_names=[_name(wanted)]),
            validation_context_sds_secret_config=authority,
        ),
        tls_certificate_sds_secret_configs=[own] if wanted.tls is Tls.MUTUAL else [],
    )
    context = UpstreamTlsContext(sni=wanted.server_name, common_tls_context=common)
    return TransportSocket(name="envoy.transport_sockets.tls", typed_config=packed(context))


def _name(wanted: Attachment) -> Any:
    return SubjectAltNameMatcher(san_type=SubjectAltNameMatcher.DNS, matcher=StringMatcher(exact=wanted.server_name))


def _file(wanted: Attachment, name: str) -> Any:
    source = ConfigSource(
        path_config_source=PathConfigSource(path=_path(wanted, name)), resource_api_version=ApiVersion.V3
    )
    return SdsSecretConfig(name=name, sds_config=source)


def _path(wanted: Attachment, name: str) -> str:
    """Beside the certificates' folder, which may be a Secret that nobody can write into."""
    return f"{wanted.tls_folder.rstrip('/')}-sds/{name}.yaml"
