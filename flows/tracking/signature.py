"""The signature of a folder by OpenSSF Model Signing: made with a private key, checked with the public one."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from components.core.errors import UserError
from components.studies.attestation.renderings import SIGNATURE
from components.studies.attestation.verdict import Finding

EXTRA = "this needs the extra `signed`: .venv/bin/pip install -c constraints.txt -e '.[signed]'"
MAKE_KEY = (
    "make a pair: openssl ecparam -name prime256v1 -genkey -noout -out KEY; openssl ec -in KEY -pubout -out KEY.pub"
)
REFUSALS = {
    "Key mismatch": "another key made it", "InvalidSignature": "it was changed",
    "Signature mismatch": "a file was changed, added or taken away after it",
    "symlink": "there is a link, which may point anywhere",
}  # fmt: skip


def signing(key: Path) -> Callable[[Path], None]:
    """A function that signs a folder with a private key.

    Raises `UserError`: the key cannot be read, or is of another kind; the extra is not installed.
    """
    try:
        from model_signing import signing
    except ImportError:
        raise UserError(EXTRA) from None
    try:
        config = signing.Config().use_elliptic_key_signer(private_key=key)
    except Exception as error:  # the library raises what its parts raise, such as for a curve that they do not know
        raise UserError(f"{key}: no private key that can sign ({words(error)}); {MAKE_KEY}") from None

    def sign(folder: Path) -> None:
        config.set_hashing_config(_hashed()).sign(folder, folder / SIGNATURE)

    return sign


def signed_by(folder: Path, key: Path | None) -> Finding:
    """Whether model.sig is a signature by this key of the files that are there.

    Raises `UserError`: the key cannot be read, or is of another kind.
    """
    if not (folder / SIGNATURE).is_file():
        return Finding("signature", "no", f"{SIGNATURE}: missing, and every signed folder has one")
    if key is None:
        return Finding("signature", "unknown", "give the signer's public key (--key KEY.pub)")
    try:
        from model_signing import verifying
    except ImportError:
        return Finding("signature", "unknown", EXTRA)
    try:
        config = verifying.Config().use_elliptic_key_verifier(public_key=key)
    except Exception as error:  # the library raises what its parts raise, such as for a curve that they do not know
        raise UserError(
            f"{key}: no public key ({words(error)}); it is what `openssl ec -in KEY -pubout` prints"
        ) from None
    try:
        config.set_hashing_config(_hashed()).verify(folder, folder / SIGNATURE)
    except Exception as error:  # for a file that is no signature too
        text = f"{SIGNATURE}: no valid signature of these files by this key ({_refusal(error)})"
        return Finding("signature", "no", text)
    return Finding("signature", "yes", f"{SIGNATURE}: the signature is of these files and this key")


def _hashed() -> Any:
    """What a signature is over: all files but itself, those of git too."""
    from model_signing import hashing

    return hashing.Config().set_ignored_paths(paths=[SIGNATURE], ignore_git_paths=False)


def _refusal(error: Exception) -> str:
    """Why a signature is not valid; `model_signing` says it in lists and reprs."""
    known = f"{type(error).__name__}: {error}"
    return next((said for sign, said in REFUSALS.items() if sign in known), "the file is missing, or no OMS signature")


def words(error: Exception) -> str:
    """What an error of files, keys or `model_signing` says, on one line."""
    if isinstance(error, AttributeError):  # what model_signing asks of a key of another kind
        return "not of an elliptic curve"
    return error.strerror if isinstance(error, OSError) and error.strerror else " ".join(str(error).split())[:200]
