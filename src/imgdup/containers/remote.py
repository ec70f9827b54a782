"""Read objects of buckets and of web servers: list them, and read them whole or in ranges.

The package obstore does the transport. Credentials are those of the environment. No text of
obstore is shown: it may hold addresses that grant access.
"""

import asyncio
import datetime
import errno
import hashlib
import io
import os
import re
import tempfile
import urllib.parse
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import obstore
from obstore.exceptions import (
    BaseError,
    InvalidPathError,
    NotSupportedError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
)
from obstore.store import AzureStore, GCSStore, HTTPStore, MemoryStore, S3Store

from imgdup.containers import ContainerChangedError, Stamp
from imgdup.errors import ImageError
from imgdup.system.files import FileBytes
from imgdup.system.limits import Limits
from imgdup.system.paths import absolute

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig

LEAST_BYTES = 64 << 10  # read at once from a container: the header of a member, and a small member
MOST_BYTES = 4 << 20  # where it is read from front to back
PAGE = 1000  # objects in an answer to a list request
_SECOND_NS = 1_000_000_000
_ID_BYTES = 8

_CLIENT: "ClientConfig" = {
    "allow_http": True,
    "connect_timeout": "5s",
    "read_timeout": "20s",
    "timeout": "1h",
}
_RETRY: "RetryConfig" = {
    "max_retries": 3,
    "retry_timeout": datetime.timedelta(seconds=20),  # less than a file may take
    "backoff": {
        "init_backoff": datetime.timedelta(milliseconds=100),
        "max_backoff": datetime.timedelta(seconds=2),
        "base": 2,
    },
}
_STORES: dict[str, Callable[..., Any]] = {"s3": S3Store, "gs": GCSStore, "az": AzureStore}
# obstore starts its threads at its first call. They take memory that is not that of a picture, so
# they start while this module is imported.
list(obstore.list(MemoryStore()))


@cache
def _store(scheme: str, host: str) -> Any:
    if scheme in _STORES:
        return _STORES[scheme](host, client_options=_CLIENT, retry_config=_RETRY)
    return HTTPStore.from_url(f"{scheme}://{host}", client_options=_CLIENT, retry_config=_RETRY)


def _place(name: bytes) -> tuple[Any, str]:
    """Return the store of an object, and its key there."""
    scheme, _, rest = absolute(name).decode("utf-8", "surrogateescape").partition("://")
    host, _, key = rest.partition("/")
    if scheme.startswith("http"):
        key = urllib.parse.unquote(key)
    try:
        return _store(scheme, host), key
    except (BaseError, ValueError) as error:
        raise _as_os_error(error) from None


class _Meta(NamedTuple):
    """Which version of an object was read; the etag is as in the header of a response."""

    size: int
    etag: str
    modified: datetime.datetime

    @classmethod
    def of(cls, facts: Any) -> "_Meta":
        etag = facts["e_tag"] or ""
        # Lists of Azure, and of some other servers, have it without quotation marks.
        if etag and not etag.endswith('"'):
            etag = f'"{etag}"'
        return cls(facts["size"], etag, facts["last_modified"])

    @property
    def mtime_ns(self) -> int:
        """The time of the object in whole seconds; below them, a digest of its etag.

        So a new etag is noticed like a new time. Fractions of a second are dropped: only lists have
        them.
        """
        seconds = int(self.modified.timestamp())
        if not self.etag:
            return seconds * _SECOND_NS
        return seconds * _SECOND_NS + 1 + _number(self.etag) % (_SECOND_NS - 1)

    @property
    def version(self) -> tuple[Any, ...]:
        """What changes if the object changes."""
        return self.size, self.etag or self.modified


def _number(text: str) -> int:
    digest = hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=_ID_BYTES)
    return int.from_bytes(digest.digest(), "little")


def _stamp(name: bytes, meta: _Meta) -> Stamp:
    address = name.decode("utf-8", "surrogateescape")
    server = "/".join(address.split("/", 3)[:3])
    return Stamp(_number(server), _number(address), meta.size, meta.mtime_ns)


def stamp_of(name: bytes) -> Stamp:
    """Return the current stamp of an object; raise OSError if the server does not give it."""
    store, key = _place(name)
    try:
        return _stamp(name, _Meta.of(obstore.head(store, key)))
    except (BaseError, OSError, ValueError) as error:
        raise _as_os_error(error) from None


def list_objects(prefix: bytes) -> Iterator[tuple[bytes, Stamp]]:
    """Yield the objects below a prefix, in any order; raise OSError if that fails."""
    store, key = _place(prefix)
    top = b"/".join(prefix.split(b"/", 3)[:3])
    try:
        for page in obstore.list(store, key or None, chunk_size=PAGE):
            for facts in page:
                name = top + b"/" + facts["path"].encode()
                yield name, _stamp(name, _Meta.of(facts))
    except InvalidPathError:
        raise OSError(
            errno.EINVAL, "a key in it has an empty part, or the part . or ..: it cannot be listed"
        ) from None
    except (BaseError, OSError, ValueError) as error:
        raise _as_os_error(error) from None


def read_objects(names: Sequence[bytes], limits: Limits) -> list[FileBytes | Exception]:
    """Read whole objects, all at the same time; return the content of each, or an error.

    Each is read by one request, so that the content is that of one version.
    """

    async def read_all() -> list[FileBytes | Exception]:
        return await asyncio.gather(*(_read_one(name, limits) for name in names))

    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(read_all())
    finally:
        loop.close()


async def _read_one(name: bytes, limits: Limits) -> FileBytes | Exception:
    try:
        store, key = _place(name)
        answer = await obstore.get_async(store, key)
        meta = _Meta.of(answer.meta)
        limits.check_bytes(meta.size)
        data = (await answer.bytes_async()).to_bytes()
    except ImageError as error:
        return error
    except (BaseError, OSError, ValueError) as error:
        return _as_os_error(error)
    if len(data) != meta.size:
        detail = f"the server sent {len(data):,} bytes instead of {meta.size:,}"
        return OSError(errno.EIO, detail)
    return FileBytes(data, meta.size, meta.mtime_ns)


class RemoteFile:
    """An object that is read in ranges, all of one version, as a file is read.

    Where one read follows the other, more and more is read at once. Raises OSError if there is no
    such object, or it cannot be read.
    """

    def __init__(self, path: bytes) -> None:
        self.path = path
        self._store, self._key = _place(path)
        try:
            self._meta = _Meta.of(obstore.head(self._store, self._key))
        except (BaseError, OSError, ValueError) as error:
            raise self._failed(error) from None
        self.stamp = _stamp(path, self._meta)
        self._block, self._start, self._step = b"", 0, LEAST_BYTES // 2
        self._copy: Any = None  # of the whole, where the server sends no ranges
        self.raw = _Raw(self)

    @property
    def size(self) -> int:
        """Bytes in the object when it was opened."""
        return self.stamp.size

    def read(self, offset: int, n_bytes: int) -> bytes:
        """Return the bytes at an offset, fewer at the end.

        Raises `ContainerChangedError` if the object has changed.
        """
        n_bytes = max(0, min(n_bytes, self.size - offset))
        stop = self._start + len(self._block)
        if n_bytes and not self._start <= offset <= offset + n_bytes <= stop:
            self._load(offset, n_bytes)
        begin = offset - self._start
        return self._block[begin : begin + n_bytes] if n_bytes else b""

    def _load(self, offset: int, n_bytes: int) -> None:
        """Read a block that holds these bytes."""
        stop = self._start + len(self._block)
        follows = self._start <= offset <= stop + LEAST_BYTES
        self._step = min(2 * self._step, MOST_BYTES) if follows else LEAST_BYTES
        kept = self._block[offset - self._start :] if self._start <= offset < stop else b""
        end = min(offset + max(n_bytes, self._step), self.size)
        self._block = kept + self._range(offset + len(kept), end)
        self._start = offset

    def _range(self, start: int, end: int) -> bytes:
        if self._copy is None:
            try:
                return self._get({"range": (start, end)})
            except NotSupportedError:
                self._copy = self._whole()
        self._copy.seek(start)
        return bytes(self._copy.read(end - start))

    def _get(self, options: Any) -> bytes:
        try:
            answer = obstore.get(self._store, self._key, options=self._same_version(options))
            self._check(answer)
            return answer.bytes().to_bytes()
        except NotSupportedError:
            raise
        except (BaseError, OSError, ValueError) as error:
            raise self._failed(error) from None

    def _whole(self) -> Any:
        """Copy the object to a temporary file."""
        file = tempfile.TemporaryFile()
        try:
            answer = obstore.get(self._store, self._key, options=self._same_version({}))
            self._check(answer)
            for part in answer.stream(min_chunk_size=MOST_BYTES):
                file.write(part)
        except (BaseError, OSError, ValueError) as error:
            file.close()
            raise self._failed(error) from None
        return file

    def _failed(self, error: Exception) -> OSError:
        found = _as_os_error(error)
        found.filename = os.fsdecode(self.path)
        return found

    def _same_version(self, options: dict[str, Any]) -> Any:
        """Add the condition that the object is unchanged; servers reject weak etags for this."""
        etag = self._meta.etag
        return {**options, "if_match": etag} if etag and not etag.startswith("W/") else options

    def _check(self, answer: Any) -> None:
        """Raise if the response is for another version: some servers ignore the condition."""
        if _Meta.of(answer.meta).version != self._meta.version:
            raise ContainerChangedError()

    def reaches(self, offset: int) -> bool:
        """Return whether there are bytes up to an offset."""
        return offset <= self.size

    def has_changed(self) -> bool:
        """Return False: each read notices a change itself."""
        return False

    def close(self) -> None:
        """Release the blocks that were read."""
        self._block, self._start = b"", 0
        if self._copy is not None:
            self._copy.close()


class _Raw(io.RawIOBase):
    """An open object with the methods of a file."""

    def __init__(self, file: RemoteFile) -> None:
        self._file, self._at = file, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._file.size}[whence]
        self._at = base + offset
        return self._at

    def readinto(self, buffer: Any) -> int:
        data = self._file.read(self._at, len(buffer))
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


_ANSWER = re.compile(r"status code: (\d{3}[A-Za-z ]*)")
_CODE = re.compile(r"<Code>(\w+)</Code>")
_REFUSED = ("401", "403")
_RENEW = {"ExpiredToken", "InvalidToken", "TokenRefreshRequired"}  # of answers with 400
_NO_BUCKET = {"NoSuchBucket", "ContainerNotFound", "ContainerBeingDeleted"}


def _as_os_error(error: Exception) -> OSError:
    """Return an error in words of our own: the text of obstore may hold addresses with tokens."""
    if isinstance(error, ContainerChangedError | PreconditionError):
        return ContainerChangedError()
    text = str(error)
    answer, found = _ANSWER.search(text), _CODE.search(text)
    words, code = answer[1].strip() if answer else "", found[1] if found else ""
    if code:
        words += f", {code}"
    if code in _NO_BUCKET:
        remedy = "check its name, then run it again"
        return OSError(errno.EIO, f"the bucket does not exist ({words}): {remedy}")
    if isinstance(error, FileNotFoundError):
        return FileNotFoundError(errno.ENOENT, f"the server has no such object ({words})")
    is_refused = isinstance(error, PermissionDeniedError | UnauthenticatedError)
    if is_refused or words.startswith(_REFUSED) or code in _RENEW:
        remedy = "set or renew the credentials in the environment, then run it again"
        return PermissionError(errno.EACCES, f"the server refuses access ({words}): {remedy}")
    if words:
        remedy = "run it again later"
        return OSError(errno.EIO, f"the server cannot answer ({words}): {remedy}")
    if isinstance(error, ValueError) and not isinstance(error, BaseError):
        return OSError(errno.EINVAL, "no object can have this name")
    remedy = "check the address and the credentials in the environment, then run it again"
    return OSError(errno.EIO, f"the server cannot be reached: {remedy}")
