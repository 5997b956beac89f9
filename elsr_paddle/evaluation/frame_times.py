"""Time a frame on one core: our networks, those of others by their layers, and the encoder.

What is timed is the processor's time, and of many turns the least: other programs that run at the
same time make it grow, never shrink.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from fractions import Fraction
from functools import partial
from typing import Any

import av
import numpy as np

from elsr_paddle.engines.choose import make_engine
from elsr_paddle.engines.engine import Engine, EngineOptions
from elsr_paddle.errors import InputError
from elsr_paddle.evaluation.candidates import Candidate
from elsr_paddle.evaluation.peers import PEERS, with_random_weights
from elsr_paddle.video.encoder import VideoOptions, encoder_options

FRAME = (180, 320)  # LR pixels
REAL_TIME_MS = 1000 / 30
ROUNDS = 20  # turns, after which the least time hardly falls any more
_FILM = 48  # frames that are encoded
_PAN = 2  # pixels between two of them


@dataclass(frozen=True)
class FrameTimes:
    """Milliseconds of one core for a frame.

    Attributes
    ----------
    networks : dict, name of a network of ours or of others -> from a picture in colour to a larger
    encoder : float, to encode the larger frame
    """

    networks: dict[str, float]
    encoder: float

    def as_dict(self) -> dict[str, Any]:
        """As it stands in JSON."""
        return asdict(self)


def network_milliseconds(
    candidates: Iterable[Candidate], scale: int, engine: str = "auto", rounds: int = ROUNDS
) -> dict[str, float]:
    """What each network needs to turn a picture of 320x180 in colour into the larger one.

    Parameters
    ----------
    candidates : iterable of Candidate, of one scale
    scale : int
    engine : str, as for `engines.choose.load_engine`
    rounds : int, turns

    Returns
    -------
    dict, name of each candidate, and of each method of `peers.PEERS` at that scale that the engine
    can run -> milliseconds of one core
    """
    options = EngineOptions(engine, threads=1)
    engines = {found.name: make_engine(found.trained, options) for found in candidates}
    for (method, of_scale), network in PEERS.items():
        made = _engine_or_none(network, options) if of_scale == scale else None
        if made:
            engines[method] = made
    return frame_milliseconds(engines, rounds)


def frame_milliseconds(
    engines: dict[str, Engine], rounds: int = ROUNDS, size: tuple[int, int] = FRAME
) -> dict[str, float]:
    """What each engine needs for a picture in colour.

    Parameters
    ----------
    engines : dict, name -> Engine
    rounds : int, turns
    size : (height, width) of the picture, LR pixels

    Returns
    -------
    dict, name -> milliseconds of processor time
    """
    frame = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    calls = {name: partial(engine.upscale, frame) for name, engine in engines.items()}
    return _least_milliseconds(calls, rounds)


def _engine_or_none(network, options) -> Engine | None:
    try:
        return make_engine(with_random_weights(network), options)
    except InputError:
        return None


def _least_milliseconds(calls: dict[str, Callable], rounds: int) -> dict[str, float]:
    """In turns, so that whatever else the machine does hits all alike."""
    for call in calls.values():
        call()  # the first one allocates
    seconds = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            seconds[name].append(_cpu_seconds(call))
    return {name: 1000 * min(found) for name, found in seconds.items()}


def _cpu_seconds(call):
    begin = time.process_time()
    call()
    return time.process_time() - begin


def encoder_milliseconds(photo: np.ndarray, upscale: Callable) -> float:
    """What libx264, as `elsr` sets it, needs for a frame of a film that pans over a photo.

    Parameters
    ----------
    photo : uint8 array (H, W, 3), RGB, larger than 320x180 by some pixels to the right
    upscale : callable, uint8 (180, 320, 3) -> the frame to encode
    """
    height, width = FRAME
    steps = [_PAN * abs(number % 24 - 12) for number in range(_FILM)]  # there and back
    images = {step: upscale(np.ascontiguousarray(photo[:height, step:step + width]))
              for step in set(steps)}
    frames = [av.VideoFrame.from_ndarray(images[step], "rgb24").reformat(format="yuv420p")
              for step in steps]
    context = _encoder(frames[0])
    return 1000 * _cpu_seconds(lambda: [*map(context.encode, frames), context.encode(None)]) / _FILM


def _encoder(frame):
    codec = VideoOptions().codec_for("mp4")
    context = av.CodecContext.create(codec, "w")
    context.height, context.width, context.pix_fmt = frame.height, frame.width, frame.format.name
    context.options = encoder_options(codec, frame.format.name, VideoOptions())
    context.time_base, context.framerate, context.thread_count = Fraction(1, 25), 25, 1
    return context
