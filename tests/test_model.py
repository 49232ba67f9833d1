import dataclasses
import json
import pydoc
import socket
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from mnist_cnn import FLAGSHIP, PRESETS, Config, MnistCNN, load_model
from mnist_cnn.config import SPEED
from mnist_cnn.model import BUNDLED

CONFIGS = {"flagship": FLAGSHIP, "speed": SPEED, **PRESETS}
every_config = pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)


@every_config
def test_forward_and_backward(config):
    model = MnistCNN(config).train()
    logits = model(torch.randint(0, 256, (4, 28, 28), dtype=torch.uint8))
    assert logits.shape == (4, 10)
    logits.square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


@every_config
def test_the_config_knows_its_cost(config):
    """Parameters against PyTorch's count, multiply-adds against the layers that really ran."""
    model, counted = MnistCNN(config).eval(), 0

    def count(layer, inputs, output):
        nonlocal counted
        counted += layer.weight[0].numel() * output.numel()

    for layer in model.modules():
        if isinstance(layer, torch.nn.Conv2d | torch.nn.Linear):
            layer.register_forward_hook(count)
    model(torch.zeros(1, 28, 28))
    assert config.parameters() == sum(p.numel() for p in model.parameters())
    assert config.multiply_adds() == counted


@every_config
def test_saved_and_loaded_gives_equal_logits(config, tmp_path, capsys):
    frames = torch.randint(0, 256, (3, 28, 28), dtype=torch.uint8)
    model = MnistCNN(config).eval()
    model.save_pretrained(tmp_path)
    loaded = MnistCNN.from_pretrained(tmp_path)
    assert loaded.config == config
    assert not loaded.training
    assert torch.equal(loaded(frames), model(frames))
    assert {file.name for file in tmp_path.iterdir()} == {"config.json", "model.safetensors"}
    assert capsys.readouterr().out == ""


def test_the_seeds_networks_have_their_sizes():
    """The widths of SEEDS as parameter counts, worked out by hand."""
    assert PRESETS["compact"].sizes() == [12, 4]  # 320 = 20·4·4
    assert PRESETS["compact"].parameters() == 260 + 5020 + 320 * 50 + 50 + 510
    assert PRESETS["wide-5x5"].parameters() == 832 + 51264 + 64 * 49 * 1000 + 1000 + 10010
    assert PRESETS["deep-dropout"].parameters() == 832 + 51264 + 64 * 49 * 1024 + 1024 + 10250


def test_the_flagship_keeps_its_budget():
    assert FLAGSHIP.parameters() <= 500_000
    assert FLAGSHIP.multiply_adds() <= 20_000_000
    assert all(width % 16 == 0 for width in FLAGSHIP.channels)


def test_all_inputs_of_a_frame_give_the_same_logits():
    model = MnistCNN().eval()
    frames = torch.randint(0, 256, (5, 28, 28), dtype=torch.uint8)
    expected = model(frames)
    assert torch.equal(model(frames[:, None]), expected)
    assert torch.allclose(model(frames / 255), expected, atol=1e-5)
    assert torch.allclose(model(frames[2:3]), expected[2:3], atol=1e-4)


def test_convolutions_are_channels_last():
    weight = MnistCNN().features[3].weight
    assert weight.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(
    "frames",
    [
        torch.zeros(28, 28),
        torch.zeros(2, 3, 28, 28),
        torch.zeros(2, 32, 32),
        torch.zeros(2, 28, 28, dtype=torch.int64),
    ],
)
def test_other_inputs_are_refused(frames):
    with pytest.raises(ValueError, match="frames must be"):
        MnistCNN()(frames)


def test_a_config_changes_without_code():
    config = Config(channels=(8, 16), kernel_sizes=(5, 3), pool_after=(1,), class_names=("a", "b"))
    assert MnistCNN(config)(torch.zeros(4, 28, 28)).shape == (4, 2)
    assert Config.from_json(config.to_json()) == config


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"channels": [10**9]}, "channels\\[\\d\\] must be"),
        ({"channels": "wide"}, "channels must be"),
        ({"channels": [32.5] * 6}, r"channels\[0\] must be a valid integer, got 32.5"),
        ({"channels": []}, "channels must have at least 1 item"),
        ({"kernel_sizes": [3] * 5}, "one for each of 6 channels"),
        ({"kernel_sizes": [4] * 6}, "must be odd"),
        ({"kernel_sizes": [27] * 6}, "shrinks to nothing"),
        ({"hidden": [16384] * 8}, "parameters, at most"),
        ({"dropout": 2.0}, "dropout must be"),
        ({"dropout": float("nan")}, "dropout must be"),
        ({"batch_norm": 1}, "batch_norm must be a valid boolean, got 1"),
        ({"std": 0.0}, "std must be"),
        ({"class_names": ["1"]}, "class_names must have at least 2 items"),
        ({"class_names": ["1", "1"]}, "class_names must all be different"),
        ({"version": 99}, "version 99 is not known here"),
        ({"surprise": 1}, "not known .'surprise'"),
    ],
)
def test_hostile_configs_are_refused_before_anything_is_built(change, message):
    values = json.loads(FLAGSHIP.to_json()) | change
    with pytest.raises(ValueError, match=message):
        Config.from_json(json.dumps(values))


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"model_type": "bert", "hidden_size": 768}'])
def test_foreign_configs_are_refused(text):
    with pytest.raises(ValueError, match=r"config\.json"):
        Config.from_json(text)


@pytest.fixture
def folder(tmp_path) -> Path:
    MnistCNN(PRESETS["compact"]).save_pretrained(tmp_path)
    return tmp_path


def changed_tensors(folder: Path, change) -> None:
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("head.1.bias"), r"missing head\.1\.bias"),
        (lambda t: t.update(extra=torch.zeros(1)), "not expected extra"),
        (lambda t: t.update({"head.1.bias": torch.zeros(51)}), r"head\.1\.bias is \(\(51,\)"),
        (lambda t: t.update({"head.1.bias": torch.zeros(50).half()}), r"F16.*expected \(\(50,\)"),
        (lambda t: t["head.1.bias"].fill_(float("nan")), "NaN or infinity"),
    ],
)
def test_weights_that_do_not_fit_are_refused(folder, change, message):
    changed_tensors(folder, change)
    with pytest.raises(ValueError, match=message):
        load_model(folder)


def test_weights_of_another_network_are_refused(folder):
    (folder / "config.json").write_text(FLAGSHIP.to_json())
    with pytest.raises(ValueError, match="does not fit"):
        load_model(folder)


@pytest.mark.parametrize(
    "content",
    [b"", b"\x80\x04\x95not safetensors", struct.pack("<Q", 2**40) + b"{}"],
    ids=["empty", "pickle", "a header of a terabyte"],
)
def test_damaged_weights_are_refused(folder, content):
    (folder / "model.safetensors").write_bytes(content)
    with pytest.raises(ValueError, match=r"cannot read model\.safetensors"):
        load_model(folder)


def test_a_truncated_file_is_refused(folder):
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"cannot read model\.safetensors"):
        load_model(folder)


def test_pickles_are_never_opened(folder):
    """Weights that are there only as a pickle are no weights."""
    torch.save(MnistCNN(PRESETS["compact"]).state_dict(), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(ValueError, match=r"it has no model\.safetensors"):
        load_model(folder)


def test_a_missing_config_is_an_error(folder):
    (folder / "config.json").unlink()
    with pytest.raises(ValueError, match=r"it has no config\.json"):
        load_model(folder)


@pytest.mark.parametrize(
    "source", ["runs", "./runs/flagship", "/no/such/folder", "a b/c", "", "~/x"]
)
def test_a_mistyped_path_is_named(source, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # whoever has trained has a folder `runs` here
    with pytest.raises(ValueError, match="is not a folder here, and not a Hub repo id"):
        load_model(source)


def test_saving_leaves_the_old_files_when_the_disk_is_full(folder, monkeypatch):
    before = {file.name: file.read_bytes() for file in folder.iterdir()}

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("mnist_cnn.model.save_file", full)
    with pytest.raises(OSError, match="No space left"):
        MnistCNN(PRESETS["compact"]).save_pretrained(folder)
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before


def test_bundled_weights_load_without_a_network(monkeypatch, capsys):
    def refuse(*_):
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    model = load_model()
    fitted = {"temperature": model.config.temperature, "threshold": model.config.threshold}
    assert model.config == dataclasses.replace(FLAGSHIP, **fitted)
    assert model.report.test.n == 10_000
    assert model.source == "bundled with mnist_cnn"
    assert capsys.readouterr().out == ""
    size = sum(file.stat().st_size for file in BUNDLED.iterdir())
    assert size < 4_000_000
    assert dataclasses.asdict(model.config) == json.loads(
        json.dumps(model.report.config), object_hook=_tuples
    )


def _tuples(values: dict) -> dict:
    return {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}


def test_both_ways_to_load_know_the_bundled_weights(model):
    for loaded in (load_model("bundled"), MnistCNN.from_pretrained("bundled")):
        assert loaded.source == model.source
        assert torch.equal(loaded.head[2].weight, model.head[2].weight)


def test_a_model_goes_to_a_device(frames):
    model = load_model(device="cpu")
    assert model.device == torch.device("cpu")
    assert load_model(device="meta").device.type == "meta"
    for device in ("gpu", "cuda:99"):
        with pytest.raises(ValueError, match=f"cannot compute on device '{device}': "):
            load_model(device=device)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64], ids=str)
def test_a_model_of_another_precision_answers_alike(dtype, frames, tmp_path):
    whole, other = load_model(), load_model().to(dtype)
    expected, got = whole.predict(list(frames)), other.predict(list(frames))
    assert [answer.digit for answer in got] == [answer.digit for answer in expected]
    assert got[0].probs.dtype == np.float32
    np.testing.assert_allclose(got[0].probs, expected[0].probs, atol=0.02)
    assert other.explain(frames[70]).max() == 1
    np.testing.assert_allclose(other.filters(), whole.filters(), atol=2)
    other.save_pretrained(tmp_path)
    assert load_model(tmp_path).head[2].weight.dtype == torch.float32


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda ink: 255 * ink, "0 to 255"),
        (lambda ink: (ink - 0.1307) / 0.3081, "-0.424 to 2.82"),
        (lambda ink: 2 * ink - 1, "-1 to 1"),
        (lambda ink: ink * float("nan"), "nan to nan"),
    ],
    ids=["bytes", "normalised", "around zero", "no numbers"],
)
def test_floats_that_are_no_ink_are_refused(model, frames, change, found):
    """They would be read worse, in silence."""
    ink = torch.from_numpy(frames) / 255
    assert torch.equal(model(ink), model(torch.from_numpy(frames)))
    model(1.05 * ink - 0.02)  # as bicubic resizing makes it
    with pytest.raises(ValueError, match=rf"in \[0, 1\], got {found}: divide bytes by 255"):
        model(change(ink))
    assert model(ink[:0]).shape == (0, 10)


def test_weights_that_answer_with_no_number_are_refused(folder):
    """Each of them is finite, and their products are not."""
    changed_tensors(folder, lambda t: [value.fill_(1e30) for value in t.values()])
    with pytest.raises(ValueError, match="answers a blank frame with NaN or infinity"):
        load_model(folder)


@pytest.mark.parametrize("word", ["path", "PIL image", "torch tensor", "(B, 28, 28)", "ValueError"])
def test_help_lists_what_can_be_read(word):
    assert word in pydoc.render_doc(MnistCNN.predict, renderer=pydoc.plaintext)


def test_a_network_is_exported_with_floats():
    """A traced graph cannot look at the range of its input."""
    model, frames = MnistCNN(PRESETS["compact"]).eval(), torch.rand(1, 28, 28)
    assert torch.equal(torch.export.export(model, (frames,)).module()(frames), model(frames))
