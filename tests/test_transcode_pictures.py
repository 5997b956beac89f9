"""What a video shows, through the tool and back from disk: colour and geometry."""

from fractions import Fraction

import av
import numpy as np
import pytest
from video_files import (
    NETWORKS,
    decode,
    first_frame,
    frame_times,
    moving_photo,
    needs_ffmpeg,
    needs_recent_pyav,
    run,
    tags,
    write_video,
)

from elsr_paddle.enlarge.video import transcode
from elsr_paddle.errors import InputError
from elsr_paddle.video.colour import Colour, Converter

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
@pytest.mark.parametrize("network", NETWORKS)
def test_chroma_stays_where_it_was(tmp_path, nearest, network):
    """H.264 sites its chroma at the left; a converter that takes the middle moves colours."""
    wave = np.sin(2 * np.pi * np.arange(128) / 32)
    image = np.full((64, 128, 3), 128, np.uint8)
    image[..., 0] = np.rint(128 + 100 * wave)
    image[..., 1] = np.rint(128 - 100 * 0.299 / 0.587 * wave)  # so the luma is flat
    source = write_video(tmp_path / "a.mp4", [image] * 2, options={"qp": "0"})
    transcode(source, tmp_path / "out.mp4", nearest(**network, scale=2), crf=0)

    def phase(path, period):
        plane = first_frame(path).planes[2]
        row = np.frombuffer(plane, np.uint8).reshape(plane.height, -1)[plane.height // 2]
        row = row[:plane.width].astype(float)
        return np.angle((row - row.mean()) @ np.exp(-2j * np.pi * np.arange(len(row)) / period))

    # Sample k lies at luma 2k, so sample k of the output at LR luma k - 1/4, a quarter of an output
    # sample to the left of LR sample k/2. Samples in the middle would move by a half.
    moved = (phase(source, 16) - phase(tmp_path / "out.mp4", 32)) / (2 * np.pi) * 32
    assert moved == pytest.approx(0.25, abs=0.1)


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


def test_a_film_is_enlarged_without_opencv(tmp_path, run_python):
    source = write_video(tmp_path / "a.mp4", moving_photo(3))
    for model in ("elsr", "elsr-y"):
        done = run_python(
            "-c", "import sys; sys.modules['cv2'] = None\n"
            "from elsr_paddle.commands.enlarge import main\n"
            f"sys.exit(main({[str(source), '-o', str(tmp_path / f'{model}.mp4')]} + "
            f"['--model', {model!r}]))")
        assert done.returncode == 0, done.stderr
        assert len(frame_times(tmp_path / f"{model}.mp4")) == 3
