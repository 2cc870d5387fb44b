"""The files of claims in a signed folder: `card.json`, and what is made of it alone, compared as bytes.

Since `card.json` must be the canonical JSON of what is read from it, and every other file what it
makes, no second value can hide in a duplicate key, a mark or a blank.
"""

from pathlib import Path, PurePosixPath

from pydantic import ValidationError

from components.core.errors import UserError, clause
from components.core.files import canonical_json, folder_md5, md5_file, sha256_bytes, sha256_file
from components.stages.account.model_card import attribution, card
from components.studies.attestation.claims import Claims
from components.studies.attestation.training_content import training_content

CARD, SIGNATURE, TRAINING_CONTENT = "card.json", "model.sig", "training-content.md"
MISSING = "missing, or no regular file"
MOST_BYTES = 5_000_000
"""Size of a file of claims above which it is not written, nor read."""


def renderings(claims: Claims) -> dict[str, bytes]:
    """File -> its bytes: the claims themselves, and for people what is made of them."""
    text = canonical_json(claims.model_dump(mode="json"))
    claims = Claims.model_validate_json(text)  # with keys in the order in which whoever reads the card has them
    texts = {CARD: text, "README.md": card(claims), "ATTRIBUTION.md": attribution(claims)}
    texts[TRAINING_CONTENT] = training_content(claims)
    return {name: text.encode() for name, text in texts.items()}


def write_renderings(claims: Claims, folder: Path) -> None:
    """Write them beside the model's files.

    Raises:
        UserError: one is larger than a check would read, or has the name of a file of the model.
    """
    for name, data in renderings(claims).items():
        if len(data) > MOST_BYTES:
            raise UserError(f"{name}: {len(data)} bytes, and no more than {MOST_BYTES} are read again")
        if name in claims.files:
            raise UserError(f"{name}: a file of the model has this name already; rename it")
        (folder / name).write_bytes(data)


def claims_in(folder: Path) -> Claims:
    """The claims of a signed folder.

    Raises:
        UserError: there are none, or they are not as they are written.
    """
    todo = "get a whole copy of what `greenhouse export --to signed` made"
    try:
        if why := _irregular(folder / CARD):
            raise ValueError(why)
        if (size := (folder / CARD).stat().st_size) > MOST_BYTES:
            raise ValueError(f"{size} bytes, and no more than {MOST_BYTES} are read")
        data = (folder / CARD).read_bytes()
        claims = Claims.model_validate_json(data)
        if canonical_json(claims.model_dump(mode="json")).encode() != data:
            raise ValueError(
                "not as this version of Greenhouse writes it: a field is doubled, unknown or not canonical"
            )
    except (OSError, ValueError, RecursionError) as error:
        why = error.errors()[0]["msg"] if isinstance(error, ValidationError) else clause(error)
        raise UserError(f"{CARD}: {why}; {todo}") from None
    return claims


def _irregular(path: Path) -> str:
    """Why a path of the folder is no file that a signature can vouch for; "" if it is one."""
    if path.is_symlink() or not path.is_file():
        return MISSING
    other_names = path.stat().st_nlink > 1
    return "has another name (a hard link), by which it can change; copy the folder" if other_names else ""


def differences(folder: Path, claims: Claims) -> list[str]:
    """A sentence for each file of a signed folder that is not what the claims say."""
    texts = renderings(claims)
    wrong = [f"{CARD}: names {name} among the model's files" for name in claims.files if name in (*texts, SIGNATURE)]
    digests = claims.files | {name: sha256_bytes(data) for name, data in texts.items()}
    folders = {str(above) for name in (*digests, SIGNATURE) for above in PurePosixPath(name).parents}
    present = {path.relative_to(folder).as_posix() for path in folder.rglob("*")}
    wrong += [f"{name}: nothing that {CARD} names" for name in sorted(present - {*digests, SIGNATURE} - folders)]
    for name, digest in digests.items():
        if why := _irregular(folder / name) if name in present else MISSING:
            wrong.append(f"{name}: {why}")
        elif sha256_file(folder / name) != digest:
            wrong.append(f"{name}: not {f'what {CARD} makes it' if name in texts else f'the file that {CARD} names'}")
    are_right = not {line.partition(": ")[0] for line in wrong} & {*claims.files}
    if are_right and (md5 := folder_md5({name: md5_file(folder / name) for name in claims.files})) != claims.md5:
        wrong.append(f"{CARD}: names the model {claims.md5}, and these files are {md5}")
    return wrong
