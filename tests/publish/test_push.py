"""Publishing: one commit or none, never worse by accident, and nobody's words are lost."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hub_server import Fault, HubServer
from huggingface_hub import HfApi, ModelCard
from huggingface_hub.errors import HfHubHTTPError

import train
from mnist_cnn import PRESETS, MnistCNN, load_model
from mnist_cnn.__main__ import main
from mnist_cnn.publish import weights as publish
from mnist_cnn.run import card

ROOT = Path(__file__).parents[2]
REPO = "user/digits"


@pytest.fixture
def run(finished_run, tmp_path) -> Path:
    """A run folder that the test may change."""
    folder = tmp_path / "notebook-seed0"
    shutil.copytree(finished_run, folder)
    (folder / "private.txt").write_text("stays at home")
    return folder


def scored(run: Path, errors: int, **changes) -> Path:
    """The run as if its weights made so many errors, and with other weights."""
    report = json.loads((run / "report.json").read_text())
    n = report["test"]["n"]
    report["test"] |= {"errors": errors, "accuracy": 1 - errors / n}
    (run / "report.json").write_text(json.dumps(report | changes))
    model = MnistCNN.from_pretrained(run)
    model.head[1].bias.data += 1.0
    report = model.report
    model.save_pretrained(run)
    return run


def push(*arguments: str | Path) -> int:
    return main(["push", *map(str, arguments)])


def commits(hub: HubServer, revision: str = "main") -> list[str]:
    return [record["title"] for record in hub.repo(REPO).history(revision)]


# One commit ---------------------------------------------------------------------------------------


def test_a_first_push_and_back(hub, run, capsys):
    scored(run, 30)
    assert push(run, REPO) == 0
    title = "notebook: 97.00% accuracy on 1,000 synthetic test images"
    assert commits(hub) == [title, "initial commit"]
    files = hub.repo(REPO).files()
    unseen = {"augmented.png"}  # the recipe augments nothing
    assert files.keys() - {".gitattributes"} == set(publish.PUBLISHED) - unseen
    for name in files.keys() - {".gitattributes", "README.md"}:
        assert files[name] == (run / name).read_bytes()
    out = capsys.readouterr().out
    commit = hub.repo(REPO).resolve()
    assert out.splitlines()[0] == title
    assert f"published: {hub.url}/{REPO}/commit/{commit}" in out
    assert load_model(REPO).report == load_model(run).report


def test_the_next_push_says_before_and_after(hub, run):
    push(scored(run, 30), REPO)
    assert push(scored(run, 20), REPO) == 0
    last = hub.repo(REPO).commit_record()
    assert last["title"] == "notebook: 97.00% → 98.00% accuracy on 1,000 synthetic test images"
    assert "| errors | 30 | 20 |" in last["message"]
    assert "Made by `python train.py --recipe notebook" in last["message"]
    assert len(commits(hub)) == 3


def test_nothing_changed_is_no_commit(hub, run, capsys):
    push(run, REPO)
    capsys.readouterr()
    assert push(run, REPO) == 0
    assert len(commits(hub)) == 2
    assert "nothing changed: no commit" in capsys.readouterr().out
    assert len(hub.seen("POST", "/commit/")) == 1


def test_a_dry_run_lists_and_sends_nothing(hub, run, capsys):
    assert push(run, REPO, "--dry-run") == 0
    assert not hub.repo(REPO).exists
    assert "new      model.safetensors (" in capsys.readouterr().out
    push(run, REPO)
    hub.requests.clear()
    capsys.readouterr()
    (run / "curves.png").unlink()
    assert push(scored(run, 0), REPO, "--dry-run") == 0
    out = capsys.readouterr().out
    for line in ("changed  model.safetensors", "same     config.json", "deleted  curves.png"):
        assert line in out
    assert "nothing was sent" in out
    assert {request.method for request in hub.requests} <= {"GET", "HEAD"}
    assert len(commits(hub)) == 2


def test_pictures_of_older_weights_go(hub, run):
    push(run, REPO)
    (run / "mistakes.png").unlink()
    push(scored(run, 0), REPO)
    assert "mistakes.png" not in hub.repo(REPO).files()


def test_other_files_on_the_hub_stay(hub, run):
    push(run, REPO)
    HfApi().upload_file(path_or_fileobj=b"hello", path_in_repo="notes.txt", repo_id=REPO)
    push(scored(run, 0), REPO)
    assert hub.repo(REPO).files()["notes.txt"] == b"hello"


# Worse weights ------------------------------------------------------------------------------------


def test_worse_weights_are_refused(hub, run, capsys):
    push(scored(run, 20), REPO)
    assert push(scored(run, 21), REPO) == 1
    err = capsys.readouterr().err
    assert "accuracy 98.00% → 97.90%, errors 20 → 21 of 1,000" in err
    assert "--force" in err
    assert len(commits(hub)) == 2
    assert push(run, REPO, "--force") == 0
    assert commits(hub)[0].startswith("notebook: 98.00% → 97.90%")


def test_equal_weights_are_not_worse(hub, run):
    push(scored(run, 20), REPO)
    assert push(scored(run, 20), REPO) == 0


@pytest.mark.parametrize("how", ["another test set", "no report", "unreadable report there"])
def test_weights_that_cannot_be_compared_are_refused(hub, run, capsys, how):
    push(scored(run, 20), REPO)
    if how == "another test set":
        recipe = load_model(run).report.recipe | {"dataset": "mnist"}
        scored(run, 0, recipe=recipe)
        message = "tested on 1,000 synthetic test images, these on 1,000 MNIST test images"
    elif how == "no report":
        (run / "report.json").unlink()
        message = "the new ones have no report"
    else:
        HfApi().upload_file(path_or_fileobj=b"[]", path_in_repo="report.json", repo_id=REPO)
        message = "the report there cannot be read"
    before = commits(hub)
    assert push(run, REPO) == 1
    assert message in capsys.readouterr().err
    assert commits(hub) == before
    assert push(run, REPO, "--force") == 0


@pytest.mark.parametrize("files", [{"config.json": b"{}"}, {"pytorch_model.bin": b"x"}])
def test_a_repo_of_another_library_is_left_alone(hub, run, capsys, files):
    api = HfApi()
    api.create_repo(REPO)
    for name, content in files.items():
        api.upload_file(path_or_fileobj=content, path_in_repo=name, repo_id=REPO)
    assert push(run, REPO) == 1
    assert "push to another repo, or pass --force" in capsys.readouterr().err
    assert "model.safetensors" not in hub.repo(REPO).files()


# Branches, pull requests, tags --------------------------------------------------------------------


def test_a_branch_is_made_when_needed(hub, run):
    push(scored(run, 30), REPO)
    main = hub.repo(REPO).resolve()
    assert push(scored(run, 20), REPO, "--revision", "trial") == 0
    assert hub.repo(REPO).resolve() == main
    assert commits(hub, "trial")[0].startswith("notebook: 97.00% → 98.00%")
    assert load_model(f"{REPO}@trial").report.test.errors == 20
    assert push(scored(run, 25), REPO, "--revision", "trial") == 1  # compared with the branch


def test_a_first_push_may_go_to_a_branch(hub, run):
    assert push(run, REPO, "--revision", "trial") == 0
    assert len(commits(hub, "trial")) == 2
    assert commits(hub) == ["initial commit"]


def test_a_pull_request_shows_before_and_after(hub, run, capsys, monkeypatch):
    push(scored(run, 30), REPO)
    main = hub.repo(REPO).resolve()
    monkeypatch.setenv("HF_TOKEN", HubServer.STRANGER)  # who may not write
    assert push(scored(run, 20), REPO, "--create-pr") == 0
    assert f"published: {hub.url}/{REPO}/discussions/1" in capsys.readouterr().out
    assert hub.repo(REPO).resolve() == main
    assert commits(hub, "refs/pr/1")[0].startswith("notebook: 97.00% → 98.00%")
    assert load_model(f"{REPO}@refs/pr/1").report.test.errors == 20


def test_a_tag_names_the_commit(hub, run, capsys):
    assert push(scored(run, 30), REPO, "--tag", "v1") == 0
    first = hub.repo(REPO).resolve()
    assert hub.repo(REPO).resolve("v1") == first
    assert push(run, REPO, "--tag", "v1") == 0  # repeated: nothing to do
    assert push(run, REPO, "--tag", "best") == 0  # nothing changed, and a second name
    assert hub.repo(REPO).resolve("best") == first
    assert push(scored(run, 20), REPO, "--tag", "v1") == 1
    assert "has a tag 'v1' already" in capsys.readouterr().err
    assert hub.repo(REPO).resolve() == first


def test_private_is_kept_private(hub, run, capsys):
    assert push(run, REPO, "--private") == 0
    assert hub.repo(REPO).private
    HfApi().update_repo_settings(REPO, private=False)
    assert push(scored(run, 0), REPO, "--private") == 1
    assert "exists and is public" in capsys.readouterr().err


# The card -----------------------------------------------------------------------------------------


def on_hub(hub: HubServer, name: str = "README.md") -> str:
    return hub.repo(REPO).files()[name].decode()


def test_the_card_loads_the_repo_that_it_lies_in(hub, run):
    push(run, REPO)
    assert f'model = load_model("{REPO}")' in on_hub(hub)
    assert "USER/NAME" not in on_hub(hub)


def test_what_a_person_wrote_into_the_card_stays(hub, run):
    push(scored(run, 30), REPO)
    edited = on_hub(hub).replace("## Uses\n", "## Uses\n\nMy own words.\n")
    edited = edited.replace("license: mit", "license: apache-2.0\nthumbnail: seven.png")
    edited = edited.replace("| errors | 30 |", "| errors | none at all |")  # in a generated block
    edited = edited.replace("# MnistCNN\n", "# Sevens\n")
    HfApi().upload_file(path_or_fileobj=edited.encode(), path_in_repo="README.md", repo_id=REPO)
    scored(run, 20)
    (run / "README.md").write_text(card.render(load_model(run).report))
    assert push(run, REPO) == 0
    merged = on_hub(hub)
    assert "My own words." in merged
    assert "# Sevens" in merged
    assert "| errors | 20 |" in merged
    assert "none at all" not in merged
    data = ModelCard(merged).data
    assert (data.license, data["thumbnail"]) == ("apache-2.0", "seven.png")
    assert push(run, REPO) == 0  # and merging again changes nothing
    assert len(commits(hub)) == 4


def test_the_hubs_stub_of_a_card_is_replaced_and_its_licence_stays(hub, run):
    api = HfApi()
    api.create_repo(REPO)
    stub = b"---\nlicense: apache-2.0\n---\n"
    api.upload_file(path_or_fileobj=stub, path_in_repo="README.md", repo_id=REPO)
    assert push(run, REPO) == 0
    data = ModelCard(on_hub(hub)).data
    assert (data.license, data.library_name) == ("apache-2.0", "mnist_cnn")
    assert "## Limits" in on_hub(hub)


def test_a_card_that_cannot_be_read_is_not_overwritten(hub, run, capsys):
    push(run, REPO)
    broken = on_hub(hub).replace("license: mit", "license: [mit")
    HfApi().upload_file(path_or_fileobj=broken.encode(), path_in_repo="README.md", repo_id=REPO)
    assert push(scored(run, 0), REPO) == 1
    assert "the metadata of README.md cannot be read" in capsys.readouterr().err
    assert on_hub(hub) == broken


def test_the_mixins_own_push_leaves_a_card_as_people_wrote_it(hub, run):
    push(run, REPO)
    card = b"---\nlicense: mit\n---\n# Mine"
    HfApi().upload_file(path_or_fileobj=card, path_in_repo="README.md", repo_id=REPO)
    model = MnistCNN(PRESETS["sgd"])
    assert model.push_to_hub(REPO).endswith(f"/{REPO}/commit/{hub.repo(REPO).resolve()}")
    assert load_model(REPO).config == PRESETS["sgd"]
    assert hub.repo(REPO).files()["README.md"] == card
    model.push_to_hub("user/new")
    assert load_model("user/new").report is None
    assert "README.md" not in hub.repo("user/new").files()
    with pytest.raises(ValueError, match="call push_to_hub to publish"):
        model.save_pretrained(run, push_to_hub=True)


# Pushes that break --------------------------------------------------------------------------------


def test_a_branch_is_made_for_weights_that_are_there_already(hub, run, capsys):
    push(run, REPO)
    assert push(run, REPO, "--revision", "trial") == 0
    assert "nothing changed: no commit" in capsys.readouterr().out
    assert hub.repo(REPO).resolve("trial") == hub.repo(REPO).resolve()


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ({"status": 409}, "was changed by somebody else in the meantime"),
        ({"status": 500}, "the Hub is out of order (status 500)"),
        ({"cut_request": True}, "the connection to the Hub broke"),
    ],
)
def test_a_tag_that_fails_is_told_from_a_push_that_fails(hub, run, capsys, fault, message):
    hub.faults.append(Fault("POST", "/tag/", times=9, **fault))
    assert push(run, REPO, "--tag", "v1") == 1
    commit = hub.repo(REPO).resolve()
    err = capsys.readouterr().err
    assert f"the weights are in {REPO} at commit {commit[:8]}, but have no tag 'v1': " in err
    assert message in err
    hub.faults.clear()
    assert push(run, REPO, "--tag", "v1") == 0
    assert hub.repo(REPO).resolve("v1") == commit
    assert len(commits(hub)) == 2


def test_a_repo_that_somebody_else_makes_in_the_meantime_is_left_alone(
    hub, run, capsys, monkeypatch
):
    compare = publish.compare

    def meanwhile(*arguments):
        HfApi().create_repo(REPO)
        return compare(*arguments)

    monkeypatch.setattr(publish, "compare", meanwhile)
    assert push(run, REPO) == 1
    assert "was changed by somebody else in the meantime" in capsys.readouterr().err
    assert commits(hub) == ["initial commit"]


STEPS = {
    "looking": ("GET", "/api/models/.*/refs"),
    "upload": ("PUT", "/lfs/objects/"),
    "verify": ("POST", "/lfs/objects/verify"),
    "commit": ("POST", "/commit/"),
}


def test_no_address_of_the_storage_is_shown(hub, run, capsys):
    """Who has it may upload for a while, or download from a private repo: as good as a token."""
    hub.faults.append(Fault("PUT", "/lfs/objects/", times=9, status=404, message=""))
    assert push(run, REPO) == 1
    hub.faults.clear()
    push(run, REPO)
    hub.faults.append(Fault("GET", "signature=", times=9, status=404, message=""))
    assert main(["predict", "--model", REPO, "x.png"]) == 1
    err = capsys.readouterr().err
    assert err.count("the Hub refuses user/digits (status 404): ") == 2
    assert "signature" not in err


def test_a_login_page_instead_of_the_hub(hub, run, capsys):
    push(run, REPO)
    hub.faults.append(Fault("GET", "/api/models", corrupt=True, truncate=True))
    assert push(run, REPO) == 1
    assert "what answers is not the Hub, but perhaps a page" in capsys.readouterr().err


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize(
    "fault", [{"status": 500}, {"status": 503}, {"cut_request": True}, {"delay": 3600}]
)
def test_a_push_that_breaks_changes_nothing_and_can_be_repeated(
    hub, run, capsys, monkeypatch, step, fault
):
    monkeypatch.setattr("mnist_cnn.hub.errors.SILENCE", 0.5)
    push(scored(run, 30), REPO)
    refs = hub.repo(REPO).refs()
    method, path = STEPS[step]
    hub.faults.append(Fault(method, path, times=99, **fault))
    assert push(scored(run, 20), REPO, "--revision", "trial") == 1
    err = capsys.readouterr().err
    assert err.startswith("mnist-cnn: the ")
    assert hub.repo(REPO).refs() == refs
    hub.faults.clear()
    assert push(run, REPO, "--revision", "trial") == 0
    assert load_model(f"{REPO}@trial").report.test.errors == 20


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (401, "the token: it is wrong or expired"),
        (403, "the token may not write to user/digits"),
        (409, "was changed by somebody else"),
        (412, "was changed by somebody else"),
        (429, "asks for fewer requests: try again after 7 seconds"),
    ],
)
def test_a_refused_commit_says_why(hub, run, capsys, status, message):
    push(scored(run, 30), REPO)
    fault = Fault("POST", "/commit/", times=9, status=status, headers={"Retry-After": "7"})
    hub.faults.append(fault)
    assert push(scored(run, 20), REPO) == 1
    assert message in capsys.readouterr().err
    assert len(commits(hub)) == 2


def test_a_commit_whose_reply_was_lost_is_found_when_repeated(hub, run, capsys):
    push(scored(run, 30), REPO)
    hub.faults.append(Fault("POST", "/commit/", cut=True))
    assert push(scored(run, 20), REPO, "--revision", "trial") == 1
    assert commits(hub, "trial")[0].startswith("notebook: 97.00% → 98.00%")  # it had arrived
    assert push(run, REPO, "--revision", "trial") == 0
    assert "nothing changed: no commit" in capsys.readouterr().out


def test_somebody_elses_push_in_the_meantime_is_not_overwritten(hub, run, capsys, monkeypatch):
    push(scored(run, 30), REPO)
    compare = publish.compare

    def meanwhile(*arguments):
        HfApi().upload_file(path_or_fileobj=b"1", path_in_repo="theirs.txt", repo_id=REPO)
        return compare(*arguments)

    monkeypatch.setattr(publish, "compare", meanwhile)
    assert push(scored(run, 20), REPO) == 1
    assert "was changed by somebody else in the meantime" in capsys.readouterr().err
    assert len(commits(hub)) == 3


# Who may not, and what is not a run ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("token", "message"),
    [
        (None, "run `hf auth login`"),
        ("hf_wrong_token", "the token: it is wrong or expired"),
        (HubServer.READER, "the token may not write to user/digits"),
        (HubServer.STRANGER, "the token may not write to user/digits"),
    ],
)
@pytest.mark.parametrize("exists", [True, False])
def test_a_push_without_the_right_to_write(hub, run, capsys, monkeypatch, token, message, exists):
    if exists:
        push(scored(run, 30), REPO)
    before = {file: file.read_bytes() for file in run.rglob("*") if file.is_file()}
    if token:
        monkeypatch.setenv("HF_TOKEN", token)
    else:
        monkeypatch.delenv("HF_TOKEN")
    assert push(scored(run, 20) if exists else run, REPO) == 1
    out, err = capsys.readouterr()
    assert message in err
    assert str(token) not in out + err
    assert hub.repo(REPO).exists == exists
    if exists:
        assert len(commits(hub)) == 2
    else:
        assert {file: file.read_bytes() for file in before} == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["no/such/name"], "is not a folder here, and not a Hub repo id"),
        (["datasets/user/digits"], "is the address of a dataset; a model's repo is needed"),
        (["user/digits@main"], "pass user/digits and --revision BRANCH"),
        ([REPO, "--create-pr", "--tag", "v1"], "a pull request goes to main and has no tag"),
        ([REPO, "--create-pr", "--revision", "x"], "a pull request goes to main"),
        ([REPO, "--tag", "best of all"], "no branches or tags of a name like 'best of all'"),
        ([REPO, "--revision", "../main"], "no branches or tags of a name like '../main'"),
    ],
)
def test_bad_wishes_are_refused_before_anything_is_sent(hub, run, capsys, arguments, message):
    assert push(run, *arguments) == 1
    assert message in capsys.readouterr().err
    assert hub.requests == []


def test_folders_that_are_no_run(hub, run, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    assert push(tmp_path / "empty", REPO) == 1
    assert "it has no config.json and no model.safetensors" in capsys.readouterr().err
    shutil.copy(ROOT / "mnist_cnn" / "weights" / "model.safetensors", run)
    assert push(run, REPO) == 1
    assert "does not fit its config.json" in capsys.readouterr().err
    assert hub.requests == []


def test_a_branch_that_is_a_tag(hub, run, capsys):
    push(run, REPO, "--tag", "v1")
    assert push(scored(run, 0), REPO, "--revision", "v1") == 1
    assert "'v1' is a tag of user/digits: pass a branch" in capsys.readouterr().err


# Training publishes -------------------------------------------------------------------------------

TINY = ["--dataset", "synthetic", "--recipe", "compact", "--epochs", "1", "--val-size", "0"]


def test_training_publishes_its_run_and_leaks_no_token(hub, tmp_path):
    """A process of its own, whose push fails; then everything it left is searched."""
    hub.faults.append(Fault("POST", "/commit/", times=99, status=500))
    out = tmp_path / "run"
    command = [sys.executable, "train.py", *TINY, "--out", str(out), "--push-to-hub", REPO]
    started = subprocess.Popen(
        command,
        cwd=ROOT,
        env=hub.environment(tmp_path / "home", token=hub.token),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    arguments = (Path("/proc") / str(started.pid) / "cmdline").read_bytes()
    stdout, stderr = started.communicate(timeout=120)
    assert started.returncode == 1
    assert "the Hub is out of order (status 500)" in stderr
    assert f"To push it: python -m mnist_cnn push {out} {REPO}" in stderr
    assert "Traceback" not in stderr
    left = [file for file in [*out.rglob("*"), *(tmp_path / "home").rglob("*")] if file.is_file()]
    assert {"report.json", "README.md", "last.pt"} <= {file.name for file in left}
    for text in (arguments, stdout.encode(), stderr.encode(), *(f.read_bytes() for f in left)):
        assert hub.token.encode() not in text
    hub.faults.clear()
    assert push(out, REPO) == 0
    assert load_model(REPO).report.name == "compact"


def test_no_token_in_an_exception(hub, run):
    hub.faults.append(Fault("POST", "/commit/", times=99, status=500))
    with pytest.raises(ConnectionError) as caught:
        publish.push(run, REPO)
    error: BaseException | None = caught.value
    causes = []
    while error:
        causes.append(error)
        assert hub.token not in f"{error!r} {error} {vars(error)}"
        error = error.__cause__ or error.__context__
    assert any(isinstance(cause, HfHubHTTPError) for cause in causes)


def test_training_asks_for_the_token_first(hub, tmp_path, capsys, monkeypatch):
    command = [*TINY, "--out", str(tmp_path / "run"), "--push-to-hub"]
    assert train.main([*command, "no/such/name"]) == 1
    for token, message in (
        (None, "pushing needs a token: run `hf auth login` first"),
        ("hf_wrong_token", "the token: it is wrong or expired"),
        (HubServer.READER, "the token may only read"),
    ):
        if token:
            monkeypatch.setenv("HF_TOKEN", token)
        else:
            monkeypatch.delenv("HF_TOKEN")
        assert train.main([*command, REPO]) == 1
        assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
