"""Videos of every kind through the tool, and back from disk: times, sound, damage."""

import os
import shutil
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from video_files import (
    frame_times,
    make_film,
    moving_photo,
    needs_ffmpeg,
    needs_recent_pyav,
    packets,
    run,
    write_tone,
    write_video,
)

from elsr_paddle.enlarge.video import transcode
from elsr_paddle.errors import InputError

# Times and sound

@pytest.mark.parametrize("suffix, sound", [
    (".mp4", "aac"), (".mkv", "libopus"), (".mov", "pcm_s16le"), (".mkv", "flac"),
])
def test_sound_is_copied_byte_by_byte_and_at_its_times(tmp_path, nearest, suffix, sound):
    rate = 48000 if sound == "libopus" else 44100
    source = write_video(tmp_path / f"a{suffix}", sound=sound, sound_rate=rate)
    outcome = transcode(source, tmp_path / f"out{suffix}", nearest(scale=2))
    *mine, last = packets(tmp_path / f"out{suffix}", "audio")
    *theirs, end = packets(source, "audio")
    assert (mine, last[::2]) == (theirs, end[::2])
    # FFmpeg 9 writes the last length of FLAC into Matroska a tick of 1 ms shorter than it is given.
    assert last[1] == pytest.approx(end[1], abs=0.0011)
    assert frame_times(tmp_path / f"out{suffix}") == frame_times(source)
    assert (outcome.width, outcome.height, outcome.frames) == (128, 96, 20)
    assert outcome.warnings == []


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_variable_frame_rate_keeps_every_time(tmp_path, nearest, suffix):
    times = sorted({0, *np.random.default_rng(7).integers(1, 20000, 19).tolist()})
    source = write_video(tmp_path / f"a{suffix}", moving_photo(len(times)), times=times,
                         time_base=Fraction(1, 10000))
    transcode(source, tmp_path / f"out{suffix}", nearest(scale=2))
    assert frame_times(tmp_path / f"out{suffix}") == frame_times(source)


@pytest.mark.parametrize("rate", [Fraction(30000, 1001), Fraction(24000, 1001), Fraction(7, 3)])
@needs_recent_pyav  # others forget the length of a frame
def test_odd_rates_keep_every_time_and_length(tmp_path, nearest, rate):
    source = write_video(tmp_path / "a.mp4", rate=rate, time_base=1 / rate)
    transcode(source, tmp_path / "out.mp4", nearest(scale=2))
    for mine, theirs in zip(sorted(packets(tmp_path / "out.mp4", "video")),
                            sorted(packets(source, "video"))):
        assert mine[:2] == theirs[:2]


def test_a_file_that_does_not_know_its_length_is_no_trouble(tmp_path, nearest):
    source = tmp_path / "live.mkv"
    with av.open(str(write_video(tmp_path / "a.mkv"))) as whole, \
            av.open(str(source), "w", options={"live": "1"}) as live:
        copy = live.add_stream_from_template(whole.streams[0], opaque=True)
        for packet in whole.demux():
            if packet.size:
                packet.stream = copy
                live.mux(packet)
    with av.open(str(source)) as file:
        assert file.duration is None
    assert transcode(source, tmp_path / "out.mkv", nearest(scale=2)).frames == 20


def test_a_late_start_stays_late(tmp_path, nearest):
    source = write_video(tmp_path / "a.mkv", times=[10000 + 40 * n for n in range(20)],
                         time_base=Fraction(1, 1000))
    transcode(source, tmp_path / "out.mkv", nearest(scale=2))
    assert frame_times(tmp_path / "out.mkv")[0] == 10


def test_sound_that_the_container_cannot_hold_is_reencoded_in_sync(tmp_path, nearest):
    source = write_video(tmp_path / "a.mp4", sound="aac", sound_rate=48000)
    outcome = transcode(source, tmp_path / "out.webm", nearest(scale=2))
    assert outcome.warnings == ["sound stream 1 (aac) was re-encoded as libopus: webm cannot hold "
                                "it as it is"]
    with av.open(str(tmp_path / "out.webm")) as file:
        assert [stream.codec_context.name for stream in file.streams] == ["vp9", "opus"]
        tone = [(frame.time, np.abs(frame.to_ndarray()).max()) for frame in file.decode(audio=0)]
    assert abs(min(time for time, peak in tone if peak > 0.1)) < 0.03


@needs_ffmpeg
@needs_recent_pyav
def test_subtitles_chapters_attachments_and_titles_go_along(tmp_path, nearest):
    source = rich_file(tmp_path)
    outcome = transcode(source, tmp_path / "out.mkv", nearest(scale=2))
    assert outcome.warnings == []
    assert packets(tmp_path / "out.mkv", "subtitle") == packets(source, "subtitle")
    with av.open(str(tmp_path / "out.mkv")) as out, av.open(str(source)) as file:
        assert [stream.type for stream in out.streams] == [stream.type for stream in file.streams]
        assert out.streams[2].language == "ger"
        assert out.metadata["title"] == "A title"
        assert [chapter["metadata"] for chapter in out.chapters()] == [{"title": "One"},
                                                                       {"title": "Two"}]
        assert out.streams[3].data == b"the font"


@needs_ffmpeg
@needs_recent_pyav
def test_text_subtitles_are_converted_where_the_container_has_others(tmp_path, nearest):
    outcome = transcode(rich_file(tmp_path), tmp_path / "out.mp4", nearest(scale=2))
    assert outcome.warnings == [
        "subtitle stream 2 (srt) became mov_text: mp4 cannot hold it as it is",
        "attachment stream 3 was left out: mp4 cannot hold it; try .mkv",
    ]
    text = run("ffmpeg", "-v", "error", "-i", tmp_path / "out.mp4", "-map", "0:s", "-f", "srt", "-")
    assert "00:00:00,200 --> 00:00:00,500\nHello <i>you</i>" in text


def rich_file(folder):
    """A Matroska file with sound, German subtitles, two chapters and an attached font."""
    write_video(folder / "plain.mkv", sound="libopus", sound_rate=48000)
    (folder / "s.srt").write_text("1\n00:00:00,200 --> 00:00:00,500\nHello <i>you</i>\n")
    (folder / "font.ttf").write_bytes(b"the font")
    chapter = "[CHAPTER]\nTIMEBASE=1/1000\nSTART={}\nEND={}\ntitle={}\n"
    (folder / "about.txt").write_text(";FFMETADATA1\ntitle=A title\n"
                                      + chapter.format(0, 400, "One")
                                      + chapter.format(400, 800, "Two"))
    run("ffmpeg", "-v", "error", "-i", folder / "plain.mkv", "-i", folder / "s.srt", "-i",
        folder / "about.txt", "-map", "0", "-map", "1", "-map_metadata", "2", "-c", "copy",
        "-metadata:s:s", "language=ger", "-attach", folder / "font.ttf",
        "-metadata:s:t", "mimetype=application/x-truetype-font", folder / "rich.mkv")
    return folder / "rich.mkv"


@needs_ffmpeg
def test_the_main_stream_is_upscaled_the_others_named_and_the_cover_kept(tmp_path, nearest):
    write_video(tmp_path / "a.mp4")
    write_video(tmp_path / "b.mp4", moving_photo(20, 32, 32))
    run("ffmpeg", "-v", "error", "-i", tmp_path / "a.mp4", "-i", tmp_path / "b.mp4", "-f", "lavfi",
        "-i", "color=red:size=32x32:duration=0.04", "-map", "0", "-map", "1", "-map", "2", "-c",
        "copy", "-c:v:2", "mjpeg", "-disposition:v:2", "attached_pic", tmp_path / "both.mp4")
    outcome = transcode(tmp_path / "both.mp4", tmp_path / "out.mp4", nearest(scale=2))
    assert outcome.warnings == ["video stream 1 (32x32) was left out: stream 0 (64x48) is the one "
                                "that is enlarged"]
    with av.open(str(tmp_path / "out.mp4")) as file:
        assert [stream.codec_context.name for stream in file.streams] == ["h264", "mjpeg"]


# Damage and refusals

def test_damaged_packets_are_skipped_and_counted(tmp_path, nearest):
    source = write_video(tmp_path / "a.mkv", moving_photo(40), codec="mpeg4",
                         options={"g": "5"}, sound="libopus", sound_rate=48000)
    content = bytearray(source.read_bytes())
    random = np.random.default_rng(3)
    for place in random.integers(len(content) // 3, len(content) * 2 // 3, 60):
        content[place] ^= 0xFF
    source.write_bytes(content)
    outcome = transcode(source, tmp_path / "out.mkv", nearest(scale=2))
    assert 20 <= outcome.frames <= 40
    # FFmpeg 9 leaves whole clusters of Matroska out and says nothing: only holes tell.
    assert any("damaged" in warning or "holes" in warning for warning in outcome.warnings)
    assert outcome.missing


def test_a_truncated_file_gives_what_it_holds_and_says_so(tmp_path, nearest):
    source = write_video(tmp_path / "a.mp4", moving_photo(50), options={"crf": "4", "bf": "0"})
    with av.open(str(source)) as whole, \
            av.open(str(tmp_path / "fast.mp4"), "w", options={"movflags": "faststart"}) as fast:
        copy = fast.add_stream_from_template(whole.streams[0], opaque=True)
        for packet in whole.demux():
            if packet.size:
                packet.stream = copy
                fast.mux(packet)
    content = (tmp_path / "fast.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(content[:len(content) // 2])
    outcome = transcode(tmp_path / "cut.mp4", tmp_path / "out.mp4", nearest(scale=2))
    assert 5 < outcome.frames < 45
    assert any("it is cut short:" in warning for warning in outcome.warnings)


@pytest.mark.parametrize("content", [b"", b"no video at all", b"half a file"])
def test_what_is_no_video_is_refused(tmp_path, nearest, content):
    if content == b"half a file":
        content = write_video(tmp_path / "whole.mp4").read_bytes()[:2000]
    (tmp_path / "a.mp4").write_bytes(content)
    with pytest.raises(InputError, match="no video, or cut short, or damaged"):
        transcode(tmp_path / "a.mp4", tmp_path / "out.mp4", nearest(scale=2))
    assert not (tmp_path / "out.mp4").exists()


def test_sound_alone_is_no_video(tmp_path, nearest):
    with av.open(str(tmp_path / "a.mp4"), "w") as file:
        write_tone(file, file.add_stream("aac", rate=44100, layout="stereo"), 0.5, 44100)
    with pytest.raises(InputError, match="no video stream"):
        transcode(tmp_path / "a.mp4", tmp_path / "out.mp4", nearest(scale=2))


@pytest.mark.parametrize("output, options, message", [
    ("out.mp4", {"codec": "h266"}, "expected a video encoder of FFmpeg"),
    ("out.mp4", {"codec": "aac"}, "expected a video encoder of FFmpeg"),
    ("out.webm", {"codec": "libx264"}, "webm cannot hold what libx264 encodes"),
    ("out.mov", {"codec": "libvpx"}, "cannot start libvpx in mov with crf=20"),
    ("out.mp4", {"codec": "mpeg4", "preset": "slow"}, "mpeg4 has no presets"),
    ("out.webm", {"preset": "slow"}, "libvpx-vp9 has no presets"),
    ("out.mkv", {"codec": "ffv1", "crf": 20}, "ffv1 has no constant quality"),
    ("out.mp4", {"preset": "warp"}, "cannot start libx264 in mp4 with crf=20, preset=warp"),
])
def test_encoders_and_presets_that_do_not_fit_are_refused(tmp_path, nearest, output, options,
                                                          message):
    source = write_video(tmp_path / "a.mp4", moving_photo(2))
    with pytest.raises(InputError, match=message):
        transcode(source, tmp_path / output, nearest(scale=2), **options)
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


@pytest.mark.parametrize("codec", ["libx264", "libvpx-vp9", "libvpx", "libsvtav1", "mpeg4",
                                   "mpeg2video"])
def test_crf_is_heeded_by_every_encoder_that_has_a_quality(tmp_path, nearest, codec):
    source = write_video(tmp_path / "a.mp4", moving_photo(6))
    sizes = []
    for crf in (5, 40):
        transcode(source, tmp_path / f"{crf}.mkv", nearest(scale=2), codec=codec, crf=crf)
        sizes.append((tmp_path / f"{crf}.mkv").stat().st_size)
    assert sizes[0] > 1.2 * sizes[1]


@needs_ffmpeg
@pytest.mark.parametrize("codec", ["mpeg4", "mpeg2video"])
def test_encoders_that_count_frames_take_a_clock_of_their_own(tmp_path, nearest, codec):
    source = make_film(tmp_path / "a.ts", codec="mpeg2video", sound="mp2", rate="30000/1001")
    transcode(source, tmp_path / "out.mkv", nearest(scale=2), codec=codec)
    before, after = frame_times(source), frame_times(tmp_path / "out.mkv")
    assert len(after) == len(before)
    assert [float(time - after[0]) for time in after] == pytest.approx(
        [float(time - before[0]) for time in before], abs=0.001)


def test_a_lossless_encoder_needs_no_quality(tmp_path, nearest):
    source = write_video(tmp_path / "a.mp4", moving_photo(6))
    assert transcode(source, tmp_path / "out.mkv", nearest(scale=2), codec="ffv1").frames == 6


def test_x264_works_on_several_frames_at_once_not_on_slices_of_one(tmp_path, nearest):
    output = tmp_path / "out.mp4"
    transcode(write_video(tmp_path / "a.mp4"), output, nearest(scale=4))  # x2 has too few lines
    assert b"sliced_threads=0" in output.read_bytes()  # x264 writes its settings into the stream


def test_an_error_in_the_network_ends_all_threads_and_leaves_no_file(tmp_path, nearest):
    source = write_video(tmp_path / "a.mp4", moving_photo(60))
    upscaler = nearest(scale=2)
    engine = upscaler.engine(2)
    calls = iter(range(10))
    engine.upscale = lambda image: image.repeat(2, 0).repeat(2, 1) if next(calls) < 8 else 1 / 0
    with pytest.raises(ZeroDivisionError):
        transcode(source, tmp_path / "out.mp4", upscaler)
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


# Real files

@pytest.mark.skipif("ELSR_VIDEOS" not in os.environ, reason="needs the videos of ELSR_VIDEOS")
@pytest.mark.skipif(not shutil.which("ffprobe"), reason="needs ffprobe")
def test_a_real_clip_keeps_both_sound_tracks_as_ffprobe_sees_them(tmp_path, nearest):
    source = Path(os.environ["ELSR_VIDEOS"]) / "nasa_13013.mp4"
    transcode(source, tmp_path / "out.mp4", nearest(scale=2), preset="ultrafast")

    def seen(path, track):
        return run("ffprobe", "-v", "error", "-select_streams", f"a:{track}", "-show_entries",
                   "packet=pts_time,dts_time,duration_time,size:stream=duration", "-of", "csv",
                   path)

    for track in (0, 1):
        assert seen(tmp_path / "out.mp4", track) == seen(source, track)
