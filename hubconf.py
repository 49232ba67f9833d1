"""For `torch.hub.load("USER/REPO", "mnist_cnn")`: a reader of handwritten digits, ready to use."""

from mnist_cnn import MnistCNN, load_model

dependencies = ["torch", "numpy", "cv2", "PIL", "huggingface_hub", "safetensors", "pydantic"]


def mnist_cnn(weights: str | None = None) -> MnistCNN:
    """A model in eval mode: `mnist_cnn().predict("seven.png").digit`.

    Args:
        weights: a folder or a Hub repo `USER/NAME[@REVISION]`; the bundled ones if there is none.

    Raises:
        ValueError, ConnectionError: as `mnist_cnn.load_model`.
    """
    return load_model(weights)
