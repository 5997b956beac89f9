"""The network of ELSR, as in the architecture figure of arXiv 2208.14600."""

from elsr_paddle.errors import InputError
from elsr_paddle.framework import paddle
from elsr_paddle.models.arrays import load_arrays, to_arrays
from elsr_paddle.models.linear_block import LinearBlock

nn = paddle.nn

SCALES = (2, 3, 4)
PRELUS = ("channel", "shared")
FAINT = 0.3  # of He's standard deviation, on top of the start as nearest neighbour


class ELSR(nn.Layer):
    """Four 3x3 convolutions, one PReLU and a pixel shuffle: 3,474 parameters at x4.

    Takes LR tensors float32 (N, 3, H, W) in [0, 1], RGB, of any size; gives float32
    (N, 3, scale * H, scale * W), not clipped. Padding is zero everywhere. There is no activation
    after the first convolution or after the addition.

    Parameters
    ----------
    scale : 2, 3 or 4
    width : int, channels of head and body; the paper's 6.
    prelu : "channel" for one slope a channel (3,474 parameters at x4) or "shared" for a single
        one (3,469, as in the PyTorch port's checkpoint).
    expansion : int, channels inside the linear blocks that stand for the convolutions while
        training; 0 for plain convolutions.

    Raises
    ------
    InputError for a scale, width or prelu that does not exist.

    Notes
    -----
    The state of the PyTorch port's released x4 checkpoint maps to this one's by name alone, shapes
    and channel orders being the same:

    ====================== ================ =================
    port                   here             shape
    ====================== ================ =================
    layer1.weight          head.weight      (6, 3, 3, 3)
    layer1.bias            head.bias        (6,)
    layer2_4.conv1.weight  body.0.weight    (6, 6, 3, 3)
    layer2_4.conv1.bias    body.0.bias      (6,)
    layer2_4.prelu.weight  body.1.weight    (1,), "shared"
    layer2_4.conv2.weight  body.2.weight    (6, 6, 3, 3)
    layer2_4.conv2.bias    body.2.bias      (6,)
    layer5.weight          tail.weight      (48, 6, 3, 3)
    layer5.bias            tail.bias        (48,)
    ====================== ================ =================

    The port's code also rectifies after the first convolution, after the addition and at the end,
    which the paper's figure does not show and this network does not do.
    """

    def __init__(self, scale=4, width=6, prelu="channel", expansion=0):
        super().__init__()
        _check(scale, width, prelu)
        self.config = {"scale": scale, "width": width, "prelu": prelu}
        self.head = _conv(3, width, expansion)
        self.body = nn.Sequential(
            _conv(width, width, expansion),
            nn.PReLU(width if prelu == "channel" else 1),
            _conv(width, width, expansion),
        )
        self.tail = _conv(width, 3 * scale**2, expansion)
        self.shuffle = nn.PixelShuffle(scale)
        _start_as_nearest_neighbour(self)

    def forward(self, lr):
        features = self.head(lr)  # (N, 3, H, W) -> (N, 6, H, W)
        features = features + self.body(features)
        return self.shuffle(self.tail(features))  # (N, 6, H, W) -> (N, 48, H, W) -> (N, 3, 4H, 4W)


def _start_as_nearest_neighbour(network):
    """Let the untrained network repeat pixels: head and tail pass colours on, the rest is faint.

    From there it learns in hundreds of steps what takes thousands from random weights.
    """
    weights = to_arrays(network)
    for kernel in weights.values():
        if kernel.ndim == 4:
            kernel *= FAINT
    sub_pixels = network.config["scale"] ** 2
    for colour in range(min(3, network.config["width"])):
        weights["head.weight"][colour, colour, 1, 1] += 1
        weights["tail.weight"][colour * sub_pixels : (colour + 1) * sub_pixels, colour, 1, 1] += 1
    load_arrays(network, weights)


def _conv(in_channels, out_channels, expansion):
    """A 3x3 convolution with He initialisation, or the linear block that becomes one."""
    if expansion:
        return LinearBlock(in_channels, out_channels, expansion)
    he = nn.initializer.KaimingNormal(fan_in=9 * in_channels)
    return nn.Conv2D(in_channels, out_channels, 3, padding=1, weight_attr=he)


def _check(scale, width, prelu):
    if scale not in SCALES:
        raise InputError(f"expected a scale of 2, 3 or 4 but got {scale}")
    if not (isinstance(width, int) and width >= 1):
        raise InputError(f"expected a width of at least 1 channel but got {width}")
    if prelu not in PRELUS:
        raise InputError(f"expected prelu to be one of {', '.join(PRELUS)} but got {prelu}")
