"""Between a weights folder and the Hugging Face Hub: `fetch` one, `push` one."""

import os
import re
from pathlib import Path

import httpx2
from huggingface_hub import CommitOperationAdd, HfApi, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

WEIGHTS = ("config.json", "model.safetensors", "report.json")
PUBLISHED = (
    *WEIGHTS, "augmentation.json", "README.md", "report.html", "augmented.png", "confusion.png",
    "curves.png", "filters.png", "mistakes.png", "per_class.png", "predictions.png",
)  # fmt: skip

_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9_])?"
_REPO_ID = re.compile(rf"({_NAME}/{_NAME})(?:@([^\s@]+))?")


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
    was downloaded before is used when the Hub cannot be reached.

    Raises:
        ValueError: neither a folder nor a repo that can be read.
        ConnectionError: the Hub could not be reached and there is no copy.
    """
    if source != "" and Path(source).is_dir():  # Path("") is the current folder
        return Path(source), f"folder {Path(source).resolve().name}"
    repo_id, named_revision = split_repo_id(source)
    revision = revision or named_revision
    try:
        folder = snapshot_download(
            repo_id,
            revision=revision,
            allow_patterns=list(WEIGHTS),
            token=token,
            cache_dir=cache_dir,
            local_files_only=local_files_only,
            force_download=force_download,
        )
    except (HfHubHTTPError, httpx2.HTTPError, OSError) as error:
        raise _explained(error, repo_id, revision) from error
    # The snapshot's folder is named after the commit.
    return Path(folder), f"Hub repo {repo_id} at commit {Path(folder).name}"


def split_repo_id(source: str | os.PathLike) -> tuple[str, str | None]:
    """`USER/NAME[@REVISION]` as (USER/NAME, REVISION or None)."""
    match = _REPO_ID.fullmatch(source) if isinstance(source, str) else None
    if not match:
        raise ValueError(
            f"{str(source)!r} is not a folder here, and not a Hub repo id either "
            "(those look like USER/NAME or USER/NAME@REVISION). Check the path."
        )
    return match[1], match[2]


def push(
    folder: str | os.PathLike, repo_id: str, *, private: bool = False, token: str | None = None
) -> str:
    """Publish a run folder in one commit, making the repo if needed; returns the commit's address.

    Files of other names stay at home. The folder is not changed, so a failed push can be repeated.

    Raises:
        ValueError: malformed repo id, incomplete folder, or no right to write.
        ConnectionError: the Hub could not be reached.
    """
    if split_repo_id(repo_id)[1]:
        raise ValueError(f"a revision cannot be pushed to: pass {repo_id.partition('@')[0]}")
    folder = Path(folder)
    missing = [
        name for name in ("config.json", "model.safetensors") if not (folder / name).exists()
    ]
    if missing:
        raise ValueError(f"{folder} is not a finished run: it has no {' and no '.join(missing)}")
    files = [folder / name for name in PUBLISHED if (folder / name).exists()]
    api = HfApi(token=token)
    try:
        api.create_repo(repo_id, private=private, exist_ok=True)
        commit = api.create_commit(
            repo_id,
            [CommitOperationAdd(file.name, file) for file in files],
            commit_message=f"Upload {folder.name}",
        )
    except (HfHubHTTPError, httpx2.HTTPError, OSError) as error:
        raise _explained(error, repo_id, None) from error
    return commit.commit_url


def _explained(error: Exception, repo_id: str, revision: str | None) -> Exception:
    """The same failure, saying what to do."""
    status = error.response.status_code if isinstance(error, HfHubHTTPError) else None
    if isinstance(error, GatedRepoError):
        return ValueError(f"{repo_id} is gated: ask for access on its page, then `hf auth login`")
    if isinstance(error, RepositoryNotFoundError) or status in (401, 403):
        return ValueError(
            f"{repo_id!r} is neither a folder here nor a Hub repo that you may use. Check the "
            "spelling; if it is private, or you want to write to it, run `hf auth login` first."
        )
    if isinstance(error, RevisionNotFoundError):
        return ValueError(f"{repo_id} has no branch, tag or commit {revision!r}")
    if isinstance(error, LocalEntryNotFoundError | httpx2.HTTPError) or status:
        return ConnectionError(
            f"no folder {repo_id!r} here, and the Hub could not be reached to look for a repo of "
            "that name, nor is there a downloaded copy. Check the network, or pass a folder. "
            f"({type(error.__cause__ or error).__name__})"
        )
    return OSError(f"{repo_id}: {error}")  # the cache folder or the disk, not the Hub
