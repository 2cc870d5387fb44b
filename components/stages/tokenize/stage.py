"""Stage `tokenize`: train the tokenizer and encode both corpora into memory-mapped shards.

    out/tokenizer.json     byte-level BPE in the format of `tokenizers`
    out/train/             token shards (components/tokens/shards.py), one per corpus shard
    out/heldout/

Only training text teaches the BPE. Memory is bounded by the sample it is trained on (`train_megabytes`) and one shard.
The report says how well each source and language compresses, which tokens go unused, and how much of the held-out text
the training text still repeats word for word.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from components.core.errors import UserError
from components.core.files import sha256_bytes, write_text
from components.core.progress import Progress
from components.core.report import Report
from components.corpus.corpus import Manifest, read_manifest
from components.params import Tokenize
from components.similarity.ngram_overlap import Overlap, words
from components.stages.tokenize import report as tokenize_report
from components.stages.tokenize.fertility import Languages
from components.stages.tokenize.types import Encoded, OverlapCounts
from components.tokens.shards import TokenWriter
from components.tokens.tokenizer import Encoder, reference, train_bpe

PIECE_CHARS = 20_000
"""Documents are sampled in pieces of this length, so that one long book cannot be all of the sample, or none of it."""

CHECK_SHARE = 0.01
"""Share of the text for which ids are made a second time, by `tokenizers`, and compared."""


def tokenize(
    *,
    train: Path,
    heldout: Path,
    params: Tokenize,
    out: Path,
    reports: Path,
    work: Path,
    threads: int = 1,
    progress: Progress | None = None,
) -> Report:
    """Write `out/tokenizer.json`, `out/train` and `out/heldout`; see the module docstring.

    Args:
        train, heldout: corpora.
        work: unused; the stage is short and starts over when interrupted.
        threads: that work at once; they change no byte.

    Raises:
        UserError: a corpus is empty, or too small for `vocab_size`.
        Stopped: `progress` asked to stop.
    """
    progress = progress or Progress()
    manifests = {
        "train": _manifest(train, "documents left to train on"),
        "heldout": _manifest(heldout, "held-out documents"),
    }
    with progress.phase("bpe"):
        tokenizer_json = _train_bpe(train, manifests["train"], params, threads, progress)
    write_text(out / "tokenizer.json", tokenizer_json)
    encoding = _Encoding(Encoder(tokenizer_json), tokenizer_json, threads, progress)
    with progress.phase("encode"):
        # Held-out text first: the overlap needs its n-grams before it sees the training text.
        held = encoding.corpus(heldout, manifests["heldout"], out / "heldout", is_heldout=True)
        trained = encoding.corpus(train, manifests["train"], out / "train", is_heldout=False)
    overlap = OverlapCounts(*encoding.overlap.per_document())
    report = tokenize_report.build(encoding.encoder, trained, held, overlap, reports)
    report.write(reports)
    for warning in report.facts["warnings"]:
        progress.log(warning)
    return report


def _manifest(folder: Path, documents: str) -> Manifest:
    manifest = read_manifest(folder)
    if not manifest.num_documents:
        raise UserError(
            f"tokenize: there are no {documents}; give the pipeline more text, or loosen the rules before this stage"
        )
    return manifest


def _read(path: Path, *columns: str) -> list[list[str]]:
    with pq.ParquetFile(path) as file:
        table = file.read(columns=list(columns))
    return [table.column(name).to_pylist() for name in columns]


# -- train -------------------------------------------------------------------------------------------------------------


def _train_bpe(folder: Path, manifest: Manifest, params: Tokenize, threads: int, progress: Progress) -> str:
    limit = params.train_megabytes * 1e6
    progress.log(f"training a BPE of {params.vocab_size} tokens on {min(limit, manifest.num_bytes) / 1e6:.1f} MB")
    sample = list(even_sample(folder, manifest, min(1.0, limit / max(1, manifest.num_bytes))))
    return train_bpe(sample, params.vocab_size, threads).to_str(pretty=True)


def even_sample(folder: Path, manifest: Manifest, share: float) -> Iterator[str]:
    """Pieces of the corpus, evenly spaced, that hold `share` of its text."""
    credit = 0.5
    for shard in manifest.shards:
        for text in _read(folder / shard.file, "text")[0]:
            for start in range(0, len(text), PIECE_CHARS):
                piece = text[start : start + PIECE_CHARS]
                credit += share * len(piece) / PIECE_CHARS
                if share == 1.0 or credit >= len(piece) / PIECE_CHARS:
                    credit -= len(piece) / PIECE_CHARS
                    yield piece


# -- encode ------------------------------------------------------------------------------------------------------------


class _Encoding:
    """Encodes corpora shard by shard, counts as it goes, and compares a sample with `tokenizers`."""

    def __init__(self, encoder: Encoder, tokenizer_json: str, threads: int, progress: Progress) -> None:
        self.encoder, self.threads, self.progress = encoder, threads, progress
        self.sha256 = sha256_bytes(tokenizer_json.encode())
        self.reference = reference(tokenizer_json)
        self.overlap = Overlap()
        self._unchecked = 0.0

    def corpus(self, folder: Path, manifest: Manifest, out: Path, is_heldout: bool) -> Encoded:
        sources = sorted(manifest.sources)
        counts, token_counts = np.zeros((len(sources), 4), np.int64), np.zeros(self.encoder.vocab_size, np.int64)
        encoded = Encoded(sources, counts, token_counts, Languages(manifest.sources))
        with TokenWriter(out, self.encoder.vocab_size, self.sha256, sources) as writer:
            for number, shard in enumerate(manifest.shards, 1):
                self.progress.raise_if_stopped()
                self._shard(folder / shard.file, writer, encoded, is_heldout)
                self.progress.update(number, len(manifest.shards), "shards", "held-out" if is_heldout else "training")
        written = writer.manifest
        assert written.num_documents == manifest.num_documents, "every document is encoded"
        assert written.num_bytes == manifest.num_bytes, "every byte is encoded"
        return encoded

    def _shard(self, path: Path, writer: TokenWriter, encoded: Encoded, is_heldout: bool) -> None:
        texts, names, works, keys = _read(path, "text", "source", "group", "id")
        ids = list(self.encoder.encode_many(texts, self.threads))
        self._compare(texts, ids, path)
        sources = np.array([encoded.sources.index(name) for name in names], np.int64)
        num_bytes = np.array([len(text.encode()) for text in texts], np.int64)
        flat, lengths = writer.add_documents(ids, sources, num_bytes)
        text_words = words(texts)
        if is_heldout:
            self.overlap.hold_out(text_words, len(texts))
        else:
            self.overlap.see(text_words)
        num_words = np.bincount(text_words.document, minlength=len(texts))
        counts = np.stack([np.ones_like(lengths), num_bytes, lengths, num_words], axis=1)
        np.add.at(encoded.counts, sources, counts)
        encoded.languages.add(keys, names, texts, counts)
        encoded.token_counts += np.bincount(flat, minlength=self.encoder.vocab_size)
        if is_heldout:
            encoded.document_sources += sources.tolist()
            encoded.document_works += [f"{name}: {work}" for name, work in zip(names, works, strict=True)]
        encoded.example = encoded.example or next((text for text in texts if len(text) > 200), texts[0])[:400]

    def _compare(self, texts: list[str], ids: list[np.ndarray], path: Path) -> None:
        """Every so many characters, encode a document's start with `tokenizers` as well: the ids must be the same."""
        for text, fast in zip(texts, ids, strict=True):
            self._unchecked += len(text) * CHECK_SHARE
            if self._unchecked < min(len(text), PIECE_CHARS):
                continue
            head = text[:PIECE_CHARS]
            self._unchecked -= len(head)
            by_encoder = fast.tolist() if len(head) == len(text) else self.encoder.encode(head)
            by_tokenizers = self.reference.encode(head, add_special_tokens=False).ids
            assert by_encoder == by_tokenizers, (
                f"{path.name}: encoder and tokenizers disagree on a document that begins {head[:60]!r}"
            )
