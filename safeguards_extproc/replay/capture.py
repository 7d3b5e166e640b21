"""The capture file: exchanges as they were taken, encrypted under a key of the file's own, until it expires.

    SGCAPT01  u32 length  head (JSON, readable by anybody)  nonce  the file's key, wrapped
    then, for each exchange:  u32 length  ciphertext
    at the end:               u32 length  ciphertext of nothing, under a nonce of its own

AES-256-GCM throughout (NIST SP 800-38D). The head is the additional data of the wrapped key, so whoever changes the
expiry has a file that nobody can open; a frame's nonce is its number, so frames can be neither moved nor left out. A
file without an end was not closed: its process died, or somebody cut it.

The one rule: what cannot be believed is not read, and no message holds text.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import os
import re
import secrets
import struct
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

import msgspec
import yaml
import zstandard
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from safeguards_extproc.core.taken import Taken
from safeguards_extproc.errors import ConfigError
from safeguards_extproc.records.encode import from_json, to_json

MAGIC = b"SGCAPT01"
SUFFIX = ".capture"
LARGEST_HEAD = 1 << 16
LARGEST_FRAME = 1 << 30
LARGEST_KEYS = 1 << 20
KEY_BYTES, NONCE_BYTES, TAG_BYTES = 32, 12, 16

_LENGTH = struct.Struct("<I")
_FRAME, _END = struct.Struct("<4xQ"), struct.Struct("<3sxQ")
_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Taken)


@dataclass(frozen=True, slots=True)
class Key:
    """A key that keys of captures are wrapped with."""

    id: str
    secret: bytes

    def __repr__(self) -> str:
        return f"Key({self.id})"


class Head(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What everybody may know of a capture. Times are seconds since the epoch; `key` is the id of the wrapping key;
    `source` is who took it: a producer's name, or the format that it was imported from."""

    id: str
    created: float
    expires: float
    key: str
    source: str = ""
    region: str = ""
    epoch: str = ""


def new_key(id: str) -> str:
    """The text of a key file with one new key."""
    if not _ID.fullmatch(id):
        raise ConfigError("not 1 to 32 small letters, digits and hyphens", where="--id")
    secret = base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()
    return f"# Whoever has this file can read captures. Keep it apart from them.\n- id: {id}\n  key: {secret}\n"


def read_keys(path: Path) -> tuple[Key, ...]:
    """The keys of a file (YAML), the one for new captures first. Raises ConfigError, which shows nothing of a key."""
    where = str(path)
    try:
        with path.open(encoding="utf-8") as file:
            written = yaml.load(file.read(LARGEST_KEYS), Loader=yaml.BaseLoader)  # noqa: S506 (strings, lists, mappings)
    except OSError as error:
        hint = "`safeguards-extproc capture key FILE` makes one"
        raise ConfigError(f"cannot be read: {error.strerror}", where=where, hint=hint) from None
    except (UnicodeDecodeError, yaml.YAMLError):
        raise ConfigError("not YAML", where=where) from None
    if not isinstance(written, list) or not written:
        raise ConfigError("holds no list of keys", where=where, hint="each has id and key")
    keys = tuple(_key(entry, f"{where}: key {number}") for number, entry in enumerate(written, 1))
    if len({key.id for key in keys}) < len(keys):
        raise ConfigError("two keys have the same id", where=where)
    return keys


def _key(entry: object, where: str) -> Key:
    match entry:
        case {"id": str(id_), "key": str(written), **rest} if not rest and _ID.fullmatch(id_):
            try:
                secret = base64.b64decode(written.encode("ascii"), validate=True)
            except (ValueError, binascii.Error):
                secret = b""
            if len(secret) == KEY_BYTES:
                return Key(id_, secret)
    hint = "`safeguards-extproc capture key FILE` makes one"
    raise ConfigError(f"is not an id and {KEY_BYTES} bytes in base64", where=where, hint=hint)


class _Zstd(threading.local):
    """Each thread's own: they cannot be shared, and a new one costs more than an exchange takes to pack."""

    def __init__(self) -> None:
        self.packing = zstandard.ZstdCompressor(level=1)
        self.unpacking = zstandard.ZstdDecompressor()


_zstd = _Zstd()


def encode(taken: Taken) -> bytes:
    """An exchange as it is encrypted. A lone surrogate in its record, which UTF-8 cannot say, becomes "?"."""
    try:
        plain = _encoder.encode(taken)
    except UnicodeEncodeError:
        plain = _encoder.encode(replace(taken, record=taken.record and from_json(to_json(taken.record))))
    return _zstd.packing.compress(plain)


def decode(plain: bytes) -> Taken:
    """What `encode` was given."""
    return _decoder.decode(_zstd.unpacking.decompress(plain))


class Sealed:
    """A capture's key at work. It can be pickled, so that other processes can read frames."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self._cipher = AESGCM(secret)

    def __repr__(self) -> str:
        return "Sealed()"

    def __reduce__(self) -> tuple[type[Sealed], tuple[bytes]]:
        return Sealed, (self._secret,)

    def frame(self, number: int, plain: bytes) -> bytes:
        """The ciphertext of frame `number`."""
        return self._cipher.encrypt(_FRAME.pack(number), plain, None)

    def end(self, number: int) -> bytes:
        """What stands after `number` frames."""
        return self._cipher.encrypt(_END.pack(b"end", number), b"", None)

    def open(self, number: int, frame: bytes) -> bytes:
        """What `frame` was given. Raises InvalidTag."""
        return self._cipher.decrypt(_FRAME.pack(number), frame, None)

    def ends(self, number: int, frame: bytes) -> bool:
        """Whether `frame` is the end after `number` frames."""
        if len(frame) != TAG_BYTES:
            return False
        try:
            self._cipher.decrypt(_END.pack(b"end", number), frame, None)
        except InvalidTag:
            return False
        return True


class Writer:
    """Writes one capture. Each exchange is with the operating system when `write` returns. OSError as files raise it,
    after which a file may end in the middle of a frame, and is to be written no further."""

    def __init__(self, path: Path, head: Head, key: Key) -> None:
        """Makes the file, which must not be there, for its owner alone."""
        secret = secrets.token_bytes(KEY_BYTES)
        self.path, self.exchanges, self._sealed = path, 0, Sealed(secret)
        said = msgspec.json.encode(head)
        nonce = secrets.token_bytes(NONCE_BYTES)
        wrapped = AESGCM(key.secret).encrypt(nonce, secret, said)
        self._file: BinaryIO = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb", buffering=0)
        self.size = self._put(MAGIC + _LENGTH.pack(len(said)) + said + nonce + wrapped)

    def write(self, taken: Taken) -> int:
        """Append an exchange; the bytes that it takes."""
        return self.put(encode(taken))

    def put(self, plain: bytes) -> int:
        """Append what `encode` gave."""
        frame = self._sealed.frame(self.exchanges, plain)
        written = self._put(_LENGTH.pack(len(frame)) + frame)
        self.exchanges += 1
        self.size += written
        return written

    def close(self, *, ended: bool = True) -> None:
        """Write the end, and close. Without `ended` more was to come."""
        try:
            if ended:
                end = self._sealed.end(self.exchanges)
                self._put(_LENGTH.pack(len(end)) + end)
        finally:
            self._file.close()

    def abandon(self) -> None:
        """Close a file that failed; no error is raised."""
        with contextlib.suppress(OSError):
            self._file.close()

    def _put(self, data: bytes) -> int:
        left = memoryview(data)
        while left:
            left = left[self._file.write(left) or 0 :]
        return len(data)


class Reader:
    """Reads one capture, in order, holding one exchange at a time. `complete` and `torn` (bytes after the last whole
    frame) are known at its end."""

    def __init__(self, path: Path, keys: Sequence[Key], now: float) -> None:
        """Raises ConfigError if the file is no capture, has expired, or is under a key that is not among `keys`."""
        self.path, self.complete, self.torn = path, False, 0
        try:
            with path.open("rb") as file:
                self.head, said = _head(file, path)
                self._begin = file.tell() + NONCE_BYTES + KEY_BYTES + TAG_BYTES
                nonce, wrapped = file.read(NONCE_BYTES), file.read(KEY_BYTES + TAG_BYTES)
                self.size = os.fstat(file.fileno()).st_size
        except OSError as error:
            raise ConfigError(f"cannot be read: {error.strerror}", where=str(path)) from None
        key = next((key for key in keys if key.id == self.head.key), None)
        if key is None:
            raise ConfigError(f"is under the key {self.head.key!r}", where=str(path), hint="that key is not in --key")
        try:
            secret = AESGCM(key.secret).decrypt(nonce, wrapped, said)
        except InvalidTag:
            raise ConfigError("its head or its key was changed", where=str(path)) from None
        if self.head.expires <= now:
            hint = "`safeguards-extproc capture purge` removes what has expired"
            raise ConfigError("has expired", where=str(path), hint=hint)
        self.sealed = Sealed(secret)

    def frames(self) -> Iterator[tuple[int, int, bytes]]:
        """Number, place of its end in the file, and ciphertext of each exchange. ConfigError where one was changed."""
        number = 0
        with self.path.open("rb") as file:
            file.seek(self._begin)
            while len(prefix := file.read(_LENGTH.size)) == _LENGTH.size:
                (length,) = _LENGTH.unpack(prefix)
                if not TAG_BYTES <= length <= LARGEST_FRAME:
                    raise changed(number, str(self.path))
                frame = file.read(length)
                if len(frame) < length:
                    prefix += frame
                    break
                if self.sealed.ends(number, frame):
                    self.complete = True
                    prefix = file.read(1)
                    break
                yield number, file.tell(), frame
                number += 1
        self.torn = len(prefix)
        if self.complete and self.torn:
            raise changed(number, str(self.path))

    def open(self, number: int, frame: bytes) -> Taken:
        """The exchange in a frame. ConfigError if it was changed."""
        return opened(self.sealed, number, frame, str(self.path))

    def __iter__(self) -> Iterator[Taken]:
        for number, _, frame in self.frames():
            yield self.open(number, frame)


def opened(sealed: Sealed, number: int, frame: bytes, where: str) -> Taken:
    """The exchange in a frame of the file `where`. ConfigError if it was changed."""
    try:
        return decode(sealed.open(number, frame))
    except (InvalidTag, msgspec.DecodeError, zstandard.ZstdError):
        raise changed(number, where) from None


def changed(number: int, where: str) -> ConfigError:
    """What is said of an exchange that does not open."""
    return ConfigError(f"exchange {number} is not as it was written", where=where)


def head_of(path: Path) -> Head:
    """What a capture says of itself to everybody; nothing proves it. ConfigError if it is no capture."""
    try:
        with path.open("rb") as file:
            return _head(file, path)[0]
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", where=str(path)) from None


def _head(file: BinaryIO, path: Path) -> tuple[Head, bytes]:
    begin = file.read(len(MAGIC) + _LENGTH.size)
    if len(begin) == len(MAGIC) + _LENGTH.size and begin.startswith(MAGIC):
        (length,) = _LENGTH.unpack_from(begin, len(MAGIC))
        if length <= LARGEST_HEAD:
            said = file.read(length)
            try:
                return msgspec.json.decode(said, type=Head), said
            except (msgspec.DecodeError, UnicodeDecodeError):
                pass
    hint = "other formats go through `safeguards-extproc capture import`"
    raise ConfigError("no capture, or one of another version", where=str(path), hint=hint)
