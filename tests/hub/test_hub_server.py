"""The Hub on loopback, driven by the real `huggingface_hub` client."""

import hashlib
import http.client
import json
import random
import socket
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
from httpx2 import RemoteProtocolError, TransportError
from hub_server import Fault, HubServer, git_id
from huggingface_hub import (
    CommitOperationAdd,
    CommitOperationDelete,
    CommitScheduler,
    HfApi,
    constants,
    file_download,
)
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import _http, disable_progress_bars

REPO = "user/digits"
CARD = b"---\nlicense: mit\n---\n# Digits\n"
WEIGHTS = random.Random(0).randbytes(20_000)
FILES = {"README.md": CARD, "config.json": b'{"width": 32}\n', "deep/model.safetensors": WEIGHTS}


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[float]:
    """Sets the client up as `HubServer.environment` would; lists its waits before a retry."""
    waits: list[float] = []
    clock = SimpleNamespace(sleep=waits.append)
    monkeypatch.setattr(_http, "time", clock)
    monkeypatch.setattr(file_download, "time", clock)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no token"))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    disable_progress_bars()
    return waits


@pytest.fixture
def hub(tmp_path: Path):
    with HubServer(tmp_path / "hub") as hub:
        yield hub


@pytest.fixture
def api(hub: HubServer) -> HfApi:
    return HfApi(endpoint=hub.url, token=hub.token)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_files(tmp_path / "run", FILES)


@pytest.fixture
def first(api: HfApi, folder: Path) -> str:
    """The commit id of FILES, pushed to REPO."""
    api.create_repo(REPO)
    return api.upload_folder(repo_id=REPO, folder_path=folder).oid


def write_files(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def read_files(folder: str | Path) -> dict[str, bytes]:
    found = {str(f.relative_to(folder)): f.read_bytes() for f in Path(folder).rglob("*.*")}
    found.pop(".gitattributes", None)
    return found


def on_hub(hub: HubServer, revision: str = "main", kind: str = "models") -> dict[str, bytes]:
    files = hub.repo(REPO, kind).files(revision)
    del files[".gitattributes"]
    return files


def pull(api: HfApi, tmp_path: Path, **how) -> dict[str, bytes]:
    return read_files(api.snapshot_download(REPO, cache_dir=tmp_path / "cache", **how))


def blobs(tmp_path: Path) -> list[bytes]:
    return [f.read_bytes() for f in (tmp_path / "cache").rglob("blobs/*")]


def changed_weights(byte: int = 1) -> list[CommitOperationAdd]:
    return [CommitOperationAdd("deep/model.safetensors", bytes([byte]) * 10_240)]


def raw(hub: HubServer, method: str, path: str, body: bytes = b"", **headers: str):
    """One request without the client: the status and the body of the reply."""
    connection = http.client.HTTPConnection("127.0.0.1", hub.port, timeout=5)
    connection.request(method, path, body, headers)
    response = connection.getresponse()
    content = response.read()
    connection.close()
    return response.status, content


def error(message: str) -> bytes:
    return json.dumps({"error": message}).encode()


# Push and pull


@pytest.mark.parametrize("repo_type", ["model", "dataset", "space"])
def test_what_is_pushed_is_pulled(hub, api, folder, tmp_path, repo_type):
    sdk = {"space_sdk": "gradio"} if repo_type == "space" else {}
    url = api.create_repo(REPO, repo_type=repo_type, **sdk)
    assert (url.repo_id, url.repo_type) == (REPO, repo_type)
    commit = api.upload_folder(repo_id=REPO, folder_path=folder, repo_type=repo_type)
    assert pull(api, tmp_path, repo_type=repo_type) == FILES
    assert on_hub(hub, commit.oid, f"{repo_type}s") == FILES
    info = api.repo_info(REPO, repo_type=repo_type)
    assert (info.sha, info.private) == (commit.oid, False)
    assert [f.rfilename for f in info.siblings] == [".gitattributes", *FILES]


def test_the_calls_of_a_first_push(hub, api, folder):
    api.create_repo(REPO)
    api.upload_folder(repo_id=REPO, folder_path=folder)
    sha256 = hashlib.sha256(WEIGHTS).hexdigest()
    assert [(request.method, request.path.split("?")[0]) for request in hub.requests] == [
        ("POST", "/api/repos/create"),
        ("POST", "/api/validate-yaml"),
        ("POST", "/api/validate-yaml"),
        ("POST", f"/api/models/{REPO}/preupload/main"),
        ("POST", f"/{REPO}.git/info/lfs/objects/batch"),
        ("PUT", f"/{REPO}.git/info/lfs/objects/{sha256}"),
        ("POST", f"/{REPO}.git/info/lfs/objects/verify"),
        ("POST", f"/api/models/{REPO}/commit/main"),
    ]
    without_token = [r.method for r in hub.requests if "authorization" not in r.headers]
    assert without_token == ["PUT"]


def test_lfs_keeps_binaries_and_git_keeps_text(hub, api, first):
    tree = {item.path: item for item in api.list_repo_tree(REPO, recursive=True)}
    assert tree["deep/model.safetensors"].lfs.size == len(WEIGHTS)
    assert tree["README.md"].lfs is None
    assert tree["README.md"].blob_id == git_id(CARD)
    top = [item.path for item in api.list_repo_tree(REPO)]
    assert top == ["deep", ".gitattributes", "README.md", "config.json"]


def test_creating_twice(hub, api):
    assert api.create_repo(REPO) == api.create_repo(REPO, exist_ok=True) == f"{hub.url}/{REPO}"
    with pytest.raises(HfHubHTTPError, match="409"):
        api.create_repo(REPO)


def test_an_identical_push_makes_no_commit(hub, api, folder, first):
    before = len(hub.requests)
    assert api.upload_folder(repo_id=REPO, folder_path=folder).oid == first
    assert hub.repo(REPO).history()[0]["id"] == first
    assert len(hub.repo(REPO).history()) == 2  # with "initial commit"
    assert not [r for r in hub.requests[before:] if r.method == "PUT" or "/commit/" in r.path]


def test_a_push_of_one_change_sends_one_change(hub, api, folder, first, tmp_path):
    write_files(folder, {"config.json": b'{"width": 64}\n'})
    before = len(hub.requests)
    second = api.upload_folder(repo_id=REPO, folder_path=folder, commit_message="Wider").oid
    assert "PUT" not in [request.method for request in hub.requests[before:]]
    assert on_hub(hub) == FILES | {"config.json": b'{"width": 64}\n'}
    assert pull(api, tmp_path, revision=first) == FILES
    assert pull(api, tmp_path, revision=second)["config.json"] == b'{"width": 64}\n'
    titles = [commit.title for commit in api.list_repo_commits(REPO)]
    assert titles == ["Wider", "Upload folder using huggingface_hub", "initial commit"]


def test_deletions(hub, api, first):
    delete_folder = CommitOperationDelete("deep/")
    api.create_commit(REPO, [delete_folder], commit_message="no weights")
    assert list(on_hub(hub)) == ["README.md", "config.json"]
    kept = hub.repo(REPO).resolve()
    with pytest.raises(EntryNotFoundError, match="doesn't exist"):
        # The first operation is good, the second is not: neither may happen.
        api.create_commit(
            REPO,
            [CommitOperationAdd("new.txt", b"new"), CommitOperationDelete("gone.txt")],
            commit_message="half right",
        )
    assert hub.repo(REPO).resolve() == kept


def test_branch_tag_and_pull_request(hub, api, first, tmp_path):
    with pytest.raises(RevisionNotFoundError):
        api.create_commit(REPO, changed_weights(), commit_message="x", revision="wide")
    api.create_branch(REPO, branch="wide")
    api.create_branch(REPO, branch="wide", exist_ok=True)
    on_branch = api.create_commit(REPO, changed_weights(1), commit_message="x", revision="wide")
    api.create_tag(REPO, tag="v1.0", revision="wide")
    request = api.create_commit(
        REPO,
        changed_weights(2),
        commit_message="Better weights",
        commit_description="98.1 % → 98.3 %",
        create_pr=True,
    )
    assert (request.pr_num, request.pr_revision) == (1, "refs/pr/1")
    refs = api.list_repo_refs(REPO, include_pull_requests=True)
    found = {r.ref: r.target_commit for r in refs.branches + refs.tags + refs.pull_requests}
    assert found == {
        "refs/heads/main": first,
        "refs/heads/wide": on_branch.oid,
        "refs/tags/v1.0": on_branch.oid,
        "refs/pr/1": request.oid,
    }
    assert hub.repo(REPO).commit_record("refs/pr/1")["message"] == "98.1 % → 98.3 %"
    name = "deep/model.safetensors"
    assert pull(api, tmp_path, revision="v1.0")[name] == b"\1" * 10_240
    assert pull(api, tmp_path, revision="refs/pr/1")[name] == b"\2" * 10_240
    assert pull(api, tmp_path) == FILES
    api.delete_branch(REPO, branch="wide")
    assert not api.revision_exists(REPO, "wide")
    with pytest.raises(HfHubHTTPError, match="403"):
        api.delete_branch(REPO, branch="main")
    with pytest.raises(HfHubHTTPError, match="409"):
        api.create_tag(REPO, tag="v1.0", revision="main")


def test_a_commit_on_an_old_parent_is_refused(hub, api, first):
    second = api.create_commit(REPO, changed_weights(1), commit_message="x", parent_commit=first)
    with pytest.raises(HfHubHTTPError, match="A commit has happened since") as caught:
        api.create_commit(REPO, changed_weights(2), commit_message="y", parent_commit=first)
    assert caught.value.response.status_code == 412
    assert hub.repo(REPO).resolve() == second.oid
    assert on_hub(hub)["deep/model.safetensors"] == b"\1" * 10_240


def test_the_scheduler_for_corrections(hub, tmp_path):
    scheduler = CommitScheduler(
        repo_id=REPO,
        repo_type="dataset",
        folder_path=tmp_path / "corrections",
        every=60,
        hf_api=HfApi(endpoint=hub.url, token=hub.token),
    )
    scheduler.stop()
    new = {"7.jsonl": b'{"digit": 7}\n', "7.png": b"\x89PNG\r\n\x1a\n\0\0" + WEIGHTS}
    write_files(tmp_path / "corrections", new)
    scheduler.push_to_hub()
    assert on_hub(hub, kind="datasets") == new
    assert hub.repo(REPO, "datasets").entries()["7.png"]["lfs"]


def test_a_client_in_a_subprocess(hub, first, tmp_path):
    code = f"import huggingface_hub as h; print(h.snapshot_download('{REPO}'), end='')"
    run = subprocess.run(
        [sys.executable, "-c", code],
        env=hub.environment(tmp_path / "home"),
        capture_output=True,
        text=True,
        check=True,
    )
    assert Path(run.stdout).is_relative_to(tmp_path / "home")
    assert read_files(run.stdout) == FILES


# Who may do what


def test_whoami(hub, api):
    assert api.whoami()["name"] == "user"
    assert api.whoami(hub.READER)["auth"]["accessToken"]["role"] == "read"
    with pytest.raises(HfHubHTTPError, match="Invalid user token"):
        api.whoami("hf_wrong")


@pytest.mark.parametrize(
    ("token", "error", "status"),
    [
        (False, RepositoryNotFoundError, 401),
        ("hf_wrong", HfHubHTTPError, 401),
        (HubServer.STRANGER, RepositoryNotFoundError, 404),
    ],
)
def test_a_private_repository_is_hidden(hub, api, first, tmp_path, token, error, status):
    api.update_repo_settings(REPO, private=True)
    for ask in (
        lambda: pull(api, tmp_path, token=token),
        lambda: api.hf_hub_download(REPO, "config.json", cache_dir=tmp_path / "c", token=token),
        lambda: api.create_commit(REPO, changed_weights(), commit_message="x", token=token),
    ):
        with pytest.raises(error) as caught:
            ask()
        assert type(caught.value) is error
        assert caught.value.response.status_code == status
    assert on_hub(hub) == FILES
    assert pull(api, tmp_path, token=HubServer.READER) == FILES


@pytest.mark.parametrize(
    ("token", "status"),
    [(False, 401), ("hf_wrong", 401), (HubServer.READER, 403), (HubServer.STRANGER, 403)],
)
def test_writing_needs_the_right_token(hub, api, first, token, status):
    writes = (
        lambda: api.create_repo("user/other", token=token),
        lambda: api.create_commit(REPO, changed_weights(), commit_message="x", token=token),
        lambda: api.create_branch(REPO, branch="b", token=token),
        lambda: api.create_tag(REPO, tag="t", token=token),
        lambda: api.update_repo_settings(REPO, private=True, token=token),
    )
    before = hub.repo(REPO).refs()
    for write in writes:
        with pytest.raises(HfHubHTTPError) as caught:
            write()
        assert caught.value.response.status_code == status
    assert hub.repo(REPO).refs() == before
    assert not hub.repo("user/other").exists
    assert not hub.repo(REPO).private


def test_a_stranger_may_open_a_pull_request(hub, api, first):
    stranger = HfApi(endpoint=hub.url, token=HubServer.STRANGER)
    request = stranger.create_commit(REPO, changed_weights(), commit_message="x", create_pr=True)
    assert request.pr_revision == "refs/pr/1"
    assert on_hub(hub, "refs/pr/1")["deep/model.safetensors"] == b"\1" * 10_240
    assert hub.repo(REPO).resolve() == first


def test_a_gated_repository_shows_itself_but_not_its_files(hub, api, first, tmp_path):
    api.update_repo_settings(REPO, gated="manual")
    assert api.model_info(REPO, token=False).gated == "manual"
    for token, status in ((False, 401), (HubServer.STRANGER, 403)):
        with pytest.raises(GatedRepoError) as caught:
            pull(api, tmp_path, token=token)
        assert caught.value.response.status_code == status
    assert blobs(tmp_path) == []
    assert pull(api, tmp_path) == FILES


def test_the_storage_never_sees_the_token(hub, api, first, tmp_path):
    api.update_repo_settings(REPO, private=True)
    assert pull(api, tmp_path) == FILES
    [storage] = hub.seen("GET", "safetensors")
    assert storage.headers["host"].startswith("localhost:")
    assert "authorization" not in storage.headers
    [page] = hub.seen("GET", "/resolve/.*config.json")
    assert page.headers["authorization"] == f"Bearer {hub.token}"
    assert raw(hub, "GET", storage.path)[0] == 200
    assert raw(hub, "GET", storage.path.replace("signature=", "signature=0"))[0] == 403
    assert raw(hub, "GET", storage.path.split("?")[0])[0] == 401


# What is missing


def test_what_does_not_exist(hub, api, first, tmp_path):
    cache = {"cache_dir": tmp_path / "cache"}
    with pytest.raises(RepositoryNotFoundError):
        api.hf_hub_download("user/nothing", "config.json", **cache)
    with pytest.raises(RepositoryNotFoundError):
        api.hf_hub_download(REPO, "config.json", repo_type="dataset", **cache)
    with pytest.raises(RevisionNotFoundError):
        api.hf_hub_download(REPO, "config.json", revision="v9", **cache)
    with pytest.raises(EntryNotFoundError):
        api.hf_hub_download(REPO, "nothing.json", **cache)
    # The client remembers the missing file under the commit that the 404 named.
    assert [f.name for f in (tmp_path / "cache").rglob(f".no_exist/{first}/*")] == ["nothing.json"]
    assert api.file_exists(REPO, "config.json")
    assert not api.file_exists(REPO, "nothing.json")


def test_a_card_with_broken_metadata_is_refused(hub, api, first):
    card = CommitOperationAdd("README.md", b"---\nlicense: mit\n# Digits\n")
    with pytest.raises(ValueError, match=r"Invalid metadata in README\.md"):
        api.create_commit(REPO, [card], commit_message="x")
    assert hub.repo(REPO).resolve() == first


def test_a_part_of_a_file(hub, first):
    path = f"/{REPO}/resolve/main/README.md"
    assert raw(hub, "GET", path) == (200, CARD)
    assert raw(hub, "GET", path, Range="bytes=4-10") == (206, b"license")
    assert raw(hub, "GET", path, Range="bytes=26-") == (206, b"its\n")
    assert raw(hub, "GET", path, Range=f"bytes={len(CARD)}-")[0] == 416


def test_a_fault_waits_for_its_turn_and_goes_away(hub, api, first):
    fault = Fault("HEAD", "config", skip=1, times=2, status=404, code="EntryNotFound")
    hub.faults.append(fault)
    assert [api.file_exists(REPO, "config.json") for _ in range(4)] == [True, False, False, True]
    assert hub.faults == []


# Faults on the way up


def test_an_upload_that_is_not_what_it_claims_is_refused(hub, api, first):
    wish = json.dumps({"objects": [{"oid": "a" * 64, "size": 10}]}).encode()
    authorization = f"Bearer {hub.token}"
    path = f"/{REPO}.git/info/lfs/objects/batch"
    status, answer = raw(hub, "POST", path, wish, Authorization=authorization)
    assert status == 200
    href = json.loads(answer)["objects"][0]["actions"]["upload"]["href"].removeprefix(hub.url)
    assert raw(hub, "PUT", href, b"wrong SHA.") == (
        400,
        error("The content's SHA-256 does not match"),
    )
    assert raw(hub, "PUT", href, b"short") == (400, error("Expected 10 bytes, got 5"))
    assert raw(hub, "PUT", href.replace("size=10", "size=5"), b"short")[0] == 403
    lines = [
        {"key": "header", "value": {"summary": "x"}},
        {"key": "lfsFile", "value": {"path": "w.bin", "oid": "a" * 64, "size": 10}},
    ]
    commit = "\n".join(map(json.dumps, lines)).encode()
    path = f"/api/models/{REPO}/commit/main"
    status, answer = raw(hub, "POST", path, commit, Authorization=authorization)
    assert (status, answer) == (400, error(f"LFS object {'a' * 64} of 10 bytes was not uploaded"))
    for bad in ("../x", "/x", "a/../../x", ".git/config", ""):
        lines[1] = {"key": "file", "value": {"path": bad, "content": "", "encoding": "base64"}}
        commit = "\n".join(map(json.dumps, lines)).encode()
        assert raw(hub, "POST", path, commit, Authorization=authorization)[0] == 400
    assert hub.repo(REPO).resolve() == first


def test_a_cut_upload_is_repeated_by_the_client(hub, api, first, waits):
    hub.faults.append(Fault("PUT", "/lfs/objects/", cut_request=True))
    api.create_commit(REPO, changed_weights(), commit_message="x")
    assert on_hub(hub)["deep/model.safetensors"] == b"\1" * 10_240
    assert hub.faults == []
    assert waits == [1]


def test_a_client_killed_amid_its_commit_changes_nothing(hub, first):
    """Its half of the lines would be a commit of its own; only the Content-Length tells."""
    sent = b'{"key": "header", "value": {"summary": "x"}}\n'
    sent += b'{"key": "deletedFile", "value": {"path": "README.md"}}\n'
    head = f"POST /api/models/{REPO}/commit/main HTTP/1.1\r\nAuthorization: Bearer {hub.token}\r\n"
    with socket.create_connection(("127.0.0.1", hub.port), timeout=5) as connection:
        connection.sendall(head.encode() + b"Content-Length: 999\r\n\r\n" + sent)
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(99) == b""
    assert hub.repo(REPO).resolve() == first


@pytest.mark.parametrize(("method", "path"), [("PUT", "/lfs/objects/"), ("POST", "/commit/main")])
def test_a_push_that_breaks_changes_nothing_and_can_be_repeated(hub, api, first, method, path):
    hub.faults.append(Fault(method, path, times=99, cut_request=True))
    files = len(list(hub.repo(REPO).folder.rglob("*")))
    with pytest.raises((RuntimeError, TransportError)):  # by the step that broke
        api.create_commit(REPO, changed_weights(), commit_message="x")
    assert hub.repo(REPO).resolve() == first
    assert on_hub(hub) == FILES
    assert len(list(hub.repo(REPO).folder.rglob("*"))) - files == (path == "/commit/main")
    hub.faults.clear()
    api.create_commit(REPO, changed_weights(), commit_message="x")
    assert on_hub(hub) == FILES | {"deep/model.safetensors": b"\1" * 10_240}


def test_a_commit_whose_reply_was_lost_is_found_when_repeated(hub, api, first):
    hub.faults.append(Fault("POST", "/commit/main", cut=True))
    with pytest.raises(TransportError):
        api.create_commit(REPO, changed_weights(), commit_message="x")
    second = hub.repo(REPO).resolve()
    assert second != first
    assert api.create_commit(REPO, changed_weights(), commit_message="x").oid == second


@pytest.mark.parametrize("status", [401, 403, 409, 412, 429, 500, 503])
def test_a_refused_commit_is_reported_at_once(hub, api, first, waits, status):
    hub.faults.append(Fault("POST", "/commit/main", status=status, message="not today"))
    with pytest.raises(HfHubHTTPError, match="not today") as caught:
        api.create_commit(REPO, changed_weights(), commit_message="x")
    assert caught.value.response.status_code == status
    assert hub.repo(REPO).resolve() == first
    assert waits == []


# Faults on the way down


@pytest.mark.parametrize(
    ("status", "headers", "waited"),
    [
        (429, {"Retry-After": "7"}, [8.0]),
        (500, {}, [1]),
        (503, {}, [1]),
        (503, {"Retry-After": "3"}, [4.0]),
    ],
)
def test_the_client_waits_as_it_is_told(hub, api, first, tmp_path, waits, status, headers, waited):
    hub.faults.append(Fault("HEAD", "config.json", times=2, status=status, headers=headers))
    api.hf_hub_download(REPO, "config.json", cache_dir=tmp_path / "cache")
    assert waits == waited
    assert blobs(tmp_path) == [FILES["config.json"]]


def test_a_gate_that_closes_is_reported(hub, api, first, tmp_path):
    hub.faults.append(Fault("HEAD", "safetensors", status=403, code="GatedRepo"))
    with pytest.raises(GatedRepoError, match="injected fault"):
        pull(api, tmp_path)


def test_a_slow_hub_is_given_up(hub, api, first, tmp_path, monkeypatch):
    monkeypatch.setattr(file_download, "_ETAG_RETRY_TIMEOUT", 0.05)
    hub.faults.append(Fault("HEAD", "config.json", times=9, delay=0.6))
    cache = tmp_path / "cache"
    with pytest.raises(LocalEntryNotFoundError):
        api.hf_hub_download(REPO, "config.json", cache_dir=cache, etag_timeout=0.05)
    assert blobs(tmp_path) == []


@pytest.mark.parametrize(("chunk", "ranges"), [(4096, [None, "bytes=8192-"]), (None, [None, None])])
def test_a_cut_download_is_resumed(hub, api, first, tmp_path, waits, monkeypatch, chunk, ranges):
    """The client writes 10 MB at a time and resumes after whole chunks: below that, from zero."""
    if chunk:
        monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", chunk)
    hub.faults.append(Fault("GET", "safetensors", cut=True))
    assert pull(api, tmp_path) == FILES
    assert [r.headers.get("range") for r in hub.seen("GET", "safetensors")] == ranges
    assert waits == [1]


def test_a_download_that_is_always_cut_leaves_nothing(hub, api, first, tmp_path, waits):
    hub.faults.append(Fault("GET", "safetensors", times=99, cut=True))
    with pytest.raises(RemoteProtocolError):
        pull(api, tmp_path)
    assert waits == [1] * 5
    assert set(blobs(tmp_path)) <= set(hub.repo(REPO).files().values()) - {WEIGHTS}
    hub.faults.clear()
    assert pull(api, tmp_path) == FILES


def test_a_truncated_download_is_reported(hub, api, first, tmp_path):
    hub.faults.append(Fault("GET", "safetensors", truncate=True))
    with pytest.raises(OSError, match="should be of size 20000 but has size 10000"):
        pull(api, tmp_path)
    assert set(blobs(tmp_path)) <= set(hub.repo(REPO).files().values()) - {WEIGHTS}
    assert pull(api, tmp_path) == FILES


def test_the_client_does_not_notice_a_wrong_checksum(hub, api, first, tmp_path):
    """Over plain HTTP it compares sizes only: who loads the file has to check its SHA-256."""
    hub.faults.append(Fault("GET", "safetensors", corrupt=True))
    got = pull(api, tmp_path)["deep/model.safetensors"]
    wrong = [i for i in range(len(WEIGHTS)) if got[i] != WEIGHTS[i]]
    assert wrong == [10_000]
    assert pull(api, tmp_path)["deep/model.safetensors"] == got  # and it stays in the cache


def test_a_stopped_hub_is_gone_and_comes_back_with_its_history(hub, api, first, tmp_path):
    assert pull(api, tmp_path) == FILES
    hub.stop()
    assert pull(api, tmp_path) == FILES  # from the cache
    with pytest.raises(LocalEntryNotFoundError):
        api.snapshot_download(REPO, cache_dir=tmp_path / "empty")
    with HubServer(hub.folder, port=hub.port):
        assert read_files(api.snapshot_download(REPO, cache_dir=tmp_path / "empty")) == FILES
        assert api.model_info(REPO).sha == first


def test_eight_pushes_at_once_all_arrive(hub, api, first):
    """Only for the server's own lock: every commit is on top of another."""

    def push(number: int) -> None:
        addition = CommitOperationAdd(f"{number}.txt", b"%d" % number)
        api.create_commit(REPO, [addition], commit_message=str(number))

    threads = [threading.Thread(target=push, args=[number]) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(hub.repo(REPO).history()) == 10
    assert on_hub(hub) == FILES | {f"{number}.txt": b"%d" % number for number in range(8)}
