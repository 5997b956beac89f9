"""From a name or a file of weights to a network that Paddle runs, and from image to image by it."""

from elsr_paddle.checkpoint import load_weights
from elsr_paddle.engines import find_weights
from elsr_paddle.errors import InputError
from elsr_paddle.framework import paddle
from elsr_paddle.imaging.io import image_to_tensor, tensor_to_image


def load_model(model_or_path, scale=None):
    """A trained network, ready to run: `load_model("elsr", scale=4)`.

    Parameters
    ----------
    model_or_path : str or Path, the name of a shipped network (`elsr`, `elsr-y`) or a file.
    scale : int or None; chooses among the shipped networks (None: 4), must agree with a file's.

    Returns
    -------
    paddle.nn.Layer in evaluation mode: float32 (N, C, H, W) in [0, 1] -> (N, C, s*H, s*W), where C
    is 3 (RGB) or 1 (luma).

    Raises
    ------
    InputError for an unknown name or another scale; FileNotFoundError for a missing file.
    """
    from elsr_paddle.models import build_model, load_arrays

    path = find_weights(model_or_path, scale)
    weights, metadata = load_weights(path)
    found = metadata["config"].get("scale")
    if scale not in (None, found):
        raise InputError(f"expected weights for x{scale} but {path} holds x{found}")
    model = build_model(metadata)
    load_arrays(model, weights)
    model.eval()
    return model


def enlarge(model, image):
    """A network's output for one image, in float32 up to the end, then clipped and rounded.

    Parameters
    ----------
    model : network with C channels
    image : uint8 array, shape (H, W, C)

    Returns
    -------
    uint8 array, shape (s*H, s*W, C)
    """
    with paddle.no_grad():
        return tensor_to_image(model(paddle.to_tensor(image_to_tensor(image))).numpy())
