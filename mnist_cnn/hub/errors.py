"""The Hub's failures in plain words, each with what to do; and how long an answer may take."""

import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from functools import partial
from typing import Any

import httpx2
from huggingface_hub import HfApi, get_session, get_token
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

PATIENCE = 4.5  # seconds for the Hub's first word; the client alone would wait 23 and longer
SILENCE = 30.0  # seconds without a byte until a connection is broken; the client has no limit


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


def _explained(error: BaseException, repo_id: str, revision: str | None, kind: str) -> Exception:
    if isinstance(error, HfHubHTTPError):
        return _refused(error, repo_id, revision, kind)
    if isinstance(error, LocalEntryNotFoundError):
        return no_answer(repo_id)
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


def _refused(error: HfHubHTTPError, repo_id: str, revision: str | None, kind: str) -> Exception:
    """What an answer of the Hub that is none means."""
    status = error.response.status_code
    if isinstance(error, GatedRepoError):
        return ValueError(f"{repo_id} is gated: ask for access on its page, then `hf auth login`")
    if isinstance(error, RevisionNotFoundError):
        return ValueError(f"{repo_id} has no branch, tag or commit {revision!r}")
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
    if status < 500 and status != 429:
        # Not the error's own text, which may hold an address that is as good as a token.
        said = error.server_message or "it gives no reason"
        return ValueError(f"the Hub refuses {repo_id} (status {status}): {said}")
    return ConnectionError(_out_of_order(error))


def in_time(call: Callable[[], Any]) -> Any:
    """The result of a call, or `TimeoutError`. HTTP timeouts do not cover the look-up of a name."""
    result: Future[Any] = Future()

    def run() -> None:
        try:
            result.set_result(call())
        except BaseException as error:  # it belongs to the caller
            result.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return result.result(timeout=PATIENCE)


def _not_found(repo_id: str, kind: str) -> str:
    """The sentence for a repo that is not there, or hidden; names one of another kind."""
    for other in {"model", "dataset", "space"} - {kind}:
        try:
            if in_time(partial(HfApi().repo_exists, repo_id, repo_type=other)):
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


def no_answer(repo_id: str, failure: Exception | None = None) -> ConnectionError:
    if isinstance(failure, HfHubHTTPError):
        return ConnectionError(
            f"{repo_id} could not be reached, nor is there a downloaded copy: "
            f"{_out_of_order(failure)}"
        )
    return ConnectionError(
        f"no folder {repo_id!r} here, and the Hub could not be reached to look for a repo of "
        "that name, nor is there a downloaded copy. Check the network, or pass a folder."
    )
