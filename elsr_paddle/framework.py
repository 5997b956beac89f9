"""PaddlePaddle, or one line that says how to get it.

Modules that need the framework write `from elsr_paddle.framework import paddle`. It is an extra
and not a dependency, since installing `paddlepaddle` over the `paddlepaddle-gpu` of a GPU notebook
would replace the GPU build by the CPU one.
"""

from elsr_paddle.errors import InputError

try:
    import paddle
except ModuleNotFoundError as error:
    if error.name != "paddle":
        raise
    raise InputError(
        "PaddlePaddle is not installed: `pip install 'elsr-paddle[cpu]'` brings the CPU build; for "
        "an NVIDIA GPU install `paddlepaddle-gpu` as https://www.paddlepaddle.org.cn/install says"
    ) from error

__all__ = ["paddle"]
