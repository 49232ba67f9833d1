"""From the Hugging Face Hub to a folder: `fetch`. `publish/weights.py` goes the other way."""

import json
import logging
import os
import re
from collections.abc import Collection
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
from huggingface_hub import HfApi, constants, snapshot_download
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
from huggingface_hub.utils.sha import git_hash, sha_fileobj

from mnist_cnn.hub import errors
from mnist_cnn.hub.errors import explained, in_time, no_answer

# What a folder of weights holds, and how many bytes each file may have at most: whoever made it may
# mean harm. The largest network that a config may ask for has 200 MB of weights.
NEEDED = ("config.json", "model.safetensors")
WEIGHTS = {"config.json": 1_000_000, "model.safetensors": 210_000_000, "report.json": 16_000_000}

_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9_])?"
REPO_ID = re.compile(rf"({_NAME}/{_NAME})(?:@([^\s@]+))?")
_ADDRESS = re.compile(rf"(https?://[^/]+/)?(datasets|spaces)?/?({_NAME}/{_NAME})")

logger = logging.getLogger(__name__)


def fetch(
    source: str | os.PathLike[str],
    *,
    revision: str | None = None,
    token: str | bool | None = None,
    cache_dir: str | Path | None = None,
    local_files_only: bool = False,
    force_download: bool = False,
) -> tuple[Path, str]:
    """The folder that holds the weights, and in words where they come from.

    A folder is returned as it is. `USER/NAME[@REVISION]` is downloaded at one commit; a copy that
    was downloaded before is used when the Hub cannot be reached, and without asking the Hub when
    REVISION is a full commit id. A copy that was damaged since is downloaded again.

    Raises:
        ValueError: neither a folder nor a repo that can be read, or its files are not weights.
        ConnectionError: the Hub could not be reached within 4.5 seconds, and there is no copy.
        OSError: the cache folder cannot be written.
    """
    if source != "" and Path(source).is_dir():  # Path("") is the current folder
        where = f"folder {Path(source).resolve().name}"
        _check_files(Path(source), where)
        return Path(source), where
    repo_id, named_revision = split_repo_id(source)
    revision = revision or named_revision
    wanted = {"revision": revision, "token": token, "cache_dir": cache_dir}
    offline = local_files_only or constants.HF_HUB_OFFLINE
    folder: Path | None = None
    failure: Exception | None = None
    with explained(repo_id, revision):
        is_commit = re.fullmatch("[0-9a-f]{40}", revision or "")
        if (offline or is_commit) and not force_download:
            folder = _copy(repo_id, **wanted)
        if folder is None and not offline:
            failure = _failure(repo_id, revision, token)
            if failure is None:
                folder = _download(repo_id, **wanted, force_download=force_download)
            elif folder := _copy(repo_id, **wanted):
                logger.warning("no answer from the Hub: using the downloaded copy of %s", repo_id)
    if folder is None:
        raise no_answer(repo_id, failure)
    _refuse_damaged(folder, repo_id)
    # The snapshot's folder is named after the commit.
    where = f"Hub repo {repo_id} at commit {folder.name}"
    _check_files(folder, where)
    return folder, where


def split_repo_id(source: str | os.PathLike[str]) -> tuple[str, str | None]:
    """`USER/NAME[@REVISION]` as (USER/NAME, REVISION or None)."""
    match = REPO_ID.fullmatch(source) if isinstance(source, str) else None
    if match:
        return match[1], match[2]
    address = _ADDRESS.match(str(source))
    if address and address[2]:
        kind = address[2].removesuffix("s")
        raise ValueError(
            f"{str(source)!r} is the address of a {kind}; a model's repo is needed here"
        )
    if address and address[1]:
        raise ValueError(f"{str(source)!r} is an address: pass the repo alone, {address[3]}")
    if Path(source).is_file():
        raise ValueError(f"{str(source)!r} is a file: pass the folder that it lies in")
    raise ValueError(
        f"{str(source)!r} is not a folder here, and not a Hub repo id either "
        "(those look like USER/NAME or USER/NAME@REVISION). Check the path."
    )


def _copy(repo_id: str, **wanted: Any) -> Path | None:
    """The folder of a whole, undamaged copy in the cache; None if there is none."""
    wanted |= {"allow_patterns": list(WEIGHTS), "local_files_only": True}
    try:
        folder = Path(snapshot_download(repo_id, **wanted))
    except LocalEntryNotFoundError:
        return None
    if _damaged(folder):
        logger.warning("the downloaded copy of %s is damaged: not used", repo_id)
        return None
    return folder if all((folder / name).is_file() for name in NEEDED) else None


def _failure(repo_id: str, revision: str | None, token: str | bool | None) -> Exception | None:
    """Why the Hub cannot be reached; None if it can. Refuses repos that hold no weights of ours.

    Raises whatever the Hub refuses with: a wrong token is not the same as no network.
    """
    api = HfApi(token=token)
    try:
        ask = partial(api.model_info, repo_id, revision=revision, files_metadata=True)
        info = in_time(partial(ask, timeout=errors.PATIENCE))
    except HfHubHTTPError as error:
        if error.response.status_code in range(400, 429):
            raise
        return error
    except (httpx2.HTTPError, OSError, json.JSONDecodeError) as error:  # or a login page
        return error
    sizes = {file.rfilename: file.size or 0 for file in info.siblings or []}
    _check_names(sizes, f"Hub repo {repo_id} at commit {info.sha}")
    for name in sizes.keys() & WEIGHTS:
        _check_size(name, sizes[name], f"Hub repo {repo_id}")
    return None


def _download(repo_id: str, *, force_download: bool, **wanted: Any) -> Path:
    """Download what the cache does not hold, and again what it holds damaged."""
    get = partial(snapshot_download, repo_id, **wanted, allow_patterns=list(WEIGHTS))
    folder = Path(get(force_download=force_download))
    if _damaged(folder):
        logger.warning("the downloaded copy of %s is damaged: downloading it again", repo_id)
        folder = Path(get(force_download=True))
    return folder


def _refuse_damaged(folder: Path, repo_id: str) -> None:
    for name in _damaged(folder):
        # Or the next start would take the file for what the cache says it is.
        (folder / name).resolve().unlink()
        raise ConnectionError(
            f"{name} of {repo_id} arrived damaged twice: its checksum is wrong. "
            "Try again later, or over another network."
        )


def _damaged(folder: Path) -> list[str]:
    return [name for name in WEIGHTS if not _is_intact(folder / name)]


def _is_intact(file: Path) -> bool:
    """Whether a cached file has the content that it had on the Hub; a missing file passes.

    The cache names a content by the hash that the Hub gives it (SHA-256 in LFS, else git's) and
    links to it. The client itself compares sizes only.
    """
    blob = file.resolve()
    if not blob.is_file() or not re.fullmatch("[0-9a-f]{40}|[0-9a-f]{64}", blob.name):
        return True
    if len(blob.name) == 40:
        return git_hash(blob.read_bytes()) == blob.name
    with blob.open("rb") as stream:
        return sha_fileobj(stream).hex() == blob.name


# Folders that somebody else made ------------------------------------------------------------------


def _check_files(folder: Path, where: str) -> None:
    """Refuse a folder that lacks weights, or whose files are links to elsewhere, devices or huge.

    Only those of the Hub's cache may be links: to the contents beside its snapshots.
    """
    _check_names({file.name for file in folder.iterdir()}, where)
    blobs = folder.resolve().parent.parent / "blobs"
    for name in WEIGHTS:
        file = folder / name
        if not file.is_symlink() and not file.exists():
            continue
        if file.is_symlink() and file.resolve().parent not in (folder.resolve(), blobs):
            raise ValueError(f"{name} of {where} is a link to outside of its folder: not followed")
        if not file.is_file():
            raise ValueError(f"{name} of {where} is not a file")
        _check_size(name, file.stat().st_size, where)


def _check_names(names: Collection[str], where: str) -> None:
    missing = [name for name in NEEDED if name not in names]
    if missing:
        others = sorted(name for name in names if not name.startswith("."))
        found = ", ".join(others[:5]) + (", …" if len(others) > 5 else "") or "nothing"
        raise ValueError(
            f"{where} is not a model of mnist_cnn: it has no {' and no '.join(missing)}, "
            f"but {found}. Pass a run folder of train.py, or a repo that one was pushed to."
        )


def _check_size(name: str, size: int, where: str) -> None:
    if size > WEIGHTS[name]:
        raise ValueError(
            f"{name} of {where} has {size:,} bytes; for a model of mnist_cnn it has at most "
            f"{WEIGHTS[name]:,}"
        )
