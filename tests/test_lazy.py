import subprocess
import sys

import pytest

import mnist_cnn


def test_names_of_a_lazy_package_are_listed_and_found():
    assert set(mnist_cnn.__all__) <= set(dir(mnist_cnn))
    for name in mnist_cnn.__all__:
        assert getattr(mnist_cnn, name)
    with pytest.raises(AttributeError, match=r"module 'mnist_cnn' has no attribute 'nothing'"):
        mnist_cnn.nothing  # noqa: B018


def test_the_package_and_its_config_are_there_without_pytorch():
    subprocess.run(
        [sys.executable, "-c", "import sys, mnist_cnn.config; assert 'torch' not in sys.modules"],
        check=True,
    )
