"""Token shards: a tokenized corpus on disk, read by one global token index without loading it.

    train/
      tokens-00000.bin     little-endian uint16 (uint32 for vocabularies over 65,536), documents one after the other,
                           each beginning with the id of `<|endoftext|>`, 0
      documents-00000.npy  int64, where each document starts in that shard, and the shard's length at the end
      sources-00000.npy    uint16 per document, an index into the manifest's `sources`
      manifest.json        dtype, vocabulary, counts, a sha256 per file

A flat file of ids can be memory-mapped: any window is one seek, so data order is a function of seed and step alone, and
a run resumes without replaying a stream. `num_bytes` counts the UTF-8 bytes of the texts, so that losses compare across
tokenizers: bits per byte = nats / ln 2 / num_bytes.
"""

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from components.core.errors import UserError
from components.core.files import raise_if_changed, read_manifest_file, sha256_file, write_json, written_whole
from components.tokens.tokenizer import END_OF_TEXT

UINT16_VOCABULARY = 65_536
"""Largest vocabulary whose ids fit in two bytes."""
DTYPES = ("uint16", "uint32")
"""Of ids on disk, little-endian: the second for larger vocabularies."""


@dataclass
class TokenShard:
    """Entry of a manifest: the files of a shard, their counts, and `sha256` by kind of file."""

    tokens: str
    documents: str
    sources: str
    num_tokens: int
    num_documents: int
    num_bytes: int
    sha256: dict[str, str]


@dataclass
class TokenManifest:
    """`manifest.json` of a folder of token shards."""

    dtype: str
    vocab_size: int
    tokenizer_sha256: str
    sources: list[str]
    num_tokens: int = 0
    num_documents: int = 0
    num_bytes: int = 0
    shards: list[TokenShard] = field(default_factory=list)
    per_source: dict[str, dict[str, int]] = field(default_factory=dict)


class TokenShards:
    """All shards of a folder as one sequence of `num_tokens` ids.

    Attributes:
        manifest: `manifest.json`.
        num_tokens: ids in all shards.
        starts: int64 (num_shards + 1,), global index at which each shard starts; `num_tokens` at the end.
    """

    def __init__(self, folder: Path, manifest: TokenManifest) -> None:
        self.folder, self.manifest = folder, manifest
        self.num_tokens = manifest.num_tokens
        self.starts = np.cumsum([0] + [shard.num_tokens for shard in manifest.shards], dtype=np.int64)
        self._maps = [
            np.memmap(folder / shard.tokens, dtype=np.dtype(manifest.dtype).newbyteorder("<"), mode="r")
            for shard in manifest.shards
        ]

    @classmethod
    def open(cls, folder: Path, intact: bool = False) -> "TokenShards":
        """Map the shards of `folder`, each file hashed, unless they are known to be intact.

        Raises `UserError`: no manifest, no tokens, or a file that is missing or changed.
        """
        manifest = read_token_manifest(folder)
        if not manifest.num_tokens:
            raise UserError(f"{folder}: holds no tokens; give the pipeline more text, or loosen the filters before it")
        for shard in () if intact else manifest.shards:
            for kind, name in (("tokens", shard.tokens), ("documents", shard.documents), ("sources", shard.sources)):
                raise_if_changed(folder / name, shard.sha256[kind])
        return cls(folder, manifest)

    def __len__(self) -> int:
        return self.num_tokens

    def window(self, start: int, length: int) -> np.ndarray:
        """Ids `start` to `start + length` of the corpus, across shards: int64 (length,), a copy."""
        assert 0 <= start <= start + length <= self.num_tokens, (start, length, self.num_tokens)
        ids = np.empty(length, dtype=np.int64)
        done, shard = 0, int(np.searchsorted(self.starts, start, side="right")) - 1
        while done < length:
            offset = start + done - int(self.starts[shard])
            piece = self._maps[shard][offset : offset + length - done]
            ids[done : done + len(piece)] = piece
            done, shard = done + len(piece), shard + 1
        return ids

    def largest_id(self) -> int:
        """The largest id in all shards; reads them through."""
        return max(int(ids.max()) for ids in self._maps if len(ids))

    def document_starts(self) -> np.ndarray:
        """Global index of each document's first token, and `num_tokens` at the end: int64 (num_documents + 1,)."""
        pieces = [
            np.load(self.folder / shard.documents, allow_pickle=False)[:-1] + start
            for shard, start in zip(self.manifest.shards, self.starts[:-1], strict=True)
        ]
        return np.concatenate([*pieces, [self.num_tokens]]).astype(np.int64)

    def document_sources(self) -> np.ndarray:
        """Index into `manifest.sources` of each document: uint16 (num_documents,)."""
        return np.concatenate(
            [np.load(self.folder / shard.sources, allow_pickle=False) for shard in self.manifest.shards]
        )


def read_token_manifest(folder: Path) -> TokenManifest:
    """The manifest of a folder of token shards.

    Raises `UserError`: there is none (the tokenize stage has not finished), or it is damaged.
    """
    manifest = read_manifest_file(folder, "token shards", TokenManifest)
    if manifest.dtype not in DTYPES:
        raise UserError(
            f"{folder}: manifest.json is damaged (dtype {manifest.dtype!r:.40}); run the stage that writes it again"
        )
    return manifest


class TokenWriter:
    """Write documents' ids to shards, one shard per `add_shard` call; `close()` writes the manifest last.

    Use as a context manager. With an exception inside, no manifest is written. Files are written and synced on a
    thread, while the caller makes the next shard's ids; an error of it is raised by the next call. On leaving, nothing
    is being written any more.

    Args:
        folder: made if missing.
        vocab_size: decides the width of an id on disk.
        tokenizer_sha256: of the tokenizer.json that made the ids.
        sources: names of the sources; documents refer to them by position.
    """

    def __init__(self, folder: Path, vocab_size: int, tokenizer_sha256: str, sources: Sequence[str]) -> None:
        assert len(set(sources)) == len(sources) <= 65_536
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        dtype = DTYPES[vocab_size > UINT16_VOCABULARY]
        self.manifest = TokenManifest(dtype, vocab_size, tokenizer_sha256, list(sources))
        for name in sources:
            self.manifest.per_source[name] = {"num_tokens": 0, "num_documents": 0, "num_bytes": 0}
        self._thread = ThreadPoolExecutor(1)
        self._written: Future[None] | None = None

    def add_documents(
        self, documents: Sequence[np.ndarray], sources: np.ndarray, num_bytes: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Write one shard of documents' ids; id 0 is put before each.

        Returns:
            What `add_shard` took: all ids, and how many each document has.
        """
        separator = np.array([END_OF_TEXT], dtype=np.uint32)
        ids = np.concatenate([part for document in documents for part in (separator, document)])
        lengths = np.array([len(document) + 1 for document in documents], np.int64)
        self.add_shard(ids, lengths, sources, num_bytes)
        return ids, lengths

    def add_shard(self, ids: np.ndarray, lengths: np.ndarray, sources: np.ndarray, num_bytes: np.ndarray) -> None:
        """Write one shard.

        Args:
            ids: (num_tokens,) all documents' ids, each document beginning with id 0.
            lengths: (num_documents,) ids per document, the leading 0 included.
            sources: (num_documents,) index into the names given at the start.
            num_bytes: (num_documents,) UTF-8 bytes of each text.
        """
        assert len(lengths) == len(sources) == len(num_bytes)
        assert int(lengths.sum()) == len(ids)
        self._wait()
        self._written = self._thread.submit(self._write, ids, lengths, sources, num_bytes)

    def _wait(self) -> None:
        if self._written:
            self._written.result()

    def _write(self, ids: np.ndarray, lengths: np.ndarray, sources: np.ndarray, num_bytes: np.ndarray) -> None:
        number = len(self.manifest.shards)
        names = {"tokens": f"tokens-{number:05d}.bin"}
        names |= {kind: f"{kind}-{number:05d}.npy" for kind in ("documents", "sources")}
        with written_whole(self.folder / names["tokens"]) as path:
            ids.astype(np.dtype(self.manifest.dtype).newbyteorder("<")).tofile(path)
        self._save(names["documents"], np.concatenate([[0], np.cumsum(lengths)]).astype("<i8"))
        self._save(names["sources"], sources.astype("<u2"))
        sha256 = {kind: sha256_file(self.folder / name) for kind, name in names.items()}
        shard = TokenShard(
            **names, num_tokens=len(ids), num_documents=len(lengths), num_bytes=int(num_bytes.sum()), sha256=sha256
        )
        self._count(shard, lengths, sources, num_bytes)

    def _save(self, name: str, array: np.ndarray) -> None:
        with written_whole(self.folder / name) as path, open(path, "wb") as file:
            np.save(file, array, allow_pickle=False)

    def _count(self, shard: TokenShard, lengths: np.ndarray, sources: np.ndarray, num_bytes: np.ndarray) -> None:
        manifest = self.manifest
        manifest.shards.append(shard)
        manifest.num_tokens += shard.num_tokens
        manifest.num_documents += shard.num_documents
        manifest.num_bytes += shard.num_bytes
        for index in np.unique(sources):
            of_source, entry = sources == index, manifest.per_source[manifest.sources[index]]
            entry["num_tokens"] += int(lengths[of_source].sum())
            entry["num_documents"] += int(of_source.sum())
            entry["num_bytes"] += int(num_bytes[of_source].sum())

    def close(self) -> TokenManifest:
        """Write the manifest: the folder is complete."""
        self._wait()
        write_json(self.folder / "manifest.json", asdict(self.manifest))
        return self.manifest

    def __enter__(self) -> "TokenWriter":
        return self

    def __exit__(self, kind: type | None, *_: object) -> None:
        with self._thread:  # which waits for what it writes
            if kind is None:
                self.close()
