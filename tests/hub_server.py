"""A Hugging Face Hub on loopback, for tests: real HTTP, real history on disk, faults on demand.

It answers the calls that the unmodified `huggingface_hub` 2.4 client makes while Xet is switched
off (`HF_HUB_DISABLE_XET=1`; the Xet upload speaks another protocol from native code):

    with HubServer(tmp_path / "hub") as hub:
        api = HfApi(endpoint=hub.url, token=hub.token)
        api.create_repo("user/digits")
        hub.faults.append(Fault("POST", "/commit/", status=503))

Each repository is a folder that can be read with `cat` and `ls`:

    models/USER/NAME/settings.json            visibility, gated, and what else create_repo sent
    models/USER/NAME/objects/SHA256           every content once
    models/USER/NAME/commits/ID.json          parent, title, message, date, files; ID is its SHA-1
    models/USER/NAME/refs/heads/main          a commit id; beside it refs/tags and refs/pr

A push becomes visible by one `os.replace` of a ref, after everything it points to is on disk.
"""

import base64
import hashlib
import hmac
import json
import os
import re
import secrets
import socket
import sys
import threading
import traceback
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, quote, unquote, urlsplit

URL_PREFIX = {"models": "", "datasets": "datasets/", "spaces": "spaces/"}
KIND_OF_TYPE = {None: "models", "model": "models", "dataset": "datasets", "space": "spaces"}
LFS_ENDINGS = (".safetensors", ".bin", ".pt", ".pth", ".onnx", ".npz", ".npy", ".parquet", ".zip")
LARGEST_REGULAR_FILE = 10_000_000  # bytes; the Hub keeps larger files in LFS, whatever their name
GIT_ATTRIBUTES = "".join(f"*{end} filter=lfs diff=lfs merge=lfs -text\n" for end in LFS_ENDINGS)
PULL_REQUEST_HINT = "pass `create_pr=1` as a query parameter to create a Pull Request"

Entry = dict[str, Any]  # one file of a commit: size, sha256, oid (git's SHA-1), lfs


# Faults ------------------------------------------------------------------------------------------


@dataclass
class Fault:
    """What to do to the next `times` requests whose method and path match, after `skip` of them.

    `method` is a regular expression for the whole method ("GET|HEAD"), `path` one to be found in
    the path with its query. With `status`, the request is refused unseen. Without it the request
    takes effect, then `cut`, `corrupt` and `truncate` spoil the reply's body (a `cut` reply
    without body is not sent at all); `cut_request` hangs up amid the upload, with no effect.
    """

    method: str = ".*"
    path: str = ""
    times: int = 1
    skip: int = 0
    status: int | None = None
    code: str | None = None  # the X-Error-Code header: GatedRepo, RepoNotFound, EntryNotFound, ...
    message: str = "injected fault"
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0  # seconds before the answer
    cut: bool = False  # announce the full Content-Length, send half of it, hang up
    cut_request: bool = False  # read half of the upload, hang up
    corrupt: bool = False  # the right number of bytes, the middle one wrong
    truncate: bool = False  # half of the bytes under a Content-Length that agrees

    def matches(self, method: str, path: str) -> bool:
        return bool(re.fullmatch(self.method, method) and re.search(self.path, path))

    def spoil(self, body: bytes) -> bytes:
        middle = len(body) // 2
        if self.corrupt and body:
            body = body[:middle] + bytes([body[middle] ^ 0xFF]) + body[middle + 1 :]
        return body[:middle] if self.truncate else body


NO_FAULT = Fault(times=0)


# Requests and replies ----------------------------------------------------------------------------


class Seen(NamedTuple):
    """One request as it came in; `path` keeps its query, header names are in lower case."""

    method: str
    path: str
    headers: dict[str, str]


@dataclass(frozen=True)
class Account:
    """Who a token belongs to. A member sees private repositories and gated files."""

    name: str
    may_write: bool = True
    member: bool = True


@dataclass
class Call:
    """A request on its way to its endpoint; kind, name, revision and file come from the path."""

    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes
    account: Account | None = None
    kind: str = "models"
    name: str = ""
    revision: str = "main"
    file: str = ""

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Reply:
    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


def json_reply(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Reply:
    type_header = {"Content-Type": "application/json; charset=utf-8"}
    return Reply(json.dumps(value).encode(), status, type_header | (headers or {}))


class RefusedError(Exception):
    """An answer other than success, in the form that the client turns into its own exceptions."""

    def __init__(
        self, status: int, message: str, code: str | None = None, headers: dict | None = None
    ) -> None:
        super().__init__(message)
        named = {"X-Error-Message": message} | ({"X-Error-Code": code} if code else {})
        self.reply = json_reply({"error": message}, status, named | (headers or {}))


def part_of(content: bytes, wanted: str | None) -> Reply:
    """The content, or the bytes that a `Range: bytes=FIRST-LAST` header asks for."""
    match = re.fullmatch(r"bytes=(\d+)-(\d*)", wanted or "")
    if match is None:
        return Reply(content)
    first, last = int(match[1]), min(int(match[2] or len(content)), len(content) - 1)
    if first > last:
        headers = {"Content-Range": f"bytes */{len(content)}"}
        raise RefusedError(416, "Requested range not satisfiable", headers=headers)
    headers = {"Content-Range": f"bytes {first}-{last}/{len(content)}"}
    return Reply(content[first : last + 1], 206, headers)


# Repositories on disk ----------------------------------------------------------------------------


def git_id(content: bytes) -> str:
    """The id git gives to a blob; the Hub's ETag of a file outside LFS."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def lfs_pointer(sha256: str, size: int) -> bytes:
    head = "version https://git-lfs.github.com/spec/v1"
    return f"{head}\noid sha256:{sha256}\nsize {size}\n".encode()


def etag_of(entry: Entry) -> str:
    return entry["sha256"] if entry["lfs"] else entry["oid"]


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Repo:
    """One repository: contents by SHA-256, commits as JSON, refs as files. Knows nothing of HTTP
    except how to refuse; its `name` is USER/NAME and its `kind` models, datasets or spaces."""

    def __init__(self, folder: Path, kind: str, name: str) -> None:
        self.kind, self.name = kind, name
        self.folder = folder / kind / name

    @property
    def url_path(self) -> str:
        return URL_PREFIX[self.kind] + self.name

    @property
    def exists(self) -> bool:
        return (self.folder / "settings.json").is_file()

    @property
    def settings(self) -> dict[str, Any]:
        return json.loads((self.folder / "settings.json").read_text())

    @property
    def private(self) -> bool:
        return self.settings["visibility"] == "private"

    def change_settings(self, **changes: Any) -> None:
        settings = self.settings if self.exists else {"visibility": "public", "gated": False}
        self._write("settings.json", json.dumps(settings | changes, indent=1).encode())

    def refs(self) -> dict[str, str]:
        """Every ref and its commit, such as {"refs/heads/main": "3f…"}."""
        files = sorted((self.folder / "refs").glob("*/*"))
        return {f"refs/{f.parent.name}/{unquote(f.name)}": f.read_text() for f in files}

    def ref_file(self, ref: str) -> str:
        group, name = re.fullmatch(r"refs/(heads|tags|pr)/(.+)", ref).groups()
        return f"refs/{group}/{quote(name, safe='')}"

    def set_ref(self, ref: str, commit: str) -> None:
        self._write(self.ref_file(ref), commit.encode())

    def delete_ref(self, ref: str) -> None:
        (self.folder / self.ref_file(ref)).unlink()

    def resolve(self, revision: str = "main") -> str:
        """The full commit id of a branch, a tag, a full ref, or a commit id of 7 digits or more."""
        refs = self.refs()
        for ref in (revision, f"refs/heads/{revision}", f"refs/tags/{revision}"):
            if ref in refs:
                return refs[ref]
        if re.fullmatch("[0-9a-f]{7,40}", revision):
            for file in (self.folder / "commits").glob(f"{revision}*.json"):
                return file.stem
        raise RefusedError(404, f"Invalid rev id: {revision}", "RevisionNotFound")

    def writable_ref(self, revision: str) -> str:
        """The branch or pull request that a commit to `revision` moves."""
        for ref in (f"refs/heads/{revision}", revision):
            if ref in self.refs() and not ref.startswith("refs/tags/"):
                return ref
        self.resolve(revision)  # refuses with 404 when there is no such thing at all
        raise RefusedError(400, f"Cannot commit to {revision}: not a branch or pull request")

    def commit_record(self, revision: str = "main") -> dict[str, Any]:
        commit = self.resolve(revision)
        return {"id": commit} | json.loads((self.folder / "commits" / f"{commit}.json").read_text())

    def history(self, revision: str = "main") -> list[dict[str, Any]]:
        """The commits of a revision, newest first."""
        records = [self.commit_record(revision)]
        while records[-1]["parent"]:
            records.append(self.commit_record(records[-1]["parent"]))
        return records

    def entries(self, revision: str = "main") -> dict[str, Entry]:
        return self.commit_record(revision)["files"]

    def files(self, revision: str = "main") -> dict[str, bytes]:
        """Every path and its content."""
        return {path: self.content(entry) for path, entry in self.entries(revision).items()}

    def content(self, entry: Entry) -> bytes:
        return (self.folder / "objects" / entry["sha256"]).read_bytes()

    def size_of(self, sha256: str) -> int | None:
        """The size of an object that was uploaded, None for any other."""
        if not re.fullmatch("[0-9a-f]{64}", sha256):
            raise RefusedError(400, f"Not a SHA-256: {sha256!r}")
        file = self.folder / "objects" / sha256
        return file.stat().st_size if file.is_file() else None

    def add_object(self, content: bytes) -> Entry:
        sha256 = hashlib.sha256(content).hexdigest()
        self._write(f"objects/{sha256}", content)
        return {"size": len(content), "sha256": sha256, "oid": git_id(content), "lfs": False}

    def lfs_entry(self, sha256: str, size: int | None) -> Entry:
        """The entry of an object that was uploaded before; a copy of a file sends no size."""
        actual = self.size_of(sha256)
        if actual is None or size not in (None, actual):
            raise RefusedError(400, f"LFS object {sha256} of {size} bytes was not uploaded")
        oid = git_id(lfs_pointer(sha256, actual))
        return {"size": actual, "sha256": sha256, "oid": oid, "lfs": True}

    def add_commit(self, parent: str | None, files: dict[str, Entry], title: str, text: str) -> str:
        """Writes a commit and returns its id. No ref points to it yet."""
        record = {"parent": parent, "title": title, "message": text, "date": now(), "files": files}
        content = json.dumps(record, indent=1).encode()
        commit = hashlib.sha1(content).hexdigest()
        self._write(f"commits/{commit}.json", content)
        return commit

    def _write(self, name: str, content: bytes) -> None:
        """A reader, or a restart after a kill, finds the old file or the new one."""
        unfinished = self.folder / "unfinished" / uuid.uuid4().hex
        target = self.folder / name
        for folder in (unfinished.parent, target.parent):
            folder.mkdir(parents=True, exist_ok=True)
        unfinished.write_bytes(content)
        os.replace(unfinished, target)


def checked_path(path: str) -> str:
    parts = path.removesuffix("/").split("/")
    if any(part in ("", ".", "..", ".git") for part in parts) or "\\" in path:
        raise RefusedError(400, f"Invalid path in a commit: {path!r}")
    return "/".join(parts)


def apply_operation(repo: Repo, files: dict[str, Entry], operation: dict[str, Any]) -> None:
    """Changes `files` as one line of a commit asks."""
    key, value = operation["key"], operation["value"]
    path = checked_path(value["path"])
    if key == "file":
        files[path] = repo.add_object(base64.b64decode(value["content"]))
    elif key == "lfsFile":
        files[path] = repo.lfs_entry(value["oid"], value.get("size"))
    elif key in ("deletedFile", "deletedFolder"):
        inside = path + "/" if key == "deletedFolder" else None
        gone = [name for name in files if (name.startswith(inside) if inside else name == path)]
        if not gone:
            raise RefusedError(404, "A file with this name doesn't exist", "EntryNotFound")
        for name in gone:
            del files[name]
    else:
        raise RefusedError(400, f"Unknown operation in a commit: {key!r}")


# The API -----------------------------------------------------------------------------------------


class Api:
    """The Hub's endpoints. Each takes a `Call` and returns a `Reply` or raises a `RefusedError`."""

    def __init__(self, folder: Path, accounts: dict[str, Account]) -> None:
        self.folder, self.accounts = folder, accounts
        self.url = self.cdn_url = ""  # known once the server listens
        self._secret = secrets.token_bytes(16)

    def answer(self, method: str, call: Call) -> Reply:
        for wanted, pattern, endpoint in ROUTES:
            match = re.fullmatch(pattern, call.path)
            if match and wanted == method.replace("HEAD", "GET"):
                found = {key: unquote(text) for key, text in match.groupdict().items() if text}
                call = Call(**vars(call) | found)
                if "signature" not in call.query:
                    call.account = self.account_of(call)
                return endpoint(self, call)
        raise RefusedError(404, f"hub_server.py has no endpoint for {method} {call.path}")

    # Who may do what

    def account_of(self, call: Call) -> Account | None:
        header = call.headers.get("authorization")
        if header is None:
            return None
        account = self.accounts.get(header.removeprefix("Bearer "))
        if account is None:
            raise RefusedError(401, "Invalid credentials in Authorization header")
        return account

    def visible(self, call: Call) -> Repo:
        """The repository of the call, if the caller may know that it exists."""
        repo = Repo(self.folder, call.kind, call.name)
        if repo.exists and (not repo.private or (call.account and call.account.member)):
            return repo
        if call.account is None:  # the Hub gives nothing away to strangers: missing or private?
            raise RefusedError(401, "Invalid username or password.", "RepoNotFound")
        raise RefusedError(404, "Repository not found", "RepoNotFound")

    def readable(self, call: Call) -> Repo:
        """The same for the content of files, which a gate may protect."""
        repo = self.visible(call)
        if repo.settings["gated"] and not (call.account and call.account.member):
            message = f"Access to model {repo.name} is restricted."
            raise RefusedError(403 if call.account else 401, message, "GatedRepo")
        return repo

    def writable(self, call: Call, by_pull_request: bool = False) -> Repo:
        """The same for changes. Anybody with a token that may write can open a pull request."""
        repo = self.visible(call)
        if call.account is None:
            raise RefusedError(401, "Invalid username or password.", "RepoNotFound")
        if not (call.account.may_write and (call.account.member or by_pull_request)):
            raise RefusedError(403, f"Forbidden: {PULL_REQUEST_HINT}")
        return repo

    def signature(self, *facts: object) -> str:
        """Stands for the token in the URLs of the storage, which must never see the token."""
        return hmac.new(self._secret, repr(facts).encode(), "sha256").hexdigest()

    def check_signature(self, call: Call, *facts: object) -> None:
        if not hmac.compare_digest(call.query.get("signature", ""), self.signature(*facts)):
            raise RefusedError(403, "SignatureDoesNotMatch")
        if "authorization" in call.headers:  # so does the real storage
            raise RefusedError(400, "Only one auth mechanism allowed")

    # Accounts and repositories

    def whoami(self, call: Call) -> Reply:
        if call.account is None:
            raise RefusedError(401, "Invalid username or password.")
        role = "write" if call.account.may_write else "read"
        token = {"displayName": "test", "role": role, "createdAt": now()}
        auth = {"type": "access_token", "accessToken": token}
        user = {"type": "user", "id": "0" * 24, "name": call.account.name, "orgs": []}
        return json_reply(user | {"fullname": call.account.name, "isPro": False, "auth": auth})

    def validate_yaml(self, call: Call) -> Reply:
        """Looks only for the fences of the metadata: the standard library reads no YAML."""
        lines = call.json()["content"].splitlines()
        errors, warnings = [], []
        if lines[:1] != ["---"]:
            warnings = [{"message": "empty or missing yaml metadata in repo card"}]
        elif "---" not in lines[1:]:
            errors = [{"message": "the yaml metadata block is not closed by ---"}]
        return json_reply({"errors": errors, "warnings": warnings}, 400 if errors else 200)

    def create_repo(self, call: Call) -> Reply:
        if call.account is None:
            raise RefusedError(401, "Invalid username or password.")
        wish = call.json()
        namespace = wish.pop("organization", None) or call.account.name
        if not (call.account.may_write and call.account.member):
            raise RefusedError(
                403, f"You don't have the rights to create a repo under {namespace!r}"
            )
        kind = KIND_OF_TYPE[wish.pop("type", None)]
        repo = Repo(self.folder, kind, f"{namespace}/{wish.pop('name')}")
        if not re.fullmatch(r"[\w-][\w.-]{0,95}/[\w-][\w.-]{0,95}", repo.name, re.ASCII):
            raise RefusedError(400, f"Invalid repo name: {repo.name}")
        url = f"{self.url}/{repo.url_path}"
        if repo.exists:  # the client wants the url even here
            error = "You already created this repo"
            return json_reply({"error": error, "url": url}, 409, {"X-Error-Message": error})
        files = {".gitattributes": repo.add_object(GIT_ATTRIBUTES.encode())}
        repo.set_ref("refs/heads/main", repo.add_commit(None, files, "initial commit", ""))
        repo.change_settings(**wish)  # last: with it the repository exists
        return json_reply({"url": url, "name": repo.name, "id": "0" * 24})

    def change_settings(self, call: Call) -> Reply:
        self.writable(call).change_settings(**call.json())
        return json_reply(call.json())

    def info(self, call: Call) -> Reply:
        repo = self.visible(call)
        commit = repo.commit_record(call.revision)
        about = {"id": repo.name, "author": repo.name.split("/")[0], "sha": commit["id"]}
        about |= {"private": repo.private, "gated": repo.settings["gated"], "disabled": False}
        about |= {"lastModified": commit["date"], "tags": [], "downloads": 0, "likes": 0}
        siblings = [
            {"rfilename": path} | (sizes_of(path, entry) if "blobs" in call.query else {})
            for path, entry in commit["files"].items()
        ]
        return json_reply(about | {"siblings": siblings})

    # Revisions

    def list_refs(self, call: Call) -> Reply:
        groups: dict[str, list] = {"heads": [], "tags": [], "pr": []}
        for ref, commit in self.visible(call).refs().items():
            _, group, name = ref.split("/", 2)
            name = ref if group == "pr" else name
            groups[group].append({"name": name, "ref": ref, "targetCommit": commit})
        listing = {"branches": groups["heads"], "tags": groups["tags"], "converts": []}
        return json_reply(listing | {"pullRequests": groups["pr"]})

    def list_commits(self, call: Call) -> Reply:
        commits = self.visible(call).history(call.revision)
        keys = ("id", "title", "message", "date")
        return json_reply([{key: c[key] for key in keys} | {"authors": []} for c in commits])

    def create_branch(self, call: Call) -> Reply:
        repo = self.writable(call)
        start = repo.resolve(call.json().get("startingPoint", "main"))
        return self._new_ref(repo, f"refs/heads/{call.revision}", start)

    def create_tag(self, call: Call) -> Reply:
        repo = self.writable(call)
        return self._new_ref(repo, f"refs/tags/{call.json()['tag']}", repo.resolve(call.revision))

    def _new_ref(self, repo: Repo, ref: str, commit: str) -> Reply:
        name = ref.split("/", 2)[2]
        if not re.fullmatch(r"[\w][\w./-]*", name) or ".." in name or name.startswith("refs/"):
            raise RefusedError(400, f"Invalid reference name: {name!r}")
        if ref in repo.refs():
            raise RefusedError(409, f"Reference already exists: {ref}")
        repo.set_ref(ref, commit)
        return json_reply({}, 201)

    def delete_branch(self, call: Call) -> Reply:
        repo = self.writable(call)
        if call.revision == "main":
            raise RefusedError(403, "Cannot delete the main branch")
        if f"refs/heads/{call.revision}" not in repo.refs():
            raise RefusedError(
                404, f"Reference does not exist: {call.revision}", "RevisionNotFound"
            )
        repo.delete_ref(f"refs/heads/{call.revision}")
        return json_reply({})

    # Pushing

    def preupload(self, call: Call) -> Reply:
        repo = self.writable(call, "create_pr" in call.query)
        known = repo.entries(call.revision)
        answers = []
        for file in call.json()["files"]:
            binary = b"\0" in base64.b64decode(file["sample"])
            lfs = (
                binary or file["size"] > LARGEST_REGULAR_FILE or file["path"].endswith(LFS_ENDINGS)
            )
            mode = {"uploadMode": "lfs" if lfs else "regular", "shouldIgnore": False}
            old = known.get(file["path"])
            oid = {"oid": etag_of(old)} if old else {}  # lets the client see "nothing changed"
            answers.append({"path": file["path"]} | mode | oid)
        return json_reply({"files": answers})

    def lfs_batch(self, call: Call) -> Reply:
        # For a pull request the client names no ref: opening one needs no right to the branch.
        wish = call.json()
        repo = self.writable(call, by_pull_request="ref" not in wish)
        objects = [self._upload_plan(repo, o["oid"], o["size"]) for o in wish["objects"]]
        return json_reply({"transfer": "basic", "objects": objects})

    def _upload_plan(self, repo: Repo, oid: str, size: int) -> dict[str, Any]:
        if repo.size_of(oid) == size:
            return {"oid": oid, "size": size}  # no actions: nothing to upload
        base = f"{self.url}/{repo.url_path}.git/info/lfs/objects"
        signed = f"size={size}&signature={self.signature(repo.url_path, oid, size)}"
        actions = {
            "upload": {"href": f"{base}/{oid}?{signed}"},
            "verify": {"href": f"{base}/verify"},
        }
        return {"oid": oid, "size": size, "actions": actions}

    def lfs_upload(self, call: Call) -> Reply:
        repo = Repo(self.folder, call.kind, call.name)
        oid, size = call.file, int(call.query["size"])
        self.check_signature(call, repo.url_path, oid, size)
        if len(call.body) != size:
            raise RefusedError(400, f"Expected {size} bytes, got {len(call.body)}")
        if hashlib.sha256(call.body).hexdigest() != oid:
            raise RefusedError(400, "The content's SHA-256 does not match")
        repo.add_object(call.body)
        return Reply()

    def lfs_verify(self, call: Call) -> Reply:
        repo = self.writable(call, by_pull_request=True)
        if repo.size_of(call.json()["oid"]) != call.json()["size"]:
            raise RefusedError(404, "LFS object not found")
        return json_reply({"message": "Authenticated"})

    def commit(self, call: Call) -> Reply:
        """All operations or none: the ref moves last, after every check."""
        by_pull_request = "create_pr" in call.query
        repo = self.writable(call, by_pull_request)
        ref = repo.writable_ref(call.revision)
        parent = repo.resolve(ref)
        header, *operations = (json.loads(line) for line in call.body.splitlines())
        about = header["value"]
        if about.get("parentCommit", parent) != parent:
            raise RefusedError(412, "A commit has happened since. Please refresh and try again.")
        files = repo.entries(parent)
        for operation in operations:
            apply_operation(repo, files, operation)
        commit = repo.add_commit(parent, files, about["summary"], about.get("description", ""))
        url = f"{self.url}/{repo.url_path}"
        reply = {"success": True, "commitOid": commit, "commitUrl": f"{url}/commit/{commit}"}
        if by_pull_request:
            number = 1 + sum(name.startswith("refs/pr/") for name in repo.refs())
            ref, reply["pullRequestUrl"] = f"refs/pr/{number}", f"{url}/discussions/{number}"
        repo.set_ref(ref, commit)
        return json_reply(reply)

    # Pulling

    def tree(self, call: Call) -> Reply:
        repo = self.visible(call)
        items = list(tree_items(repo.entries(call.revision)))
        if call.file:
            items = [item for item in items if item["path"].startswith(call.file + "/")]
            if not items:
                raise RefusedError(404, f"{call.file} does not exist", "EntryNotFound")
        if call.query.get("recursive", "").lower() != "true":
            depth = call.file.count("/") + 1 if call.file else 0
            items = [item for item in items if item["path"].count("/") == depth]
        return json_reply(items)

    def paths_info(self, call: Call) -> Reply:
        """The entries of `tree` for the paths that a form or JSON names."""
        if call.headers.get("content-type", "").startswith("application/json"):
            paths = call.json()["paths"]
        else:
            paths = [value for key, value in parse_qsl(call.body.decode()) if key == "paths"]
        items = tree_items(self.visible(call).entries(call.revision))
        return json_reply([item for item in items if item["path"] in paths])

    def resolve(self, call: Call) -> Reply:
        """A file, or for one in LFS the way to the storage: another host, as far as clients see."""
        signed = "signature" in call.query
        repo = Repo(self.folder, call.kind, call.name) if signed else self.readable(call)
        if signed:
            self.check_signature(call, repo.url_path, call.revision, call.file)
        commit = repo.resolve(call.revision)
        headers = {"X-Repo-Commit": commit}
        entry = repo.entries(commit).get(call.file)
        if entry is None:
            raise RefusedError(404, f"Entry not found: {call.file}", "EntryNotFound", headers)
        etag = f'"{etag_of(entry)}"'
        if entry["lfs"] and self.cdn_url and not signed:
            place = f"{self.cdn_url}/{repo.url_path}/resolve/{commit}/{quote(call.file)}"
            place += f"?signature={self.signature(repo.url_path, commit, call.file)}"
            linked = {"X-Linked-Size": str(entry["size"]), "X-Linked-ETag": etag}
            return Reply(b"", 302, headers | linked | {"Location": place})
        reply = part_of(repo.content(entry), call.headers.get("range"))
        reply.headers |= headers | {"ETag": etag, "Accept-Ranges": "bytes"}
        return reply


def tree_item(path: str, entry: Entry) -> dict[str, Any]:
    item = {"type": "file", "path": path, "size": entry["size"], "oid": entry["oid"]}
    if entry["lfs"]:
        pointer_size = len(lfs_pointer(entry["sha256"], entry["size"]))
        lfs = {"oid": entry["sha256"], "sha256": entry["sha256"], "size": entry["size"]}
        item["lfs"] = lfs | {"pointerSize": pointer_size}
    return item


def sizes_of(path: str, entry: Entry) -> dict[str, Any]:
    """What `?blobs=true` adds to a file of `info`."""
    item = tree_item(path, entry)
    lfs = {"lfs": item["lfs"]} if entry["lfs"] else {}
    return {"size": item["size"], "blobId": item["oid"]} | lfs


def tree_items(files: dict[str, Entry]) -> Iterator[dict[str, Any]]:
    folders = {str(parent) for path in files for parent in Path(path).parents if parent.name}
    for path in sorted(folders):
        yield {"type": "directory", "path": path, "size": 0, "oid": git_id(path.encode())}
    for path in sorted(files):
        yield tree_item(path, files[path])


_API = r"/api/(?P<kind>models|datasets|spaces)/(?P<name>[^/]+/[^/]+)"
_FILES = r"/(?:(?P<kind>datasets|spaces)/)?(?P<name>[^/]+/[^/]+)"
_LFS = _FILES.replace(r"/[^/]+)", r"/[^/]+)\.git/info/lfs/objects")
_REVISION, _FILE = r"/(?P<revision>[^/]+)", r"/(?P<file>.+)"
ROUTES: list[tuple[str, str, Callable[[Api, Call], Reply]]] = [
    ("GET", r"/api/whoami-v2", Api.whoami),
    ("POST", r"/api/validate-yaml", Api.validate_yaml),
    ("POST", r"/api/repos/create", Api.create_repo),
    ("PUT", _API + r"/settings", Api.change_settings),
    ("GET", _API, Api.info),
    ("GET", _API + r"/revision" + _REVISION, Api.info),
    ("GET", _API + r"/refs", Api.list_refs),
    ("GET", _API + r"/commits" + _REVISION, Api.list_commits),
    ("GET", _API + r"/tree" + _REVISION + "/?", Api.tree),
    ("GET", _API + r"/tree" + _REVISION + _FILE, Api.tree),
    ("POST", _API + r"/paths-info" + _REVISION, Api.paths_info),
    ("POST", _API + r"/branch" + _REVISION, Api.create_branch),
    ("DELETE", _API + r"/branch" + _REVISION, Api.delete_branch),
    ("POST", _API + r"/tag" + _REVISION, Api.create_tag),
    ("POST", _API + r"/preupload" + _REVISION, Api.preupload),
    ("POST", _API + r"/commit" + _REVISION, Api.commit),
    ("POST", _LFS + r"/batch", Api.lfs_batch),
    ("POST", _LFS + r"/verify", Api.lfs_verify),
    ("PUT", _LFS + _FILE, Api.lfs_upload),
    ("GET", _FILES + r"/resolve" + _REVISION + _FILE, Api.resolve),
]


# HTTP --------------------------------------------------------------------------------------------


class _Handler(BaseHTTPRequestHandler):
    """Reads a request, lets the faults and the API decide, writes the reply."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # headers and body are two writes: no 40 ms wait between them

    def handle_request(self) -> None:
        hub: HubServer = self.server.hub
        headers = {key.lower(): value for key, value in self.headers.items()}
        fault = hub.note(Seen(self.command, self.path, headers))
        if fault.cut_request:
            self.rfile.read(int(headers.get("content-length", 0)) // 2)
            self.close_connection = True
            return
        body = self.read_body(headers)
        if body is None:
            self.close_connection = True  # half a request has no effect
            return
        hub.stopping.wait(fault.delay)
        self.send(self.reply_to(hub, fault, headers, body), fault)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = handle_request

    def read_body(self, headers: dict[str, str]) -> bytes | None:
        """The whole body, or None when the client hung up in its middle."""
        assert "transfer-encoding" not in headers, "this client always sends a Content-Length"
        length = int(headers.get("content-length", 0))
        body = self.rfile.read(length)
        return body if len(body) == length else None

    def reply_to(self, hub: "HubServer", fault: Fault, headers: dict, body: bytes) -> Reply:
        if fault.status is not None:
            return RefusedError(fault.status, fault.message, fault.code, fault.headers).reply
        url = urlsplit(self.path)
        query = dict(parse_qsl(url.query))
        try:
            with hub.lock:
                return hub.api.answer(self.command, Call(url.path, query, headers, body))
        except RefusedError as refusal:
            return refusal.reply
        except Exception as error:  # a call this file does not know: the `with` block raises it
            hub.mistakes.append(f"{self.command} {self.path}\n{traceback.format_exc()}")
            return RefusedError(501, f"hub_server.py failed: {error!r}").reply

    def send(self, reply: Reply, fault: Fault) -> None:
        body = fault.spoil(reply.body)
        if fault.cut:
            self.close_connection = True
            if self.command == "HEAD" or not body:
                return
        self.send_response(reply.status)
        for key, value in reply.headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[: len(body) // 2] if fault.cut else body)

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing: `HubServer.requests` is the log."""


class _Listener(ThreadingHTTPServer):
    request_queue_size = 64

    def __init__(self, port: int, hub: "HubServer") -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.hub = hub
        self.connections: set[socket.socket] = set()

    def process_request(self, request: socket.socket, client_address: object) -> None:
        self.connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: socket.socket) -> None:
        self.connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: object, client_address: object) -> None:
        if not isinstance(sys.exception(), ConnectionError):  # clients may hang up
            super().handle_error(request, client_address)

    def hang_up(self) -> None:
        """Ends the connections kept alive, whose threads would go on answering."""
        for connection in list(self.connections):
            with suppress(OSError):  # it was closed in this moment
                connection.shutdown(socket.SHUT_RDWR)


class HubServer:
    """The Hub, from `with HubServer(folder) as hub:` to the end of the block.

    `requests` lists what came in, `faults` what will go wrong (used-up faults leave the list), and
    `accounts` maps tokens to people: `token` may do everything, `READER` may not write, `STRANGER`
    belongs to somebody else. With `cdn`, files in LFS come from http://localhost instead of
    127.0.0.1, as the real Hub sends the client to another host, without its token.
    """

    READER, STRANGER = "hf_reader", "hf_stranger"

    def __init__(
        self, folder: Path, token: str = "hf_writer", port: int = 0, cdn: bool = True
    ) -> None:
        self.folder, self.token = Path(folder), token
        self.accounts = {
            token: Account("user"),
            self.READER: Account("reader", may_write=False),
            self.STRANGER: Account("stranger", member=False),
        }
        self.requests: list[Seen] = []
        self.faults: list[Fault] = []
        self.mistakes: list[str] = []
        self.lock = threading.RLock()
        self.stopping = threading.Event()
        self.api = Api(self.folder, self.accounts)
        self._listener = _Listener(port, self)
        self.port = self._listener.server_port
        self.url = self.api.url = f"http://127.0.0.1:{self.port}"
        self.api.cdn_url = f"http://localhost:{self.port}" if cdn else ""
        self._thread = threading.Thread(
            target=self._listener.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        )

    def __enter__(self) -> "HubServer":
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.stop()
        if kind is None and self.mistakes:
            raise RuntimeError("\n".join(self.mistakes))

    def stop(self) -> None:
        """Goes off the network, also in the middle of the block; the folder can be served again."""
        self.stopping.set()
        self._listener.shutdown()
        self._listener.hang_up()
        self._listener.server_close()

    def note(self, request: Seen) -> Fault:
        """Remembers a request and uses up the first fault meant for it."""
        with self.lock:
            self.requests.append(request)
            for fault in [f for f in self.faults if f.matches(request.method, request.path)]:
                if fault.skip:
                    fault.skip -= 1
                    continue
                fault.times -= 1
                if fault.times == 0:
                    self.faults.remove(fault)
                return fault
        return NO_FAULT

    def seen(self, method: str = ".*", path: str = "") -> list[Seen]:
        """The requests so far that a `Fault(method, path)` would have matched."""
        return [r for r in self.requests if Fault(method, path).matches(r.method, r.path)]

    def repo(self, name: str, kind: str = "models") -> Repo:
        """A repository as it is on disk, for a test to compare with."""
        return Repo(self.folder, kind, name)

    def environment(self, home: Path, token: str | None = None) -> dict[str, str]:
        """The environment for a client in a subprocess, without the user's own Hub settings."""
        ours = {
            "HF_ENDPOINT": self.url,
            "HF_HOME": str(home),
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "NO_PROXY": "127.0.0.1,localhost",
            "no_proxy": "127.0.0.1,localhost",
        }
        theirs = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "HUGGING"))}
        return theirs | ours | ({"HF_TOKEN": token} if token else {})
