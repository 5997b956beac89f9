"""Videos of every kind through the tool, and back from disk: times, sound, colour, damage."""

import os
import shutil
import subprocess
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from skimage.data import astronaut

from elsr_paddle.errors import InputError
from elsr_paddle.transcode import transcode
from elsr_paddle.yuv import Colour, Converter

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


needs_ffmpeg = pytest.mark.skipif(not shutil.which("ffmpeg"), reason="needs ffmpeg's commands")


# Times and sound

@pytest.mark.parametrize("suffix, sound", [
    (".mp4", "aac"), (".mkv", "libopus"), (".mov", "pcm_s16le"), (".mkv", "flac"),
])
def test_sound_is_copied_byte_by_byte_and_at_its_times(tmp_path, nearest, suffix, sound):
    rate = 48000 if sound == "libopus" else 44100
    source = write_video(tmp_path / f"a{suffix}", sound=sound, sound_rate=rate)
    outcome = transcode(source, tmp_path / f"out{suffix}", nearest(scale=2))
    assert packets(tmp_path / f"out{suffix}", "audio") == packets(source, "audio")
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
    assert outcome.warnings == ["video stream 1 (32x32) was left out: only the main one is "
                                "upscaled"]
    with av.open(str(tmp_path / "out.mp4")) as file:
        assert [stream.codec_context.name for stream in file.streams] == ["h264", "mjpeg"]


# Colour

BARS = np.zeros((64, 128, 3), np.uint8)
for _number, _colour in enumerate([(255, 255, 255), (255, 255, 0), (0, 255, 255), (0, 255, 0),
                                   (255, 0, 255), (255, 0, 0), (0, 0, 255), (0, 0, 0)]):
    BARS[:32, 16 * _number:16 * _number + 16] = _colour
BARS[32:] = np.arange(0, 256, 2, dtype=np.uint8)[None, :, None]  # a ramp of grays


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("color_range", [1, pytest.param(2, marks=needs_recent_pyav)])
@pytest.mark.parametrize("matrix", [1, 6])
def test_bars_and_ramps_keep_their_levels_and_tags(tmp_path, nearest, matrix, color_range,
                                                   network):
    colour = (matrix, color_range, 1, 13)  # primaries of BT.709, transfer of sRGB
    source = write_video(tmp_path / "a.mp4", [BARS] * 2, colour=colour, options={"qp": "0"})
    transcode(source, tmp_path / "out.mp4", nearest(**network, scale=2), crf=0)
    before, after = first_frame(source), first_frame(tmp_path / "out.mp4")
    assert tags(tmp_path / "out.mp4") == colour
    # In the middle of the bars, and of the ramp away from them, YUV itself is as it was. Through
    # RGB the brightest and darkest full-range colours may move by two levels of rounding.
    for plane, half in ((0, 1), (1, 2), (2, 2)):
        old, new = (np.frombuffer(frame.planes[plane], np.uint8).reshape(
            frame.planes[plane].height, -1) for frame in (before, after))
        rows, columns = slice(8 // half, 24 // half), slice(8 // half, 128 // half, 16 // half)
        big = new[16 // half:48 // half:2, 16 // half:256 // half:32 // half]
        assert np.abs(old[rows, columns].astype(int) - big).max() <= 2
        ramp = slice(48 // half, 60 // half)
        big = new[96 // half:120 // half:2, :256 // half:2]
        assert np.abs(old[ramp, :128 // half].astype(int) - big).max() <= (2 if half == 1 else 1)


@needs_recent_pyav
@pytest.mark.parametrize("direct", [False, True])
def test_chroma_stays_where_it_was(tmp_path, nearest, direct):
    """H.264 sites its chroma at the left; a converter that takes the middle moves colours."""
    wave = np.sin(2 * np.pi * np.arange(128) / 32)
    image = np.full((64, 128, 3), 128, np.uint8)
    image[..., 0] = np.rint(128 + 100 * wave)
    image[..., 1] = np.rint(128 - 100 * 0.299 / 0.587 * wave)  # so the luma is flat
    source = write_video(tmp_path / "a.mp4", [image] * 2, options={"qp": "0"})
    transcode(source, tmp_path / "out.mp4", nearest(direct=direct, scale=2), crf=0)

    def phase(path, period):
        plane = first_frame(path).planes[2]
        row = np.frombuffer(plane, np.uint8).reshape(plane.height, -1)[plane.height // 2]
        row = row[:plane.width].astype(float)
        return np.angle((row - row.mean()) @ np.exp(-2j * np.pi * np.arange(len(row)) / period))

    # Sample k of the output, at its luma 2k, is the mean of luma 2k-1, 2k, 2k, 2k+1, which repeat
    # LR luma k-1, k, k, k: a quarter of a sample to the left. In the middle it would be none.
    # A network that makes the planes itself takes luma 2k alone.
    moved = (phase(source, 16) - phase(tmp_path / "out.mp4", 32)) / (2 * np.pi) * 32
    assert moved == pytest.approx(0 if direct else 0.25, abs=0.1)


@needs_recent_pyav
def test_the_siting_of_chroma_is_found_out(tmp_path):
    decoded = first_frame(write_video(tmp_path / "a.mp4"))
    for frame, left in ((decoded, True), (av.VideoFrame(64, 48, "yuv420p"), False)):
        colour = Colour(matrix=6, primaries=2, transfer=2, full=False, bits=8)
        assert Converter(colour).sits_left(frame) is left


@pytest.mark.parametrize("height, matrix", [(48, 6), (720, 1)])
def test_an_unnamed_matrix_is_settled_by_the_inputs_height(tmp_path, nearest, height, matrix):
    frames = [np.full((height, 64, 3), 128, np.uint8)] * 2
    source = write_video(tmp_path / "a.mp4", frames, colour=(2, 0, 2, 2))
    transcode(source, tmp_path / "out.mp4", nearest(scale=2))
    assert first_frame(tmp_path / "out.mp4").colorspace == matrix


@pytest.mark.parametrize("network", NETWORKS)
def test_ten_bits_stay_ten(tmp_path, nearest, network):
    gray = np.linspace(4000, 60000, 64 * 128).reshape(64, 128).astype(np.uint16)
    frame = av.VideoFrame.from_ndarray(gray, "gray16le").reformat(format="yuv420p10le",
                                                                  dst_color_range=1)
    with av.open(str(tmp_path / "a.mp4"), "w") as file:
        stream = file.add_stream("libx264", rate=25, options={"qp": "0"})
        stream.height, stream.width, stream.pix_fmt = 64, 128, "yuv420p10le"
        stream.codec_context.color_range = 1
        file.mux([*stream.encode(frame), *stream.encode(None)])
    outcome = transcode(tmp_path / "a.mp4", tmp_path / "out.mp4",
                        nearest(**network, scale=2), crf=0)
    before, after = first_frame(tmp_path / "a.mp4"), first_frame(tmp_path / "out.mp4")
    assert after.format.name == "yuv420p10le" and outcome.warnings == []
    old, new = (np.frombuffer(frame.planes[0], np.uint16).reshape(frame.height, -1)
                for frame in (before, after))
    assert np.abs(old.astype(int) - new[::2, :256:2]).max() <= 2  # of 1023; eight bits: 4


@pytest.mark.parametrize("network", NETWORKS)
def test_ten_bits_become_eight_where_the_encoder_has_no_more(tmp_path, nearest, network):
    source = write_video(tmp_path / "a.mp4", pixel_format="yuv420p10le")
    outcome = transcode(source, tmp_path / "out.mp4", nearest(**network, scale=2), codec="mpeg4")
    assert outcome.warnings == ["its 10 bits became 8: mpeg4 takes no more"]


@pytest.mark.parametrize("transfer, name", [(16, "PQ"), (18, "HLG")])
def test_hdr_keeps_its_tags_or_is_refused(tmp_path, nearest, transfer, name):
    source = write_video(tmp_path / "a.mkv", pixel_format="yuv420p10le",
                         colour=(9, 1, 9, transfer))
    outcome = transcode(source, tmp_path / "out.mkv", nearest(scale=2))
    after = first_frame(tmp_path / "out.mkv")
    assert tags(tmp_path / "out.mkv") == (9, 1, 9, transfer)
    assert after.format.name == "yuv420p10le"
    assert f"HDR ({name}) kept its tags, but not its mastering metadata" in outcome.warnings
    with pytest.raises(InputError, match="HDR .* needs ten bits in and out"):
        transcode(source, tmp_path / "eight.mkv", nearest(scale=2), codec="mpeg4")


@pytest.mark.parametrize("pixel_format", [
    "yuv422p", "yuv444p", pytest.param("yuvj420p", marks=needs_recent_pyav)])
@pytest.mark.parametrize("network", NETWORKS)
def test_other_pixel_formats_look_the_same(tmp_path, nearest, pixel_format, network):
    color_range = 2 if pixel_format == "yuvj420p" else 1
    source = write_video(tmp_path / "a.mp4", pixel_format=pixel_format,
                         colour=(6, color_range, 2, 2))
    transcode(source, tmp_path / "out.mp4", nearest(**network, scale=2), crf=4)
    before, after = decode(source)[10], decode(tmp_path / "out.mp4")[10]
    assert np.abs(before.repeat(2, 0).repeat(2, 1).astype(int) - after).mean() < 4


def test_transparency_is_dropped_with_a_warning(tmp_path, nearest):
    with av.open(str(tmp_path / "a.mov"), "w") as file:
        stream = file.add_stream("png", rate=25)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "rgba"
        clear = av.VideoFrame.from_ndarray(np.full((48, 64, 4), 90, np.uint8), "rgba")
        file.mux([*stream.encode(clear), *stream.encode(None)])
    outcome = transcode(tmp_path / "a.mov", tmp_path / "out.mp4", nearest(scale=2))
    assert outcome.warnings == ["its transparency was dropped"]
    assert np.abs(decode(tmp_path / "out.mp4")[0].astype(int) - 90).max() <= 2


# Geometry

@needs_recent_pyav
@pytest.mark.parametrize("suffix, kept", [(".mp4", True), (".mkv", True), (".webm", False)])
@pytest.mark.parametrize("rotation", [90, 180, -90])
def test_a_rotated_video_is_shown_as_before(tmp_path, nearest, suffix, kept, rotation):
    source = write_video(tmp_path / "a.mp4", moving_photo(3), rotation=rotation)
    outcome = transcode(source, tmp_path / f"out{suffix}", nearest(size=(96, 80)), crf=4)
    before, after = first_frame(source), first_frame(tmp_path / f"out{suffix}")
    assert before.rotation % 360 == rotation % 360
    assert after.rotation % 360 == (rotation % 360 if kept else 0)
    shown = [np.rot90(frame.to_ndarray(format="rgb24"), round(frame.rotation / 90))
             for frame in (before, after)]
    assert shown[1].shape[:2] == (80, 96)  # --size means what is seen
    assert outcome.frames == 3
    for turns in range(4):  # upright it is nearer than in any other position
        thumbnails = [np.asarray(av.VideoFrame.from_ndarray(np.ascontiguousarray(image)).reformat(
            width=12, height=12).to_ndarray(format="rgb24"), int) for image in shown]
        error = np.abs(thumbnails[0] - np.rot90(thumbnails[1], turns)).mean()
        assert error < 12 if turns == 0 else error > 12


def test_pixels_that_are_not_square_stay_so(tmp_path, nearest):
    source = write_video(tmp_path / "a.mp4", ratio=Fraction(16, 11))
    transcode(source, tmp_path / "out.mp4", nearest(scale=2))
    transcode(source, tmp_path / "stretched.mp4", nearest(size=(256, 96)))
    with av.open(str(tmp_path / "out.mp4")) as file:
        assert file.streams[0].sample_aspect_ratio == Fraction(16, 11)
    with av.open(str(tmp_path / "stretched.mp4")) as file:  # twice as wide, so half the ratio
        assert file.streams[0].sample_aspect_ratio == Fraction(8, 11)


@pytest.mark.parametrize("network", NETWORKS)
def test_an_odd_size_loses_its_last_row_and_column(tmp_path, nearest, network):
    source = write_video(tmp_path / "a.mp4", moving_photo(3, 45, 63), pixel_format="yuv444p")
    outcome = transcode(source, tmp_path / "out.mp4", nearest(**network, scale=3), crf=4)
    assert (outcome.width, outcome.height) == (188, 134)
    before, after = decode(source)[1], decode(tmp_path / "out.mp4")[1]
    expected = before.repeat(3, 0).repeat(3, 1)[:134, :188]
    assert np.abs(expected.astype(int) - after).mean() < 4


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("scale, size", [(1.5, (96, 72)), (0.5, (32, 24))])
def test_sizes_between_come_out(tmp_path, nearest, scale, size, network):
    source = write_video(tmp_path / "a.mp4")
    outcome = transcode(source, tmp_path / "out.mp4", nearest(**network, scale=scale))
    assert (outcome.width, outcome.height) == size
    assert decode(tmp_path / "out.mp4")[0].shape[1::-1] == size


@pytest.mark.parametrize("layout, size", [("split", (128, 96)), ("side", (256, 96))])
def test_a_comparison_is_bicubic_at_the_left(tmp_path, nearest, layout, size):
    source = write_video(tmp_path / "a.mp4")
    outcome = transcode(source, tmp_path / "out.mp4", nearest(scale=2), layout=layout, crf=2)
    assert (outcome.width, outcome.height) == size
    frame = decode(tmp_path / "out.mp4")[5].astype(int)
    expected = decode(source)[5].repeat(2, 0).repeat(2, 1)
    right, left = frame[:, -40:], frame[:, :40]
    assert np.abs(right - expected[:, -40:]).mean() < 4
    assert np.abs(left - expected[:, :40]).mean() > 1.5 * np.abs(right - expected[:, -40:]).mean()


@pytest.mark.parametrize("network", NETWORKS)
def test_a_stream_without_times_that_changes_its_size_goes_on(tmp_path, nearest, network):
    parts = [write_video(tmp_path / f"{height}.h264", moving_photo(5, height, 64))
             for height in (48, 32)]
    (tmp_path / "a.h264").write_bytes(b"".join(part.read_bytes() for part in parts))
    outcome = transcode(tmp_path / "a.h264", tmp_path / "out.mkv", nearest(**network, scale=2))
    assert (outcome.width, outcome.height, outcome.frames) == (128, 96, 10)
    assert {frame.shape for frame in decode(tmp_path / "out.mkv")} == {(96, 128, 3)}
    assert frame_times(tmp_path / "out.mkv") == [Fraction(n, 25) for n in range(10)]


@needs_ffmpeg
def test_interlaced_video_is_deinterlaced_frame_for_frame(tmp_path, nearest):
    run("ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc2=size=96x64:rate=50:duration=0.8",
        "-vf", "tinterlace=interleave_top,setfield=tff", "-flags", "+ilme+ildct",
        "-c:v", "libx264", tmp_path / "a.mp4")
    outcome = transcode(tmp_path / "a.mp4", tmp_path / "out.mp4", nearest(scale=2))
    assert outcome.warnings == ["it is interlaced: deinterlaced with bwdif"]
    assert frame_times(tmp_path / "out.mp4") == frame_times(tmp_path / "a.mp4")
    assert not first_frame(tmp_path / "out.mp4").interlaced_frame


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
    assert any("damaged" in warning for warning in outcome.warnings)


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
    ("out.mp4", {"preset": "warp"}, "cannot start libx264 in mp4 with crf=20, preset=warp"),
])
def test_encoders_and_presets_that_do_not_fit_are_refused(tmp_path, nearest, output, options,
                                                          message):
    source = write_video(tmp_path / "a.mp4", moving_photo(2))
    with pytest.raises(InputError, match=message):
        transcode(source, tmp_path / output, nearest(scale=2), **options)
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


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
