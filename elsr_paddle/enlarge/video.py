"""Enlarge video files: sound, times and colours as they were, in constant memory."""

from __future__ import annotations

import functools
from contextlib import closing, contextmanager
from pathlib import Path

import av
from tqdm import tqdm

from elsr_paddle.enlarge.frames import Frames
from elsr_paddle.enlarge.outcome import Outcome
from elsr_paddle.enlarge.segments import (
    DECODED,
    ENLARGED,
    enlarge_in_segments,
    join,
    open_parts,
    worth_cutting,
)
from elsr_paddle.enlarge.writer import Writer, container_of, created
from elsr_paddle.files import PIPE, atomic_write
from elsr_paddle.threads import ahead
from elsr_paddle.video.encoder import VideoOptions
from elsr_paddle.video.pipes import open_stdout
from elsr_paddle.video.streams import open_video


def transcode(source, output, upscaler, *, overwrite=False, progress=None, **options):
    """Enlarge a video from file to file.

    Decoder, network and encoder work at the same time, in threads with bounded queues. A film of
    two segments or more is made in segments, and the same call after a kill goes on with those
    that were finished.

    Parameters
    ----------
    source : str or Path, any file that FFmpeg reads; - for standard input
    output : str or Path with a suffix of `CONTAINERS`; appears whole or not at all. - for standard
        output: y4m, or raw frames where `options` say so.
    upscaler : Upscaler
    overwrite : bool, whether finished segments of another film or other options may be deleted
    progress : callable, `progress(total=frames or None)` -> context manager with `update(n)`, as
        tqdm is.
    options : fields of `VideoOptions`

    Returns
    -------
    Outcome

    Raises
    ------
    InputError if the file holds no video that can be decoded, if the output cannot hold it, if the
    encoder has no such option, if there are segments of another run, or if writing fails, as on a
    full disk. BrokenPipeError if nobody reads standard output any more.
    """
    outcome, options = Outcome(), VideoOptions(**options)
    source, output = Path(source), Path(output)
    progress = progress or functools.partial(tqdm, disable=True)
    container = container_of(output, options.pixel_format)
    with open_video(source, outcome, options.raw) as reader:
        frames = Frames(reader, upscaler, container, options, outcome)
        cut = worth_cutting(source, output, reader, frames, options.segment, outcome)
        parts = open_parts(source, output, frames, options, overwrite) if cut else None
        with progress(total=reader.frame_count()) as bar:
            if not cut:
                _in_one_piece(reader, frames, output, container, outcome, bar)
                return outcome
            try:
                enlarge_in_segments(reader, frames, parts, options.segment, outcome, bar)
            finally:
                parts.leave()
    join(source, container, frames, parts, outcome)
    return outcome


def _in_one_piece(reader, frames, output, container, outcome, bar):
    with _opened(output, container, reader, frames) as file:
        writer = Writer(file, reader, frames, outcome)
        items = ahead(reader.items(frames.turns, writer.others), DECODED)
        items = ahead(_enlarged(items, frames), ENLARGED, leave=reader.let_go)
        with closing(items):
            for item in items:
                if isinstance(item, av.VideoFrame):
                    writer.encode(item)
                    bar.update(1)
                else:
                    writer.carry(item)
        writer.flush()
        writer.finish()
    reader.report()


@contextmanager
def _opened(output, container, reader, frames):
    """Standard output as it is, or a file that appears whole."""
    if output == PIPE:
        ratio = frames.sample_aspect_ratio(reader.stream.sample_aspect_ratio)
        with open_stdout(container, ratio) as file:
            yield file
    else:
        with atomic_write(output) as temporary, created(temporary, container) as file:
            yield file


def _enlarged(items, frames):
    """Packets pass as they are, frames through the network."""
    with closing(items):
        for item in items:
            yield frames.enlarge(item) if isinstance(item, av.VideoFrame) else item
