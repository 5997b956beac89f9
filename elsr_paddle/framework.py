"""Bring PaddlePaddle, or one line that says how to get it; choose devices, and wait for them.

Modules that need the framework write `from elsr_paddle.framework import paddle`. It is an extra
and not a dependency, since installing `paddlepaddle` over the `paddlepaddle-gpu` of a GPU notebook
would replace the GPU build by the CPU one.
"""

import os
import warnings
from contextlib import contextmanager

from elsr_paddle.errors import InputError

# Importing Paddle sets the variable to 1 where it is not set.
THREADS_ASKED_FOR = os.environ.get("OMP_NUM_THREADS", "")
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

__all__ = ["THREADS_ASKED_FOR", "device_named", "make_deterministic", "mean_over_processes",
           "on_device", "paddle", "select_device", "synchronize", "use_tf32", "wait_for_all"]


def device_named(name=None):
    """The full name of a device: "cpu" or "gpu:N".

    Parameters
    ----------
    name : str or None, such as "cpu", "gpu" or "gpu:1"; None takes a GPU where there is one.

    Raises
    ------
    InputError if this build of Paddle or this machine has no such device.
    """
    count = paddle.device.cuda.device_count() if paddle.device.is_compiled_with_cuda() else 0
    name = name or ("gpu" if count else "cpu")
    if name == "cpu":
        return name
    kind, _, number = name.partition(":")
    if kind != "gpu" or not (number or "0").isdecimal():
        raise InputError(f"expected cpu, gpu or gpu:N as device but got {name!r}")
    if int(number or 0) >= count:
        raise InputError(f"expected a device of this machine but got {name}: Paddle "
                         f"{paddle.__version__} finds {count or 'no'} GPU here; use cpu"
                         + ("" if count else ", or install paddlepaddle-gpu"))
    return f"gpu:{int(number or 0)}"


def select_device(name=None):
    """Run everything that follows on a device; arguments and errors as for `device_named`.

    Returns
    -------
    str, the device taken.
    """
    device = device_named(name)
    paddle.device.set_device(device)
    return device


@contextmanager
def on_device(device, threads=None):
    """Run what is inside the block on a device; what was chosen before comes back after it.

    Parameters
    ----------
    device : str, from `device_named`
    threads : int or None, of Paddle's own on a CPU; None leaves them.
    """
    before = paddle.device.get_device()
    paddle.device.set_device(device)
    if threads:
        paddle.base.core.set_num_threads(threads)
    try:
        yield
    finally:
        if threads:  # Paddle does not tell how many there were; importing it sets this variable
            paddle.base.core.set_num_threads(int(os.environ.get("OMP_NUM_THREADS") or 1))
        paddle.device.set_device(before)


def make_deterministic(device):
    """Let a GPU compute the same bits in every run, and float32 as float32; a CPU does anyway.

    Parameters
    ----------
    device : str, from `device_named`
    """
    if device == "cpu":
        return
    paddle.set_flags({"FLAGS_cudnn_deterministic": True, "FLAGS_embedding_deterministic": 1})
    use_tf32(False)


def use_tf32(allowed):
    """Allow or forbid the ten-bit products that NVIDIA's tensor cores put in the place of float32.

    Their default differs between builds of Paddle, so whoever compares numbers says it.
    """
    if paddle.device.is_compiled_with_cuda():
        paddle.base.core.set_cublas_switch(allowed)
        paddle.base.core.set_cudnn_switch(allowed)


def synchronize():
    """Wait until the device has finished all it was given; a CPU has when a call returns.

    (`paddle.device.synchronize` raises on a CPU build.)
    """
    if paddle.device.get_device() != "cpu":
        paddle.device.synchronize()


def mean_over_processes(tensor):
    """The mean of a tensor over all processes of a distributed run; alone, the tensor itself.

    Parameters
    ----------
    tensor : Tensor of equal shape in each of them; its memory is used.
    """
    processes = paddle.distributed.get_world_size()
    if processes == 1:
        return tensor
    paddle.distributed.all_reduce(tensor)
    return tensor / processes


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
