"""ELSR's cost spent on luma alone: this project's own step beyond the paper."""

from elsr_paddle.errors import InputError
from elsr_paddle.framework import paddle
from elsr_paddle.models.elsr import SCALES
from elsr_paddle.models.initial import start_as_nearest_neighbour
from elsr_paddle.models.linear_block import convolution
from elsr_paddle.models.prelu import PReLU

nn = paddle.nn


class ELSRY(nn.Layer):
    """A head, a body of 3x3 convolutions and a tail, each but the tail followed by a PReLU.

    Takes luma tensors float32 (N, 1, H, W) in [0, 1]; gives float32 (N, 1, scale * H, scale * W),
    not clipped. Padding is zero everywhere.

    Parameters
    ----------
    scale : 2, 3 or 4
    width : int, channels of head and body
    depth : int, 3x3 convolutions in the body
    head_kernel, tail_kernel : int, odd, at most 5
    skip : bool, whether the head's output is added before the body's last PReLU.
    expansion : int, as for ELSR

    Raises
    ------
    InputError for a configuration that does not exist.
    """

    channels = 1

    def __init__(
        self, scale=4, width=10, depth=2, head_kernel=3, tail_kernel=3, skip=True, expansion=0
    ):
        super().__init__()
        self.config = {
            "scale": scale,
            "width": width,
            "depth": depth,
            "head_kernel": head_kernel,
            "tail_kernel": tail_kernel,
            "skip": skip,
        }
        _check(**self.config)
        self.head = nn.Sequential(convolution(1, width, head_kernel, expansion), PReLU(width))
        layers = [layer for _ in range(depth) for layer in (
            PReLU(width), convolution(width, width, 3, expansion))]
        self.body = nn.Sequential(*layers[1:])
        self.activation = PReLU(width)
        self.tail = convolution(width, scale**2, tail_kernel, expansion)
        self.shuffle = nn.PixelShuffle(scale)
        start_as_nearest_neighbour(self, passing=["head.0"] if skip else ["head.0", *self._body()])

    def forward(self, luma):
        features = self.head(luma)  # (N, 1, H, W) -> (N, width, H, W)
        deep = self.body(features)
        features = self.activation(features + deep if self.config["skip"] else deep)
        return self.shuffle(self.tail(features))  # -> (N, 16, H, W) -> (N, 1, 4H, 4W)

    def _body(self):
        """Names of the body's convolutions."""
        return [f"body.{2 * index}" for index in range(self.config["depth"])]


def _check(scale, width, depth, head_kernel, tail_kernel, skip):
    if scale not in SCALES:
        raise InputError(f"expected a scale of 2, 3 or 4 but got {scale}")
    if width < 1 or depth < 1:
        raise InputError(f"expected width and depth of at least 1 but got {width} and {depth}")
    for kernel in (head_kernel, tail_kernel):
        if kernel not in (1, 3, 5):
            raise InputError(f"expected kernels of 1, 3 or 5 pixels but got {kernel}")
