"""Define the losses: how far an enlarged patch lies from its HR patch, one row each.

They are written in the methods of tensors, so that their names are known without Paddle.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from elsr_paddle.errors import InputError

# ImageNet's mean and standard deviation of red, green and blue, which VGG19 was trained with.
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_LAYERS = 35  # of VGG19, up to its 16th convolution before the activation, as ESRGAN compares


@dataclass(frozen=True)
class L1:
    """Mean absolute difference."""

    def __call__(self, sr: Any, hr: Any) -> Any:
        """The loss of float32 tensors (N, C, H, W) in [0, 1], as a tensor of shape ()."""
        return (sr - hr).abs().mean()


@dataclass(frozen=True)
class L2:
    """Mean squared difference."""

    def __call__(self, sr: Any, hr: Any) -> Any:
        """As `L1`."""
        return (sr - hr).square().mean()


@dataclass(frozen=True)
class Charbonnier:
    """Mean of sqrt(difference^2 + epsilon^2): L1 with a round corner at 0."""

    epsilon: float = 1e-3  # in units of the range [0, 1], as in LapSRN (arXiv 1704.03915)

    def __call__(self, sr: Any, hr: Any) -> Any:
        """As `L1`."""
        return ((sr - hr).square() + self.epsilon**2).sqrt().mean()


@dataclass(frozen=True)
class PSNR:
    """Mean over the patches of -PSNR in dB: a patch counts by its own error, smooth or detailed.

    With L2 the most detailed patches of a batch make most of the gradient, while what is reported
    is a mean of PSNR. Source: HINet (arXiv 2105.06086).
    """

    epsilon: float = 1e-5  # added to a patch's mean square, so that a flat one does not rule

    def __call__(self, sr: Any, hr: Any) -> Any:
        """As `L1`."""
        square = (sr - hr).square().mean([1, 2, 3]) + self.epsilon  # (N,)
        return 10 * square.log10().mean()


@dataclass(frozen=True)
class Perceptual:
    """Mean absolute difference of features of VGG19 (arXiv 1603.08155, 1809.00219).

    The features are those of the last convolution, before its activation. Luma stands for red,
    green and blue alike.

    Attributes
    ----------
    file : str, weights of VGG19 in Paddle's or torchvision's names; empty downloads Paddle's.

    Raises
    ------
    InputError, when it is first computed, if there are no such weights.
    """

    file: str = ""

    def __call__(self, sr: Any, hr: Any) -> Any:
        """As `L1`."""
        features = vgg19_features(self.file)
        hr_features = features(hr.detach()).detach()
        return (features(sr) - hr_features).abs().mean()


@dataclass(frozen=True)
class WeightedSum:
    """A sum of losses, each with its factor.

    Attributes
    ----------
    terms : tuple of (float, loss)
    """

    terms: tuple

    def __call__(self, sr: Any, hr: Any) -> Any:
        """As `L1`."""
        return sum(factor * loss(sr, hr) for factor, loss in self.terms)


# name -> loss
LOSSES: dict[str, Callable[[Any, Any], Any]] = {
    "l1": L1(), "l2": L2(), "charbonnier": Charbonnier(), "psnr": PSNR(),
    "perceptual": Perceptual()}


def make_loss(text: str, vgg: str = "") -> Callable[[Any, Any], Any]:
    """The loss that a name means, or a weighted sum such as `l1+0.1*perceptual`.

    Parameters
    ----------
    text : str
    vgg : str, file of weights for `Perceptual`

    Raises
    ------
    InputError if it is neither.
    """
    terms = []
    for term in text.replace(" ", "").split("+"):
        match = re.fullmatch(r"(?:(\d+(?:\.\d+)?(?:e-?\d+)?)\*)?(\w+)", term)
        if not match or match[2] not in LOSSES:
            raise InputError(f"expected a loss of {', '.join(LOSSES)}, or a sum such as "
                             f"l1+0.1*perceptual, but got {text!r}")
        loss = LOSSES[match[2]]
        loss = replace(loss, file=vgg) if isinstance(loss, Perceptual) else loss
        terms.append((float(match[1] or 1), loss))
    return terms[0][1] if len(terms) == 1 and terms[0][0] == 1 else WeightedSum(tuple(terms))


@lru_cache(maxsize=1)
def vgg19_features(file: str) -> Callable[[Any], Any]:
    """A function from pictures to features of VGG19, whose weights are not trained.

    Parameters
    ----------
    file : str; empty downloads the weights that paddle.vision names.

    Returns
    -------
    callable, float32 (N, 1 or 3, H, W) in [0, 1] -> (N, 512, H / 16, W / 16)

    Raises
    ------
    InputError if the file, or the network, does not give the weights.
    """
    from elsr_paddle.framework import paddle

    layers = paddle.vision.models.vgg19(num_classes=0).features[:_LAYERS]
    arrays = _vgg19_arrays(file or _downloaded())
    for name, parameter in layers.named_parameters():
        array = arrays.get(f"features.{name}")
        shape = tuple(parameter.shape)
        if array is None or array.shape != shape:
            raise InputError(f"expected VGG19's features.{name} of shape {shape} in {file} "
                             f"but got {'none' if array is None else array.shape}")
        parameter.set_value(array)
        parameter.stop_gradient = True
    mean, deviation = (paddle.to_tensor(values, "float32").reshape([1, 3, 1, 1])
                       for values in (_MEAN, _DEVIATION))

    def features(pictures):
        rgb = pictures.expand([-1, 3, -1, -1])  # (N, 1, H, W) -> (N, 3, H, W)
        return layers((rgb - mean) / deviation)

    return features


def _vgg19_arrays(file):
    from elsr_paddle.networks.published import load_published

    return load_published(file)


def _downloaded():
    """The path of paddle.vision's weights, in Paddle's cache."""
    from paddle.utils.download import get_weights_path_from_url
    from paddle.vision.models.vgg import model_urls

    try:
        return get_weights_path_from_url(*model_urls["vgg19"])
    except Exception as error:  # no network, no such address, no room: each its own kind
        raise InputError("the perceptual loss needs weights of VGG19, and they could not be "
                         f"downloaded ({' '.join(str(error).split())}): give --vgg FILE, "
                         "Paddle's vgg19.pdparams or torchvision's vgg19 .pth") from error
