"""The signature of a folder by OpenSSF Model Signing: made with a private key, checked with the public one."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from components.core.errors import UserError, clause
from components.studies.attestation.renderings import SIGNATURE
from components.studies.attestation.verdict import Finding

EXTRA = "this needs the extra `signed`: .venv/bin/pip install -c constraints.txt -e '.[signed]'"
MAKE_KEY = (
    "make a pair: openssl ecparam -name prime256v1 -genkey -noout -out KEY; openssl ec -in KEY -pubout -out KEY.pub"
)


def _with(half: Literal["private", "public"], key: Path) -> Any:
    """What `model_signing` signs with, or verifies with: over all files but the signature, those of git too.

    Raises:
        ImportError: the extra is not installed.
        UserError: the key cannot be read, or is of another kind.
    """
    from model_signing import hashing, signing, verifying

    config: Any
    try:
        if half == "private":
            config = signing.Config().use_elliptic_key_signer(private_key=key)
        else:
            config = verifying.Config().use_elliptic_key_verifier(public_key=key)
    except Exception as error:  # the library raises what its parts raise, such as for a curve that they do not know
        raise UserError(f"{key}: no {half} key of an elliptic curve ({clause(error)}); {MAKE_KEY}") from None
    return config.set_hashing_config(hashing.Config().set_ignored_paths(paths=[SIGNATURE], ignore_git_paths=False))


def signing(key: Path) -> Callable[[Path], None]:
    """A function that signs a folder with a private key.

    Raises `UserError`: the key cannot be read, or is of another kind; the extra is not installed.
    """
    try:
        config = _with("private", key)
    except ImportError:
        raise UserError(EXTRA) from None
    return lambda folder: config.sign(folder, folder / SIGNATURE)


def signed_by(folder: Path, key: Path | None) -> Finding:
    """Whether model.sig is a signature by this key of the files that are there.

    Raises `UserError`: the key cannot be read, or is of another kind.
    """
    if not (folder / SIGNATURE).is_file():
        return Finding("signature", "no", f"{SIGNATURE}: missing, and every signed folder has one")
    if key is None:
        return Finding("signature", "unknown", "give the signer's public key (--key KEY.pub)")
    try:
        _with("public", key).verify(folder, folder / SIGNATURE)
    except ImportError:
        return Finding("signature", "unknown", EXTRA)
    except UserError:
        raise
    except Exception:  # for a file that is no signature too; `model_signing` says why in lists and reprs
        return Finding("signature", "no", f"{SIGNATURE}: no signature of these files by this key")
    return Finding("signature", "yes", f"{SIGNATURE}: the signature is of these files and this key")
