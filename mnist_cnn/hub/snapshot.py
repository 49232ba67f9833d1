"""From the Hugging Face Hub to a folder (`fetch`), and the Hub's failures in plain words.

`publish.py` goes the other way.
"""

import hashlib
import json
import logging
import os
import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
from huggingface_hub import HfApi, constants, get_session, get_token, snapshot_download
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

PATIENCE = 4.5  # seconds for the Hub's first word; the client alone would wait 23 and longer
# Seconds without a byte until a connection counts as broken; the client has no limit.
SILENCE = 30.0

# What a folder of weights holds, and how many bytes each file may have at most: whoever made it may
# mean harm. The largest network that a config may ask for has 200 MB of weights.
NEEDED = ("config.json", "model.safetensors")
WEIGHTS = {"config.json": 1_000_000, "model.safetensors": 210_000_000, "report.json": 16_000_000}

_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9_])?"
REPO_ID = re.compile(rf"({_NAME}/{_NAME})(?:@([^\s@]+))?")
_ADDRESS = re.compile(rf"(https?://[^/]+/)?(datasets|spaces)?/?({_NAME}/{_NAME})")
_COMMIT = re.compile("[0-9a-f]{40}")

logger = logging.getLogger(__name__)


def fetch(
    source: str | os.PathLike,
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
        ConnectionError: the Hub could not be reached (within `PATIENCE`) and there is no copy.
        OSError: the cache folder cannot be written.
    """
    if source != "" and Path(source).is_dir():  # Path("") is the current folder
        folder, where = Path(source), f"folder {Path(source).resolve().name}"
        _check_files(folder, where)
        return folder, where
    repo_id, named_revision = split_repo_id(source)
    revision = revision or named_revision
    wanted = {"revision": revision, "token": token, "cache_dir": cache_dir}
    offline = local_files_only or constants.HF_HUB_OFFLINE
    folder = failure = None
    with explained(repo_id, revision):
        if (offline or _COMMIT.fullmatch(revision or "")) and not force_download:
            folder = _copy(repo_id, **wanted)
        if folder is None and not offline:
            failure = _failure(repo_id, revision, token)
            if failure is None:
                folder = _download(repo_id, **wanted, force_download=force_download)
            elif folder := _copy(repo_id, **wanted):
                logger.warning("no answer from the Hub: using the downloaded copy of %s", repo_id)
    if folder is None:
        raise _no_answer(repo_id, failure)
    _refuse_damaged(folder, repo_id)
    # The snapshot's folder is named after the commit.
    where = f"Hub repo {repo_id} at commit {folder.name}"
    _check_files(folder, where)
    return folder, where


def split_repo_id(source: str | os.PathLike) -> tuple[str, str | None]:
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
    try:
        folder = Path(
            snapshot_download(
                repo_id, **wanted, allow_patterns=list(WEIGHTS), local_files_only=True
            )
        )
    except LocalEntryNotFoundError:
        return None
    whole = all((folder / name).is_file() for name in NEEDED)
    if _damaged(folder):
        logger.warning("the downloaded copy of %s is damaged: not used", repo_id)
        return None
    return folder if whole else None


def _failure(repo_id: str, revision: str | None, token: str | bool | None) -> Exception | None:
    """Why the Hub cannot be reached; None if it can. Refuses repos that hold no weights of ours.

    Raises whatever the Hub refuses with: a wrong token is not the same as no network.
    """
    api = HfApi(token=token)
    try:
        info = _within(
            PATIENCE,
            lambda: api.model_info(
                repo_id, revision=revision, files_metadata=True, timeout=PATIENCE
            ),
        )
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


def _within(seconds: float, call: Callable[[], Any]) -> Any:
    """The result of a call, or `TimeoutError`. HTTP timeouts do not cover the look-up of a name."""
    result: Future = Future()

    def run() -> None:
        try:
            result.set_result(call())
        except BaseException as error:  # it belongs to the caller
            result.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return result.result(timeout=seconds)


def _download(repo_id: str, *, force_download: bool, **wanted: Any) -> Path:
    """Download what the cache does not hold, and again what it holds damaged."""

    def get(force: bool) -> Path:
        wish = {**wanted, "allow_patterns": list(WEIGHTS), "force_download": force}
        return Path(snapshot_download(repo_id, **wish))

    folder = get(force_download)
    if _damaged(folder):
        logger.warning("the downloaded copy of %s is damaged: downloading it again", repo_id)
        folder = get(True)
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
    size = blob.stat().st_size
    digest = hashlib.sha256() if len(blob.name) == 64 else hashlib.sha1(b"blob %d\0" % size)
    with blob.open("rb") as stream:
        hashlib.file_digest(stream, lambda: digest)
    return digest.hexdigest() == blob.name


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


def _check_names(names: Any, where: str) -> None:
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


# What went wrong ----------------------------------------------------------------------------------


@contextmanager
def explained(repo_id: str, revision: str | None = None, kind: str = "model") -> Iterator[None]:
    """Turns the client's exceptions into ours, which say what to do; ends endless waits."""
    hooks = get_session().event_hooks["request"]
    if _end_silence not in hooks:
        # It stays as long as the client's session: corrections are sent later, in the background.
        hooks.append(_end_silence)
    try:
        yield
    except RuntimeError as error:  # how the client reports an upload that failed
        raise _explained(error.__cause__ or error, repo_id, revision, kind) from error
    except (httpx2.HTTPError, OSError) as error:
        raise _explained(error, repo_id, revision, kind) from error
    except json.JSONDecodeError as error:
        raise ConnectionError(
            "what answers is not the Hub, but perhaps a page that asks for a login: check the "
            "network and repeat the command"
        ) from error


def _end_silence(request: httpx2.Request) -> None:
    limits = request.extensions["timeout"]
    request.extensions["timeout"] = {part: limits[part] or SILENCE for part in limits}


def _explained(error: Exception, repo_id: str, revision: str | None, kind: str) -> Exception:
    status = error.response.status_code if isinstance(error, HfHubHTTPError) else None
    if isinstance(error, GatedRepoError):
        return ValueError(f"{repo_id} is gated: ask for access on its page, then `hf auth login`")
    if isinstance(error, RevisionNotFoundError):
        return ValueError(f"{repo_id} has no branch, tag or commit {revision!r}")
    if isinstance(error, LocalEntryNotFoundError):
        return _no_answer(repo_id)
    if isinstance(error, EntryNotFoundError):
        return ValueError(f"{repo_id} lacks a file that its commit names (status {status})")
    if status == 401 and get_token() and not isinstance(error, RepositoryNotFoundError):
        return ValueError(
            "the Hub does not accept the token: it is wrong or expired. Run `hf auth login`."
        )
    if isinstance(error, RepositoryNotFoundError) or status == 401:
        return ValueError(_not_found(repo_id, kind))
    if status == 403 and error.response.request.method in ("GET", "HEAD"):
        return ValueError(
            f"the token may not read {repo_id}: log in (`hf auth login`) with another"
        )
    if status == 403:
        return ValueError(
            f"the token may not write to {repo_id}: log in (`hf auth login`) with a token that has "
            "the role “write”, of an account that the repo belongs to"
        )
    if status in (409, 412):
        return ConnectionError(
            f"{repo_id} was changed by somebody else in the meantime, and stays as it is now. "
            "Repeat the command: it compares with what is there."
        )
    if status is not None and status < 500 and status != 429:
        # Not the error's own text, which may hold an address that is as good as a token.
        said = error.server_message or "it gives no reason"
        return ValueError(f"the Hub refuses {repo_id} (status {status}): {said}")
    if status is not None:
        return ConnectionError(_out_of_order(error))
    if isinstance(error, httpx2.HTTPError | ConnectionError | TimeoutError | RuntimeError):
        return ConnectionError(
            f"the connection to the Hub broke ({type(error).__name__}): check the network and "
            "repeat the command"
        )
    if getattr(error, "errno", None) is None:  # the client found less in a file than announced
        return ConnectionError(f"a file of {repo_id} arrived incomplete: try again ({error})")
    return OSError(  # the disk, not the Hub
        f"cannot store files of {repo_id}: {error}. Free some space, or set HF_HOME to a folder "
        "that can be written."
    )


def _not_found(repo_id: str, kind: str) -> str:
    """The sentence for a repo that is not there, or hidden; names one of another kind."""
    for other in {"model", "dataset", "space"} - {kind}:
        try:
            if _within(PATIENCE, lambda other=other: HfApi().repo_exists(repo_id, repo_type=other)):
                return f"{repo_id} is a {other} on the Hub; a {kind} is needed here"
        except (httpx2.HTTPError, OSError):
            break  # the first answer has to do
    return (
        f"{repo_id!r} is neither a folder here nor a {kind} on the Hub that you may use. Check the "
        "spelling; if it is private, or you want to write to it, run `hf auth login` first."
    )


def _out_of_order(error: HfHubHTTPError) -> str:
    status = error.response.status_code
    if status != 429:
        return f"the Hub is out of order (status {status}): try again later"
    wait = error.response.headers.get("Retry-After")
    after = f"{wait} seconds" if wait else "some minutes"
    return f"the Hub asks for fewer requests: try again after {after}"


def _no_answer(repo_id: str, failure: Exception | None = None) -> ConnectionError:
    if isinstance(failure, HfHubHTTPError):
        return ConnectionError(
            f"{repo_id} could not be reached, nor is there a downloaded copy: "
            f"{_out_of_order(failure)}"
        )
    return ConnectionError(
        f"no folder {repo_id!r} here, and the Hub could not be reached to look for a repo of "
        "that name, nor is there a downloaded copy. Check the network, or pass a folder."
    )
