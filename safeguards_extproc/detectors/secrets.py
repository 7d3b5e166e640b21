"""Credentials: a row for each form that its issuer documents, then two for what people write down themselves.

    options: {entities: [github_token, ...]}    all, if not given

A placeholder ("AKIA" and sixteen X) has little entropy and is not a credential.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Mapping

from safeguards_extproc.detectors import checksums
from safeguards_extproc.detectors.scanner import Row, Scanner
from safeguards_extproc.detectors.selection import chosen

_PLACEHOLDER = re.compile(
    r"(?i)example|placeholder|changeme|change_me|redacted|your[_-]|xxxx|\*\*\*|\.\.\.|^(?:<|\$\{|\{\{|%\(|\$[A-Z_]+$)"
    r"|^(?:my|the|your|some|a)?_?(?:pass(?:word|wd)?|secret|token|key|none|null|true|false|string|required|undefined)$"
)


def _random(bits: float, of: int = 0) -> Callable[[str], int]:
    """Accept a text whose characters from `of` on carry at least `bits` of entropy each."""

    def check(text: str) -> int:
        return len(text) if checksums.entropy(text[of:]) >= bits and not _PLACEHOLDER.search(text) else 0

    return check


def _crc(text: str) -> int:
    """The last six characters check the thirty before them; nothing else looks like that."""
    return len(text) if checksums.crc62(text[4:-6], text[-6:]) else 0


def _jwt(text: str) -> int:
    """The first part is JSON that names an algorithm (RFC 7515, section 4.1.1)."""
    head = text.partition(".")[0]
    try:
        header = json.loads(base64.urlsafe_b64decode(head + "=" * (-len(head) % 4)))
    except (ValueError, binascii.Error, RecursionError):
        return 0
    return len(text) if isinstance(header, dict) and "alg" in header else 0


def _mixed(text: str) -> int:
    """What follows `password=`: characters of two classes at least, and not a word that stands for one."""
    classes = sum(bool(re.search(one, text)) for one in ("[a-z]", "[A-Z]", "[0-9]", "[^A-Za-z0-9]"))
    if text[-1] in ".,;:!?)]}":
        text = text.rstrip(".,;:!?)]}")
    fine = len(text) >= 6 and classes >= 2 and checksums.entropy(text) >= 2.5 and not _PLACEHOLDER.search(text)
    return len(text) if fine and (re.search("[0-9]", text) or classes > 2) else 0


def _written(text: str) -> int:
    """A password inside a connection string, unless it stands for one."""
    return 0 if _PLACEHOLDER.search(text) else len(text)


_QUOTE = r"[\"'`]?"
_IS = rf"{_QUOTE}\s{{0,3}}(?::=|=>|=|:)\s{{0,3}}{_QUOTE}"
_NO_MORE = r"(?:$|[^A-Za-z0-9_-])"

ROWS = (
    Row(
        "private_key",
        r"-----BEGIN[A-Z0-9 ]{0,40} PRIVATE KEY(?: BLOCK)?-----(?:\s|\\[nrt]){0,8}"
        r"(?:[A-Z][A-Za-z-]{2,20}: [^\n\\]{1,80}(?:\s|\\[nrt]){1,8}){0,4}"
        r"(?:[A-Za-z0-9+/]{16,}={0,2}(?:\s|\\[nrt]){0,8})+(?:[A-Za-z0-9+/]{1,15}={0,2}(?:\s|\\[nrt]){0,8})?"
        r"(?:=[A-Za-z0-9+/]{4}(?:\s|\\[nrt]){0,8})?(?:-----END[A-Z0-9 ]{0,40} PRIVATE KEY(?: BLOCK)?-----)?",
    ),
    Row("aws_access_key", r"(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}", r"\b", r"\b", _random(2.5, 4)),
    Row(
        "aws_secret_key",
        r"[A-Za-z0-9/+]{40}",
        before=rf"(?i:(?:aws|secret|access)[a-z0-9_ .-]{{0,30}}){_IS}",
        after=r"(?:$|[^A-Za-z0-9/+=])",
        check=_random(4.0),
    ),
    Row("gcp_api_key", r"AIza[A-Za-z0-9_-]{35}", r"\b", _NO_MORE, _random(3.5, 4)),
    Row(
        "gcp_service_account",
        r"[0-9a-f]{40}",
        before=r"private_key_id\\?[\"']\s{0,3}:\s{0,3}\\?[\"']",
        check=_random(2.5),
    ),
    Row("gcp_oauth", r"ya29\.[A-Za-z0-9_-]{20,}|GOCSPX-[A-Za-z0-9_-]{28}", r"\b", "", _random(3.5, 5)),
    Row("azure_key", r"[A-Za-z0-9+/]{86}==", r"(?:^|[^A-Za-z0-9+/])", "", _random(4.5)),
    Row("azure_key", r"[A-Za-z0-9_~.]{3}[0-9]Q~[A-Za-z0-9_~.-]{31,34}", r"\b", _NO_MORE, _random(3.5)),
    Row("azure_key", r"[A-Za-z0-9%]{40,60}%3[Dd]", r"[?&]sig=", "", _random(3.5)),
    Row("github_token", r"gh[pousr]_[A-Za-z0-9]{36}", r"\b", _NO_MORE, _crc),
    Row("github_token", r"gh[pousr]_[A-Za-z0-9]{36,251}", r"\b", _NO_MORE, _random(3.5, 4), 0.9),
    Row("github_token", r"github_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{59}", r"\b", _NO_MORE, _random(4.0, 11)),
    Row(
        "gitlab_token",
        r"gl(?:pat|dt|rt|cbt|ptt|ft|imt|agent|oas|soat|ffct)-[A-Za-z0-9_-]{20,64}(?:\.[0-9a-z]{2}\.[0-9a-z]{9})?",
        r"\b",
        _NO_MORE,
        _random(3.2, 6),
    ),
    Row("slack_token", r"xox[abeoprs](?:\.xox[abp])?-[A-Za-z0-9-]{10,250}", r"\b", _NO_MORE, _random(2.8, 5)),
    Row("slack_token", r"xapp-[0-9]-[A-Z0-9]{8,16}-[0-9]{8,16}-[a-f0-9]{32,128}", r"\b", _NO_MORE, _random(3.0, 5)),
    Row(
        "slack_token",
        r"(?:services|workflows|triggers)/[A-Za-z0-9/+]{40,80}",
        before=r"hooks\.slack\.com/",
        check=_random(3.2),
    ),
    Row("stripe_key", r"(?:sk|rk)_(?:live|test|prod)_[A-Za-z0-9]{16,247}", r"\b", _NO_MORE, _random(3.2, 8)),
    Row("stripe_key", r"whsec_[A-Za-z0-9+/]{32,64}={0,2}", r"\b", _NO_MORE, _random(3.5, 6)),
    Row("anthropic_key", r"sk-ant-[a-z]{2,12}[0-9]{2}-[A-Za-z0-9_-]{32,160}", r"\b", _NO_MORE, _random(4.0, 7)),
    Row("openai_key", r"sk-(?:proj-|svcacct-|admin-|None-)?[A-Za-z0-9_-]{20,200}", r"\b", _NO_MORE, _random(3.8, 3)),
    Row("huggingface_token", r"(?:hf|api_org)_[A-Za-z0-9]{34,40}", r"\b", _NO_MORE, _random(3.8, 3)),
    Row("npm_token", r"npm_[A-Za-z0-9]{36}", r"\b", _NO_MORE, _random(3.5, 4)),
    Row("pypi_token", r"pypi-AgE[A-Za-z0-9_-]{50,512}", r"\b", _NO_MORE, _random(4.0, 5)),
    Row("rubygems_key", r"rubygems_[0-9a-f]{48}", r"\b", _NO_MORE, _random(2.8, 9)),
    Row("docker_token", r"dckr_(?:pat|oat)_[A-Za-z0-9_-]{27,40}", r"\b", _NO_MORE, _random(3.5, 9)),
    Row("sendgrid_key", r"SG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}", r"\b", _NO_MORE, _random(4.0, 3)),
    Row("twilio_key", r"(?:SK|AC)[0-9a-f]{32}", r"\b", r"\b", _random(2.8, 2)),
    Row("mailgun_key", r"key-[0-9a-f]{32}", r"\b", _NO_MORE, _random(2.8, 4)),
    Row("digitalocean_token", r"do[opr]_v1_[0-9a-f]{64}", r"\b", r"\b", _random(2.8, 7)),
    Row("shopify_token", r"shp(?:at|ca|pa|ss)_[0-9A-Fa-f]{32}", r"\b", r"\b", _random(2.8, 6)),
    Row("databricks_token", r"dapi[0-9a-f]{32}(?:-[0-9])?", r"\b", r"\b", _random(2.8, 4)),
    Row("vault_token", r"hv[sbr]\.[A-Za-z0-9_-]{24,200}", r"\b", _NO_MORE, _random(3.8, 4)),
    Row("grafana_token", r"gl(?:sa|c)_[A-Za-z0-9+/]{32,200}(?:_[0-9a-f]{8}|={0,2})", r"\b", "", _random(3.8, 5)),
    Row("telegram_token", r"[0-9]{8,10}:AA[A-Za-z0-9_-]{33}", r"\b", _NO_MORE, _random(3.8, 11)),
    Row(
        "discord_token",
        r"[MNO][A-Za-z0-9_-]{23,27}\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{27,40}",
        r"\b",
        _NO_MORE,
        _random(4.0),
    ),
    Row("age_key", r"AGE-SECRET-KEY-1[QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L]{58}", r"\b", r"\b", _random(3.5, 16)),
    Row("jwt", r"eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{16,}", r"(?:^|[^\w-])", "", _jwt),
    Row(
        "connection_string",
        r"[^\s@/\"'<>]{3,128}",
        before=r"\b[a-zA-Z][a-zA-Z0-9+.-]{1,20}://[^\s:@/\"'<>]{0,64}:",
        after=r"@[\w.\[-]",
        check=_written,
    ),
    Row(
        "connection_string",
        r"[^\s;\"']{4,128}",
        before=r"(?i:(?:server|data source|host|user id|uid|username)=[^\n\"']{1,120};\s?(?:password|pwd)=)",
        check=_written,
    ),
    Row(
        "password",
        r"[^\s\"'`<>,;]{6,128}",
        before=rf"(?i:passw(?:or)?d|passwd|pwd|passphrase|passcode|secret|credentials?|token|api[ _-]?key"
        rf"|(?:access|secret|private|auth|encryption|signing)[ _-]?key|auth){_IS}",
        check=_mixed,
        score=0.9,
    ),
    Row(
        "password",
        r"[^\s\"'`<>,;]{6,128}",
        before=rf"(?i:\b(?:password|passphrase|passcode|api key|secret key) (?:is|was)(?: now| set to)?:?) {_QUOTE}",
        check=_mixed,
        score=0.8,
    ),
)  # fmt: skip


def secrets(name: str, options: Mapping[str, object]) -> Scanner:
    """A detector of the rows that `options` choose. Raises ConfigError for an option or entity that does not exist."""
    return Scanner(name, chosen(ROWS, options))
