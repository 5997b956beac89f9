"""Where training starts: at a network that repeats pixels."""

from elsr_paddle.models.arrays import load_arrays, to_arrays

FAINT = 0.3  # of He's standard deviation, on top of the colours passed on


def start_as_nearest_neighbour(network, passing):
    """Let an untrained network repeat pixels: colours are passed on, all else is faint.

    From there it learns in hundreds of steps what takes thousands from random weights.

    Parameters
    ----------
    network : model with `channels`, `config["scale"]` and a convolution `tail`
    passing : list of str, the convolutions before the tail that hand on the first `channels`.
    """
    weights = to_arrays(network)
    for kernel in weights.values():
        if kernel.ndim == 4:
            kernel *= FAINT
    sub_pixels = network.config["scale"] ** 2
    for colour in range(min(network.channels, weights["tail.weight"].shape[1])):
        for name in passing:
            _centre(weights[f"{name}.weight"])[colour, colour] += 1
        rows = slice(colour * sub_pixels, (colour + 1) * sub_pixels)
        _centre(weights["tail.weight"])[rows, colour] += 1
    load_arrays(network, weights)


def _centre(kernel):
    """A view of the middle tap: (out, in, k, k) -> (out, in)."""
    return kernel[:, :, kernel.shape[2] // 2, kernel.shape[3] // 2]
