"""Choose the engine for a trained network: from a name or a file of weights to an `Engine`."""

from __future__ import annotations

import statistics
import time
from importlib import import_module, metadata
from pathlib import Path

import numpy as np

from elsr_paddle.engines.engine import MAX_PIXELS, Engine, EngineOptions
from elsr_paddle.engines.variations import Passes, SelfEnsemble
from elsr_paddle.errors import InputError
from elsr_paddle.networks import zoo
from elsr_paddle.networks.blended import blended
from elsr_paddle.networks.graph import Graph, evaluate
from elsr_paddle.networks.weights import Trained, read

# Fastest first, as measured (benchmarks/README.md); imported only when asked for.
ENGINES = {
    "halide": ("halide_engine", "HalideBackend"),
    "openvino": ("openvino_engine", "OpenVINOBackend"),
    "paddle": ("paddle_engine", "PaddleBackend"),
    "onnxruntime": ("onnxruntime_engine", "ONNXRuntimeBackend"),
    "numpy": ("numpy_engine", "NumpyBackend"),
    "eager": ("eager_engine", "EagerBackend"),
}
GPU_ENGINES = ("paddle", "eager")  # those that run on a GPU, too
_CHECKED = 2e9  # multiply-adds in float64 that the check of an engine's picture may take
_COMPILING = 3e10  # multiply-adds that numpy does while Halide compiles a kernel in memory
MOST_COMPILED = 24  # convolutions, which take Halide 40 s; 32 take it 70 s
_FRAME = (180, 320)  # that engines are compared on


def load_engine(
    model_or_path: str | Path | None = None,
    *,
    quality: str | None = None,
    source: str = "clean",
    scale: int | None = None,
    engine: str = "auto",
    device: str | None = None,
    threads: int | None = None,
    max_pixels: int = MAX_PIXELS,
) -> Engine:
    """Make a trained network ready to enlarge pictures.

    Parameters
    ----------
    model_or_path : str or Path, the name of a network that ships (`elsr-y`) or a file of weights.
    quality : str, instead of that: fast (elsr-y), balanced (elsr-m) or best (elsr-l, or the best
        that ships).
    source : str, beside a quality: clean, or what the pictures went through before: jpeg,
        compressed or aliased (shrunk without antialiasing); for them other networks ship. A JPEG
        is to be deblocked first (`imaging.jpeg`).
    scale : int or None; chooses among those that ship (None: 4), must agree with a file's.
    engine : str, one of `ENGINES`, or `auto`: the fastest that is installed and works.
    device : str or None: cpu, gpu or gpu:N. None leaves it to the engine.
    threads : int or None (all cores).
    max_pixels : int, largest output in pixels; a larger one is refused.

    Raises
    ------
    InputError for an unknown name, quality, engine, device or scale, for both a name and a quality
    or neither, or for an engine that is not installed; FileNotFoundError for a missing file.
    """
    if (model_or_path is None) == (quality is None):
        raise InputError("expected either a network or a quality; give one of them")
    if model_or_path is not None and source != "clean":
        raise InputError(f"{model_or_path} names a network, whatever the source; leave the source "
                         "out, or name a quality instead")
    trained = read(zoo.find(model_or_path, scale) if quality is None
                   else zoo.find_quality(quality, scale, source))
    if scale not in (None, trained.scale):
        raise InputError(f"expected weights for x{scale} but {trained.path} holds "
                         f"x{trained.scale}")
    return make_engine(trained, EngineOptions(engine, device, threads, max_pixels))


def make_engine(trained: Trained, options: EngineOptions | None = None) -> Engine:
    """Make a network that was read already ready to enlarge pictures.

    Raises
    ------
    InputError as `load_engine`.
    """
    options = options or EngineOptions()
    if options.threads is not None and options.threads < 1:
        raise InputError(f"expected at least 1 thread but got {options.threads}")
    trained = blended(trained, options.strength)
    if options.engine == "auto":
        backend, reason = _fastest(trained, options)
    elif options.engine in ENGINES:
        backend = _backend(options.engine, trained, options)
        reason = f"{backend.note}, as asked for"
    else:
        raise InputError(f"expected an engine of {', '.join(ENGINES)} or auto "
                         f"but got {options.engine!r}")
    return _varied(backend, trained, options, reason)


def _varied(backend, trained, options, reason):
    """The engine of a backend, run as often for a picture as the options say."""
    if options.colour_space != "ycbcr" and trained.channels == 3:
        raise InputError(f"expected a network on luma for the colour space {options.colour_space} "
                         f"but {trained.network.name} works on RGB; leave it out")
    if options.self_ensemble:
        backend = SelfEnsemble(backend)
    engine = Engine(backend, trained, reason=reason, max_pixels=options.max_pixels,
                    colour_space=options.colour_space)
    engine.fingerprint += "-ensemble" * options.self_ensemble
    if options.strength < 1:
        engine.fingerprint += f"-strength-{options.strength:g}"
    return engine if options.passes == 1 else Passes(engine, options.passes)


def _backend(name, trained, options):
    module, kind = ENGINES[name]
    if name not in GPU_ENGINES and options.device not in (None, "cpu"):
        raise InputError(f"expected the device cpu for the engine {name} but got {options.device}; "
                         f"{' and '.join(GPU_ENGINES)} run on a GPU")
    kind = getattr(import_module(f"elsr_paddle.engines.{module}"), kind)
    if name in GPU_ENGINES:
        return kind(trained, options.threads, options.device)
    return kind(trained, options.threads)


def _fastest(trained, options):
    """The first backend that can be made and gives the right picture, and why it was taken."""
    passed_over = []
    for name in _candidates(options):
        try:
            _refuse_to_compile_for_little(name, trained, options)
            backend = _backend(name, trained, options)
            check_picture(backend, trained.graph)
        except Exception as error:  # a broken installation raises anything, and the next may work
            reason = " ".join(str(error).split()) or type(error).__name__
            passed_over.append(f"{name}: {reason}")
            continue
        return _or_gpu(backend, trained, options, passed_over)
    raise InputError(f"no engine works here; {'; '.join(passed_over)}")


def _candidates(options):
    """The engines for the device, fastest first; without a wish those of the CPU."""
    on_gpu = options.device not in (None, "cpu")
    return [name for name in ENGINES if name in GPU_ENGINES or not on_gpu]


def layers_to_compile(graph: Graph) -> int:
    """Convolutions of a kernel, of which Halide compiles no more than `MOST_COMPILED` unasked."""
    return sum(node.op.multiply_adds > 0 for node in graph.pruned().nodes)


def _refuse_to_compile_for_little(name, trained, options):
    """Without a C compiler each process compiles the kernel anew: seconds that a photo must not
    pay for. A kernel of very many layers takes minutes, compiler or not."""
    if name != "halide":
        return
    layers = layers_to_compile(trained.graph)
    if layers > MOST_COMPILED:
        raise InputError(f"would compile a kernel of {layers} layers for minutes, once; "
                         "ask for it by --engine halide")
    if options.pixels is None:
        return
    from elsr_paddle.engines.halide_engine import compiles_at_every_start

    little = options.pixels * trained.graph.multiply_adds < _COMPILING
    if little and compiles_at_every_start(trained):
        raise InputError("would compile its kernel for 3 s at every start; with a C compiler (gcc "
                         "or clang) it does so once")


def _or_gpu(backend, trained, options, passed_over):
    """The backend for the CPU, or the GPU's where there is one and it proves faster."""
    reason = _because(backend, passed_over)
    if options.device is not None or not _has_paddle_for_gpus():
        return backend, reason
    try:
        other = _backend("paddle", trained, EngineOptions(device="gpu"))
        check_picture(other, trained.graph)
    except Exception as error:  # no GPU, no driver, another version of CUDA
        return backend, f"{reason}; paddle on a GPU: {' '.join(str(error).split())}"
    milliseconds = [_frame_milliseconds(each, trained) for each in (backend, other)]
    faster = backend if milliseconds[0] <= milliseconds[1] else other
    return faster, (f"{faster.note}, measured here: a frame takes {backend.name} "
                    f"{milliseconds[0]:.1f} ms on the CPU, {other.name} {milliseconds[1]:.1f} ms "
                    f"on {other.device}")


def _because(backend, passed_over):
    if not passed_over:
        return f"{backend.note}, the fastest of all on a CPU"
    return f"{backend.note}, the fastest that works here; {'; '.join(passed_over)}"


def _has_paddle_for_gpus():
    """Asked without importing Paddle, which takes a second."""
    try:
        metadata.distribution("paddlepaddle-gpu")
    except metadata.PackageNotFoundError:
        return False
    return True


def _frame_milliseconds(backend, trained, runs=5):
    frame = _noise(*_FRAME, trained.channels)
    seconds = []
    for _ in range(runs + 1):
        start = time.perf_counter()
        backend.run(frame)
        seconds.append(time.perf_counter() - start)
    return 1000 * statistics.median(seconds[1:])


def check_picture(backend, graph) -> None:
    """Compare a backend's picture of noise with the reference's.

    Networks so large that the reference would take seconds are not checked.

    Raises
    ------
    RuntimeError unless they agree within one level.
    """
    height, width = (24, 40)
    if height * width * graph.multiply_adds > _CHECKED:
        return
    noise = _noise(height, width, graph.channels)
    difference = np.abs(evaluate(graph, noise).clip(0, 255) - backend.run(noise)).max()
    if not difference <= 1:
        raise RuntimeError(f"differs from the network by {difference:.1f} levels")


def _noise(*shape):
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
