"""How two trainers of BPEs are compared: tokens, merges, and tokens needed; `rustbpe` itself where it is installed."""

from pathlib import Path

from benchmarks import data_bpe
from components.tokens.tokenizer import SMALLEST_VOCABULARY, Encoder, train_bpe

BYTES = {bytes([byte]): byte for byte in range(256)}
ROOT = Path(__file__).resolve().parents[2]


def with_merges(*tokens: bytes) -> data_bpe.Ranks:
    return BYTES | {token: 256 + at for at, token in enumerate(tokens)}


def test_the_same_merges() -> None:
    one = with_merges(b"th", b"the")
    shifted = {token: rank + 6 for token, rank in one.items()}  # ours count special tokens first
    assert data_bpe.compare(one, shifted) == {
        "merges": 2,
        "merges_other": 2,
        "tokens_in_both": 1.0,
        "first_different_merge": None,
    }


def test_another_order_and_another_token() -> None:
    found = data_bpe.compare(with_merges(b"th", b"in", b"er"), with_merges(b"th", b"er", b"an"))
    assert found["first_different_merge"] == 2
    assert found["tokens_in_both"] == 258 / 259


def test_one_that_stops_early() -> None:
    assert data_bpe.compare(with_merges(b"th", b"in"), with_merges(b"th"))["first_different_merge"] == 2


def test_ranks_are_written_and_read(tmp_path: Path) -> None:
    ranks = with_merges(b"th", b"\xff\x00")
    data_bpe.save(ranks, tmp_path / "ranks.json")
    assert data_bpe.load(tmp_path / "ranks.json") == ranks


def texts() -> list[str]:
    return [path.read_text() for path in sorted((ROOT / "docs").glob("*.md"))]


def test_tokens_are_those_of_the_encoder() -> None:
    ranks = data_bpe.ours(texts(), 600)()
    encoder = Encoder(train_bpe(texts(), 600).to_str())
    assert data_bpe.num_tokens(ranks, texts()[:5]) == sum(len(encoder.encode(text)) for text in texts()[:5])


def test_rustbpe_learns_the_same_tokens_but_for_ties() -> None:
    one, other = data_bpe.ours(texts(), 1500)(), data_bpe.rustbpe(texts(), 1500)()
    found = data_bpe.compare(one, other)
    assert found["merges"] == found["merges_other"] == 1500 - SMALLEST_VOCABULARY
    assert found["tokens_in_both"] is not None
    assert found["tokens_in_both"] > 0.98
    counts = [data_bpe.num_tokens(ranks, texts()) for ranks in (one, other)]
    assert abs(counts[0] / counts[1] - 1) < 0.002
