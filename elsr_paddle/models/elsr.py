"""The network of ELSR, as in the architecture figure of arXiv 2208.14600."""

from elsr_paddle.errors import InputError
from elsr_paddle.framework import paddle
from elsr_paddle.models.initial import start_as_nearest_neighbour
from elsr_paddle.models.linear_block import convolution
from elsr_paddle.models.prelu import PReLU

nn = paddle.nn

SCALES = (2, 3, 4)
PRELUS = ("channel", "shared")


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

    channels = 3

    def __init__(self, scale=4, width=6, prelu="channel", expansion=0):
        super().__init__()
        _check(scale, width, prelu)
        self.config = {"scale": scale, "width": width, "prelu": prelu}
        self.head = convolution(3, width, 3, expansion)
        self.body = nn.Sequential(
            convolution(width, width, 3, expansion),
            PReLU(width if prelu == "channel" else 1),
            convolution(width, width, 3, expansion),
        )
        self.tail = convolution(width, 3 * scale**2, 3, expansion)
        self.shuffle = nn.PixelShuffle(scale)
        start_as_nearest_neighbour(self, passing=["head"])

    def forward(self, lr):
        features = self.head(lr)  # (N, 3, H, W) -> (N, 6, H, W)
        features = features + self.body(features)
        return self.shuffle(self.tail(features))  # (N, 6, H, W) -> (N, 48, H, W) -> (N, 3, 4H, 4W)


def _check(scale, width, prelu):
    if scale not in SCALES:
        raise InputError(f"expected a scale of 2, 3 or 4 but got {scale}")
    if not (isinstance(width, int) and width >= 1):
        raise InputError(f"expected a width of at least 1 channel but got {width}")
    if prelu not in PRELUS:
        raise InputError(f"expected prelu to be one of {', '.join(PRELUS)} but got {prelu}")
