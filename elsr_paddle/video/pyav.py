"""Even out what PyAV's versions 15 to 19 do differently; no other module asks for a version."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from elsr_paddle.errors import InputError

# Tags of old files are in any encoding. PyAV before 19 fails on them unless told otherwise.
_TAGS = ({"metadata_errors": "ignore"}
         if hasattr(av.container.InputContainer, "metadata_errors") else {})


def open_input(path, **options):
    """Open a file to read, whatever the encoding of its tags.

    Parameters
    ----------
    path : str or Path
    options : of the demuxer, by FFmpeg's names

    Raises
    ------
    FileNotFoundError, av.FFmpegError
    """
    # Absolute: FFmpeg takes the beginning of `12:30.mp4` for a protocol.
    return av.open(str(Path(path).absolute()), options=options, **_TAGS)


def chapters(container):
    """Chapters of a file, as `set_chapters` takes them; none where PyAV (before 16) cannot tell."""
    return container.chapters() if hasattr(container, "chapters") else []


def can_rotate():
    """Whether a stream of an output can ask the player to turn it: PyAV from 17 on."""
    return hasattr(av.video.stream.VideoStream, "set_display_matrix")


def can_attach():
    """Whether a stream without a codec, such as a font, can be copied: PyAV from 16 on."""
    return hasattr(av.container.OutputContainer, "add_attachment")


def converts_full_range():
    """Whether frames with the full range of levels are converted rightly: PyAV from 17 on."""
    return hasattr(av.VideoFrame, "color_trc")


def primaries_and_transfer(frame, context):
    """Numbers of ITU-T H.273, of a frame, or of its decoder before PyAV 17."""
    teller = frame if hasattr(frame, "color_trc") else context
    return teller.color_primaries, teller.color_trc


def display_matrix(frame):
    """The nine numbers by which a file asks the player to turn or mirror it, or None.

    PyAV cannot list the side data of a frame where a single kind is newer than itself, such as
    EXIF in a frame of Motion JPEG. The rotation, which it reads by another way, then stands in.
    """
    try:
        matrix = frame.side_data.get("DISPLAYMATRIX")
    except ValueError:
        return _rotation_matrix(frame.rotation)
    return None if matrix is None else np.frombuffer(matrix, np.int32).tolist()


def _rotation_matrix(degrees):
    """Display matrix of a rotation counterclockwise, in FFmpeg's 16.16 and 2.30 fixed point."""
    if not degrees:
        return None
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    turn = [[cosine, -sine, 0], [sine, cosine, 0]]
    return [*np.rint(65536 * np.array(turn)).astype(int).ravel().tolist(), 0, 0, 1 << 30]


def on_device(kind):
    """Arguments of `add_stream` for an encoder whose frames lie on a device: PyAV from 18 on.

    Parameters
    ----------
    kind : str, FFmpeg's name of the device, such as "vaapi"; empty for main memory

    Raises
    ------
    InputError if PyAV is too old.
    """
    if not kind:
        return {}
    if not hasattr(av.video.codeccontext.VideoCodecContext, "sw_format"):
        raise InputError(f"PyAV before version 18 loads no frames onto {kind}; upgrade it: "
                         "pip install --upgrade av")
    from av.codec.hwaccel import HWAccel

    return {"hwaccel": HWAccel(kind)}


def option_names(codec):
    """Names of the options that an encoder has for itself.

    Parameters
    ----------
    codec : str, FFmpeg's name of an encoder

    Returns
    -------
    set of str
    """
    context = av.CodecContext.create(codec, "w")
    if hasattr(context, "supported_options"):  # PyAV from 18 on
        return {option.name for option in context.supported_options.private}
    if hasattr(context.codec, "descriptor"):  # until 16
        return {option.name for option in context.codec.descriptor.options}
    return {name for name in ("crf", "cq", "preset") if _takes(context, name)}


def _takes(context, option):
    """Whether an encoder has an option: PyAV 17 cannot list them, but keeps those not taken."""
    trial = av.CodecContext.create(context.name, "w")
    trial.height, trial.width, trial.framerate = 192, 320, 25
    trial.time_base, trial.options = Fraction(1, 25), {option: "1"}
    trial.pix_fmt = next((known.name for known in context.codec.video_formats or ()), "yuv420p")
    try:
        trial.open()
    except av.FFmpegError:
        return True  # that value it does not like; or it cannot start at all, which it will tell
    return option not in trial.options
