"""Read frames of a video file or of a folder, one at a time."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from elsr_paddle.errors import InputError
from elsr_paddle.video.pyav import open_input

FOLDER_FPS = 24.0  # frames per second of a folder of pictures, which states none: REDS has 24
_ATTACHED_PICTURE = av.stream.Disposition.attached_pic


def read_frames(path, every=1):
    """The frames of a video file or a folder of pictures, decoded one at a time.

    Parameters
    ----------
    path : str or Path; pictures of a folder come in natural order, frame 10 after frame 9.
    every : int, 1 for all frames, 4 for the first, the fifth, ...

    Yields
    ------
    uint8 array, shape (H, W, 3), RGB; upright where the file asks for a rotation.

    Raises
    ------
    InputError, which names the file, if it holds no frames or cannot be decoded.
    """
    for _, frame in numbered_frames(path, every):
        yield frame


def numbered_frames(path, every=1, on_error=None):
    """As `read_frames`, as (number of the frame in the clip, frame), and able to go on.

    Parameters
    ----------
    path, every : as for `read_frames`
    on_error : callable that takes an InputError, or None. With it an unreadable picture of a
        folder is reported and left out, and a video that breaks off ends there; without it the
        error is raised.

    Yields
    ------
    (int, uint8 array of shape (H, W, 3)); the first frame of a clip is number 0.
    """
    if every < 1:
        raise InputError(f"expected to take every 1st, 2nd, ... frame but got every={every}")
    source = _folder_frames if Path(path).is_dir() else _video_frames
    yield from source(path, every, on_error or _raise)


def _raise(error):
    raise error


def _folder_frames(folder, every, on_error):
    from elsr_paddle.imaging.io import list_images, read_image  # Pillow, which films do not need

    paths = list_images(folder)
    if not paths:
        on_error(InputError(f"no pictures in {folder}; expected frames such as 00000000.png"))
    for number in range(0, len(paths), every):
        try:
            frame = read_image(paths[number])
        except InputError as error:
            on_error(error)
            continue
        yield number, frame


def _video_frames(path, every, on_error):
    number = -1
    try:
        with _open_video(path) as container:
            for number, frame in enumerate(container.decode(main_stream(container))):
                if number % every == 0:
                    yield number, _upright(frame)
    except av.FFmpegError as error:
        on_error(_broken(path, error, frames=number + 1))
    except InputError as error:
        on_error(error)
    else:
        if number < 0:
            on_error(InputError(f"no frames in {path}"))


def _broken(path, error, frames=0):
    """What to tell about a video that PyAV cannot open, or not decode to its end."""
    progress = f" past frame {frames}" if frames else ""
    return InputError(f"cannot read {path} as a video{progress}: {error.strerror}")


def _upright(frame):
    """RGB array of a decoded frame, turned as its file asks: phones film on their side."""
    turns = round(frame.rotation / 90) % 4  # counterclockwise, like np.rot90
    return np.ascontiguousarray(np.rot90(frame.to_ndarray(format="rgb24"), turns))


def _open_video(path):
    if not Path(path).exists():
        raise InputError(f"no such file: {path}")
    return open_input(path)


def main_stream(container):
    """The video stream that FFmpeg takes to be the best, and never a cover picture.

    Raises
    ------
    InputError if the container holds no video.
    """
    streams = [stream for stream in container.streams.video
               if not stream.disposition & _ATTACHED_PICTURE]
    if not streams:
        raise InputError(f"no video stream in {container.name}")
    best = container.streams.best("video")
    stream = best if best in streams else streams[0]
    stream.thread_type = "AUTO"
    return stream


def rate_of(stream):
    """Frames a second of a video stream, as a Fraction: 25 where nothing tells."""
    return Fraction(stream.average_rate or stream.guessed_rate or 25)


def frame_rate(path):
    """Frames per second of a video file; `FOLDER_FPS` for a folder, which does not say.

    Raises
    ------
    InputError, which names the file, if it is no video.
    """
    if Path(path).is_dir():
        return FOLDER_FPS
    try:
        with _open_video(path) as container:
            stream = main_stream(container)
            return float(stream.average_rate or stream.guessed_rate or FOLDER_FPS)
    except av.FFmpegError as error:
        raise _broken(path, error) from error
