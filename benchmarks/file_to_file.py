"""A video file to a larger video file: the tool against ffmpeg's bicubic with the same encoder.

180p H.264 with sound -> 720p H.264 (libx264, veryfast, CRF 20), each a process of its own from
start to end, in turn; medians, and the median of the ratios within a turn. Then 540p -> 2160p, the
peak memory with a short and a long clip, and the time from start to the first frame on disk.

    python benchmarks/file_to_file.py [--weights FILE] [--repeats 5] [--minutes 10] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import skimage.data

ROOT = Path(__file__).parents[1]
SCALE, FPS, RATE = 4, 30, 44100
SHORT = 10  # seconds
SIZES = {"180p -> 720p": (180, 320), "540p -> 2160p": (540, 960)}


def make_clip(path, height, width, seconds):
    """A clip that pans over photos: H.264 with a tone as AAC."""
    photos = [skimage.data.astronaut(), skimage.data.coffee(), skimage.data.chelsea()]
    tiles = [cv2.resize(photo[:300, :450], (width, height), interpolation=cv2.INTER_AREA)
             for photo in photos]
    mosaic = np.vstack([np.hstack([tiles[(i + j) % 3] for j in range(3)]) for i in range(3)])
    with av.open(str(path), "w") as file:
        video = file.add_stream("libx264", rate=FPS, options={"crf": "18"})
        video.height, video.width, video.pix_fmt = height, width, "yuv420p"
        sound = file.add_stream("aac", rate=RATE, layout="stereo")
        for number in range(seconds * FPS):
            # There and back along a diagonal, by three pixels a frame.
            place = abs((3 * number) % (2 * height) - height)
            image = np.ascontiguousarray(mosaic[place:place + height, place:place + width])
            file.mux(video.encode(av.VideoFrame.from_ndarray(image, "rgb24")))
        tone = np.sin(np.arange(seconds * RATE) * 2 * np.pi * 440 / RATE).astype(np.float32) / 4
        for start in range(0, len(tone), 1024):
            piece = av.AudioFrame.from_ndarray(np.stack([tone[start:start + 1024]] * 2), "fltp")
            piece.sample_rate, piece.pts, piece.time_base = RATE, start, Fraction(1, RATE)
            file.mux(sound.encode(piece))
        file.mux([*video.encode(None), *sound.encode(None)])


def repeat_clip(source, path, times):
    """The same clip many times over, its packets copied."""
    subprocess.run(["ffmpeg", "-v", "error", "-stream_loop", str(times - 1), "-i", source, "-c",
                    "copy", path], check=True)


def enlarge(source, output, *network, scale=SCALE):
    return [sys.executable, ROOT / "upscale.py", source, "-o", output, "--scale", str(scale),
            *network]


def ours(source, output, weights):
    return enlarge(source, output, *(["--weights", weights] if weights else ["--quality", "fast"]))


def luma(source, output, weights):
    return enlarge(source, output, "--model", "elsr-y")


def ffmpeg(source, output, weights, scale=SCALE):
    return ["ffmpeg", "-v", "error", "-i", source, "-vf",
            f"scale=iw*{scale}:ih*{scale}:flags=bicubic", "-c:v", "libx264", "-preset", "veryfast",
            "-crf", "20", "-c:a", "copy", output]


def run(command):
    """Seconds and peak memory (MB) of a process; its output is thrown away."""
    start = time.perf_counter()
    process = subprocess.Popen(list(map(str, command)), stdout=subprocess.DEVNULL,
                               stderr=subprocess.PIPE)
    said = process.stderr.read().decode()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    if status:
        raise SystemExit(f"{command} failed:\n{said}")
    return seconds, usage.ru_maxrss / 1024


def race(ways, source, folder, repeats, weights):
    """Frames/s of each way and its time as a multiple of ffmpeg's, medians of runs in turn."""
    seconds = {name: [] for name in ways}
    for _ in range(repeats):
        for name, way in ways.items():
            output = folder / f"{name}.mp4"
            output.unlink(missing_ok=True)
            seconds[name].append(run(way(source, output, weights))[0])
    with av.open(str(source)) as file:
        frames = file.streams.video[0].frames
    return {name: {"frames_per_second": frames / statistics.median(times),
                   "times_ffmpeg": statistics.median(
                       own / other for own, other in zip(times, seconds["ffmpeg bicubic"])),
                   "seconds": times}
            for name, times in seconds.items()}


def memory(source, folder, weights, minutes):
    """Peak memory in MB for a clip and for the same clip `minutes` long."""
    repeat_clip(source, folder / "long.mp4", round(minutes * 60 / SHORT))
    peaks = {}
    for name, clip in ((f"{SHORT} s", source), (f"{minutes:g} min", folder / "long.mp4")):
        peaks[name] = run(ours(clip, folder / "big.mp4", weights))[1]
        (folder / "big.mp4").unlink()
    return peaks


def first_frame(folder, weights, repeats):
    """Seconds from the start of the command to one 180p frame on disk as 720p, kernel cached."""
    make_clip(folder / "one.mp4", 180, 320, 1)
    with av.open(str(folder / "one.mp4")) as file:
        next(file.decode(video=0)).to_image().save(folder / "one.png")
    times = []
    for _ in range(repeats + 1):
        (folder / "big.png").unlink(missing_ok=True)
        times.append(run(ours(folder / "one.png", folder / "big.png", weights))[0])
    return statistics.median(times[1:])  # the first may compile


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--weights", type=Path, help="of an x4 network; default: the shipped one")
    parser.add_argument("--luma", action="store_true", help="also elsr-y, on the luma plane")
    parser.add_argument("--seconds", type=int, default=SHORT, help="length of the clips raced with")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--minutes", type=float, default=10, help="of the long clip; 0 leaves out")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args(argv)
    if not shutil.which("ffmpeg"):
        parser.error("needs the command ffmpeg: apt-get install ffmpeg")
    ways = {"ffmpeg bicubic": ffmpeg, "elsr": ours, **({"elsr-y": luma} if args.luma else {})}
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        print("| what | way | frames/s | time / ffmpeg's |\n|---|---|---|---|")
        for name, (height, width) in SIZES.items():
            make_clip(folder / f"{height}.mp4", height, width, args.seconds)
            results[name] = race(ways, folder / f"{height}.mp4", folder, args.repeats, args.weights)
            for way, figures in results[name].items():
                print(f"| {name} | {way} | {figures['frames_per_second']:.1f} | "
                      f"{figures['times_ffmpeg']:.2f} |")
        results["first_frame_seconds"] = first_frame(folder, args.weights, args.repeats)
        print(f"\nfirst frame on disk after {results['first_frame_seconds']:.2f} s")
        if args.minutes:
            make_clip(folder / "short.mp4", 180, 320, SHORT)
            results["peak_memory_mb"] = memory(folder / "short.mp4", folder, args.weights,
                                               args.minutes)
            for length, peak in results["peak_memory_mb"].items():
                print(f"peak memory, {length} of 180p: {peak:.0f} MB")
    if args.json:
        args.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
