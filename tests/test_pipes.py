"""Frames through pipes: real processes, with FFmpeg at both ends."""

import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from video_files import (
    RECENT,
    make_film,
    moving_photo,
    needs_ffmpeg,
    needs_recent_pyav,
    write_video,
)

from elsr_paddle.enlarge.suffixes import PIXEL_FORMATS
from elsr_paddle.video.pipes import PACKED, nearest_format

ROOT = Path(__file__).parent.parent
RECIPES = (ROOT / "docs" / "pipes.md").read_text(encoding="utf-8")
BASH = re.findall(r"```bash\n(.*?)```", RECIPES, re.DOTALL)
WIDTH, HEIGHT = 64, 48


@pytest.fixture
def elsr(nearest_weights, tmp_path):
    """Starts the command with weights that double every pixel: elsr("-", "-o", "-")."""

    def start(*arguments):
        command = [sys.executable, "-m", "elsr_paddle", *map(str, arguments)]
        if "--model" not in arguments:
            command += ["--weights", str(nearest_weights), "--engine", "numpy"]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        return subprocess.Popen(command, cwd=tmp_path, env=environment, stdin=subprocess.PIPE,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    return start


@pytest.fixture
def piped(elsr):
    """Bytes in, and (status, bytes out, lines on standard error) back."""

    def run(data, *arguments):
        with elsr(*arguments) as process:
            out, errors = process.communicate(data, timeout=120)
        return process.returncode, out, errors.decode().splitlines()

    return run


def y4m(frames=7, *, pixel_format="yuv420p", rate="25", filters="null", size=(WIDTH, HEIGHT)):
    """Frames of a test picture as ffmpeg writes them."""
    source = f"testsrc2=size={size[0]}x{size[1]}:rate={rate}"
    return subprocess.run(
        ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", source, "-frames:v", str(frames), "-vf",
         filters, "-pix_fmt", pixel_format, "-strict", "-1", "-f", "yuv4mpegpipe", "-"],
        check=True, capture_output=True).stdout


def probe(data):
    """What ffprobe says of the video stream of y4m."""
    done = subprocess.run(
        ["ffprobe", "-v", "error", "-count_frames", "-show_streams", "-of", "json", "-"],
        check=True, capture_output=True, input=data)
    (stream,) = json.loads(done.stdout)["streams"]
    return stream


def planes(data):
    """All frames of y4m as lists of arrays (the planes)."""
    with av.open(io.BytesIO(data)) as file:
        return [frame.to_ndarray() for frame in file.decode(video=0)]


def header(data):
    """The first line of y4m, as a set of its fields."""
    return set(data[:200].split(b"\n")[0].decode().split())


@needs_ffmpeg
@pytest.mark.parametrize("pixel_format", [
    name for name in PIXEL_FORMATS if name not in PACKED
    and (RECENT or "gray" not in name)])  # gray is of full range, for which PyAV has to be recent
def test_frames_keep_their_chroma_depth_and_number(piped, pixel_format):
    status, out, _ = piped(y4m(pixel_format=pixel_format), "-", "-o", "-")
    found = probe(out)
    assert status == 0
    assert (found["pix_fmt"], int(found["nb_read_frames"])) == (pixel_format, 7)
    assert (found["width"], found["height"]) == (2 * WIDTH, 2 * HEIGHT)


@needs_ffmpeg
@needs_recent_pyav
def test_gray_frames_are_those_that_came_in_enlarged(piped):
    data = y4m(3, pixel_format="gray")
    _, out, _ = piped(data, "-", "-o", "-")
    for ours, theirs in zip(planes(out), planes(data)):
        assert np.abs(ours.astype(int) - theirs.repeat(2, 0).repeat(2, 1)).max() <= 1


@needs_ffmpeg
@needs_recent_pyav
def test_what_the_header_says_is_kept(piped):
    data = y4m(rate="30000/1001", filters="setsar=16/15,scale=out_range=full:in_range=tv")
    assert {"A16:15", "F30000:1001", "XCOLORRANGE=FULL"} <= header(data)
    _, out, _ = piped(data, "-", "-o", "-")
    assert {"A16:15", "F30000:1001", "XCOLORRANGE=FULL", "Ip", "C420jpeg"} <= header(out)


@needs_ffmpeg
@needs_recent_pyav
def test_chroma_that_sits_left_is_written_as_such(piped, tmp_path):
    write_video(tmp_path / "film.mkv")  # H.264: left where nothing is said
    _, out, _ = piped(b"", "film.mkv", "-o", "-")
    assert "C420mpeg2" in header(out)


@needs_ffmpeg
def test_interlaced_frames_are_deinterlaced_with_a_word(piped):
    data = y4m(10, filters="tinterlace=interleave_top,fieldorder=tff")
    assert "It" in header(data)
    status, out, lines = piped(data, "-", "-o", "-")
    assert status == 0
    assert any("interlaced" in line for line in lines)
    assert "Ip" in header(out)
    assert len(planes(out)) == len(planes(data))


@needs_ffmpeg
def test_a_film_from_a_pipe_is_encoded(piped, tmp_path):
    status, out, _ = piped(y4m(filters="setsar=4/3"), "-", "-o", "film.mkv")
    assert (status, out) == (0, b"")
    with av.open(str(tmp_path / "film.mkv")) as film:
        assert film.streams.video[0].sample_aspect_ratio.numerator == 4
        assert sum(1 for _ in film.decode(video=0)) == 7


@needs_ffmpeg
@pytest.mark.parametrize("rate", ["25", "120"])  # at 120 FFmpeg would rather see more frames first
def test_a_frame_goes_out_before_the_last_one_comes_in(elsr, rate):
    data = y4m(2, rate=rate)
    with elsr("-", "-o", "-") as process:
        process.stdin.write(data)
        process.stdin.flush()
        first = process.stdout.read(4 * WIDTH * HEIGHT)
        process.stdin.close()
        rest = process.stdout.read()
    assert len(planes(first + rest)) == 2
    assert process.returncode == 0


@pytest.mark.skipif(not hasattr(os, "wait4"), reason="needs the memory of a process told by POSIX")
@needs_ffmpeg
def test_memory_does_not_grow_with_the_number_of_frames(elsr):
    def peak(frames):
        """Largest resident set in bytes."""
        process = elsr("-", "-o", "-", "--model", "elsr-y", "--scale", "2")
        sent = threading.Thread(target=send, args=(process.stdin, frames))
        sent.start()
        with process.stdout, process.stderr:
            received = sum(map(len, iter(lambda: process.stdout.read(2**16), b"")))
            sent.join()
            _, process.returncode, usage = os.wait4(process.pid, 0)
        assert (process.returncode, received // (4 * len(frame))) == (0, frames)
        return usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)

    def send(pipe, frames):
        with pipe:
            pipe.write(head)
            for _ in range(frames):
                pipe.write(b"FRAME\n" + frame)

    head, _, frame = y4m(1, size=(160, 120)).partition(b"FRAME\n")
    # 260 frames more, of 115 KB each as they go out
    assert peak(300) - peak(40) < 260 * 4 * len(frame) / 2


@needs_ffmpeg
def test_a_reader_that_goes_early_ends_the_run_with_one_line(elsr):
    with elsr("-", "-o", "-") as process:
        process.stdin.write(y4m(4))
        process.stdin.close()
        process.stdout.read(100)
        process.stdout.close()
        engine, line = process.stderr.read().decode().splitlines()
    assert engine.startswith("engine numpy")
    assert line == "error: nobody reads the frames on standard output any more"
    assert process.returncode == 141


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
@needs_ffmpeg
def test_a_source_that_falls_silent_does_not_keep_a_run_that_is_told_to_end(elsr):
    with elsr("-", "-o", "-") as process:
        process.stdin.write(y4m(2))
        process.stdin.flush()
        process.stdout.read(4 * WIDTH * HEIGHT)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=120) == 128 + signal.SIGTERM


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_disk_that_fills_up_is_told_in_one_line(tmp_path):
    write_video(tmp_path / "film.mkv")
    with Path("/dev/full").open("wb") as full:
        command = [sys.executable, "-m", "elsr_paddle", tmp_path / "film.mkv", "-o", "-"]
        done = subprocess.run(command, cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True,
                              timeout=120)
    assert done.returncode == 2
    assert "No space left on device" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


@needs_ffmpeg
def test_a_frame_that_is_cut_off_is_told(piped):
    status, out, lines = piped(y4m(5)[:-100], "-", "-o", "-")
    assert len(planes(out)) == 4
    assert status == 1
    assert lines[-2:] == ["warning: -: it is cut short: parts of the last frame are missing",
                          lines[-1]]
    assert lines[-1].endswith("INCOMPLETE: parts of the last frame missing")


@pytest.mark.parametrize("data", [b"", b"no frames at all" * 1000])
def test_what_holds_no_frames_is_told_in_one_line(piped, data):
    status, out, (_, line) = piped(data, "-", "-o", "-")
    assert (status, out) == (2, b"")
    assert line.startswith("error: -: no video, or cut short, or damaged")


@needs_ffmpeg
@pytest.mark.parametrize("cut", [0, 10])
def test_raw_frames_are_of_the_size_and_format_that_the_flags_say(piped, cut):
    frames = np.stack(moving_photo(5))
    data = frames.tobytes()
    status, out, lines = piped(data[:len(data) - cut], "-", "-o", "-", "--size-in", "64x48",
                               "--pix-fmt", "rgb24")
    ours = np.frombuffer(out, np.uint8).reshape(-1, 96, 128, 3)
    assert (len(ours), status) == ((5, 0) if not cut else (4, 1))
    assert np.abs(ours[:4].astype(int) - frames[:4].repeat(2, 1).repeat(2, 2)).max() <= 1
    assert ("cut short" in " ".join(lines)) == bool(cut)


@pytest.mark.parametrize("rate", ["30000/1001", "12"])
def test_raw_frames_become_a_film_of_their_rate(piped, tmp_path, rate):
    data = np.stack(moving_photo(5)).tobytes()
    status, _, _ = piped(data, "-", "-o", "film.mkv", "--size-in", "64x48", "--pix-fmt", "rgb24",
                         "--rate-in", rate)
    assert status == 0
    with av.open(str(tmp_path / "film.mkv")) as film:
        assert film.streams.video[0].average_rate == Fraction(rate)


@needs_recent_pyav  # others write no rotation
def test_a_film_goes_out_with_a_word_on_its_sound(piped, tmp_path):
    write_video(tmp_path / "film.mp4", sound="aac", rotation=90)
    status, out, lines = piped(b"", "film.mp4", "-o", "-")
    frames = planes(out)
    assert (status, len(frames)) == (0, 20)
    assert frames[0].shape == (128 * 3 // 2, 96)  # upright
    assert sum("sound" in line for line in lines) == 1


@pytest.mark.parametrize(("times", "told"), [([0, 40, 80, 120], False), ([0, 40, 200, 560], True)])
def test_uneven_times_are_told(piped, tmp_path, times, told):
    write_video(tmp_path / "film.mkv", moving_photo(4), times=times,
                time_base=Fraction(1, 1000))
    _, out, lines = piped(b"", "film.mkv", "-o", "-")
    assert len(planes(out)) == 4
    assert any("uneven" in line for line in lines) == told


@pytest.mark.parametrize(("arguments", "expected"), [
    (["-", "-o", "-", "--json"], "frames alone"),
    (["-", "-o", "-", "--progress", "json"], "frames alone"),
    (["-", "-o", "-", "--crf", "20"], "leave --crf out"),
    (["-", "-o", "photo.png"], "become a film"),
    (["-", "other.mp4", "-o", "out"], "one input"),
    (["missing.mp4", "-o", "-"], "missing.mp4"),
    (["-", "-o", "-", "--size-in", "64x48"], "--pix-fmt"),
    (["-", "-o", "-", "--rate-in", "25"], "--size-in"),
    (["-", "-o", "-", "--rate-in", "0/0"], "up to 1000"),
    (["-", "-o", "film.mkv", "--pix-fmt", "rgb24"], "raw frames"),
    (["-", "-o", "-", "--pix-fmt", "yuv410p"], "choose from"),
])
def test_what_does_not_fit_a_pipe_is_refused_in_one_line(piped, arguments, expected):
    status, out, (line,) = piped(b"", *arguments)
    assert (status, out) == (2, b"")
    assert expected in line


@pytest.mark.skipif(os.name == "nt", reason="terminals of POSIX")
def test_a_terminal_is_no_pipe():
    ours, theirs = os.openpty()
    command = [sys.executable, "-m", "elsr_paddle", "-", "-o", "-"]
    done = subprocess.run(command, cwd=ROOT, stdin=theirs, capture_output=True, text=True,
                          timeout=120)
    os.close(ours)
    os.close(theirs)
    assert done.returncode == 2
    assert "standard input is a terminal" in done.stderr


@pytest.mark.parametrize(("given", "expected"), [
    ("yuvj420p", "yuv420p"), ("nv12", "yuv420p"), ("yuv422p12le", "yuv422p10le"),
    ("yuv411p", "yuv444p"), ("rgb24", "yuv444p"), ("pal8", "yuv444p"), ("gbrp10le", "yuv444p10le"),
    ("ya8", "gray"), ("gray16le", "gray10le"),
])
def test_the_nearest_pixel_format_loses_no_chroma(given, expected):
    assert nearest_format(given) == expected
    assert expected in PIXEL_FORMATS


@pytest.fixture
def kitchen(tmp_path, nearest_weights):
    """A folder with a film and the command `elsr`, and a function that runs a program there."""
    (tmp_path / "bin").mkdir()
    command = tmp_path / "bin" / "elsr"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m elsr_paddle "$@" '
                       f'--weights "{nearest_weights}" --engine numpy\n')
    command.chmod(0o755)
    make_film(tmp_path / "film.mp4", sound="aac")  # 50 frames
    environment = {**os.environ, "PYTHONPATH": str(ROOT),
                   "PATH": f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"}

    def run(*program):
        return subprocess.run(program, cwd=tmp_path, env=environment, capture_output=True,
                              text=True, timeout=120)

    return tmp_path, run


@needs_ffmpeg
@pytest.mark.skipif(not shutil.which("bash"), reason="needs bash")
@pytest.mark.parametrize("recipe", BASH, ids=[recipe.split("-", 1)[0] for recipe in BASH])
def test_a_recipe_gives_every_frame(kitchen, recipe):
    folder, run = kitchen
    if recipe.startswith("vspipe") and not shutil.which("vspipe"):
        pytest.skip("needs VapourSynth")
    done = run("bash", "-c", f"set -eo pipefail\n{recipe}")
    assert done.returncode == 0, done.stderr
    (large,) = folder.glob("large.*")
    with av.open(str(large)) as film:
        assert sum(1 for _ in film.decode(video=0)) == 50
    with av.open(str(large)) as film:
        assert len(film.streams.audio) == ("-map 1:a" in recipe)


@needs_ffmpeg
def test_the_script_of_the_page_gets_every_frame_back(kitchen):
    _, run = kitchen
    (script,) = re.findall(r"```python\n(.*?)```", RECIPES, re.DOTALL)
    done = run(sys.executable, "-c", script)
    assert done.stdout == "5 frames\n", done.stderr
