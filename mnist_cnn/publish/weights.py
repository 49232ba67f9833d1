"""From a run folder to the Hugging Face Hub, in one commit that says what gets better.

`push` compares with what is there before it sends anything; see its docstring for what it refuses.
"""

import dataclasses
import json
import re
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx2
from huggingface_hub import CommitInfo, CommitOperationAdd, CommitOperationDelete, HfApi, get_token
from huggingface_hub.errors import RepositoryNotFoundError
from huggingface_hub.hf_api import RepoFile
from huggingface_hub.utils.sha import git_hash, sha_fileobj

from mnist_cnn import data, hub
from mnist_cnn.report import Report
from mnist_cnn.run import card

CARD = "README.md"
PUBLISHED = (
    *hub.WEIGHTS, "augmentation.json", CARD, "report.html", "augmented.png", "confusion.png",
    "curves.png", "filters.png", "mistakes.png", "per_class.png", "predictions.png",
)  # fmt: skip
_NO_REF = re.compile(r"[\s~^:?*\[\\]|\.\.|@{|//|^[-/.]|[/.]$|\.lock$")


@dataclass(frozen=True)
class Change:
    """What a push does to one file."""

    path: str
    what: str  # new, changed, deleted or same
    size: int  # bytes, after the push

    def __str__(self) -> str:
        return f"  {self.what:8} {self.path}" + (f" ({self.size:,} bytes)" if self.size else "")


@dataclass(frozen=True)
class Push:
    """What was pushed, or with `dry_run` what would be."""

    title: str  # of the commit or pull request: accuracy before → after
    changes: tuple[Change, ...]
    url: str | None  # of the commit or pull request; None if there was nothing to send

    def __str__(self) -> str:
        return "\n".join([self.title, *map(str, self.changes)])


def push(
    folder: str | Path,
    repo_id: str,
    *,
    private: bool = False,
    revision: str | None = None,
    create_pr: bool = False,
    tag: str | None = None,
    dry_run: bool = False,
    force: bool = False,
    token: str | None = None,
) -> Push:
    """Publish a run folder in one commit, making repo and branch if needed.

    Files of other names stay at home, and the folder is not changed. What people wrote into the
    card on the Hub stays; see `card.merge`. Where nothing changed there is no commit. A push that
    fails leaves the repo's branches as they were, and can be repeated.

    Args:
        folder: a run folder of train.py; the caller has loaded its weights.
        repo_id: `USER/NAME`.
        private: if the repo is made now.
        revision: the branch to push to, made from main if needed; default main.
        create_pr: open a pull request instead; needs no right to write.
        tag: a name for the commit.
        dry_run: only say what would change; sends nothing.
        force: also weights that are worse, or that cannot be compared; a repo of another library.

    Raises:
        ValueError: malformed id, incomplete folder, worse weights, or no right to write.
        ConnectionError: the Hub could not be reached, or somebody else pushed in the meantime.
    """
    folder = Path(folder)
    _check_arguments(folder, repo_id, create_pr, revision, tag)
    api = HfApi(token=token)
    with hub.explained(repo_id, revision):
        there = _look(api, repo_id, revision)
    if private and there.exists and not there.private:
        raise ValueError(f"{repo_id} exists and is public: change that on its settings page")
    files, report = _files(folder, repo_id, there)
    before = _before(report, there, repo_id)
    if not force:
        _refuse_worse(report, before, there, repo_id)
    changes = compare(files, there.tree, {name for name in PUBLISHED if name not in files})
    is_same = all(change.what == "same" for change in changes)
    _check_tag(tag, repo_id, there, moves=not is_same)
    title, text = _message(report, before)
    if dry_run:
        return Push(title, changes, None)
    commit, url = there.commit, None
    with hub.explained(repo_id, revision):
        if not is_same:
            message = {"commit_message": title, "commit_description": text}
            wanted = operations(files, changes)
            done = _commit(api, repo_id, there, private, wanted, create_pr=create_pr, **message)
            commit, url = done.oid, done.pr_url or done.commit_url
        elif there.makes_branch:
            api.create_branch(repo_id, branch=there.branch, revision=commit)
    if tag and there.tags.get(tag) != commit:
        _tag(api, repo_id, tag, commit)
    return Push(title, changes, url)


def _check_arguments(
    folder: Path, repo_id: str, create_pr: bool, revision: str | None, tag: str | None
) -> None:
    if hub.split_repo_id(repo_id)[1]:
        raise ValueError(
            f"a revision cannot be part of the repo to push to: pass {repo_id.partition('@')[0]} "
            "and --revision BRANCH"
        )
    for name in filter(None, (revision, tag)):
        if _NO_REF.search(name):
            raise ValueError(f"git has no branches or tags of a name like {name!r}: pass another")
    if create_pr and (tag or revision):
        raise ValueError("a pull request goes to main and has no tag: leave out --revision, --tag")
    missing = [name for name in hub.NEEDED if not (folder / name).is_file()]
    if missing:
        raise ValueError(f"{folder} is not a finished run: it has no {' and no '.join(missing)}")


def check_login(repo_id: str) -> None:
    """Say before a long training, not after it, that nobody is logged in who may push.

    Raises:
        ValueError: malformed repo id; no token, a wrong one, or one that may only read.
        ConnectionError: the Hub could not be reached.
    """
    hub.split_repo_id(repo_id)
    if not get_token():
        raise ValueError("pushing needs a token: run `hf auth login` first")
    with hub.explained(repo_id):
        account = HfApi().whoami()
    if account.get("auth", {}).get("accessToken", {}).get("role") == "read":
        raise ValueError("the token may only read: run `hf auth login` with one that may write")


# What is on the Hub -------------------------------------------------------------------------------


@dataclass(frozen=True)
class _There:
    """The state of a repo at the branch that is pushed to."""

    exists: bool = False
    private: bool = False
    branch: str = "main"
    makes_branch: bool = False
    commit: str = ""  # none in a repo that does not exist
    tags: Mapping[str, str] = field(default_factory=dict)  # name → commit
    tree: Mapping[str, RepoFile] = field(default_factory=dict)  # path → its size and hash
    report: Report | None = None  # of the weights there
    has_bad_report: bool = False  # one that cannot be read
    card: str = ""
    foreign: str = ""  # why the repo does not look like one of ours


def _look(api: HfApi, repo_id: str, revision: str | None) -> _There:
    try:
        info = api.model_info(repo_id)
    except RepositoryNotFoundError:
        return _There(branch=revision or "main", makes_branch=revision not in (None, "main"))
    refs = api.list_repo_refs(repo_id)
    branches = {ref.name: ref.target_commit for ref in refs.branches}
    tags = {ref.name: ref.target_commit for ref in refs.tags}
    branch = revision or "main"
    if branch in tags:
        raise ValueError(f"{branch!r} is a tag of {repo_id}: pass a branch to push to")
    commit = branches.get(branch) or str(info.sha)
    if branch.startswith("refs/pr/"):
        commit = str(api.model_info(repo_id, revision=branch).sha)
        branches = {branch: commit}
    listed = api.list_repo_tree(repo_id, revision=commit, recursive=True)
    tree = {file.path: file for file in listed if isinstance(file, RepoFile)}
    texts = _texts(api, repo_id, commit, tree)
    report = _report(texts["report.json"])
    return _There(
        exists=True,
        private=bool(info.private),
        branch=branch,
        makes_branch=branch not in branches,
        commit=commit,
        tags=tags,
        tree=tree,
        report=report,
        has_bad_report=report is None and texts["report.json"] is not None,
        card=texts[CARD] or "",
        foreign=_foreign(tree, texts["config.json"]),
    )


def _texts(api: HfApi, repo_id: str, commit: str, tree: Mapping[str, RepoFile]) -> dict:
    """The small files of a commit that a push looks into; None for those that are not there."""
    names = ("config.json", "report.json", CARD)
    with tempfile.TemporaryDirectory() as folder:
        return {
            name: Path(
                api.hf_hub_download(repo_id, name, revision=commit, cache_dir=folder)
            ).read_text(encoding="utf-8", errors="replace")
            if name in tree and tree[name].size <= hub.WEIGHTS["report.json"]
            else None
            for name in names
        }


def _report(text: str | None) -> Report | None:
    """The report that a text is; None if there is none, or if it cannot be read."""
    with suppress(ValueError):
        return Report.from_json(text.encode(), "the Hub") if text is not None else None
    return None


def _foreign(tree: Mapping[str, RepoFile], config: str | None) -> str:
    if config is None:
        endings = (".bin", ".safetensors", ".pt", ".pth", ".onnx", ".gguf", ".h5", ".keras")
        others = [path for path in tree if path.endswith(endings)]
        return f"holds {others[0]} without a config.json of mnist_cnn" if others else ""
    try:
        values = json.loads(config)
        ours = {"channels", "class_names", "version"} <= values.keys()
    except (ValueError, AttributeError, RecursionError):
        ours = False
    return "" if ours else "has a config.json of another library"


# What is compared ---------------------------------------------------------------------------------


def _files(folder: Path, repo_id: str, there: _There) -> tuple[dict[str, bytes], Report | None]:
    """The contents to publish by their names, and the report among them."""
    files = {name: (folder / name).read_bytes() for name in PUBLISHED if (folder / name).is_file()}
    report = None
    if "report.json" in files:
        report = Report.from_json(files["report.json"], f"folder {folder.name}")
    ours = card.render(report, repo_id=repo_id)
    if CARD in files:  # whose author did not know the repo
        ours = card.fill(files[CARD].decode(), {"use": card.blocks(ours)["use"]})
    if there.card:
        try:
            ours = card.merge(there.card, ours)
        except ValueError as error:
            raise ValueError(f"{repo_id}: {error}. Correct it on the Hub, then repeat.") from error
    return files | {CARD: ours.encode()}, report


def _before(report: Report | None, there: _There, repo_id: str) -> Report | None:
    """What the weights there reached on a test set; on that of the new ones, if it is known.

    Weights that were fine-tuned from those there bring the figure along in their report.
    """
    brought = report.before if report else None
    if report and brought and brought.weights == f"Hub repo {repo_id} at commit {there.commit}":
        return dataclasses.replace(report, test=brought.test)
    return there.report


def _refuse_worse(
    report: Report | None, before: Report | None, there: _There, repo_id: str
) -> None:
    """Only weights that are known to be as good as those there may replace them unasked."""
    if there.foreign:
        raise ValueError(f"{repo_id} {there.foreign}: push to another repo, or pass --force")
    reason = ""
    if before is None:
        reason = "the report there cannot be read" if there.has_bad_report else ""
    elif report is None:
        reason = "the new ones have no report"
    elif _test_set(before) != _test_set(report):
        reason = f"those were tested on {_test_set(before)}, these on {_test_set(report)}"
    elif (new := report.test).accuracy < (old := before.test).accuracy:
        reason = (
            f"accuracy {old.accuracy:.2%} → {new.accuracy:.2%}, errors "
            f"{old.errors} → {new.errors} of {old.n:,}"
        )
    if reason:
        raise ValueError(
            f"the weights in {repo_id} are not replaced by worse ones, or by ones that may be: "
            f"{reason}. Pass --force to replace them, or --create-pr with --force to propose it."
        )


def _check_tag(tag: str | None, repo_id: str, there: _There, moves: bool) -> None:
    if tag and tag in there.tags and (moves or there.tags[tag] != there.commit):
        raise ValueError(
            f"{repo_id} has a tag {tag!r} already, at commit {there.tags[tag][:8]}: pass another"
        )


def _test_set(report: Report) -> str:
    dataset = report.dataset
    known = dataset in data.DATASETS or data.is_folder(dataset)
    return f"{report.test.n:,} {data.title(dataset) if known else dataset} test images"


def _message(report: Report | None, before: Report | None) -> tuple[str, str]:
    """Title and text of the commit: accuracy before → after, and how the weights were made."""
    if not report:
        return "weights: not measured", ""
    title = f"{report.name}: "
    title += f"{before.test.accuracy:.2%} → " if before else ""
    title += f"{report.test.accuracy:.2%} accuracy on {_test_set(report)}"
    rows = [("", *(["before"] if before else []), "after")]
    for key, form in (("accuracy", "{:.2%}"), ("errors", "{}"), ("ece", "{:.2%}"), ("n", "{:,}")):
        cells = [form.format(getattr(part.test, key)) for part in (before, report) if part]
        rows.append((key, *cells))
    made = f"\n\nMade by `{report.command}`."
    commit = f" Code: {report.git_commit}." if report.git_commit else ""
    return title, card.table(*rows) + made + commit


def compare(
    files: Mapping[str, bytes], tree: Mapping[str, RepoFile], unwanted: set[str]
) -> tuple[Change, ...]:
    """What would happen to each file; those of `tree` that are not named stay as they are."""
    changes = []
    for path, content in sorted(files.items()):
        what = "new" if path not in tree else "same" if _same(content, tree[path]) else "changed"
        changes.append(Change(path, what, len(content)))
    gone = [Change(path, "deleted", 0) for path in sorted(unwanted) if path in tree]
    return (*changes, *gone)


def _same(content: bytes, there: RepoFile) -> bool:
    if there.lfs:
        return sha_fileobj(BytesIO(content)).hex() == there.lfs.sha256
    return git_hash(content) == there.blob_id


# What is sent -------------------------------------------------------------------------------------


def operations(files: Mapping[str, bytes], changes: tuple[Change, ...]) -> list:
    """The operations of a commit that makes these changes."""
    return [
        CommitOperationDelete(change.path)
        if change.what == "deleted"
        else CommitOperationAdd(change.path, files[change.path])
        for change in changes
        if change.what != "same"
    ]


def _commit(
    api: HfApi, repo_id: str, there: _There, private: bool, wanted: list, **how: Any
) -> CommitInfo:
    parent = there.commit
    if not there.exists:
        api.create_repo(repo_id, private=private)  # 409 if somebody else was faster
        parent = str(api.model_info(repo_id).sha)
    if there.makes_branch:
        api.create_branch(repo_id, branch=there.branch, revision=parent)
    try:
        # With `parent_commit` it is refused if somebody else was faster.
        return api.create_commit(
            repo_id, wanted, revision=there.branch, parent_commit=parent, **how
        )
    except BaseException:
        if there.makes_branch:
            _take_back(api, repo_id, there.branch, parent)
        raise


def _tag(api: HfApi, repo_id: str, tag: str, commit: str) -> None:
    try:
        with hub.explained(repo_id):
            api.create_tag(repo_id, tag=tag, revision=commit)
    except (ValueError, OSError) as error:
        message = f"the weights are in {repo_id} at commit {commit[:8]}, but have no tag {tag!r}"
        raise type(error)(f"{message}: {error}") from error


def _take_back(api: HfApi, repo_id: str, branch: str, parent: str) -> None:
    """Remove a branch that was made for nothing; the failure itself matters more."""
    with suppress(httpx2.HTTPError, OSError):
        heads = {ref.name: ref.target_commit for ref in api.list_repo_refs(repo_id).branches}
        if heads.get(branch) == parent:  # the commit may have arrived, and only its reply not
            api.delete_branch(repo_id, branch=branch)
