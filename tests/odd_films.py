"""Make odd films with the ffmpeg command, enlarge them, and compare with what ffmpeg itself reads.

    python tests/odd_films.py [FIRST [COUNT [segments]]]

Every container that FFmpeg writes here x codec x B-frames x rate x start x sound, and clocks that
are joined or wrap. Each film flashes and beeps at once. The frames, their times, the length of the
sound and the flash against the beep must be those of ffmpeg's own decoding. With `segments`, each
film is enlarged in segments and in one piece, without loss, and both must be the same.
"""

from __future__ import annotations

import itertools
import sys
import tempfile
import time
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from subprocess import CalledProcessError

import av
import numpy as np
from video_files import run

from elsr_paddle.enlarge.video import transcode

_FLASH = "between(t,0.48,0.8)"  # when the picture is white and the sound loud, in seconds
_LENGTH = 1.2  # seconds
_SEGMENT = 0.4  # seconds
_WHITE = 200  # level of luma
_WRAP = 2**33 / 90000  # seconds, where the clock of a transport stream starts again from zero
_TICK = 0.0025  # seconds: Matroska and FLV count milliseconds, and two roundings may meet
_JOIN = 0.04  # seconds, a packet of sound

# Container -> (codecs with B-frames, codecs without, sounds, whether it can start late).
CONTAINERS = {
    ".avi": (("libx264", "mpeg4", "libxvid"), ("mjpeg", "msmpeg4", "mpeg2video", "ffv1"),
             ("libmp3lame", "pcm_s16le", "ac3", "mp2"), False),
    ".mkv": (("libx264", "mpeg4", "mpeg2video", "libx265"), ("libvpx", "ffv1", "libtheora"),
             ("aac", "flac", "libopus", "libvorbis", "libmp3lame"), True),
    ".mp4": (("libx264", "mpeg4", "libx265"), ("mpeg2video",), ("aac", "libmp3lame", "ac3"), True),
    ".mov": (("libx264", "mpeg4"), ("mjpeg", "prores_ks"), ("pcm_s16le", "aac"), True),
    ".ts": (("libx264", "mpeg2video", "libx265"), (), ("aac", "mp2", "ac3"), True),
    ".m2ts": (("libx264",), (), ("ac3",), True),
    ".vob": (("mpeg2video",), ("mpeg1video",), ("mp2", "ac3"), True),
    ".mpg": (("mpeg2video",), ("mpeg1video",), ("mp2",), True),
    ".flv": (("libx264",), ("flv",), ("aac", "libmp3lame"), True),
    ".wmv": ((), ("wmv2", "msmpeg4"), ("wmav2",), False),
    ".webm": ((), ("libvpx", "libvpx-vp9"), ("libopus", "libvorbis"), True),
    ".ogv": ((), ("libtheora",), ("libvorbis",), False),
    ".3gp": (("libx264",), ("mpeg4",), ("aac",), True),
    ".mxf": (("mpeg2video",), (), ("pcm_s16le",), False),
    ".nut": (("libx264", "mpeg4"), ("ffv1",), ("libmp3lame", "pcm_s16le"), True),
}
_JOINED = (".ts", ".vob", ".mpg")  # formats whose files may be put one after the other
_RATES = ("25", "30000/1001", "24000/1001", "50")


@dataclass(frozen=True)
class Film:
    """One film: `start` is seconds or "wrap", `parts` how often it stands in the file."""

    suffix: str
    codec: str
    b_frames: int
    rate: str
    sound: str | None
    start: float = 0
    parts: int = 1

    def make(self, path):
        """Write the film by the ffmpeg command."""
        start = _WRAP - 0.6 if self.start == "wrap" else self.start
        picture = f"testsrc2=s=96x64:r={self.rate}:d={_LENGTH},drawbox=color=white:t=fill:" \
                  f"enable='{_FLASH}'"
        sound = ("-f", "lavfi", "-i", f"sine=d={_LENGTH}:r=48000,volume=0:"
                 f"enable='not({_FLASH})'", "-c:a", self.sound) if self.sound else ()
        late = ("-output_ts_offset", start) if start else ()
        once = path.with_name(f"once{self.suffix}")
        pixels = "yuv422p10le" if self.codec == "prores_ks" else \
            "yuvj420p" if self.codec == "mjpeg" else "yuv420p"
        reordered = ("-bf", self.b_frames) if self.b_frames else ()
        run("ffmpeg", "-v", "error", "-y", "-f", "lavfi", "-i", picture, *sound, "-c:v", self.codec,
            "-pix_fmt", pixels, *reordered, "-g", 12, "-strict", -2, *late, once)
        path.write_bytes(once.read_bytes() * self.parts)


def films():
    """All films, in a fixed order."""
    for suffix, (reordering, others, sounds, late) in CONTAINERS.items():
        kinds = [*itertools.product(reordering, (0, 2)), *itertools.product(others, (0,))]
        for (codec, b_frames), (number, rate) in itertools.product(kinds, enumerate(_RATES)):
            sound = (*sounds, None)[(number + b_frames) % (len(sounds) + 1)]
            yield Film(suffix, codec, b_frames, rate, sound)
            if late and number < 2:
                yield Film(suffix, codec, b_frames, rate, sounds[number % len(sounds)], 5)
            if suffix in _JOINED and number < 2:
                yield Film(suffix, codec, b_frames, rate, sounds[number % len(sounds)], parts=2)
            if suffix == ".ts" and number < 2:
                yield Film(suffix, codec, b_frames, rate, sounds[number], "wrap")
        for sound in sounds:
            codec, b_frames = kinds[min(1, len(kinds) - 1)]
            yield Film(suffix, codec, b_frames, "25", sound)


@dataclass(frozen=True)
class Seen:
    """What a reader sees in a film, all in seconds."""

    times: list  # of frames
    flashes: list
    beeps: list
    sound: float  # length


def look(path):
    """Decode a file that states all its times (MP4, Matroska, WebM)."""
    times, white, loud, sound = [], [], [], 0
    with av.open(str(path)) as file:
        for frame in file.decode(*file.streams.video[:1], *file.streams.audio[:1]):
            if isinstance(frame, av.VideoFrame):
                times.append(float(frame.time))
                if frame.to_ndarray(format="gray").mean() > _WHITE:
                    white.append(float(frame.time))
            else:
                samples = np.abs(_floats(frame))
                sound += len(samples) / frame.sample_rate
                loud += (float(frame.time) + np.flatnonzero(samples > 0.02)
                         / frame.sample_rate).tolist()
    return Seen(times, _onsets(white), _onsets(loud), sound)


def _floats(frame):
    samples = frame.to_ndarray().reshape(len(frame.planes), -1)[0]
    return samples / np.iinfo(samples.dtype).max if samples.dtype.kind == "i" else samples


def _onsets(times):
    """The first time of each run of times that is not interrupted for 0.2 s."""
    return [now for before, now in zip([-1, *times], times) if now - before > 0.2]


def check(film, folder, upscaler, suffix=".mkv"):
    """Make and enlarge a film.

    Returns
    -------
    list of str, in which frames, times, sound or length differ from ffmpeg's own decoding; and the
    warnings.
    """
    source, output, reference = (folder / name for name in (f"film{film.suffix}", f"out{suffix}",
                                                            "reference.mkv"))
    film.make(source)
    run("ffmpeg", "-v", "error", "-y", "-i", source, "-fps_mode", "passthrough", "-c:v", "ffv1",
        "-c:a", "pcm_s16le", reference)
    outcome = transcode(source, output, upscaler, crf=10)
    return _differences(film, look(reference), look(output), outcome), outcome.warnings


def check_segments(film, folder, upscaler, suffix=".mkv"):
    """Make a film, and enlarge it without loss in one piece and in segments.

    Returns
    -------
    list of str, in which times, pictures, sound or warnings differ; and the warnings.
    """
    source = folder / f"film{film.suffix}"
    film.make(source)
    codec = {".mkv": {"codec": "ffv1"}, ".mp4": {"crf": 0}}[suffix]
    whole, parted = (folder / f"{name}{suffix}" for name in ("whole", "parted"))
    one = transcode(source, whole, upscaler, segment=0, **codec)
    several = transcode(source, parted, upscaler, segment=_SEGMENT, **codec)
    found = [] if several.segments > 1 else [f"{several.segments} segments"]
    if vars(one) != {**vars(several), "segments": 0}:
        found.append(f"{vars(several)} for {vars(one)}")
    return found + differing(whole, parted), one.warnings


def differing(whole, parted):
    """In which of times, pictures, sound and the rest two films differ, as a list of str."""
    one, other = contents(whole), contents(parted)
    return [f"{name} differ" for name in one if one[name] != other[name]]


def contents(path):
    """Times of frames and of decoding, checksums of pictures, and packets of all other streams."""
    found = {"pictures": [], "frame times": [], "decoding times": [], "other packets": []}
    with av.open(str(path)) as file:
        video = file.streams.video[0].index
        for packet in file.demux():
            if packet.stream.index != video and packet.size:
                found["other packets"].append(
                    (packet.stream.index, packet.pts, packet.dts, packet.duration, bytes(packet)))
            elif packet.stream.index == video:
                found["decoding times"] += [packet.dts] if packet.size else []
                for frame in packet.decode():
                    found["frame times"].append(frame.pts)
                    found["pictures"].append(hash(frame.to_ndarray().tobytes()))
        found["length"] = file.duration
    found["other packets"].sort()  # streams may take turns in another order
    return found


def _differences(film, expected, seen, outcome):
    length = 1 / Fraction(film.rate)
    found = []
    if outcome.missing:
        found.append(f"{outcome.missing} missing")
    if len(expected.times) != len(seen.times):
        return [*found, f"{len(seen.times)} frames for {len(expected.times)}"]
    steps = [(now - seen.times[0]) - (then - expected.times[0])
             for now, then in zip(seen.times, expected.times)]
    # Where films are joined, the sound or the picture of the first may be carried on.
    if max(map(abs, steps)) > (_TICK if film.parts == 1 else _JOIN):
        found.append(f"times differ by {max(map(abs, steps)):.3f} s")
    if not 0 <= seen.times[0] < (film.start if film.start != "wrap" else 0) + 0.2:
        found.append(f"it starts at {seen.times[0]:.3f} s")
    if len(seen.flashes) != len(expected.flashes):
        found.append(f"{len(seen.flashes)} flashes for {len(expected.flashes)}")
    if not film.sound:
        return found
    if abs(seen.sound - expected.sound) > 0.06:
        found.append(f"{seen.sound:.3f} s of sound for {expected.sound:.3f}")
    late = [beep - flash for flash, beep in zip(seen.flashes, seen.beeps)]
    if len(seen.beeps) != len(expected.beeps) or max(map(abs, late)) > length + 0.02:
        found.append(f"sound is late by {', '.join(f'{seconds:.3f}' for seconds in late)} s")
    return found


def main(first=0, count=None, kind=""):
    from conftest import NearestEngine

    from elsr_paddle.enlarge.sizes import Target, Upscaler

    upscaler = Upscaler(lambda scale: NearestEngine(scale, 3, False), (2,), Target(2), 2**24)
    chosen = list(films())[first:None if count is None else first + count]
    compare = check_segments if kind else check
    bad, unmade, begin = 0, 0, time.perf_counter()
    for number, film in enumerate(chosen, first):
        deep = film.codec == "prores_ks"  # H.264 in MP4 keeps no ten bits without loss
        suffix = (".mkv", ".mp4")[number % 2 and not (kind and deep)]
        with tempfile.TemporaryDirectory() as folder:
            try:
                found, warnings = compare(film, Path(folder), upscaler, suffix)
            except CalledProcessError as error:
                unmade += 1
                print(number, film, "ffmpeg does not make it:", error.stderr.strip()[-100:])
                continue
        bad += bool(found)
        if found:
            print(number, film, "; ".join(found), warnings, flush=True)
    print(f"{len(chosen) - unmade} films in {time.perf_counter() - begin:.0f} s: {bad} differ; "
          f"{unmade} not made")
    return bad


if __name__ == "__main__":
    numbers, kind = sys.argv[1:3], sys.argv[3:]
    sys.exit(bool(main(*map(int, numbers), *kind)))
