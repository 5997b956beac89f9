"""Clocks that files leave out, set back or let wrap: no frame and no sound is lost to them."""

from collections import namedtuple
from fractions import Fraction

import av
import pytest
from video_files import frame_times, make_film, needs_ffmpeg, needs_recent_pyav, packets, run

from elsr_paddle.commands import enlarge
from elsr_paddle.enlarge.video import transcode
from elsr_paddle.video.clock import FrameClock, PacketClock

pytestmark = needs_ffmpeg


def joined(folder, suffix, **film):
    """The same film twice in one file, so that its clock starts anew in the middle."""
    once = make_film(folder / f"once{suffix}", **film)
    (folder / f"twice{suffix}").write_bytes(once.read_bytes() * 2)
    return folder / f"twice{suffix}"


@pytest.mark.parametrize("codec, b_frames", [
    ("libx264", 2), ("libx264", 0), ("mpeg4", 2), ("mpeg4", 0)])
@pytest.mark.parametrize("sound", ["libmp3lame", "pcm_s16le"])
def test_avi_stores_no_times_yet_every_frame_has_its_own(tmp_path, nearest, codec, b_frames,
                                                         sound):
    source = make_film(tmp_path / "a.avi", codec=codec, b_frames=b_frames, sound=sound)
    outcome = transcode(source, tmp_path / "out.mkv", nearest(scale=2))
    assert (outcome.frames, outcome.warnings, outcome.missing) == (50, [], "")
    with av.open(str(source)) as file:  # in AVI, a frame's number is its time
        numbers = [packet.dts for packet in file.demux(video=0) if packet.size]
    found = [round(time * 25) for time in frame_times(tmp_path / "out.mkv")]
    assert found == numbers and found[0] == 0
    assert len(packets(tmp_path / "out.mkv", "audio")) == len(packets(source, "audio"))


@pytest.mark.parametrize("suffix, codec, sound", [
    (".vob", "mpeg2video", "mp2"), (".ts", "mpeg2video", "mp2"), (".ts", "libx264", "aac")])
def test_a_clock_that_starts_anew_is_carried_on(tmp_path, nearest, suffix, codec, sound):
    source = joined(tmp_path, suffix, codec=codec, sound=sound)
    outcome = transcode(source, tmp_path / "out.mp4", nearest(scale=2))
    assert (outcome.frames, outcome.missing) == (100, "")
    assert "1 times its clock jumped: what follows was joined without a gap" in outcome.warnings
    times = frame_times(tmp_path / "out.mp4")
    assert all(Fraction(1, 50) < later - earlier < Fraction(1, 10)
               for earlier, later in zip(times, times[1:]))
    assert times[-1] == pytest.approx(4, abs=0.1)
    heard = packets(tmp_path / "out.mp4", "audio")
    assert len(heard) == len(packets(source, "audio"))
    assert heard[-1][0] == pytest.approx(4, abs=0.1)


@pytest.mark.parametrize("codec, sound", [("mpeg2video", "mp2"), ("libx264", "aac")])
@pytest.mark.parametrize("start", [95441, 30000])  # 95,443.7 s: the clock of 33 bits wraps
def test_a_recordings_clock_starts_at_zero_though_it_wraps(tmp_path, nearest, codec, sound, start):
    source = make_film(tmp_path / "a.ts", "-output_ts_offset", start, codec=codec, sound=sound)
    outcome = transcode(source, tmp_path / "out.mp4", nearest(scale=2))
    assert (outcome.frames, outcome.warnings) == (50, [])
    times = frame_times(tmp_path / "out.mp4")
    assert len(times) == 50 and 0 <= times[0] < 0.1 and times[-1] < 2.1
    seen = run("ffprobe", "-v", "error", "-count_frames", "-select_streams", "v", "-show_entries",
               "stream=nb_read_frames", "-of", "csv=p=0", tmp_path / "out.mp4")
    assert int(seen) == 50  # a player hides what lies before zero


def test_recordings_of_different_days_are_joined(tmp_path, nearest):
    parts = [make_film(tmp_path / f"{start}.ts", "-output_ts_offset", start, codec="mpeg2video",
                       sound="mp2") for start in (100, 36000, 5)]
    (tmp_path / "a.ts").write_bytes(b"".join(part.read_bytes() for part in parts))
    outcome = transcode(tmp_path / "a.ts", tmp_path / "out.mkv", nearest(scale=2))
    assert outcome.frames == 150
    assert frame_times(tmp_path / "out.mkv")[-1] == pytest.approx(6, abs=0.2)
    assert packets(tmp_path / "out.mkv", "audio")[-1][0] == pytest.approx(6, abs=0.2)


def test_a_recording_that_begins_between_key_frames_says_what_it_lacks(tmp_path, nearest):
    whole = make_film(tmp_path / "a.ts", "-g", 50, codec="mpeg2video", sound="mp2", seconds=4)
    content = whole.read_bytes()
    (tmp_path / "late.ts").write_bytes(content[len(content) // 8 // 188 * 188:])
    outcome = transcode(tmp_path / "late.ts", tmp_path / "out.mp4", nearest(scale=2))
    assert outcome.frames == 50
    assert any("seconds have no picture" in warning for warning in outcome.warnings)


Container = namedtuple("Container", "format start_time")
Format = namedtuple("Format", "name flags")
Stream = namedtuple("Stream", "index type average_rate guessed_rate disposition")
NONE = av.stream.Disposition(0)
VIDEO = Stream(0, "video", 25, 25, NONE)
SOUND = Stream(1, "audio", None, None, NONE)
BROADCAST = Container(Format("mpegts", av.format.Flags.ts_discont.value), 0)


class Timed:
    """A packet of 40 ms, or a frame, with times in ticks of 1 ms."""

    time_base, duration, is_keyframe = Fraction(1, 1000), 40, False

    def __init__(self, dts, pts=None, stream=VIDEO):
        self.dts, self.pts, self.stream = dts, pts, stream


def corrected(*times):
    """Decoding times of (stream, time) after the clock."""
    clock = PacketClock(BROADCAST, VIDEO)
    moved = [Timed(time, stream=stream) for stream, time in times]
    for packet in moved:
        clock.correct(packet)
    return [packet.dts for packet in moved], clock.restarts


def test_sound_of_the_old_clock_that_comes_late_keeps_it(tmp_path):
    times = [(VIDEO, 0), (SOUND, 0), (VIDEO, 40), (SOUND, 40), (VIDEO, 80),
             (VIDEO, 60000), (SOUND, 80), (SOUND, 60000), (VIDEO, 60040)]
    assert corrected(*times) == ([0, 0, 40, 40, 80, 120, 80, 120, 160], 1)


def test_sound_that_pauses_for_a_minute_is_no_jump():
    video = [(VIDEO, time) for time in range(0, 60000, 40)]
    moved, restarts = corrected((SOUND, 0), *video, (SOUND, 60000), (VIDEO, 60000))
    assert (moved[-2:], restarts) == ([60000, 60000], 0)


def test_a_gap_of_some_seconds_stays_one():
    assert corrected((VIDEO, 0), (VIDEO, 40), (VIDEO, 5000)) == ([0, 40, 5000], 0)


def test_a_hole_is_where_neither_picture_nor_sound_goes_on():
    clock = PacketClock(BROADCAST, VIDEO)
    for stream, time in ((VIDEO, 0), (SOUND, 0), (VIDEO, 1000), (SOUND, 540), (SOUND, 580)):
        clock.correct(Timed(time, stream=stream))
    assert clock.silence() == Fraction(1, 2)  # of the picture's 0.04..1 s and sound's 0.04..0.54 s


def frame_clock(*frames):
    clock = FrameClock(Container(Format("matroska", 0), 0), VIDEO)
    stamped = [Timed(dts, pts) for pts, dts in frames]
    for frame in stamped:
        clock.stamp(frame)
    return [frame.pts for frame in stamped], clock.moved


def test_a_frame_without_a_time_follows_the_one_before():
    assert frame_clock((0, 0), (None, None), (80, 80)) == ([0, 40, 80], 0)


def test_a_time_that_comes_twice_moves_one_frame_and_no_other():
    assert frame_clock((0, 0), (40, 40), (40, 80), (80, 120)) == ([0, 40, 60, 80], 1)


def test_times_that_keep_going_back_give_way_to_those_of_decoding():
    frames = [(40, 80), (120, 120), (160, 160), (80, 200), (240, 240), (280, 280), (200, 320),
              (360, 360), (400, 400), (320, 440)]
    times, moved = frame_clock(*frames)
    assert times == sorted(set(times)) and moved == 2
    assert times[-3:] == [360, 400, 440]


def test_a_film_with_holes_is_told_apart_from_a_whole_one(tmp_path, nearest_weights, capsys):
    whole = make_film(tmp_path / "whole.avi", "-g", 1, codec="mpeg4")
    content = whole.read_bytes()
    for number in (3, 6, 9):  # packets that no longer begin as MPEG-4 does
        place = -1
        for _ in range(number):
            place = content.index(b"\x00\x00\x01\xb6", place + 1)
        content = content[:place] + b"\xff" * 8 + content[place + 8:]
    (tmp_path / "holes.avi").write_bytes(content)
    arguments = ["--weights", str(nearest_weights), "-o", str(tmp_path / "out.mkv"), "--overwrite"]
    assert enlarge.main([str(whole), *arguments]) == 0
    assert "INCOMPLETE" not in capsys.readouterr().err
    assert enlarge.main([str(tmp_path / "holes.avi"), *arguments]) == 1
    assert "INCOMPLETE: 3 packets missing" in capsys.readouterr().err


def test_a_matroska_file_that_ends_early_says_how_much_is_missing(tmp_path, nearest):
    whole = make_film(tmp_path / "a.mkv", codec="mpeg4", sound="libmp3lame", seconds=4).read_bytes()
    (tmp_path / "cut.mkv").write_bytes(whole[:len(whole) // 2])
    outcome = transcode(tmp_path / "cut.mkv", tmp_path / "out.mkv", nearest(scale=2))
    assert outcome.missing.startswith("the last ") and outcome.missing.endswith(" seconds")


def test_an_avi_file_that_was_cut_says_how_much_is_missing(tmp_path, nearest):
    whole = make_film(tmp_path / "whole.avi", codec="libx264", b_frames=2, sound="libmp3lame")
    cut = tmp_path / "cut.avi"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 3])
    outcome = transcode(cut, tmp_path / "out.mkv", nearest(scale=2))
    assert 0 < outcome.frames < 40
    assert outcome.missing.startswith("the last ") and "of 2.0 seconds" in outcome.missing


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_film_trimmed_by_its_edit_list_is_whole(tmp_path, nearest, suffix):
    make_film(tmp_path / "long.mp4", "-g", 100, sound="aac", seconds=6)
    run("ffmpeg", "-v", "error", "-ss", 3, "-i", tmp_path / "long.mp4", "-c", "copy",
        tmp_path / "a.mp4")
    outcome = transcode(tmp_path / "a.mp4", tmp_path / f"out{suffix}", nearest(scale=2))
    assert (outcome.frames, outcome.warnings, outcome.missing) == (75, [], "")
    first = packets(tmp_path / f"out{suffix}", "audio")[0][0]
    assert -0.1 < first <= 0  # not the second before the cut


@needs_recent_pyav
def test_side_data_without_a_name_is_no_trouble(tmp_path, nearest):
    """FFmpeg 8 gives frames of Motion JPEG their EXIF, for which PyAV 18 has no name."""
    from PIL import Image

    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    with (tmp_path / "a.mjpeg").open("wb") as file:
        for level in (50, 150):
            Image.new("RGB", (64, 48), (level,) * 3).save(file, "JPEG", exif=exif)
    outcome = transcode(tmp_path / "a.mjpeg", tmp_path / "out.mkv", nearest(scale=2))
    assert outcome.frames == 2
