"""Video files for the tests of `transcode`: made with what a test wants to see kept, and read."""

import shutil
import subprocess
from fractions import Fraction

import av
import numpy as np
import pytest
from skimage.data import astronaut

RECENT = hasattr(av.video.stream.VideoStream, "set_display_matrix")  # PyAV from 17 on
needs_recent_pyav = pytest.mark.skipif(not RECENT, reason="needs PyAV 17")


# On luma; on RGB; on RGB with the conversion to YUV in its last layer.
NETWORKS = [{"channels": 1}, {"channels": 3}, {"direct": True}]


def moving_photo(count, height=48, width=64):
    """RGB frames that pan over a photo."""
    photo = astronaut()[::2, ::2]
    return [photo[20 + n:20 + n + height, 60 + n:60 + n + width] for n in range(count)]


def write_video(path, frames=None, *, times=None, time_base=Fraction(1, 12800), rate=25,
                codec="libx264", pixel_format="yuv420p", sound=None, sound_rate=44100,
                ratio=None, options=None, colour=None, rotation=0):
    """Make a video, by default 20 frames of H.264 without loss of quality that would matter.

    `times` are pts in `time_base`; `colour` is (matrix, range, primaries, transfer) of H.273.
    """
    frames = moving_photo(20) if frames is None else frames
    times = times or [n * int(1 / (rate * time_base)) for n in range(len(frames))]
    with av.open(str(path), "w") as file:
        stream = file.add_stream(codec, rate=rate, options=options or {"crf": "4"})
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = pixel_format
        stream.codec_context.time_base = time_base
        stream.codec_context.sample_aspect_ratio = ratio or 1
        matrix, color_range, primaries, transfer = colour or (6, 1, 2, 2)
        if colour:
            stream.codec_context.colorspace = matrix
            stream.codec_context.color_range = color_range
            stream.codec_context.color_primaries = primaries
            stream.codec_context.color_trc = transfer
        if rotation:
            stream.set_display_rotation(rotation)
        audio = file.add_stream(sound, rate=sound_rate, layout="stereo") if sound else None
        for image, pts in zip(frames, times):
            # swscale's number of BT.601 is 5 (H.273 has 5 and 6)
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), "rgb24").reformat(
                format=pixel_format, dst_colorspace=5 if matrix == 6 else matrix,
                dst_color_range=color_range)
            frame.pts, frame.time_base = pts, time_base
            file.mux(stream.encode(frame))
        if audio:
            write_tone(file, audio, float(times[-1] * time_base), sound_rate)
        file.mux(stream.encode(None))
    return path


def write_tone(file, stream, seconds, rate):
    samples = np.sin(np.arange(int(seconds * rate)) * 2 * np.pi * 440 / rate).astype(np.float32)
    for start in range(0, len(samples), 1024):
        piece = np.stack([samples[start:start + 1024]] * 2)
        frame = av.AudioFrame.from_ndarray(piece, "fltp", "stereo")
        frame.sample_rate, frame.pts, frame.time_base = rate, start, Fraction(1, rate)
        file.mux(stream.encode(frame))
    file.mux(stream.encode(None))


def packets(path, kind):
    """(time, length, bytes) of each packet of the first stream of a kind."""
    with av.open(str(path)) as file:
        stream = next(stream for stream in file.streams if stream.type == kind)
        return [(packet.pts * packet.time_base, packet.duration * packet.time_base, bytes(packet))
                for packet in file.demux(stream) if packet.pts is not None]


def frame_times(path):
    return sorted(time for time, _, _ in packets(path, "video"))


def decode(path, **formatting):
    with av.open(str(path)) as file:
        return [frame.to_ndarray(format="rgb24", **formatting) for frame in file.decode(video=0)]


def first_frame(path):
    with av.open(str(path)) as file:
        return next(file.decode(video=0))


def tags(path):
    """(matrix, range, primaries, transfer) of H.273."""
    with av.open(str(path)) as file:
        next(file.decode(video=0))
        context = file.streams.video[0].codec_context
        return (context.colorspace, context.color_range, context.color_primaries,
                context.color_trc)


def run(*command):
    return subprocess.run([str(part) for part in command], check=True, capture_output=True,
                          text=True).stdout


def make_film(path, *options, codec="libx264", b_frames=0, sound=None, rate=25, seconds=2):
    """Make a film of 64x48 by the ffmpeg command; `options` go before the output's name."""
    tone = ["-f", "lavfi", "-i", f"sine=d={seconds}", "-c:a", sound] if sound else []
    run("ffmpeg", "-v", "error", "-y", "-f", "lavfi", "-i",
        f"testsrc2=s=64x48:r={rate}:d={seconds}", *tone, "-c:v", codec, "-bf", b_frames, *options,
        path)
    return path


needs_ffmpeg = pytest.mark.skipif(not shutil.which("ffmpeg"), reason="needs ffmpeg's commands")
