"""Pushing and pulling against a local server that speaks the Hub's protocol."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hub_server import HubServer

from mnist_cnn import PRESETS, MnistCNN

ROOT = Path(__file__).parent.parent
REPO = "someone/digits"


@pytest.fixture
def server(tmp_path):
    with HubServer(tmp_path / "hub", token="hf_secret_token") as server:
        yield server


@pytest.fixture
def run(tmp_path) -> Path:
    """A small run folder."""
    folder = tmp_path / "run"
    model = MnistCNN(PRESETS["compact"])
    model.report = {"name": "compact", "test": {"accuracy": 0.5, "n": 10, "errors": 5}}
    model.save_pretrained(folder)
    (folder / "README.md").write_text("---\nlicense: mit\n---\n# Card\n")
    (folder / "private.txt").write_text("stays at home")
    return folder


def client(server, home: Path, *command: str, token: str | None = None, **environment: str):
    """Run a command of this project with the Hub client pointed at the server."""
    return subprocess.run(
        [sys.executable, *command],
        cwd=ROOT,
        env={**server.environment(home, token=token), "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


LOAD = """
import json, sys, logging
from mnist_cnn import MnistCNN
model = MnistCNN.from_pretrained(sys.argv[1])
print(json.dumps({"source": model.source, "sum": model.head[1].weight.sum().item(),
                  "report": model.report}))
"""


def test_pushed_and_pulled_again(server, run, tmp_path):
    push = client(
        server, tmp_path / "a", "-m", "mnist_cnn", "push", str(run), REPO, token="hf_secret_token"
    )
    assert push.returncode == 0, push.stderr
    commits = [path for method, path, _ in server.requests if "/commit/" in path]
    assert len(commits) == 1
    load = client(server, tmp_path / "b", "-c", LOAD, REPO)
    assert load.returncode == 0, load.stderr
    pulled = json.loads(load.stdout)
    original = MnistCNN.from_pretrained(run)
    assert pulled["sum"] == pytest.approx(original.head[1].weight.sum().item())
    assert pulled["report"] == original.report
    commit = pulled["source"].rpartition(" ")[2]
    assert pulled["source"] == f"Hub repo {REPO} at commit {commit}"
    assert len(commit) == 40
    names = {p.name for p in (tmp_path / "b").rglob("*")}
    assert "private.txt" not in names
    pinned = client(server, tmp_path / "c", "-c", LOAD, f"{REPO}@{commit}")
    assert json.loads(pinned.stdout)["source"].endswith(commit)


def test_a_downloaded_copy_serves_without_the_hub(server, run, tmp_path):
    command = ("-m", "mnist_cnn", "push", str(run), REPO)
    assert client(server, tmp_path / "a", *command, token="hf_secret_token").returncode == 0
    home = tmp_path / "b"
    assert client(server, home, "-c", LOAD, REPO).returncode == 0
    again = client(server, home, "-c", LOAD, REPO, HF_ENDPOINT="http://127.0.0.1:9")
    assert again.returncode == 0, again.stderr


@pytest.mark.parametrize(
    ("source", "environment", "kind", "message"),
    [
        (REPO, {}, "ValueError", "neither a folder here nor a Hub repo"),
        (REPO, {"HF_ENDPOINT": "http://127.0.0.1:9"}, "ConnectionError", "could not be reached"),
        (REPO, {"HF_HUB_OFFLINE": "1"}, "ConnectionError", "could not be reached"),
        ("./runs/x", {}, "ValueError", "is not a folder here, and not a Hub repo id"),
    ],
    ids=["unknown repo", "no network", "offline", "mistyped path"],
)
def test_errors_tell_what_is_wrong(server, tmp_path, source, environment, kind, message):
    load = client(server, tmp_path, "-c", LOAD, source, **environment)
    assert load.returncode == 1
    last = load.stderr.strip().splitlines()[-1]
    assert last.startswith(kind)
    assert message in last
    assert load.stdout == ""


def test_an_unknown_revision_is_named(server, run, tmp_path):
    command = ("-m", "mnist_cnn", "push", str(run), REPO)
    assert client(server, tmp_path / "a", *command, token="hf_secret_token").returncode == 0
    load = client(server, tmp_path / "b", "-c", LOAD, f"{REPO}@v9")
    assert "someone/digits has no branch, tag or commit 'v9'" in load.stderr


def test_a_push_without_the_right_to_write_leaves_everything_as_it_was(server, run, tmp_path):
    before = {file.name: file.read_bytes() for file in run.iterdir()}
    push = client(
        server, tmp_path, "-m", "mnist_cnn", "push", str(run), REPO, token="hf_wrong_token"
    )
    assert push.returncode == 1
    assert "hf auth login" in push.stderr
    assert "hf_wrong_token" not in push.stderr + push.stdout
    assert {file.name: file.read_bytes() for file in run.iterdir()} == before


def test_training_publishes_its_run(server, tmp_path):
    flags = ["--dataset", "synthetic", "--recipe", "compact", "--epochs", "1", "--val-size", "0"]
    out = str(tmp_path / "run")
    done = client(
        server,
        tmp_path / "home",
        "train.py",
        *flags,
        "--out",
        out,
        "--push-to-hub",
        REPO,
        token="hf_secret_token",
    )
    assert done.returncode == 0, done.stderr
    assert "published: " in done.stdout
    load = client(server, tmp_path / "other", "-c", LOAD, REPO)
    assert json.loads(load.stdout)["report"]["name"] == "compact"
    kept = [file for file in Path(out).rglob("*") if file.is_file()]
    assert not any(b"hf_secret_token" in file.read_bytes() for file in kept)
    assert "hf_secret_token" not in done.stdout + done.stderr


def test_a_repo_id_is_checked_before_anything_is_sent(server, run, tmp_path):
    push = client(server, tmp_path, "-m", "mnist_cnn", "push", str(run), "no/such/name")
    assert push.returncode == 1
    assert server.requests == []
    assert os.path.exists(run / "model.safetensors")
