"""Personal data that has a form of its own: a row for each, and a check digit wherever the form has one.

    options: {entities: [email, card, ...]}     all, if not given

What has no form (names, places, streets) is for a model.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping

from safeguards_extproc.detectors import checksums
from safeguards_extproc.detectors.scanner import Row, Scanner
from safeguards_extproc.detectors.selection import chosen

# Lengths of IBANs by country: SWIFT's IBAN registry.
IBAN_LENGTHS = {
    code: length
    for length, codes in {
        15: "NO", 16: "BE", 18: "DK FI FO GL NL SD FK", 19: "MK SI", 20: "AT BA EE KZ LT LU XK MN",
        21: "CH CR HR LI LV", 22: "BG BH DE GB GE IE ME RS VA", 23: "AE GI IL IQ OM TL SO",
        24: "AD CZ ES MD PK RO SA SE SK TN VG", 25: "LY PT ST", 26: "IS TR", 27: "BI DJ FR GR IT MC MR SM",
        28: "AL AZ BY CY DO GT HN HU LB NI PL SV", 29: "BR EG PS QA UA", 30: "JO KW MU YE", 31: "MT SC", 32: "LC",
        33: "RU",
    }.items()
    for code in codes.split()
}  # fmt: skip

# First digits and lengths of payment cards: ISO/IEC 7812 ranges as the networks publish them.
CARD_RANGES = re.compile(
    r"4(?:[0-9]{12}|[0-9]{15}|[0-9]{18})"  # Visa
    r"|(?:5[1-5][0-9]{2}|222[1-9]|22[3-9][0-9]|2[3-6][0-9]{2}|27[01][0-9]|2720)[0-9]{12}"  # Mastercard
    r"|3[47][0-9]{13}"  # American Express
    r"|(?:6011|64[4-9][0-9]|65[0-9]{2})[0-9]{12,15}"  # Discover
    r"|62[0-9]{14,17}"  # UnionPay
    r"|35(?:2[89]|[3-8][0-9])[0-9]{12,15}"  # JCB
    r"|3(?:0[0-5]|[689][0-9])[0-9]{11}|3095[0-9]{10}"  # Diners Club
    r"|(?:50|5[6-8]|6[37])[0-9]{10,17}"  # Maestro
)

_CARD_DIGITS = range(12, 20)
_NOT_DIGIT = str.maketrans("", "", " \t\n.-–/()\u00a0")
_GROUPS = re.compile(r"[0-9]+")


def _digits(text: str) -> str:
    return text.translate(_NOT_DIGIT)


def card(text: str) -> int:
    """The longest run of groups from the first digit that is a card number; what follows may be a date or a code."""
    number, end = "", 0
    for group in _GROUPS.finditer(text):
        number += group[0]
        if len(number) > _CARD_DIGITS[-1]:
            break
        if len(number) in _CARD_DIGITS and CARD_RANGES.fullmatch(number) and len(set(number)) > 1:
            end = group.end() if checksums.luhn(number) else end
        # A number is written whole or in groups of some size; only the last group may be short.
        if len(group[0]) < 3:
            break
    return end


def iban(text: str) -> int:
    """Country, length and check digits; letters and words that follow are not part of it."""
    length = IBAN_LENGTHS.get(text[:2].upper(), 0)
    if not length:
        return 0
    places = [place for place, char in enumerate(text, 1) if char.isalnum()][:length]
    if len(places) < length or text[places[-1] : places[-1] + 1].isalnum():
        return 0
    return places[-1] if checksums.mod97("".join(text[place - 1] for place in places).upper()) else 0


def ssn(text: str) -> int:
    """Areas 000, 666 and 900 to 999, group 00 and serial 0000 were never given out (SSA, POMS RM 10201.030)."""
    digits = _digits(text)
    area, group, serial = digits[:3], digits[3:5], digits[5:]
    fine = area not in ("000", "666") and area < "900" and group != "00" and serial != "0000"
    # 078-05-1120 and 219-09-9999 were printed in advertisements.
    return len(text) if fine and digits not in ("078051120", "219099999") else 0


def phone(text: str) -> int:
    """Seven to fifteen digits (E.164) before an extension, not all alike, in no form that means something else."""
    digits = "".join(_GROUPS.findall(re.split("[xXeE]", text, maxsplit=1)[0]))
    fine = 7 <= len(digits.removeprefix("00")) <= 15 and len(set(digits)) > 2
    return len(text) if fine and not _NO_PHONE.fullmatch(text) else 0


_NO_PHONE = re.compile(
    r"[0-9]{1,2}[-./ ][0-9]{1,2}[-./ ][0-9]{2,4}|[0-9]{4}[-./ ][0-9]{1,2}[-./ ][0-9]{1,2}"  # a date
    r"|[0-9]{1,3}(?:\.[0-9]{1,3}){3}"  # an address of a machine
    r"|[0-9]{3}-[0-9]{2}-[0-9]{4}"  # a number of social security
)


def email(text: str) -> int:
    """No part of the name is empty, no label begins or ends with a hyphen, and the last label is of letters."""
    name, _, host = text.rpartition("@")
    labels = host.split(".")
    fine = ".." not in name and not name.endswith(".") and all(x and x[0] != "-" and x[-1] != "-" for x in labels)
    return len(text) if fine and len(text) <= 254 else 0


def ip_address(text: str) -> int:
    """As the standard library reads it, but for the addresses that name nobody: unspecified, loopback, broadcast."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return 0
    if address.is_unspecified or address.is_loopback or text == "255.255.255.255":
        return 0
    # a::b is a name in a program.
    return len(text) if any(char.isdigit() for char in text) else 0


def crypto_address(text: str) -> int:
    """Bitcoin and Litecoin by their checksums; Ethereum (0x and 40 hexadecimal digits) by not being all alike."""
    if text.startswith("0x"):
        return len(text) if len(set(text[2:].lower())) > 5 else 0
    fine = checksums.bech32(text) if text[:3].lower() in ("bc1", "ltc") else checksums.base58check(text)
    return len(text) if fine else 0


def _ten(text: str) -> int:
    digits = _digits(text)
    return len(text) if len(set(digits)) > 1 and checksums.mod11_nhs(digits) else 0


def _aadhaar(text: str) -> int:
    digits = _digits(text)
    return len(text) if len(set(digits)) > 2 and checksums.verhoeff(digits) else 0


def _tax_id(text: str) -> int:
    """Eleven digits; of the first ten one digit comes twice or three times, the others at most once (BZSt)."""
    digits = _digits(text)
    often = sorted(digits[:10].count(digit) for digit in set(digits[:10]))
    return len(text) if often[-1] in (2, 3) and often[-2] == 1 and checksums.mod11_10(digits) else 0


def _nif(text: str) -> int:
    return len(text) if checksums.nif(text.upper().replace("-", "").replace(" ", "")) else 0


def _birth(text: str) -> int:
    """A day that can be: a number from 1 to 31 and one from 1 to 12, or a month's name, and a year from 1900 on."""
    numbers = [int(number) for number in _GROUPS.findall(text)]
    years = [n for n in numbers if 1900 <= n <= 2099] or numbers[-1:]
    rest = list(numbers)
    rest.remove(years[0])
    fine = all(1 <= n <= 31 for n in rest) and (len(rest) < 2 or min(rest) <= 12)
    return len(text) if fine else 0


_FREE = r"(?:^|[^\w.+-])"
_OVER = r"(?:$|[^\w-]|-(?:$|\D))"
_MONTHS = r"(?i:jan|feb|mar|apr|may|jun|jul|aug|sept?|oct|nov|dec)[a-z]{0,6}\.?"
_DAY = r"[0-3]?[0-9](?:st|nd|rd|th)?"
_CALL = (
    r"(?i:\b(?:phone|telephone|tel|mobile|cell|cellphone|fax|whatsapp|call|dial|text|sms|hotline|ring)"
    r"(?: (?:me|us|him|her|them|number|no|is|at|on|my|the)){0,4}\.?[:#]?"
    r"|\b(?:answer(?:ing|ed)?|reach(?:ed)?|contact(?:ed)?|available|ring)"
    r"(?: (?:me|us|him|her|them))? (?:at|on|under):?) ?"
)
_NATIONAL = r"(?:\(?[0-9]{2,5}\)?[ .-])?[0-9]{2,5}(?:[ .-]?[0-9]{2,5}){1,4}(?: ?(?i:x|ext\.?) ?[0-9]{1,6})?"

ROWS = (
    Row(
        "email",
        r"[A-Za-z0-9\x{a1}-\x{24f}][A-Za-z0-9\x{a1}-\x{24f}._%+'-]{0,63}@"
        r"(?:[A-Za-z0-9\x{a1}-\x{24f}](?:[A-Za-z0-9\x{a1}-\x{24f}-]{0,62})\.){1,8}(?:[A-Za-z]{2,24}|(?i:xn)--[A-Za-z0-9-]{1,58})",
        before=r"(?:^|[^A-Za-z0-9\x{a1}-\x{24f}])",
        after=r"(?:$|[^A-Za-z0-9@_])",
        check=email,
    ),
    Row("card", r"[2-6][0-9]{2}(?:[ .–-]?[0-9]){9,22}", r"(?:^|[^\w.]|\D\.)", _OVER, card),
    Row(
        "iban",
        r"(?i:[A-Z]{2})[0-9]{2}(?: ?(?i:[A-Z0-9])){11,33}",
        before=r"(?:^|[^A-Za-z0-9])",
        check=iban,
    ),
    Row("us_ssn", r"[0-8][0-9]{2}(?:-[0-9]{2}-|[ ][0-9]{2}[ ]|\.[0-9]{2}\.)[0-9]{4}", _FREE, _OVER, ssn),
    Row(
        "us_ssn",
        r"[0-8][0-9]{8}",
        before=r"(?i:\b(?:ssn|social security)(?: (?:number|no|is|was|#)){0,3}\.?[:#]?) ?",
        after=_OVER,
        check=ssn,
    ),
    Row(
        "phone",
        r"(?:\+|\b00)[1-9][0-9]{0,2}(?:[ .-]?\([0-9]{1,4}\))?(?:[ .-]?[0-9]){6,13}(?: ?(?i:x|ext\.?) ?[0-9]{1,6})?",
        before=r"(?:^|[^\w+.])",
        after=_OVER,
        check=phone,
    ),
    Row(
        "phone",
        r"(?:(?:\+|00)?1[ .-]?)?(?:\([2-9][0-9]{2}\)[ .-]?|[2-9][0-9]{2}[.-])[0-9]{3}[ .-][0-9]{4}"
        r"(?: ?(?i:x|ext\.?) ?[0-9]{1,6})?",
        before=r"(?:^|[^\w+.-])",
        after=_OVER,
        check=phone,
        score=0.9,
    ),
    Row("phone", _NATIONAL, before=_CALL, after=_OVER, check=phone, score=0.8),
    Row("phone", _NATIONAL, _FREE, r"(?: |-|, ?| \()(?i:office|fax|mobile|cell|landline)\b", phone, 0.8),
    Row(
        "phone",
        r"0[1-9][0-9]{0,4}(?:[ ./-]?[0-9]{2,8}){1,4}",
        before=_FREE,
        after=_OVER,
        check=lambda text: phone(text) if 9 <= len(_digits(text)) <= 12 and not text.isdigit() else 0,
        score=0.7,
    ),
    Row(
        "ip_address",
        r"(?:25[0-5]|2[0-4][0-9]|1?[0-9]{1,2})(?:\.(?:25[0-5]|2[0-4][0-9]|1?[0-9]{1,2})){3}",
        before=r"(?:^|[^\w.])",
        after=r"(?:$|[^\w.]|\.(?:$|\D))",
        check=ip_address,
    ),
    Row(
        "ip_address",
        r"(?:[0-9A-Fa-f]{1,4}|:)(?::[0-9A-Fa-f]{0,4}){2,7}",
        before=r"(?:^|[^\w:.])",
        after=r"(?:$|[^\w:])",
        check=ip_address,
    ),
    Row("mac_address", r"[0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){5}", r"(?:^|[^\w:])", r"(?:$|[^\w:])"),
    Row("crypto_address", r"(?:[13LM][1-9A-HJ-NP-Za-km-z]{25,34})", r"\b", r"\b", crypto_address),
    Row("crypto_address", r"(?i:bc1|ltc1)[02-9A-Za-z]{11,71}", r"\b", r"\b", crypto_address),
    Row("crypto_address", r"0x[0-9A-Fa-f]{40}", r"\b", r"\b", crypto_address),
    Row("uk_nhs", r"[0-9]{3} [0-9]{3} [0-9]{4}", _FREE, _OVER, _ten, 0.6),
    Row(
        "uk_nhs",
        r"[0-9]{3}[ -]?[0-9]{3}[ -]?[0-9]{4}",
        before=r"(?i:\bNHS(?: (?:number|no|is|id)){0,3}\.?[:#]?) ?",
        after=_OVER,
        check=_ten,
    ),
    Row(
        "uk_nino",
        r"[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?[0-9]{2} ?[0-9]{2} ?[0-9]{2} ?[A-D]",
        before=r"\b",
        after=r"\b",
        check=lambda text: 0 if text[:2] in ("BG", "GB", "KN", "NK", "NT", "TN", "ZZ") else len(text),
    ),
    Row("in_aadhaar", r"[2-9][0-9]{3}[ -][0-9]{4}[ -][0-9]{4}", _FREE, _OVER, _aadhaar),
    Row(
        "in_aadhaar",
        r"[2-9][0-9]{11}",
        before=r"(?i:\baadha?ar(?: (?:card|number|no|is|id)){0,3}\.?[:#]?) ?",
        after=_OVER,
        check=_aadhaar,
    ),
    Row(
        "de_tax_id",
        r"[1-9][0-9](?: ?[0-9]{3}){3}",
        before=r"(?i:\b(?:steuer-?(?:id(?:entifikationsnummer|nr)?|nummer)|tax ?id|idnr|tin)"
        r"(?: (?:number|no|is|ist)){0,2}\.?[:#]?) ?",
        after=_OVER,
        check=_tax_id,
    ),
    Row("es_nif", r"(?:[0-9]{8}|[XYZxyz][0-9]{7})[ -]?[A-HJ-NP-TV-Za-hj-np-tv-z]", r"\b", r"\b", _nif),
    Row(
        "date_of_birth",
        rf"(?:[0-9]{{1,2}}[-./][0-9]{{1,2}}[-./](?:[0-9]{{4}}|[0-9]{{2}})|[0-9]{{4}}[-./][0-9]{{1,2}}[-./][0-9]{{1,2}}"
        rf"|{_DAY} (?:of )?{_MONTHS},? [0-9]{{4}}|{_MONTHS} {_DAY},? [0-9]{{4}})",
        before=r"(?i:\b(?:dob|d\.o\.b\.|date of birth|birth ?date|birthday|born|geburtsdatum|fecha de nacimiento"
        r"|date de naissance)(?: (?:is|was|on|in|the)){0,2}\.?:?) ?",
        after=r"(?:$|[^\w])",
        check=_birth,
    ),
)  # fmt: skip


def pii(name: str, options: Mapping[str, object]) -> Scanner:
    """A detector of the rows that `options` choose. Raises ConfigError for an option or entity that does not exist."""
    return Scanner(name, chosen(ROWS, options))
