"""Enlarge a picture or a video with one call: the package's public verb."""

from __future__ import annotations

import logging
import os
import warnings
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
from PIL import Image

from elsr_paddle.engines.choose import load_engine
from elsr_paddle.engines.engine import MAX_PIXELS
from elsr_paddle.enlarge.batch import plan_jobs
from elsr_paddle.enlarge.pictures import upscale_image, upscale_picture
from elsr_paddle.enlarge.quality import choose_for_film
from elsr_paddle.enlarge.sizes import Target, Upscaler
from elsr_paddle.enlarge.source import source_of
from elsr_paddle.enlarge.video import transcode
from elsr_paddle.errors import InputError
from elsr_paddle.files import VIDEO_SUFFIXES
from elsr_paddle.networks import zoo
from elsr_paddle.video.encoder import VideoOptions

log = logging.getLogger(__name__)


def upscale(
    source: str | os.PathLike | Image.Image | np.ndarray,
    output: str | os.PathLike | None = None,
    *,
    scale: float | None = None,
    size: tuple[int, int] | None = None,
    fit: tuple[int, int] | None = None,
    model: str | os.PathLike | None = None,
    quality: str | None = None,
    kind: str = "auto",
    engine: str = "auto",
) -> Path | Image.Image | np.ndarray:
    """Enlarge a picture or a video; what comes back is of the kind that was given.

    At most one of `scale`, `size` and `fit` is given; without, the largest network says how much.
    Engines are kept for the next call. Call from one thread at a time.

    Parameters
    ----------
    source : one of
        str or Path, a picture or video, which is written to `output`;
        PIL.Image.Image; a palette becomes RGB, and nothing is turned as its EXIF says;
        uint8 or uint16 array, shape (H, W, 3), RGB, or (H, W), gray, the full range of its type.
    output : str or Path, for a file: its larger version, or a folder for that; is replaced.
    scale : float, output pixels for each input pixel along an axis, such as 4 or 1.5
    size : (width, height) in pixels, reached exactly
    fit : (width, height) of a box that the output fills as far as its shape allows
    model : str or Path, the name of a network that ships, or a file of weights
    quality : str, instead of a model: fast (elsr-y), balanced (elsr-m) or best (elsr-l, or the best
        that ships). Without either, pictures get the best, and a film the best that keeps up with
        it here, by a measure of a second. Name one to make the same of a film again. The choice is
        logged.
    kind : str, what the source went through before, with other networks for each: "clean",
        "jpeg", "compressed" or "aliased" (shrunk without antialiasing). "auto" tells it from a
        file, and takes pictures in memory for clean. Not beside a model. Networks for "jpeg" and
        "compressed" take a JPEG deblocked, see `imaging.jpeg`; of pictures in memory Pillow's alone
        tell that.
    engine : str, what runs the network, see `load_engine`

    Returns
    -------
    Path that was written, PIL.Image.Image, or array of the type and kind of `source`

    Raises
    ------
    InputError if the source cannot be read or enlarged so far, or the arguments do not fit;
    OSError if the output cannot be written.

    Warns
    -----
    UserWarning for whatever of a file could not be kept.

    Examples
    --------
    >>> import numpy as np
    >>> upscale(np.zeros((20, 30, 3), np.uint8), scale=2).shape
    (40, 60, 3)
    """
    if sum(given is not None for given in (scale, size, fit)) > 1:
        raise InputError("expected one of scale, size and fit but got more; leave the others out")
    if isinstance(source, (str, os.PathLike)) and output is None:
        raise InputError(f"expected an output for {source}; give the name of a file or folder")
    if not isinstance(source, (str, os.PathLike)) and output is not None:
        raise InputError(f"expected a file to write to {output} but got a {type(source).__name__}; "
                         "leave the output out and save what comes back")
    kind = _kind_of(source, model, kind)
    upscalers = {name: _upscaler(files, engine, scale, size, fit)
                 for name, files in _all_files(model, quality, kind, engine).items()}
    best = list(upscalers.values())[-1]
    if isinstance(source, np.ndarray):
        return best.upscale(_checked(source))
    if isinstance(source, Image.Image):
        return upscale_image(source, best)
    if isinstance(source, (str, os.PathLike)):
        return _upscale_file(Path(source), Path(output), upscalers, kind)
    raise InputError("expected a file, a PIL image or an array but got a "
                     f"{type(source).__name__}")


def _kind_of(source, model, kind):
    """The kind of source: as given, else as its file tells."""
    if kind != "auto" and model is not None:
        raise InputError("expected a model or a kind of source but got both; leave one out")
    if kind != "auto" or model is not None or not isinstance(source, (str, os.PathLike)):
        return "clean" if kind == "auto" else kind
    path = Path(source)
    found = source_of(path, path.suffix.lower() in VIDEO_SUFFIXES)
    log.info("%s: source %s", path, found)
    return found.kind


def _all_files(model, quality, kind, engine):
    """The files that may be taken, the fastest network's first: quality -> scale -> Path."""
    if model is not None and quality is not None:
        raise InputError("expected a model or a quality but got both; leave one out")
    if model is not None:
        return {"": _files_of(model, engine)}
    files = zoo.of_qualities(zoo.available()[0], kind, quality)
    return files or {"": _files_of(zoo.DEFAULT, engine)}


def _files_of(model, engine):
    """dict of int, scale -> Path, of a network that ships or of one file."""
    entries, _ = zoo.available()
    files = {entry.scale: entry.path for entry in entries if entry.name == model}
    if files:
        return files
    file = zoo.find(model)  # a file, or InputError
    return {_engine(*_state(file), engine).scale: file}


def _upscaler(files, engine, scale, size, fit):
    default = None if size or fit else max(files)
    return Upscaler(lambda scale: _engine(*_state(files[scale]), engine), files,
                    Target(scale or default, size, fit), MAX_PIXELS)


def _state(path):
    """What tells that a file of weights is still the same."""
    return path, path.stat().st_mtime_ns


@lru_cache(maxsize=8)
def _engine(path, changed, engine):
    return load_engine(path, engine=engine)


def _checked(image):
    fits = image.ndim == 2 or image.ndim == 3 and image.shape[2] == 3
    if not fits or image.size == 0 or image.dtype not in (np.uint8, np.uint16):
        raise InputError("expected uint8 or uint16, (H, W, 3) or (H, W), not empty, but got "
                         f"{image.dtype} {image.shape}")
    return image


def _upscale_file(source, output, upscalers, kind):
    if source.is_dir():
        raise InputError(f"expected a file but {source} is a folder; call it for each file")
    (job,) = plan_jobs([source], output)
    upscaler = list(upscalers.values())[-1]
    if job.video and len(upscalers) > 1:
        upscaler, _ = choose_for_film(job.source, job.output, upscalers, VideoOptions(), log.info,
                                      kind)
    carry_out = partial(transcode, overwrite=True) if job.video else upscale_picture
    for text in carry_out(job.source, job.output, upscaler).warnings:
        warnings.warn(f"{source}: {text}", stacklevel=3)
    return job.output
