"""Films that are made in segments: the same as in one piece, and a run that was stopped goes on."""

import json
import signal
import subprocess
import sys
import time
from fractions import Fraction

import av
import pytest
from odd_films import Film, check_segments, contents, differing
from video_files import make_film, needs_ffmpeg, needs_recent_pyav, write_video

from elsr_paddle.enlarge.parts import Parts, Record, decoding_times
from elsr_paddle.enlarge.video import transcode
from elsr_paddle.errors import InputError

EXACT = {"segment": 1, "crf": 0}  # lossy x264 gives other bits now and then, from the same pictures
LENGTH = 4  # seconds, and segments, of the film below


@pytest.fixture
def film(tmp_path):
    """A film with B-frames and sound."""
    source = tmp_path / "a.mkv"
    return make_film(source, "-g", 30, b_frames=2, sound="aac", seconds=LENGTH)


@pytest.fixture
def whole(tmp_path, film, nearest):
    """The same, enlarged by a run that nobody stopped."""
    transcode(film, tmp_path / "whole.mkv", nearest(scale=2), **EXACT)
    return tmp_path / "whole.mkv"


class Stop(BaseException):
    """Ends a run in the middle."""


def stop_after(frames):
    """A progress that ends the run after so many frames."""
    class Progress:
        done = 0

        def __init__(self, total):
            self.total = total

        def __enter__(self):
            return self

        def __exit__(self, *error):
            pass

        def update(self, count):
            self.done += count
            if self.done >= frames:
                raise Stop

    return Progress


@pytest.fixture
def stopped(tmp_path, film, nearest):
    """An output whose run was stopped in its third segment."""
    with pytest.raises(Stop):
        transcode(film, tmp_path / "out.mkv", nearest(scale=2), **EXACT,
                  progress=stop_after(60))
    assert len(list((tmp_path / "out.mkv.parts").glob("*.nut"))) == 2
    return tmp_path / "out.mkv"


@needs_ffmpeg
@pytest.mark.parametrize("suffix, options", [
    (".mkv", {"crf": 0}), (".mp4", {"crf": 0}), (".mov", {"crf": 0}), (".mkv", {"codec": "ffv1"})])
def test_segments_make_the_film_of_one_piece(tmp_path, nearest, film, suffix, options):
    outputs = [tmp_path / f"{name}{suffix}" for name in ("whole", "parted")]
    one, several = (transcode(film, output, nearest(scale=2), segment=segment, **options)
                    for output, segment in zip(outputs, (0, 1)))
    assert (one.segments, several.segments, several.kept) == (0, LENGTH, 0)
    assert (one.frames, one.warnings) == (several.frames, several.warnings)
    assert differing(*outputs) == []
    assert not Parts(outputs[1]).folder.exists()


@needs_ffmpeg
@pytest.mark.parametrize("codec, suffix", [
    ("libx264", ".mp4"), ("libx265", ".mp4"), ("libvpx-vp9", ".webm"), ("libvpx", ".mkv"),
    ("libsvtav1", ".mp4"), ("mpeg4", ".mp4"), ("mpeg2video", ".mkv")])
def test_every_encoder_that_is_offered_is_joined_at_the_same_times(tmp_path, nearest, film, codec,
                                                                   suffix):
    if codec not in av.codecs_available:
        pytest.skip(f"this FFmpeg has no {codec}")
    outputs = [tmp_path / f"{name}{suffix}" for name in ("whole", "parted")]
    for output, segment in zip(outputs, (0, 1)):
        transcode(film, output, nearest(scale=2), segment=segment, codec=codec)
    assert set(differing(*outputs)) <= {"pictures differ"}
    assert len(contents(outputs[1])["pictures"]) == 25 * LENGTH


@needs_ffmpeg
@pytest.mark.parametrize("film", [
    Film(".avi", "libx264", 2, "25", "libmp3lame"), Film(".ts", "libx264", 2, "25", "aac", "wrap"),
    Film(".ts", "mpeg2video", 2, "30000/1001", "mp2", parts=2),
    Film(".vob", "mpeg2video", 2, "25", "ac3", 5), Film(".mp4", "libx265", 2, "24000/1001", "aac"),
    Film(".flv", "libx264", 2, "25", "aac", 5), Film(".ogv", "libtheora", 0, "25", "libvorbis"),
    Film(".mov", "prores_ks", 0, "25", "pcm_s16le")],
    ids=lambda film: f"{film.suffix[1:]}-{film.codec}-{film.start or film.parts}")
def test_an_odd_film_is_the_same_in_segments(tmp_path, nearest, film):
    try:
        differences, _ = check_segments(film, tmp_path, nearest(scale=2))
    except subprocess.CalledProcessError as error:
        pytest.skip(f"this ffmpeg does not make it: {error.stderr.strip()[-80:]}")
    assert differences == []


@needs_ffmpeg
@pytest.mark.parametrize("options", [
    ["-vf", "tinterlace=interleave_top,fieldorder=tff", "-flags", "+ilme+ildct"],
    ["-x264-params", "open-gop=1:keyint=20:bframes=3"], ["-vf", "select='mod(n\\,3)'"]],
    ids=["interlaced", "open GOPs", "uneven"])
def test_hard_pictures_are_the_same_in_segments(tmp_path, nearest, options):
    source = make_film(tmp_path / "a.mkv", *options, b_frames=2, sound="aac", seconds=LENGTH)
    outputs = [tmp_path / name for name in ("whole.mkv", "parted.mkv")]
    one, several = (transcode(source, output, nearest(scale=2), segment=segment, codec="ffv1")
                    for output, segment in zip(outputs, (0, 1)))
    assert several.segments == LENGTH and one.warnings == several.warnings
    assert differing(*outputs) == []


@needs_recent_pyav
def test_a_turned_film_stays_turned(tmp_path, nearest):
    source = write_video(tmp_path / "a.mp4", rotation=90, time_base=Fraction(1, 1000), rate=5)
    for segment in (0, 1):
        transcode(source, tmp_path / f"{segment}.mp4", nearest(scale=2), segment=segment, crf=0)
    assert differing(tmp_path / "0.mp4", tmp_path / "1.mp4") == []
    with av.open(str(tmp_path / "1.mp4")) as file:
        assert next(file.decode(video=0)).rotation == 90


@needs_ffmpeg
def test_a_film_shorter_than_two_segments_is_made_in_one_piece(tmp_path, nearest, film):
    assert transcode(film, tmp_path / "out.mkv", nearest(scale=2)).segments == 0


@needs_ffmpeg
def test_a_run_that_was_stopped_goes_on(film, whole, stopped, nearest):
    begun = {path: path.stat().st_mtime_ns for path in Parts(stopped).folder.glob("*.nut")}
    seen = []

    class Progress(stop_after(1000)):
        def update(self, count):
            super().update(count)
            seen[:] = [{path: path.stat().st_mtime_ns for path in begun}]

    outcome = transcode(film, stopped, nearest(scale=2), **EXACT, progress=Progress)
    assert (outcome.segments, outcome.kept, outcome.frames) == (LENGTH, 2, 25 * LENGTH)
    assert seen == [begun]
    assert differing(whole, stopped) == []
    assert not Parts(stopped).folder.exists()


@needs_ffmpeg
@pytest.mark.parametrize("damage", [
    lambda part: part.write_bytes(part.read_bytes()[:-100]), lambda part: part.unlink(),
    lambda part: part.with_suffix(".json").write_text("{"),
    lambda part: part.with_suffix(".json").unlink()],
    ids=["truncated", "deleted", "record damaged", "record deleted"])
def test_a_damaged_segment_is_made_anew(film, whole, stopped, nearest, damage):
    damage(sorted(Parts(stopped).folder.glob("*.nut"))[0])
    outcome = transcode(film, stopped, nearest(scale=2), **EXACT)
    assert outcome.kept == 1
    assert differing(whole, stopped) == []


@needs_ffmpeg
@pytest.mark.parametrize("change, name", [
    ({"crf": 30}, "quality"), ({"segment": 2}, "segment"),
    ({"codec": "ffv1", "crf": None}, "codec")])
def test_other_options_are_refused_unless_the_run_may_begin_anew(film, stopped, nearest, change,
                                                                 name):
    options = {**EXACT, **change}
    with pytest.raises(InputError, match=f"differs in .*{name}.*--overwrite to begin anew"):
        transcode(film, stopped, nearest(scale=2), **options)
    assert len(list(Parts(stopped).folder.glob("*.nut"))) == 2
    assert transcode(film, stopped, nearest(scale=2), overwrite=True, **options).kept == 0


@needs_ffmpeg
def test_another_input_of_the_same_name_is_refused(film, stopped, nearest):
    content = bytearray(film.read_bytes())
    content[-1] ^= 1
    film.write_bytes(content)
    with pytest.raises(InputError, match="differs in input; repeat that command"):
        transcode(film, stopped, nearest(scale=2), **EXACT)


@needs_ffmpeg
def test_another_network_is_refused(film, stopped, nearest):
    other = nearest(scale=2)
    other.engine(2).fingerprint = "other"
    with pytest.raises(InputError, match="differs in network"):
        transcode(film, stopped, other, **EXACT)


def command(film, output, weights, *options):
    return [sys.executable, "-c", "from elsr_paddle.commands.main import entry; entry()", film,
            "-o", output, "--weights", weights, "--engine", "numpy", "--segment", "1", *options]


@needs_ffmpeg
def test_a_killed_command_goes_on_and_says_so(tmp_path, root, film, nearest_weights):
    output = tmp_path / "out.mkv"
    arguments = list(map(str, command(film, output, nearest_weights)))
    records = Parts(output).folder.glob
    process = subprocess.Popen(arguments, cwd=root, stderr=subprocess.DEVNULL)
    while not list(records("[0-9]*.json")) and process.poll() is None:
        time.sleep(0.01)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    kept = len(list(records("[0-9]*.json")))
    done = subprocess.run(arguments, cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert f"; {kept} of {LENGTH} segments were there" in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mkv", "out.mkv"]


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on the size of files")
@needs_ffmpeg
def test_a_disk_that_is_full_while_joining_keeps_every_segment(tmp_path, root, film, whole,
                                                               nearest_weights):
    output = tmp_path / "out.mkv"
    arguments = command(film, output, nearest_weights, "--crf", 0)
    limit = "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);" \
            "resource.setrlimit(resource.RLIMIT_FSIZE, (60000, -1));"
    limited = [*arguments[:2], limit + arguments[2], *arguments[3:]]
    full = subprocess.run(list(map(str, limited)), cwd=root, capture_output=True, text=True)
    assert full.returncode == 2 and "writing failed: File too large" in full.stderr
    assert not output.exists()
    done = subprocess.run(list(map(str, arguments)), cwd=root, capture_output=True, text=True)
    assert f"; {LENGTH} of {LENGTH} segments were there" in done.stderr
    assert len(contents(output)["pictures"]) == 25 * LENGTH


@needs_ffmpeg
def test_parts_left_by_a_kill_after_the_end_are_tidied_up(film, stopped, nearest):
    parts = Parts(stopped)
    kept = {path.name: path.read_bytes() for path in parts.folder.iterdir()}
    transcode(film, stopped, nearest(scale=2), **EXACT)
    parts.folder.mkdir()
    for name, content in kept.items():
        (parts.folder / name).write_bytes(content)
    parts.tidy()
    assert parts.folder.exists()  # that run did not come to its end
    (parts.folder / "end.json").write_text(json.dumps({}))
    stopped.touch()
    parts.tidy()
    assert not parts.folder.exists()


def record(pts, dts):
    return Record("", "1/25", pts, dts, [0] * len(pts))


def test_decoding_goes_as_far_ahead_of_showing_as_the_encoder_needs():
    parts = [record([0, 3, 1, 2], [-2, -1, 0, 1]), record([4, 6, 5], [2, 3, 4])]
    assert decoding_times(parts) == [-2, -1, 0, 1, 2, 3, 4]


def test_times_of_decoding_rise_where_the_frame_rate_drops():
    parts = [record([0, 3, 1, 2], [-2, -1, 0, 1]), record([4, 24, 14], [-16, -6, 4])]
    times = decoding_times(parts)
    assert times == sorted(set(times))
    assert all(dts <= pts for dts, pts in zip(times, [0, 3, 1, 2, 4, 24, 14]))


@needs_ffmpeg
def test_other_options_are_taken_where_no_segment_was_finished(tmp_path, film, nearest):
    parts = Parts(tmp_path / "out.mkv")
    parts.open({"input": "another"}, overwrite=False)
    outcome = transcode(film, parts.output, nearest(scale=2), **EXACT)
    assert (outcome.kept, outcome.segments) == (0, LENGTH)
