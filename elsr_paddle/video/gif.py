"""Write GIFs as their frames come, and clips of two networks side by side."""

from __future__ import annotations

from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from elsr_paddle.errors import InputError
from elsr_paddle.files import atomic_write

GIF_FPS_LIMIT = 50  # viewers play anything faster at ten frames per second

_TICKS = 100  # a GIF counts time in hundredths of a second


def write_gif(path, frames, fps, *, width=0):
    """Write frames as an endless GIF; see `open_gif` for the other arguments and the errors.

    Parameters
    ----------
    frames : iterable of uint8 arrays, shape (H, W, 3), RGB; taken one at a time.
    """
    with open_gif(path, fps, width=width) as gif:
        for frame in frames:
            gif.add(frame)


@contextmanager
def open_gif(path, fps, *, width=0):
    """An endless GIF written frame by frame; the file appears when the block ends in peace.

    Each frame has its own 256 colours, chosen by Pillow's FASTOCTREE (twenty times faster than its
    default) and without dithering, whose grain would hide what is compared. PyAV packs the file:
    Pillow keeps all frames until the last one has come.

    Parameters
    ----------
    path : str or Path
    fps : float, frames per second; shown at `GIF_FPS_LIMIT` if higher.
    width : int, pixels; wider frames are shrunk to it. 0 keeps every size.

    Yields
    ------
    GifWriter: `add(frame)` appends a frame, `frames` counts them.

    Raises
    ------
    InputError if `fps` is not above 0 or `width` below it, or if no frame was added.
    """
    if not (fps > 0 and width >= 0):
        raise InputError(f"expected frames per second above 0 and a width of 0 or more but got "
                         f"{fps} and {width}")
    ticks_per_frame = _TICKS / min(fps, GIF_FPS_LIMIT)
    options = {"loop": "0", "final_delay": str(round(ticks_per_frame))}
    with atomic_write(path) as temporary:
        with av.open(str(temporary), "w", format="gif", options=options) as container:
            writer = GifWriter(container, ticks_per_frame, width)
            yield writer
            writer.finish()
        if not writer.frames:
            raise InputError(f"no frames for {path}")


class GifWriter:
    """Appends frames to an open GIF; made by `open_gif`."""

    def __init__(self, container, ticks_per_frame, width):
        self.frames = 0
        self._container = container
        self._ticks_per_frame = ticks_per_frame  # hundredths of a second
        self._width = width
        self._stream = None
        self._size = None  # (width, height), pixels

    def add(self, frame):
        """Append one uint8 (H, W, 3) frame; all take the size of the first."""
        if self._stream is None:
            self._start(*frame.shape[:2])
        picture = Image.fromarray(frame)
        if picture.size != self._size:
            picture = picture.resize(self._size, Image.Resampling.BICUBIC)
        video_frame = av.VideoFrame.from_ndarray(_indexed(picture), format="pal8")
        video_frame.pts = round(self.frames * self._ticks_per_frame)
        video_frame.time_base = Fraction(1, _TICKS)
        self._container.mux(self._stream.encode(video_frame))
        self.frames += 1

    def _start(self, height, width):
        shown = min(width, self._width or width)
        self._size = (shown, max(1, round(height * shown / width)))
        self._stream = self._container.add_stream("gif", rate=_TICKS)
        self._stream.width, self._stream.height = self._size
        self._stream.pix_fmt = "pal8"
        self._stream.time_base = Fraction(1, _TICKS)

    def finish(self):
        """Write what the encoder still holds."""
        if self._stream is not None:
            self._container.mux(self._stream.encode())


@contextmanager
def comparison_gifs(folder, fps, *, label, width=0, limit=0):
    """Three GIFs of a clip: bicubic_video.gif, sr_video.gif and side_by_side.gif.

    Parameters
    ----------
    folder : str or Path
    fps, width : as for `open_gif`; side by side, the frames' middle is shown pixel for pixel.
    label : str, the network's name in side_by_side.gif
    limit : int, frames a GIF holds at most; 0 for all.

    Yields
    ------
    callable (bicubic, sr): both uint8 (H, W, 3); adds a frame to each GIF until the limit.
    """
    folder = Path(folder)
    with open_gif(folder / "bicubic_video.gif", fps, width=width) as bicubic_gif, \
            open_gif(folder / "sr_video.gif", fps, width=width) as sr_gif, \
            open_gif(folder / "side_by_side.gif", fps) as both_gif:  # fmt: skip

        def add(bicubic, sr):
            if not limit or both_gif.frames < limit:
                bicubic_gif.add(bicubic)
                sr_gif.add(sr)
                both_gif.add(side_by_side({"bicubic": bicubic, label: sr}))

        yield add


def side_by_side(images, height=360, width=480):
    """The middle of several equally large pictures next to each other, pixel for pixel.

    Shrunk to fit a page, pictures that differ in their finest detail look alike: so they are cut.

    Parameters
    ----------
    images : dict, label -> uint8 array, shape (H, W, 3), RGB
    height, width : int, pixels shown of each at most

    Returns
    -------
    uint8 array, shape (h + 20, n * w + (n - 1) * 4, 3): white, with a line of labels above.
    """
    panels = [_labelled(_middle(image, height, width), label) for label, image in images.items()]
    gap = np.full((panels[0].shape[0], 4, 3), 255, np.uint8)
    spaced = [part for panel in panels for part in (gap, panel)]
    return np.concatenate(spaced[1:], axis=1)


def _middle(image, height, width):
    top, left = (max(0, (have - want) // 2) for have, want in zip(image.shape, (height, width)))
    return image[top : top + height, left : left + width]


def _labelled(image, label):
    line = Image.new("RGB", (image.shape[1], 20), "white")
    ImageDraw.Draw(line).text((4, 3), label, fill="black", font=ImageFont.load_default(13))
    return np.concatenate([np.asarray(line), image])


def _indexed(picture):
    """Pillow RGB -> (uint8 (H, W) indices, uint8 (256, 4) ARGB palette), as PyAV takes `pal8`."""
    fast = picture.quantize(256, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    colours = np.asarray(fast.getpalette(), np.uint8).reshape(-1, 3)
    palette = np.zeros((256, 4), np.uint8)
    palette[:, 0] = 255  # opaque
    palette[: len(colours), 1:] = colours
    return np.asarray(fast), palette
