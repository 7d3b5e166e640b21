"""Made-up data of every entity that the tables know: valid in form and checksum, nobody's.

A template is text with places <kind count>: random characters of a kind. They are filled at run time, so that this
repository holds nothing that looks like a credential.
"""

from __future__ import annotations

import base64
import hashlib
import json
import random
import re
import string
import zlib
from collections.abc import Callable

from safeguards_extproc.detectors import checksums

Sample = tuple[str, str, str]
"""What stands before, what is to be marked, what stands after."""

_KINDS = {
    "d": string.digits,
    "h": "0123456789abcdef",
    "u": "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567",
    "w": string.ascii_letters + string.digits,
    "t": string.ascii_letters + string.digits + "_-",
    "b": string.ascii_letters + string.digits + "+/",
    "q": "QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L",
    "l": string.ascii_lowercase,
}


def fill(template: str, dice: random.Random) -> str:
    def place(found: re.Match[str]) -> str:
        # Every other character is forced to differ from the last, so that the entropy is never low by chance.
        kind, text = _KINDS[found[1]], ""
        for _ in range(int(found[2])):
            text += dice.choice([char for char in kind if char not in text[-8:]] or list(kind))
        return text

    return re.sub("<([a-z])([0-9]+)>", place, template)


_SECRETS = {
    "private_key": [
        "key:\n|-----BEGIN RSA PRIVATE KEY-----\n<b64>\n<b64>\n<b20>==\n-----END RSA PRIVATE KEY-----|\nthanks",
        "|-----BEGIN OPENSSH PRIVATE KEY-----\\n<b70>\\n<b30>\\n-----END OPENSSH PRIVATE KEY-----|\\n",
        "|-----BEGIN PRIVATE KEY-----\n<b64>\n<b31>|, cut off",
    ],
    "aws_access_key": ["id |AKIA<u16>| here", "|ASIA<u16>|"],
    "aws_secret_key": ["aws_secret_access_key = |<b40>|\n", '"SecretAccessKey": "|<b40>|"'],
    "gcp_api_key": ["?key=|AIza<t35>|&x=1"],
    "gcp_service_account": ['"private_key_id": "|<h40>|", "client'],
    "gcp_oauth": ["token |ya29.<t40>| end", "|GOCSPX-<t28>|."],
    "azure_key": ["AccountKey=|<b86>==|;", "is |<w3>8Q~<w34>| now", "https://x.net/c?sv=2&sig=|<w43>%3D|"],
    "github_token": ["|github_pat_<w22>_<w59>|", "old |gho_<w36>| token"],
    "gitlab_token": ["|glpat-<w20>|", "run |glrt-<w26>| now"],
    "slack_token": ["|xoxb-<d12>-<d12>-<w24>|", "|xapp-1-<u11>-<d13>-<h64>|", "https://hooks.slack.com/|services/<w9>/<w11>/<w24>|"],
    "stripe_key": ["|sk_live_<w24>|", "|whsec_<b32>|"],
    "anthropic_key": ["|sk-ant-api03-<t93>AA|"],
    "openai_key": ["key |sk-proj-<t74>T3BlbkFJ<t74>|", "|sk-<w48>|,"],
    "huggingface_token": ["|hf_<w34>|"],
    "npm_token": ["_authToken=|npm_<w36>|"],
    "pypi_token": ["|pypi-AgEIcHlwaS5vcmc<t80>|"],
    "rubygems_key": ["|rubygems_<h48>|"],
    "docker_token": ["|dckr_pat_<t27>|"],
    "sendgrid_key": ["|SG.<t22>.<t43>|"],
    "twilio_key": ["|SK<h32>|", "|AC<h32>|"],
    "mailgun_key": ["|key-<h32>|"],
    "digitalocean_token": ["|dop_v1_<h64>|"],
    "shopify_token": ["|shpat_<h32>|"],
    "databricks_token": ["|dapi<h32>|"],
    "vault_token": ["|hvs.<t90>|"],
    "grafana_token": ["|glsa_<w32>_<h8>|"],
    "telegram_token": ["bot |<d9>:AA<t33>| "],
    "discord_token": ["|M<w23>.<w6>.<w38>|"],
    "age_key": ["|AGE-SECRET-KEY-1<q58>|"],
    "connection_string": ["postgres://admin:|<w12>|@db.internal:5432/app", "Server=db;User Id=sa;Password=|<w14>|;"],
    "password": ["password: |<l6><d3>-<w4>|", "my api_key = '|<w21><d3>|'", "The password is |<w8><d2>Z!a|"],
}  # fmt: skip


def _split(template: str) -> Sample:
    before, core, after = template.split("|")
    return before, core, after


def _jwt(dice: random.Random) -> Sample:
    parts = [{"alg": "HS256", "typ": "JWT"}, {"sub": fill("<d10>", dice)}]
    texts = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts]
    return "Bearer ", ".".join([*texts, fill("<t43>", dice)]), "\n"


def _github(dice: random.Random) -> Sample:
    body = fill("<w30>", dice)
    alphabet = string.digits + string.ascii_uppercase + string.ascii_lowercase
    number, check = zlib.crc32(body.encode()), ""
    for _ in range(6):
        number, digit = divmod(number, 62)
        check = alphabet[digit] + check
    return "export GH=", f"ghp_{body}{check}", " "


def _checked(template: str, good: Callable[[str], bool], dice: random.Random) -> str:
    """The template filled until the last digits fit."""
    while True:
        text = fill(template, dice)
        if good(re.sub("[^0-9A-Za-z]", "", text)):
            return text


def _card(dice: random.Random) -> Sample:
    form = dice.choice(
        [
            "4<d15>",
            "4<d3> <d4> <d4> <d4>",
            "5<d3>-<d4>-<d4>-<d4>",
            "37<d2> <d6> <d5>",
            "6011<d12>",
            "35<d14>",
            "36<d12>",
        ]
    )
    if form[0] == "5":
        form = "5" + dice.choice("12345") + form[1:].replace("<d3>", "<d2>", 1)
    if form.startswith("35"):
        form = "35" + dice.choice("345678") + "<d13>"
    return "card ", _checked(form, checksums.luhn, dice), dice.choice([".", " exp 12/27", "", "\n"])


def _iban(dice: random.Random) -> Sample:
    form = dice.choice(["DE<d2><d18>", "GB<d2> WEST <d4> <d4> <d4> <d2>", "NL<d2>ABNA<d10>", "FR<d2><d10><w11><d2>"])
    while True:
        text = fill(form, dice).upper()
        if checksums.mod97(re.sub(" ", "", text)):
            return "IBAN ", text, dice.choice([" please", ".", ""])


def base58(version: int, dice: random.Random) -> str:
    data = bytes([version]) + dice.randbytes(20)
    data += hashlib.sha256(hashlib.sha256(data).digest()).digest()[:4]
    alphabet = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
    number, text = int.from_bytes(data, "big"), ""
    while number:
        number, digit = divmod(number, 58)
        text = alphabet[digit] + text
    return "1" * (len(data) - len(data.lstrip(b"\0"))) + text


def _crypto(dice: random.Random) -> Sample:
    core = dice.choice([base58(0, dice), base58(5, dice), fill("0x<h40>", dice)])
    return "send to ", core, " today"


def _phone(dice: random.Random) -> Sample:
    form = dice.choice(
        [
            "|+49 30 <d4> <d4>|",
            "|+1-2<d2>-5<d2>-<d4>|",
            "|(2<d2>) 5<d2>-<d4>|",
            "|2<d2>-5<d2>-<d4>| x",
            "call me at |<d4> <d4>|",
            "|06-<d8>|",
        ]
    )
    return _split(fill(form, dice))


def _written(*templates: str) -> Callable[[random.Random], Sample]:
    return lambda dice: _split(fill(dice.choice(templates), dice))


def _numbered(before: str, form: str, good: Callable[[str], bool]) -> Callable[[random.Random], Sample]:
    return lambda dice: (before, _checked(form, good, dice), ".")


SECRETS: dict[str, Callable[[random.Random], Sample]] = {
    **{entity: _written(*templates) for entity, templates in _SECRETS.items()},
    "jwt": _jwt,
}
CHECKED_GITHUB = _github

PII: dict[str, Callable[[random.Random], Sample]] = {
    "email": _written("mail |<l6>.<l4>@<l5>.org|, or", "|<l3>+<d2>@sub.<l7>.co.uk|", "<|<l2>@<l2>.de|>"),
    "card": _card,
    "iban": _iban,
    "us_ssn": _written("ssn |1<d2>-12-3<d3>|.", "social security number is |2<d2>451<d3>|"),
    "phone": _phone,
    "ip_address": _written("host |10.1<d2>.2<d1>.7|:80", "|2001:db8:<h4>::<h4>:1|", "|192.168.1.1<d1>|."),
    "mac_address": _written("at |<h2>:<h2>:<h2>:<h2>:<h2>:<h2>| up"),
    "crypto_address": _crypto,
    "uk_nhs": _numbered("NHS number: ", "<d3> <d3> <d4>", checksums.mod11_nhs),
    "uk_nino": _written("NI |AB<d6>C| ok", "|JG <d2> <d2> <d2> A|"),
    "in_aadhaar": _numbered("aadhaar ", "2<d3> <d4> <d4>", checksums.verhoeff),
    "de_tax_id": lambda dice: ("Steuer-ID: ", dice.choice(["86 095 742 719", "47036892816", "65929970489"]), "."),
    "es_nif": _numbered("DNI ", "<d8>T", checksums.nif),
    "date_of_birth": _written("born on |12/1<d1>/19<d2>|.", "DOB: |19<d2>-11-05|", "dob is |3rd of May 19<d2>|,"),
}  # fmt: skip
