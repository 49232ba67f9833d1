"""Data sets, from small files in their real formats that the tests write themselves."""

import bz2
import gzip
import itertools
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from idx_files import an_l, write
from PIL import Image

from mnist_cnn.data import datasets as data
from mnist_cnn.data.folder import _part
from mnist_cnn.ink import frame

PER_SPLIT = {True: 40, False: 10}


@pytest.mark.parametrize(
    ("name", "kind", "last"),
    [("fashion-mnist", "FashionMNIST", "Ankle boot"), ("kmnist", "KMNIST", "wo")],
)
def test_sets_in_the_format_of_mnist(name, kind, last, tmp_path):
    for split, n in (("train", 40), ("t10k", 10)):
        labels = np.arange(n, dtype=np.uint8) % 10
        files = {f"{split}-images-idx3-ubyte": an_l(n), f"{split}-labels-idx1-ubyte": labels}
        write(tmp_path / kind / "raw", files)
    for train, n in PER_SPLIT.items():
        frames, labels = data.load(name, tmp_path, train)
        assert (frames.numpy() == an_l(n)).all()
        assert frames.dtype == torch.uint8
        assert labels.dtype == torch.int64
        assert labels.tolist() == [i % 10 for i in range(n)]
    assert data.class_names(name)[9] == last
    assert data.warning(name) == ""


def test_qmnist(tmp_path):
    labels = np.zeros((10, 8), np.int32)
    labels[:, 0], labels[:, 3] = np.arange(10), 7777
    files = {"qmnist-test-images-idx3-ubyte": an_l(10), "qmnist-test-labels-idx2-int": labels}
    write(tmp_path / "QMNIST" / "raw", files)
    frames, found = data.load("qmnist", tmp_path, train=False)
    assert (frames.numpy() == an_l(10)).all()
    assert found.tolist() == list(range(10))
    assert "MNIST's test set" in data.warning("qmnist")


@pytest.mark.parametrize(
    ("split", "first", "names"),
    [("digits", 0, {0: "0", 9: "9"}), ("letters", 1, {0: "A", 16: "Q"}),
     ("balanced", 0, {0: "0", 10: "A", 36: "a", 46: "t"})],
)  # fmt: skip
def test_emnist_is_turned_upright_and_counted_from_0(split, first, names, tmp_path):
    """Its files hold each picture column by column, and its letters start at 1."""
    last = max(names)
    labels = np.full(10, first + last, np.uint8)
    write(
        tmp_path / "EMNIST" / "raw",
        {
            f"emnist-{split}-train-images-idx3-ubyte": an_l(10).swapaxes(1, 2),
            f"emnist-{split}-train-labels-idx1-ubyte": labels,
        },
    )
    frames, found = data.load(f"emnist-{split}", tmp_path, train=True)
    assert (frames.numpy() == an_l(10)).all()
    assert frames.is_contiguous()
    assert found.tolist() == [last] * 10
    assert {index: data.class_names(f"emnist-{split}")[index] for index in names} == names
    assert len(data.class_names(f"emnist-{split}")) == last + (10 if split == "letters" else 1)
    assert "MNIST's test set" in data.warning(f"emnist-{split}")


def test_usps_comes_through_the_framing(tmp_path):
    """16×16 pixels from -1 to 1, labels from 1, one line of text each."""
    picture = np.full((16, 16), -1.0)
    picture[1:15, 7:9] = 1
    line = "2 " + " ".join(f"{i}:{v:.4f}" for i, v in enumerate(picture.ravel(), start=1)) + "\n"
    (tmp_path / "usps.t.bz2").write_bytes(bz2.compress(line.encode() * 3))
    frames, labels = data.load("usps", tmp_path, train=False)
    assert labels.tolist() == [1, 1, 1]
    assert (frames[0].numpy() == frame((picture.astype(np.float32) + 1) / 2)).all()
    rows = np.flatnonzero(frames[0].numpy().max(1) > 60)
    assert 19 <= rows[-1] - rows[0] + 1 <= 21


def test_mnists_statistics_are_those_of_the_bundled_weights(data_dir, model):
    frames, _ = data.load("mnist", data_dir, train=True)
    assert data.statistics(frames) == (0.1307, 0.3081)
    assert (model.config.mean, model.config.std) == (0.1307, 0.3081)


# --- a folder of pictures -----------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path, frames) -> Path:
    """Ten pictures each of a one and a seven, drawn large, black on white."""
    for name, row in (("one", 10), ("seven", 70)):
        (tmp_path / "set" / name).mkdir(parents=True)
        for number, digit in enumerate(frames[row : row + 10]):
            picture = Image.fromarray(255 - digit).resize((200, 200)).convert("RGB")
            picture.save(tmp_path / "set" / name / f"{number}.{'png' if number % 2 else 'jpg'}")
    return tmp_path / "set"


def test_a_folder_of_pictures(folder):
    name = f"folder:{folder}"
    assert data.class_names(name) == ("one", "seven")
    assert data.title(name) == "set"
    frames, labels = data.load(name, "", train=True)
    test_frames, test_labels = data.load(name, "", train=False)
    assert torch.bincount(torch.cat([labels, test_labels])).tolist() == [10, 10]
    assert test_labels.unique().tolist() == labels.unique().tolist() == [0, 1]
    assert frames.shape == (len(labels), 28, 28)
    # None is in both parts, and the same ones are the test's every time.
    everything = torch.cat([frames, test_frames]).flatten(1)
    assert len(everything.unique(dim=0)) == 20
    assert torch.equal(data.load(name, "", train=False)[0], test_frames)


def test_pictures_that_are_added_move_no_others_between_training_and_test(tmp_path):
    files = [tmp_path / f"{number}.png" for number in range(400)]
    tested = set(_part(files[::2], tmp_path, train=False))
    assert 10 <= len(tested) <= 30
    assert set(_part(files, tmp_path, train=False)) & set(files[::2]) == tested
    assert set(_part(files[::2], tmp_path, train=True)) == set(files[::2]) - tested
    for two in itertools.pairwise(files):
        assert len(_part(list(two), tmp_path, train=True)) == 1


def test_a_folder_that_is_split_already(folder):
    for part in ("train", "test"):
        shutil.copytree(folder / "one", folder / part / "one")
        shutil.copytree(folder / "seven", folder / part / "seven")
    for name in ("one", "seven"):
        shutil.rmtree(folder / name)
    assert len(data.load(f"folder:{folder}", "", train=False)[0]) == 20
    (folder / "test" / "nine").mkdir()
    with pytest.raises(ValueError, match="must hold the same classes; only one of them has nine"):
        data.load(f"folder:{folder}", "", train=True)


def test_unreadable_and_blank_pictures_are_listed(folder, caplog):
    (folder / "one" / "broken.png").write_bytes(b"no picture")
    Image.new("L", (100, 100), 255).save(folder / "one" / "white.png")
    name = f"folder:{folder}"
    with pytest.raises(ValueError, match="2 files cannot be used") as caught:
        data.load(name, "", train=True)
    assert str(caught.value).count("broken.png: ") == 1
    assert "white.png: no ink was found" in str(caught.value)
    assert "--skip-unreadable" in str(caught.value)
    parts = [data.load(name, "", train, skip_unreadable=True)[0] for train in (True, False)]
    assert sum(map(len, parts)) == 20
    assert "broken.png" in caplog.text


def test_folders_that_cannot_be_used(folder, tmp_path):
    (folder / "two").mkdir()
    with pytest.raises(ValueError, match="no pictures of class two in"):
        data.load(f"folder:{folder}", "", train=True)
    with pytest.raises(ValueError, match="is not a folder"):
        data.load(f"folder:{tmp_path / 'nowhere'}", "", train=True)
    with pytest.raises(ValueError, match="has 0 sub-folders: it needs two or more"):
        data.load(f"folder:{folder / 'one'}", "", train=True)


# --- missing and damaged files ------------------------------------------------------------------


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*_, **__):
        raise OSError("no network")

    monkeypatch.setattr("torchvision.datasets.utils.urllib.request.urlopen", refuse)


@pytest.mark.parametrize("name", [n for n in data.DATASETS if n != "synthetic"])
def test_missing_data_says_how_to_supply_it(name, tmp_path, no_network):
    with pytest.raises(ValueError, match=r"Without a network, put .*(gz|zip|bz2)"):
        data.load(name, tmp_path, train=True)


def test_an_unknown_name_lists_the_choices(tmp_path):
    with pytest.raises(ValueError, match=r"unknown dataset 'cats'; choose one of mnist, fashion-"):
        data.load("cats", tmp_path, train=True)


@pytest.fixture
def copied_data(data_dir, tmp_path) -> Path:
    shutil.copytree(data_dir / "MNIST" / "raw", tmp_path / "MNIST" / "raw")
    return tmp_path / "MNIST" / "raw"


def test_damaged_archives_are_refused(copied_data, no_network):
    file = copied_data / "t10k-images-idx3-ubyte.gz"
    content = bytearray(file.read_bytes())
    content[1000] ^= 1
    file.write_bytes(content)
    named = r"not complete .* Damaged \(.*\): t10k-images-idx3-ubyte\.gz\. "
    with pytest.raises(ValueError, match=named):
        data.load("mnist", copied_data.parent.parent, train=False)


def test_damaged_unpacked_files_are_refused(copied_data):
    for file in copied_data.glob("*.gz"):
        (copied_data / file.stem).write_bytes(gzip.decompress(file.read_bytes()))
    assert len(data.load("mnist", copied_data.parent.parent, train=False)[0]) == 10_000
    file = copied_data / "t10k-images-idx3-ubyte"
    content = bytearray(file.read_bytes())
    content[50_000] ^= 1
    file.write_bytes(content)
    with pytest.raises(ValueError, match="are damaged: the SHA-256 of the test split"):
        data.load("mnist", copied_data.parent.parent, train=False)


def test_labels_that_do_not_match_the_pictures_are_refused(copied_data):
    raw = copied_data.parent.parent / "KMNIST" / "raw"
    shutil.copytree(copied_data, raw)
    for file in raw.glob("*.gz"):
        (raw / file.stem).write_bytes(gzip.decompress(file.read_bytes()))
    content = (raw / "t10k-labels-idx1-ubyte").read_bytes()
    fewer = content[:4] + (9_000).to_bytes(4, "big") + content[8:9_008]
    (raw / "t10k-labels-idx1-ubyte").write_bytes(fewer)
    with pytest.raises(ValueError, match="is damaged: 10000 pictures, 9000 labels"):
        data.load("kmnist", copied_data.parent.parent, train=False)


def test_packed_data_is_left_as_it_is(copied_data):
    before = sorted(copied_data.iterdir())
    data.load("mnist", copied_data.parent.parent, train=False)
    assert sorted(copied_data.iterdir()) == before
