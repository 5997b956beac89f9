"""Use an installed elsr-paddle as a stranger does: its version, a photo, a film, its models.

`install_check.py` runs this file with the Python of each environment, in an empty folder outside
the clone. Prints one JSON object: the result of each check, and the versions that were used.
"""

from __future__ import annotations

import json
import subprocess
import sys
from fractions import Fraction
from importlib.metadata import distributions
from pathlib import Path

import av
import numpy as np
from PIL import Image

ELSR = Path(sys.executable).with_name("elsr")
WIDTH, HEIGHT, SCALE = 64, 48, 2
RATE = 16000  # of the sound, in samples a second
DURATIONS = (1, 1, 2, 1, 3) * 6  # of the frames, in 25ths of a second: a film of uneven rate
TOLERANCE = 0.002  # seconds between a time and itself in the time base of another container


def elsr(*arguments):
    """Run the installed command; returns what it printed on stdout."""
    done = subprocess.run([ELSR, *map(str, arguments)], capture_output=True, text=True, timeout=300)
    if done.returncode:
        last = (done.stderr.splitlines() or ["no word on stderr"])[-1]
        raise RuntimeError(f"elsr {arguments[0]} ended with status {done.returncode}: {last}")
    return done.stdout


def expect(what, expected, found):
    """Raise RuntimeError unless two values are the same."""
    if expected != found:
        raise RuntimeError(f"{what}: expected {expected} but got {found}")


def picture(number=0):
    """A smooth picture that moves with its number: uint8 (HEIGHT, WIDTH, 3)."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    planes = [rows * 5, columns * 4 + 3 * number, rows + columns]
    return np.stack(planes, axis=-1).astype(np.uint8)


def check_version():
    """`elsr --version` prints the version that is installed."""
    from elsr_paddle import __version__

    expect("elsr --version", f"elsr-paddle {__version__}", elsr("--version").partition(",")[0])
    return "ok"


def check_photo():
    """A JPEG is enlarged; returns the name of the engine that did it."""
    Image.fromarray(picture()).save("photo.jpg", quality=95)
    report = json.loads(elsr("photo.jpg", "-o", "large.png", "--scale", SCALE, "--json"))
    large = Image.open("large.png")
    expect("size of the photo", (WIDTH * SCALE, HEIGHT * SCALE), large.size)
    small = np.asarray(large.resize((WIDTH, HEIGHT), Image.BOX), float)
    difference = np.abs(small[4:-4, 4:-4] - picture()[4:-4, 4:-4]).mean()
    if difference > 8:
        raise RuntimeError(f"the photo differs from its original by {difference:.1f} levels")
    return report["engines"][0]["name"]


def check_film():
    """An H.264 film with sound keeps every frame, every time and its sound."""
    make_film("film.mp4")
    elsr("film.mp4", "-o", "large.mp4", "--scale", SCALE)
    before, after = read_film("film.mp4"), read_film("large.mp4")
    expect("frames", (len(DURATIONS), len(DURATIONS)), (len(before["times"]), len(after["times"])))
    expect("size of the frames", {(WIDTH * SCALE, HEIGHT * SCALE)}, after["sizes"])
    moved = np.abs(np.subtract(before["times"], after["times"])).max()
    if moved > TOLERANCE:
        raise RuntimeError(f"a frame is shown {moved:.3f} s away from its time")
    expect("samples of sound", before["samples"], after["samples"])
    return "ok"


def check_models():
    """`elsr models` lists the networks that ship."""
    listed = elsr("models")
    missing = [name for name in ("elsr", "elsr-y") if name not in listed.split()]
    expect("networks that `elsr models` does not list", [], missing)
    return "ok"


def make_film(path):
    """Write a film of uneven frame times with one channel of sound."""
    with av.open(path, "w") as container:
        video = container.add_stream("libx264", rate=25, options={"g": "10", "bf": "2"})
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        video.codec_context.time_base = Fraction(1, 25)
        sound = container.add_stream("aac", rate=RATE, layout="mono")
        for stream, frame in [*((video, frame) for frame in film_frames()),
                              *((sound, frame) for frame in film_sound())]:
            container.mux(stream.encode(frame))
        for stream in (video, sound):
            container.mux(stream.encode(None))


def film_frames():
    """The frames of the film, each at its time."""
    for number, _ in enumerate(DURATIONS):
        frame = av.VideoFrame.from_ndarray(picture(number), format="rgb24")
        frame.pts, frame.time_base = sum(DURATIONS[:number]), Fraction(1, 25)
        yield frame


def film_sound():
    """A tone as long as the film, in blocks of 1024 samples."""
    samples = RATE * sum(DURATIONS) // 25
    tone = np.sin(np.arange(samples) * 2 * np.pi * 440 / RATE).astype(np.float32)
    for start in range(0, samples, 1024):
        block = np.ascontiguousarray(tone[None, start : start + 1024])
        frame = av.AudioFrame.from_ndarray(block, format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = RATE, start, Fraction(1, RATE)
        yield frame


def read_film(path):
    """The times (s) and sizes of all frames of a film, and the samples of its sound."""
    with av.open(path) as container:
        frames = list(container.decode(video=0))
    with av.open(path) as container:
        samples = sum(frame.samples for frame in container.decode(audio=0))
    return {"times": [frame.time for frame in frames], "samples": samples,
            "sizes": {(frame.width, frame.height) for frame in frames}}


def outcome(check):
    """What a check returned, or why it failed: one bad check leaves the others to run."""
    try:
        return check()
    except Exception as error:  # whatever an installation does wrong is a row of the table
        return f"FAILED: {type(error).__name__}: {error}"


def main():
    checks = {"version": check_version, "photo": check_photo, "film": check_film,
              "models": check_models}
    versions = {one.metadata["Name"].lower(): one.version for one in distributions()}
    results = {name: outcome(check) for name, check in checks.items()}
    print(json.dumps({"results": results, "versions": versions}))


if __name__ == "__main__":
    main()
