"""The weights of a network as plain arrays, in and out, and what they cost."""

import math

import numpy as np

from elsr_paddle.errors import InputError
from elsr_paddle.framework import paddle
from elsr_paddle.models.linear_block import LinearBlock


def to_arrays(model):
    """The weights of the plain network: name -> float32 array, linear blocks collapsed.

    Names are Paddle's, with PReLU's private `_weight` given as `weight`, its name elsewhere.
    """
    return {name: tensor.numpy() for name, tensor in plain_parameters(model)}


def load_arrays(model, weights):
    """Copy every array of `weights` into `model`; linear blocks continue from the given kernel.

    Raises
    ------
    InputError naming each parameter that is missing, unknown or of another shape; the model is
    then unchanged. (Paddle's `set_state_dict` would only warn.)
    """
    expected = {name: tuple(tensor.shape) for name, tensor in plain_parameters(model)}
    given = {name: tuple(array.shape) for name, array in weights.items()}
    wrong = sorted(
        name for name in expected.keys() | given.keys() if expected.get(name) != given.get(name)
    )
    if wrong:
        listed = "; ".join(
            f"{name}: expected {expected.get(name, 'none')} but got {given.get(name, 'none')}"
            for name in wrong
        )
        raise InputError(f"the weights do not fit the model: {listed}")
    _assign(model, weights)


def warm_start(model, weights):
    """Start `model` from weights of its own or another scale.

    Everything is copied but a tail of another scale: there each sub-pixel starts as the nearest
    sub-pixel of the given tail.

    Parameters
    ----------
    model : network
    weights : dict of str -> float32 array

    Returns
    -------
    list of str: the parameters that could not be copied.

    Raises
    ------
    InputError if anything but the tail does not fit.
    """
    scale = model.config["scale"]
    spread = {
        name: _spread(weights[name], own.shape[0] // scale**2, scale)
        for name, own in to_arrays(model).items()
        if name.startswith("tail.") and name in weights and weights[name].shape != own.shape
    }
    load_arrays(model, {**weights, **spread})
    return sorted(spread)


def _spread(array, colours, scale):
    """A tail's kernel or bias (colours * s * s, ...) of another scale s, brought to `scale`."""
    given = math.isqrt(array.shape[0] // colours)
    if array.shape[0] != colours * given**2:
        return array  # no tail at all: left for `load_arrays` to refuse
    nearest = np.arange(scale) * given // scale
    grid = array.reshape(colours, given, given, *array.shape[1:])
    return grid[:, nearest][:, :, nearest].reshape(-1, *array.shape[1:])


def count_parameters(model):
    """Weights, biases and slopes of the plain network."""
    return sum(tensor.size for _, tensor in plain_parameters(model))


def multiply_adds(model, height, width):
    """Multiply-adds of all convolutions for an LR picture of height x width pixels.

    Biases, slopes, the addition and the pixel shuffle are not counted, as in the paper.
    """
    kernels = (tensor for _, tensor in plain_parameters(model) if tensor.ndim == 4)
    return sum(kernel.size for kernel in kernels) * height * width


def plain_parameters(model):
    """(name, tensor) of the plain network's parameters, in the order of the layers."""
    for path, layer in model.named_sublayers():
        if isinstance(layer, (LinearBlock, paddle.nn.Conv2D)):
            yield f"{path}.weight", layer.weight
            yield f"{path}.bias", layer.bias
        elif isinstance(layer, paddle.nn.PReLU):
            yield f"{path}.weight", layer._weight


def _assign(model, weights):
    for path, layer in model.named_sublayers():
        if isinstance(layer, LinearBlock):
            layer.start_from(weights[f"{path}.weight"], weights[f"{path}.bias"])
        elif isinstance(layer, paddle.nn.Conv2D):
            layer.weight.set_value(weights[f"{path}.weight"])
            layer.bias.set_value(weights[f"{path}.bias"])
        elif isinstance(layer, paddle.nn.PReLU):
            layer._weight.set_value(weights[f"{path}.weight"])
