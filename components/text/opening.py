"""A file as a stream of bytes: unpacked, from UTF-16 to UTF-8."""

import codecs
import io
from pathlib import Path
from typing import Any

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


class OpenFile:
    """An open file that knows its position.

    Attributes:
        file: its bytes, unpacked and as UTF-8.
        offset: bytes read so far.
        is_utf16: the file is UTF-16 and is read as UTF-8.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.offset = path, 0
        self.file = open_bytes(path)
        encoding = UTF_16.get(self.file.peek(2)[:2])
        self.is_utf16 = encoding is not None
        if encoding:
            self.file = io.BufferedReader(_FromUtf16(self.file, encoding), BLOCK_BYTES)

    def readline(self, size: int = -1) -> bytes:
        """The next line, or `size` bytes of it."""
        line = self.file.readline(size)
        self.offset += len(line)
        return line

    def read(self, size: int) -> bytes:
        """The next `size` bytes."""
        data = self.file.read(size)
        self.offset += len(data)
        return data

    def skip(self, num_bytes: int) -> bool:
        """Go on at a line so many bytes further. Returns whether it did: what is unpacked or recoded has no places."""
        if not self.file.seekable():
            return False
        self.offset = self.file.seek(num_bytes, io.SEEK_CUR)
        self.readline(BLOCK_BYTES)
        return True

    def close(self) -> None:
        """Close the file."""
        self.file.close()


def open_bytes(path: Path) -> io.BufferedReader:
    """The unpacked bytes of a file, a block in memory at a time; a damaged archive gives what precedes the damage.

    Raises:
        OSError: it may not be read; on reading, the archive breaks off here.
    """
    with open(path, "rb"):
        pass
    raw: Any = _Unpacked(path) if path.suffix.lower() in COMPRESSION else pa.input_stream(str(path), compression=None)
    return io.BufferedReader(raw, buffer_size=BLOCK_BYTES)


class _Unpacked(io.RawIOBase):
    """The bytes of an archive. Arrow loses what a failed read has unpacked, so that part is read again byte by byte.

    Where that fails too the archive breaks off.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.done, self.bytewise = path, 0, False
        self.stream = self._open()

    def _open(self) -> Any:
        return pa.input_stream(str(self.path), compression=COMPRESSION[self.path.suffix.lower()])

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer)
        try:
            data = self.stream.read(1 if self.bytewise else len(view))
        except OSError:
            if self.bytewise:
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

    def __init__(self, file: io.BufferedReader, encoding: str) -> None:
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
