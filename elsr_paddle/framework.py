"""PaddlePaddle, or one line that says how to get it.

Modules that need the framework write `from elsr_paddle.framework import paddle`. It is an extra
and not a dependency, since installing `paddlepaddle` over the `paddlepaddle-gpu` of a GPU notebook
would replace the GPU build by the CPU one.
"""

import os
import warnings

from elsr_paddle.errors import InputError

os.environ.setdefault("GLOG_minloglevel", "2")  # errors only: its warnings mean nothing to users
try:
    with warnings.catch_warnings():
        # Paddle tells everybody to install ccache, for extensions that nobody here compiles.
        warnings.filterwarnings("ignore", message="No ccache found")
        import paddle
except ModuleNotFoundError as error:
    if error.name != "paddle":
        raise
    raise InputError(
        "PaddlePaddle is not installed: `pip install 'elsr-paddle[cpu]'` brings the CPU build; for "
        "an NVIDIA GPU install `paddlepaddle-gpu` as https://www.paddlepaddle.org.cn/install says"
    ) from error

__all__ = ["paddle", "select_device", "synchronize", "wait_for_all"]


def select_device(name=None):
    """Run everything that follows on a device.

    Parameters
    ----------
    name : str or None, such as "cpu", "gpu" or "gpu:1"; None takes a GPU where there is one.

    Returns
    -------
    str, the device taken.

    Raises
    ------
    InputError if this build of Paddle or this machine has no such device.
    """
    has_gpu = paddle.device.is_compiled_with_cuda() and paddle.device.cuda.device_count() > 0
    name = name or ("gpu" if has_gpu else "cpu")
    if name.startswith("gpu") and not has_gpu:
        raise InputError(
            f"expected a device of this machine but got {name}: Paddle {paddle.__version__} finds "
            "no GPU here; use cpu, or install paddlepaddle-gpu"
        )
    try:
        paddle.device.set_device(name)
        return paddle.device.get_device()
    except (ValueError, RuntimeError) as error:  # Paddle's words for a device it does not know
        raise InputError(f"expected cpu, gpu or gpu:N as device but got {name!r}") from error


def synchronize():
    """Wait until the device has finished all it was given; a CPU has when a call returns.

    (`paddle.device.synchronize` raises on a CPU build.)
    """
    if paddle.device.get_device() != "cpu":
        paddle.device.synchronize()


def wait_for_all(event):
    """Wait until every process of a distributed run has come here; one process goes on at once.

    Through Paddle's store of keys, not its barrier: over gloo that gives up after 30 seconds, and
    what the first process does alone, such as preparing data or validating, may take longer.

    Parameters
    ----------
    event : str, each used once in a run.
    """
    processes = paddle.distributed.get_world_size()
    if processes == 1:
        return
    store = paddle.base.core.create_or_get_global_tcp_store()
    if store.add(f"{event}: processes", 1) == processes:
        store.set(f"{event}: all", b"1")
    store.wait(f"{event}: all")
