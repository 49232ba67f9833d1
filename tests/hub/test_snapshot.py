"""Weights from the Hub: the right ones, an older whole copy, or an error that says what to do."""

import ctypes
import dataclasses
import hashlib
import json
import logging
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hub_server import Fault, HubServer
from huggingface_hub import HfApi, constants

from mnist_cnn import PRESETS, MnistCNN, load_model
from mnist_cnn.__main__ import main
from mnist_cnn.hub import errors
from mnist_cnn.report import Report

ROOT = Path(__file__).parents[2]
REPO = "user/digits"
READY = "import sys; from mnist_cnn import load_model; print('ready', flush=True)\n"
LOAD = READY + "print(load_model(sys.argv[1]).head[1].weight.sum().item())\n"


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A small run folder, without its card."""
    folder = tmp_path_factory.mktemp("run")
    model = MnistCNN(PRESETS["notebook"])
    model.report = dataclasses.replace(load_model().report, name="notebook")
    model.save_pretrained(folder)
    return folder


@pytest.fixture
def commit(hub, run) -> str:
    """The id of the commit that holds `run` on the Hub."""
    api = HfApi()
    api.create_repo(REPO)
    return api.upload_folder(repo_id=REPO, folder_path=run).oid


def total(model: MnistCNN) -> float:
    return model.head[1].weight.sum().item()


def blob(tmp_path: Path, run: Path) -> Path:
    """Where the cache keeps the weights of `run`."""
    name = hashlib.sha256((run / "model.safetensors").read_bytes()).hexdigest()
    return tmp_path / "cache" / "models--user--digits" / "blobs" / name


def damage(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-100] ^= 0x10  # in a weight: names, shapes and dtypes stay as they were
    file.write_bytes(content)


# What works ---------------------------------------------------------------------------------------


def test_one_line_of_log_names_the_commit(hub, run, commit, caplog):
    caplog.set_level(logging.INFO, "mnist_cnn")
    model = load_model(REPO)
    assert total(model) == total(load_model(run))
    assert model.report == load_model(run).report
    assert not model.training
    about_repo = [r.getMessage() for r in caplog.records if REPO in r.getMessage()]
    assert about_repo == [f"weights: Hub repo {REPO} at commit {commit}"]
    assert model.source == f"Hub repo {REPO} at commit {commit}"


def test_only_the_files_that_are_needed_are_asked_for(hub, commit):
    api = HfApi()
    api.upload_file(path_or_fileobj=b"x", path_in_repo="huge.bin", repo_id=REPO)
    load_model(REPO)
    assert {r.path.rpartition("/")[2].partition("?")[0] for r in hub.seen("GET", "/resolve/")} == {
        *("config.json", "model.safetensors", "report.json")
    }


@pytest.mark.parametrize("how", ["@", "argument"])
def test_a_branch_a_tag_and_a_commit(hub, commit, how):
    api = HfApi()
    api.create_tag(REPO, tag="v1")
    api.create_branch(REPO, branch="trial")
    api.upload_file(path_or_fileobj=b"{}", path_in_repo="other.json", repo_id=REPO)
    for revision in ("v1", "trial", commit, commit[:8]):
        source, argument = (f"{REPO}@{revision}", None) if how == "@" else (REPO, revision)
        assert load_model(source, argument).source.endswith(commit)
    assert not load_model(REPO).source.endswith(commit)


def test_a_pinned_commit_in_the_cache_needs_no_request(hub, run, commit):
    load_model(f"{REPO}@{commit}")
    hub.requests.clear()
    assert total(load_model(f"{REPO}@{commit}")) == total(load_model(run))
    assert hub.requests == []


def test_files_that_the_platform_preloaded_need_no_request(hub, run, commit):
    """`preload_from_hub` of a Space fetches single files while the Space is built."""
    for file in ("config.json", "model.safetensors", "report.json"):
        HfApi().hf_hub_download(REPO, file, revision=commit)
    hub.requests.clear()
    assert total(load_model(f"{REPO}@{commit}")) == total(load_model(run))
    assert hub.requests == []


# No network ---------------------------------------------------------------------------------------


def test_a_downloaded_copy_serves_without_the_hub(hub, run, commit, caplog):
    load_model(REPO)
    hub.stop()
    model = load_model(REPO)
    assert model.source.endswith(commit)
    assert total(model) == total(load_model(run))
    assert "using the downloaded copy" in caplog.text
    assert hub.waits == []


def test_offline_asks_nobody(hub, commit, monkeypatch):
    load_model(REPO)
    hub.requests.clear()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert load_model(REPO).source.endswith(commit)
    with pytest.raises(ConnectionError, match="could not be reached"):
        load_model("user/other")
    assert hub.requests == []


def test_without_hub_and_copy_it_says_what_to_do_at_once(hub, commit):
    hub.stop()
    with pytest.raises(ConnectionError, match=r"Check the network, or pass a folder\.$"):
        load_model(REPO)
    assert hub.waits == []


@pytest.mark.parametrize("cached", [True, False])
def test_a_hub_that_does_not_answer_is_given_up(hub, commit, monkeypatch, cached):
    if cached:
        load_model(REPO)
    monkeypatch.setattr("mnist_cnn.hub.errors.PATIENCE", 0.3)
    hub.faults.append(Fault("GET", "/api/models", times=9, delay=3600))
    if cached:
        assert load_model(REPO).source.endswith(commit)
    else:
        with pytest.raises(ConnectionError, match="could not be reached"):
            load_model(REPO)


def test_patience_is_less_than_five_seconds():
    assert errors.PATIENCE < 5


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_hub_out_of_order_is_no_reason_to_stop_with_a_copy(hub, commit, status):
    load_model(REPO)
    hub.faults.append(Fault(".*", ".*", times=99, status=status))
    assert load_model(REPO).source.endswith(commit)


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (429, "the Hub asks for fewer requests: try again after 600 seconds"),
        (500, "the Hub is out of order (status 500): try again later"),
        (503, "the Hub is out of order (status 503): try again later"),
    ],
)
def test_a_hub_out_of_order_without_a_copy_is_not_called_unreachable(hub, commit, status, message):
    fault = Fault(".*", ".*", times=99, status=status, headers={"Retry-After": "600"})
    hub.faults.append(fault)
    with pytest.raises(ConnectionError) as caught:
        load_model(REPO)
    assert str(caught.value) == (
        f"{REPO} could not be reached, nor is there a downloaded copy: {message}"
    )
    assert hub.waits == []


def test_a_login_page_instead_of_the_hub(hub, commit):
    hub.faults.append(Fault("GET", "/api/models", corrupt=True, truncate=True))
    with pytest.raises(ConnectionError, match="could not be reached"):
        load_model(REPO)


# Downloads that break -----------------------------------------------------------------------------


def test_a_cut_download_is_repeated(hub, run, commit):
    hub.faults.append(Fault("GET", "safetensors", cut=True))
    assert total(load_model(REPO)) == total(load_model(run))
    assert hub.waits == [1]


@pytest.mark.parametrize("fault", [{"cut": True}, {"truncate": True}, {"corrupt": True}])
def test_a_download_that_never_succeeds_is_reported_and_leaves_nothing(
    hub, run, commit, tmp_path, fault
):
    hub.faults.append(Fault("GET", "/resolve/.*safetensors", times=99, **fault))
    with pytest.raises(ConnectionError, match=r"broke|incomplete|damaged twice"):
        load_model(REPO)
    assert not blob(tmp_path, run).exists()
    hub.faults.clear()
    assert total(load_model(REPO)) == total(load_model(run))


def test_a_wrong_checksum_is_noticed_and_fetched_again(hub, run, commit, caplog):
    hub.faults.append(Fault("GET", "safetensors", corrupt=True))
    assert total(load_model(REPO)) == total(load_model(run))
    assert "damaged: downloading it again" in caplog.text


@pytest.mark.parametrize("pinned", [True, False])
def test_a_damaged_copy_is_replaced(hub, run, commit, tmp_path, pinned, caplog):
    source = f"{REPO}@{commit}" if pinned else REPO
    load_model(source)
    damage(blob(tmp_path, run))
    assert total(load_model(source)) == total(load_model(run))
    assert "damaged" in caplog.text
    hub.requests.clear()
    assert total(load_model(f"{REPO}@{commit}")) == total(load_model(run))
    assert hub.requests == []


def test_a_damaged_copy_is_not_used_without_the_hub(hub, run, commit, tmp_path, caplog):
    load_model(REPO)
    damage(blob(tmp_path, run))
    hub.stop()
    with pytest.raises(ConnectionError, match="could not be reached"):
        load_model(REPO)
    assert "damaged: not used" in caplog.text


# Processes and disks ------------------------------------------------------------------------------


def process(hub: HubServer, home: Path, code: str, *arguments: str, **how) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        cwd=ROOT,
        env=hub.environment(home) | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **how,
    )


def printed(started: subprocess.Popen) -> float:
    out, err = started.communicate(timeout=60)
    assert started.returncode == 0, err
    return float(out.splitlines()[-1])


def test_two_processes_pull_at_once(hub, run, commit, tmp_path):
    hub.faults.append(Fault("GET", "safetensors", times=2, delay=0.5))
    both = [process(hub, tmp_path / "home", LOAD, REPO) for _ in range(2)]
    assert [printed(one) for one in both] == [total(load_model(run))] * 2


def test_a_process_killed_amid_its_download_leaves_the_next_a_way(hub, run, commit, tmp_path):
    hub.faults.append(Fault("GET", "safetensors", delay=3600))
    first = process(hub, tmp_path / "home", LOAD, REPO)
    while not hub.seen("GET", "safetensors"):
        assert first.poll() is None, first.stderr.read()
        time.sleep(0.05)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    assert printed(process(hub, tmp_path / "home", LOAD, REPO)) == total(load_model(run))


def not_above_permissions() -> None:
    """Root may write where permissions forbid it: give that up, as far as there is something."""
    drop_from_bounding_set, cap_dac_override = 24, 1
    if os.getuid() == 0:
        assert ctypes.CDLL(None).prctl(drop_from_bounding_set, cap_dac_override, 0, 0, 0) == 0


def read_only(folder: Path) -> None:
    for part in [folder, *folder.rglob("*")]:
        if part.is_dir():
            part.chmod(0o555)


def writable(folder: Path) -> None:
    for part in [folder, *folder.rglob("*")]:
        if part.is_dir():
            part.chmod(0o755)


def test_a_read_only_cache_serves_what_it_holds(hub, run, commit, tmp_path):
    home = tmp_path / "home"
    assert printed(process(hub, home, LOAD, REPO)) == total(load_model(run))
    read_only(home)
    try:
        again = process(hub, home, LOAD, REPO, preexec_fn=not_above_permissions)
        assert printed(again) == total(load_model(run))
    finally:
        writable(home)


def test_a_cache_that_cannot_be_written_is_named(hub, commit, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    read_only(home)
    started = process(hub, home, LOAD, REPO, preexec_fn=not_above_permissions)
    _, err = started.communicate(timeout=60)
    last = err.strip().splitlines()[-1]
    assert started.returncode == 1
    assert last.startswith(f"OSError: cannot store files of {REPO}: ")
    assert "HF_HOME" in last


def test_a_disk_that_takes_no_more_is_named_and_loses_nothing(hub, run, commit, tmp_path):
    def small_files_only() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, resource.RLIM_INFINITY))

    home = tmp_path / "home"
    full = process(hub, home, LOAD, REPO, preexec_fn=small_files_only)
    _, err = full.communicate(timeout=60)
    assert full.returncode == 1
    assert f"OSError: cannot store files of {REPO}: " in err.strip().splitlines()[-1]
    assert printed(process(hub, home, LOAD, REPO)) == total(load_model(run))


# What may not be read, or is not ours -------------------------------------------------------------


def test_what_is_not_there_is_named(hub, commit, tmp_path, capsys):
    cases = {
        "user/nothing": "'user/nothing' is neither a folder here nor a model on the Hub",
        f"{REPO}@v9": f"{REPO} has no branch, tag or commit 'v9'",
        "./runs/x": "'./runs/x' is not a folder here, and not a Hub repo id either",
        "user/../x": "is not a folder here, and not a Hub repo id",
        "a b/c": "is not a folder here, and not a Hub repo id",
        "user/digits@": "is not a folder here, and not a Hub repo id",
        "datasets/user/x": "is the address of a dataset; a model's repo is needed here",
        "https://huggingface.co/spaces/user/x": "is the address of a space; a model's repo",
        "https://huggingface.co/user/x/tree/main": "pass the repo alone, user/x",
        str(tmp_path): "is not a model of mnist_cnn: it has no config.json and no model.safet",
    }
    for source, message in cases.items():
        with pytest.raises(ValueError, match=r".") as caught:
            load_model(source)
        assert message in str(caught.value)
        assert main(["predict", "--model", source, "x.png"]) == 1
        assert message in capsys.readouterr().err


def test_a_token_that_may_not_read(hub, commit):
    hub.faults.append(Fault("GET", "/api/models", status=403))
    with pytest.raises(ValueError, match="the token may not read user/digits"):
        load_model(REPO)


def test_a_file_instead_of_its_folder(run):
    with pytest.raises(ValueError, match=r"is a file: pass the folder that it lies in"):
        load_model(str(run / "model.safetensors"))


def test_private_and_gated_repos_and_bad_tokens(hub, commit, monkeypatch):
    api = HfApi()
    api.update_repo_settings(REPO, gated="manual")
    monkeypatch.setenv("HF_TOKEN", HubServer.STRANGER)
    with pytest.raises(ValueError, match="is gated: ask for access"):
        load_model(REPO)
    api.update_repo_settings(REPO, gated=False, private=True, token=hub.token)
    with pytest.raises(ValueError, match=r"if it is private.*run `hf auth login`"):
        load_model(REPO)
    monkeypatch.setenv("HF_TOKEN", "hf_expired")
    with pytest.raises(ValueError, match="token: it is wrong or expired") as caught:
        load_model(REPO)
    assert "hf_expired" not in str(caught.value)
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(ValueError, match=r"if it is private.*run `hf auth login`"):
        load_model(REPO)
    monkeypatch.setenv("HF_TOKEN", hub.token)
    assert load_model(REPO).source.endswith(commit)


@pytest.mark.parametrize("kind", ["dataset", "space"])
def test_a_repo_of_another_kind_is_named(hub, kind):
    sdk = "gradio" if kind == "space" else None
    HfApi().create_repo("user/other", repo_type=kind, space_sdk=sdk)
    with pytest.raises(ValueError, match=f"user/other is a {kind} on the Hub; a model is needed"):
        load_model("user/other")


def test_a_repo_of_another_library_is_refused_before_its_files_are_fetched(hub):
    api = HfApi()
    api.create_repo("user/other")
    for name in ("config.json", "pytorch_model.bin"):
        api.upload_file(path_or_fileobj=b"{}", path_in_repo=name, repo_id="user/other")
    with pytest.raises(ValueError, match=r"no model\.safetensors, but config\.json, pytorch_model"):
        load_model("user/other")
    assert hub.seen("GET", "/resolve/") == []


def test_a_file_too_large_for_a_model_is_refused_before_it_is_fetched(hub, commit):
    HfApi().upload_file(path_or_fileobj=b" " * 2_000_000, path_in_repo="config.json", repo_id=REPO)
    with pytest.raises(ValueError, match=r"config\.json of .* has 2,000,000 bytes"):
        load_model(REPO)
    assert hub.seen("GET", "/resolve/") == []


# Weights that mean harm ---------------------------------------------------------------------------

CONFIG = json.loads(PRESETS["notebook"].to_json())
HARMFUL = {
    "ten million neurons": ({"hidden": [10_000_000]}, "hidden[0] must be"),
    "many wide layers": ({"hidden": [16384] * 8}, "parameters, at most"),
    "huge feature maps": (
        {"channels": [1024], "kernel_sizes": [1], "pool_after": [], "hidden": []},
        "feature maps of 802,816 values",
    ),
    "a million classes": (
        {"class_names": [str(i) for i in range(10**5)]},
        "class_names must have at most 1000",
    ),
    "a list in a list": ({"channels": [[6], [16]]}, "channels[0] must be a valid integer"),
    "text for a number": ({"dropout": "__import__('os')"}, "dropout must be"),
    "a truth for a number": ({"hidden": [True]}, "hidden[0] must be a valid integer"),
    "no number": ({"mean": float("nan")}, "mean must be"),
    "a number of 5,000 digits": ({"version": 10**4000}, "config version"),
    "an unknown field": ({"auto_map": {"AutoModel": "evil.Model"}}, "not known ['auto_map']"),
    "a newer schema": ({"version": 2, "attention": True}, "config version 2 is not known here"),
    "a name of 100,000 letters": ({"class_names": ["a" * 10**5, "b"]}, "at most 100 characters"),
    "a name without letters": ({"class_names": ["", "b"]}, "at least 1 character, got"),
    "a name that moves the cursor": (
        {"class_names": ["\x1b[2J", "b"]},
        "must have printable characters",
    ),
    "half a character": ({"class_names": ["\ud800", "b"]}, "class_names[0] must be a valid string"),
    "a negative number": ({"channels": [-6, 16]}, "channels[0] must be"),
    "nothing for a list": ({"hidden": None}, "hidden must be"),
    "infinity": ({"temperature": float("inf")}, "temperature must be"),
    "text for a list": ({"class_names": "0123456789"}, "class_names must be"),
    "fewer names than classes": ({"class_names": list("01234")}, "tell 10 classes apart, but"),
    "more names than classes": ({"class_names": list("0123456789ab")}, "config.json names 12"),
    "another network": ({"channels": [8, 16]}, "does not fit its config.json"),
}


@pytest.mark.parametrize("name", HARMFUL)
def test_a_harmful_config_is_refused(run, tmp_path, name):
    changes, message = HARMFUL[name]
    folder = copied(run, tmp_path)
    (folder / "config.json").write_text(json.dumps(CONFIG | changes))
    with pytest.raises(ValueError, match=r".") as caught:
        load_model(folder)
    assert message in str(caught.value)
    assert "folder harmful" in str(caught.value)


def copied(run: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "harmful"
    folder.mkdir()
    for file in run.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    return folder


def with_header(length: int, content: bytes = b"{}") -> bytes:
    return length.to_bytes(8, "little") + content


FILES = {
    "not json": ("config.json", b"{", "not valid JSON"),
    "deep json": ("config.json", b"[" * 100_000, "not valid JSON"),
    "not text": ("config.json", b"\xff\xfe\x00", "config.json of folder harmful"),
    "a huge config": ("config.json", b" " * 2_000_000, "at most 1,000,000"),
    "a header of a gigabyte": ("model.safetensors", with_header(2**30), "header claims"),
    "a header of 2^64": ("model.safetensors", b"\xff" * 64, "header claims"),
    "a long header": (
        "model.safetensors",
        with_header(90_000_002, b'"' + b"a" * 90_000_000 + b'"'),
        "header claims 90,000,002 bytes",
    ),
    "a pickle": ("model.safetensors", b"\x80\x04\x95cposix\nsystem\n", "model.safetensors of"),
    "empty weights": ("model.safetensors", b"", "cannot read model.safetensors"),
    "a report of text": ("report.json", b'"good"', "cannot use report.json"),
}


@pytest.mark.parametrize("name", FILES)
def test_a_harmful_file_is_refused(run, tmp_path, name):
    file, content, message = FILES[name]
    folder = copied(run, tmp_path)
    (folder / file).write_bytes(content)
    with pytest.raises(ValueError, match=r".") as caught:
        load_model(folder)
    assert message in str(caught.value)


@pytest.mark.parametrize("file", ["config.json", "model.safetensors", "report.json"])
@pytest.mark.parametrize("target", ["secret", "/dev/zero", "nothing", "fifo"])
def test_no_file_outside_the_folder_is_read(run, tmp_path, file, target):
    folder = copied(run, tmp_path)
    (folder / file).unlink()
    (tmp_path / "secret").write_bytes((run / file).read_bytes())
    if target == "fifo":
        os.mkfifo(folder / file)
    else:
        (folder / file).symlink_to(tmp_path / target)
    with pytest.raises(ValueError, match=r"link to outside of its folder|is not a file"):
        load_model(folder)


def test_a_strangers_report_does_not_choose_folders_to_read(run, tmp_path, capsys):
    """Whoever evaluates weights would read the folder that their report names."""
    folder, secret = copied(run, tmp_path), tmp_path / "secret"
    for name in CONFIG["class_names"]:
        (secret / name).mkdir(parents=True)
    report = Report.read(run / "report.json", "a run")
    dataclasses.replace(report, recipe={"dataset": f"folder:{secret}"}).write(
        folder / "report.json"
    )
    assert main(["evaluate", "--model", str(folder)]) == 1
    err = capsys.readouterr().err
    assert "which only you can find: pass --dataset folder:DIR" in err
    assert main(["evaluate", "--model", str(folder), "--dataset", f"folder:{secret}"]) == 1
    assert "no pictures of class 0" in capsys.readouterr().err


def test_the_folder_of_a_snapshot_can_be_passed(hub, run, commit, tmp_path):
    load_model(REPO)
    (snapshot,) = (tmp_path / "cache").glob("*/snapshots/*")
    assert total(load_model(snapshot)) == total(load_model(run))


def test_harmful_weights_do_not_fill_the_memory(run, tmp_path):
    """All of the above in one process, whose peak is measured."""
    folders = []
    for name, (changes, _) in HARMFUL.items():
        (tmp_path / name).mkdir()
        folders.append(copied(run, tmp_path / name))
        (folders[-1] / "config.json").write_text(json.dumps(CONFIG | changes))
    for name, (file, content, _) in FILES.items():
        (tmp_path / name).mkdir()
        folders.append(copied(run, tmp_path / name))
        (folders[-1] / file).write_bytes(content)
    code = (
        "import resource, sys; from mnist_cnn import load_model\n"
        "def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024\n"
        "load_model(); before = peak()\n"
        "for folder in sys.argv[1:]:\n"
        "    try: load_model(folder); print('loaded', folder)\n"
        "    except ValueError: pass\n"
        "print(peak() - before)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, folders)], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 100, "MB"
