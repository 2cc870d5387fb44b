"""A file as a stream of bytes: unpacked, from UTF-16 to UTF-8, counted."""

import codecs
import io
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, cast

import pyarrow as pa

COMPRESSION = {".gz": "gzip", ".zst": "zstd"}
UTF_16 = {b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}
"""Encoding by the byte order mark that begins the file."""
BLOCK_BYTES = 1 << 20


def inner_suffix(name: str) -> str:
    """The suffix of a file's name in lower case, after that of its compression is taken off."""
    suffixes = [suffix.lower() for suffix in Path(name).suffixes[-2:]]
    if suffixes and suffixes[-1] in COMPRESSION:
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


class ByteCount(io.RawIOBase):
    """An open file with its path and position, and the bytes that readers remove from its text.

    Attributes:
        offset: bytes read so far, unpacked and as UTF-8.
        cut: bytes that became no part of any record, by rule. A reader counts every byte there or in a record.
        is_utf16: the file is UTF-16 and is read as UTF-8.
    """

    def __init__(self, path: Path, cut: Counter[str]) -> None:
        self.path, self.file, self.cut, self.offset = path, open_bytes(path), cut, 0
        encoding = UTF_16.get(self.peek(2))
        self.is_utf16 = encoding is not None
        if encoding:
            self.file = cast(BinaryIO, io.BufferedReader(_FromUtf16(self.file, encoding), BLOCK_BYTES))

    def readline(self, size: int | None = -1) -> bytes:
        line = self.file.readline(-1 if size is None else size)
        self.offset += len(line)
        return line

    def read(self, size: int = -1) -> bytes:
        data = self.file.read(size)
        self.offset += len(data)
        return data

    def pass_rest(self) -> None:
        """Count the bytes to the end of the file, or to where it breaks off."""
        with suppress(OSError, ValueError):
            while self.read(BLOCK_BYTES):
                pass

    def peek(self, size: int) -> bytes:
        return cast(io.BufferedReader, self.file).peek(size)[:size]

    def close(self) -> None:
        self.file.close()
        super().close()


def open_bytes(path: Path) -> BinaryIO:
    """The unpacked bytes of a file, a block in memory at a time; a damaged archive gives what precedes the damage.

    Raises:
        OSError: it may not be read; on reading, the archive breaks off here.
    """
    with open(path, "rb"):
        pass
    raw: Any = _Unpacked(path) if path.suffix.lower() in COMPRESSION else pa.input_stream(str(path), compression=None)
    return cast(BinaryIO, io.BufferedReader(raw, buffer_size=BLOCK_BYTES))


class _Unpacked(io.RawIOBase):
    """The bytes of an archive. Arrow loses what a failed read has unpacked, so that part is read again byte by byte.

    Where that fails too the archive breaks off, once for all: Arrow would go on, with bytes that nobody wrote.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.done, self.bytewise = path, 0, False
        self.broken: OSError | None = None
        self.stream = self._open()

    def _open(self) -> Any:
        return pa.input_stream(str(self.path), compression=COMPRESSION[self.path.suffix.lower()])

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self.broken:
            raise self.broken
        view = memoryview(buffer)
        try:
            data = self.stream.read(1 if self.bytewise else len(view))
        except OSError as error:
            if self.bytewise:
                self.broken = error
                raise
            self._restart()
            return self.readinto(buffer)
        view[: len(data)] = data
        self.done += len(data)
        return len(data)

    def _restart(self) -> None:
        self.stream.close()
        self.stream, self.bytewise, left = self._open(), True, self.done
        while left:
            left -= len(self.stream.read(min(left, BLOCK_BYTES // 16)))

    def close(self) -> None:
        self.stream.close()
        super().close()


class _FromUtf16(io.RawIOBase):
    """UTF-16 as UTF-8, a block at a time; half a pair becomes what `records` knows as a lone surrogate."""

    def __init__(self, file: BinaryIO, encoding: str) -> None:
        self.file, self.rest = file, b""
        file.read(2)
        self.decoder = codecs.getincrementaldecoder(encoding)("surrogatepass")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer)
        while not self.rest:
            raw = self.file.read(BLOCK_BYTES)
            self.rest = self.decoder.decode(raw, final=not raw).encode("utf-8", "surrogatepass")
            if not raw:
                break
        data, self.rest = self.rest[: len(view)], self.rest[len(view) :]
        view[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self.file.close()
        super().close()
