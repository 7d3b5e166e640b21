"""Check digits and other tests that tell an identifier from a number that only looks like one.

All are pure, total on every str of the shape that their pattern lets through, and linear.
"""

from __future__ import annotations

import hashlib
import math
import zlib
from collections import Counter

_BASE58 = {char: value for value, char in enumerate("123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz")}
_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_BECH32 = {char: value for value, char in enumerate("qpzry9x8gf2tvdw0s3jn54khce6mua7l")}
_LUHN = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)
_NIF = "TRWAGMYFPDXBNJZSQVHLCKE"

# Verhoeff's tables: multiplication in the dihedral group of order ten, and the permutation by position.
_DIHEDRAL = (
    (0, 1, 2, 3, 4, 5, 6, 7, 8, 9),
    (1, 2, 3, 4, 0, 6, 7, 8, 9, 5),
    (2, 3, 4, 0, 1, 7, 8, 9, 5, 6),
    (3, 4, 0, 1, 2, 8, 9, 5, 6, 7),
    (4, 0, 1, 2, 3, 9, 5, 6, 7, 8),
    (5, 9, 8, 7, 6, 0, 4, 3, 2, 1),
    (6, 5, 9, 8, 7, 1, 0, 4, 3, 2),
    (7, 6, 5, 9, 8, 2, 1, 0, 4, 3),
    (8, 7, 6, 5, 9, 3, 2, 1, 0, 4),
    (9, 8, 7, 6, 5, 4, 3, 2, 1, 0),
)
_PERMUTED = (
    (0, 1, 2, 3, 4, 5, 6, 7, 8, 9),
    (1, 5, 7, 6, 2, 8, 3, 0, 9, 4),
    (5, 8, 0, 3, 7, 9, 6, 1, 4, 2),
    (8, 9, 1, 6, 0, 4, 3, 5, 2, 7),
    (9, 4, 5, 3, 1, 2, 6, 8, 7, 0),
    (4, 2, 8, 6, 5, 7, 3, 9, 0, 1),
    (2, 7, 9, 3, 8, 0, 6, 4, 1, 5),
    (7, 0, 4, 6, 9, 1, 3, 2, 5, 8),
)


def luhn(digits: str) -> bool:
    """ISO/IEC 7812-1, Annex B: every second digit from the right but one doubled, the sum a multiple of ten."""
    total = sum(map(int, digits[-1::-2])) + sum(_LUHN[int(digit)] for digit in digits[-2::-2])
    return total % 10 == 0


def verhoeff(digits: str) -> bool:
    """Verhoeff's code, as in India's Aadhaar."""
    check = 0
    for place, digit in enumerate(reversed(digits)):
        check = _DIHEDRAL[check][_PERMUTED[place % 8][int(digit)]]
    return check == 0


def mod97(account: str) -> bool:
    """ISO 7064 MOD 97-10 as IBAN uses it: country and check digits last, letters as 10 to 35, remainder one."""
    number = 0
    for char in account[4:] + account[:4]:
        value = int(char, 36)
        number = (number * (100 if value > 9 else 10) + value) % 97
    return number == 1


def mod11_nhs(digits: str) -> bool:
    """NHS number (ten digits): weights 10 to 2, eleven less the remainder is the last digit; ten is never issued."""
    check = 11 - sum(int(digit) * (10 - place) for place, digit in enumerate(digits[:9])) % 11
    return check % 11 == int(digits[9]) and check != 10


def mod11_10(digits: str) -> bool:
    """ISO 7064 MOD 11,10, as in the German tax identification number."""
    product = 10
    for digit in digits[:-1]:
        product = (product + int(digit)) % 10 or 10
        product = product * 2 % 11
    return (11 - product) % 10 == int(digits[-1])


def nif(number: str) -> bool:
    """Spanish DNI and NIE: the letter is the number modulo 23; X, Y, Z stand for 0, 1, 2 in front."""
    value = int(number[:-1].translate({ord("X"): "0", ord("Y"): "1", ord("Z"): "2"}))
    return _NIF[value % 23] == number[-1]


def base58check(address: str) -> bool:
    """Base58Check: the last four bytes are the double SHA-256 of the 21 before them (a version, a hash)."""
    number = 0
    for char in address:
        if char not in _BASE58:
            return False
        number = number * 58 + _BASE58[char]
    if number >= 1 << 200:
        return False
    data = number.to_bytes(25, "big")
    if len(data) - len(data.lstrip(b"\0")) != len(address) - len(address.lstrip("1")):
        return False
    return hashlib.sha256(hashlib.sha256(data[:-4]).digest()).digest()[:4] == data[-4:]


def bech32(address: str) -> bool:
    """BIP 173 and BIP 350: a code over GF(32) whose constant is 1 (bech32) or 0x2bc830a3 (bech32m)."""
    if address not in (address.lower(), address.upper()):
        return False
    prefix, _, rest = address.lower().rpartition("1")
    values = [_BECH32.get(char, -1) for char in rest]
    if not prefix or len(values) < 6 or -1 in values:
        return False
    check = 1
    for value in [*(ord(char) >> 5 for char in prefix), 0, *(ord(char) & 31 for char in prefix), *values]:
        top = check >> 25
        check = (check & 0x1FFFFFF) << 5 ^ value
        for bit, generator in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
            if top >> bit & 1:
                check ^= generator
    return check in (1, 0x2BC830A3)


def crc62(body: str, check: str) -> bool:
    """CRC-32 of `body` in six digits of base 62, as GitHub and npm put it at the end of their tokens
    (https://github.blog/engineering/platform-security/behind-githubs-new-authentication-token-formats/)."""
    number = zlib.crc32(body.encode())
    digits = ""
    for _ in range(6):
        number, digit = divmod(number, 62)
        digits = _BASE62[digit] + digits
    return digits == check


def entropy(text: str) -> float:
    """Shannon entropy of the characters, in bits per character."""
    size = len(text)
    return -sum(count / size * math.log2(count / size) for count in Counter(text).values()) if size else 0.0
