"""Frames in their order, one at a time, and GIFs that hold what they say."""

import struct
import weakref

import av
import numpy as np
import pytest
from PIL import Image

from elsr_paddle.errors import InputError
from elsr_paddle.imaging.io import write_image
from elsr_paddle.video import gif
from elsr_paddle.video import read as video


def plain(level, height=24, width=40):
    """A frame of one gray level, with a bright top left corner that tells which way is up."""
    frame = np.full((height, width, 3), level, np.uint8)
    frame[: height // 2, : width // 2] = 255
    return frame


def make_mp4(path, frames, rate=25, pix_fmt="yuv444p"):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate, options={"crf": "1"})
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = pix_fmt
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return path


def make_folder(path, levels):
    for number, level in enumerate(levels):
        write_image(path / f"f{number}.png", plain(level))
    return path


def levels(frames):
    """The gray level of each frame, from its bottom right corner."""
    return [int(frame[-1, -1, 0]) for frame in frames]


def gif_frames(path):
    with Image.open(path) as gif:
        for number in range(gif.n_frames):
            gif.seek(number)
            yield np.array(gif.convert("RGB"))


def gif_milliseconds(path):
    with Image.open(path) as gif:
        found = []
        for number in range(gif.n_frames):
            gif.seek(number)
            found.append(gif.info["duration"])
        return found


def test_a_folders_frames_come_in_the_order_people_count(tmp_path):
    folder = make_folder(tmp_path, range(0, 120, 10))  # f0 ... f11: f10 must not follow f1
    assert levels(video.read_frames(folder)) == list(range(0, 120, 10))


def test_every_third_frame_starts_with_the_first(tmp_path):
    folder = make_folder(tmp_path / "folder", range(0, 100, 10))
    clip = make_mp4(tmp_path / "a.mp4", [plain(level) for level in range(0, 100, 10)])
    for path in (folder, clip):
        numbered = list(video.numbered_frames(path, every=3))
        assert [number for number, _ in numbered] == [0, 3, 6, 9]
        found = levels(frame for _, frame in numbered)
        assert np.abs(np.subtract(found, [0, 30, 60, 90])).max() <= 2


def test_a_video_is_read_as_it_was_written(tmp_path):
    frames = [plain(level, 46, 62) for level in (20, 90, 160)]
    found = list(video.read_frames(make_mp4(tmp_path / "a.mp4", frames)))
    assert len(found) == 3
    assert np.abs(np.array(found).astype(int) - frames).max() <= 3  # H.264 at crf 1


def test_a_phones_rotation_is_applied(tmp_path):
    path = make_mp4(tmp_path / "a.mp4", [plain(60)])
    data = bytearray(path.read_bytes())
    # ISO 14496-12: the matrix stands 44 bytes after the type of a version-0 tkhd box; a quarter
    # turn clockwise is (0 1 0, -1 0 0, 0 0 1) in 16.16 and 2.30 fixed point.
    start = data.index(b"tkhd") + 44
    data[start : start + 36] = struct.pack(">9i", 0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    (frame,) = video.read_frames(path)
    expected = np.rot90(plain(60), -1)
    assert frame.shape == expected.shape
    assert np.abs(frame.astype(int) - expected).max() <= 3


def test_the_rate_is_the_files_and_reds_24_for_a_folder(tmp_path):
    path = make_mp4(tmp_path / "a.mp4", [plain(9)] * 4, rate=30)
    assert video.frame_rate(path) == pytest.approx(30)
    assert video.frame_rate(tmp_path) == 24


def test_an_unreadable_frame_is_named_and_the_rest_goes_on(tmp_path):
    folder = make_folder(tmp_path, (10, 20, 30))
    (folder / "f1.png").write_bytes((folder / "f1.png").read_bytes()[:40])
    with pytest.raises(InputError, match="f1.png"):
        list(video.read_frames(folder))
    errors = []
    found = list(video.numbered_frames(folder, on_error=errors.append))
    assert [number for number, _ in found] == [0, 2]
    assert len(errors) == 1 and "f1.png" in str(errors[0])


@pytest.mark.parametrize("content", [b"", b"no video at all" * 100])
def test_what_is_no_video_is_refused_by_name(tmp_path, content):
    (tmp_path / "a.mp4").write_bytes(content)
    for read in (video.frame_rate, lambda path: list(video.read_frames(path))):
        with pytest.raises(InputError, match="a.mp4"):
            read(tmp_path / "a.mp4")


def test_a_missing_video_and_an_empty_folder_are_refused(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        list(video.read_frames(tmp_path / "none.mp4"))
    with pytest.raises(InputError, match="no pictures"):
        list(video.read_frames(tmp_path))


def test_a_video_cut_anywhere_gives_frames_or_an_error_that_names_it(tmp_path):
    source = make_mp4(tmp_path / "a.mkv", [plain(level) for level in range(0, 250, 10)])
    whole, cut = source.read_bytes(), tmp_path / "cut.mkv"
    for length in range(0, len(whole), len(whole) // 20):
        cut.write_bytes(whole[:length])
        errors = []
        count = sum(1 for _ in video.numbered_frames(cut, on_error=errors.append))
        assert count <= 25 and (count or errors)
        assert all("cut.mkv" in str(error) for error in errors)


def test_the_stream_that_ffmpeg_prefers_is_read_where_a_file_has_two(folder_from):
    path = folder_from("ELSR_VIDEOS") / "nasa_13013.mp4"  # streams of 320x180 (default) and 480x270
    assert next(video.read_frames(path)).shape == (270, 480, 3)
    assert video.frame_rate(path) == pytest.approx(30, abs=0.1)


def test_a_gif_holds_its_frames_in_order(tmp_path):
    frames = [plain(level) for level in (0, 64, 128, 192)]
    gif.write_gif(tmp_path / "a.gif", frames, 10)
    found = list(gif_frames(tmp_path / "a.gif"))
    assert np.abs(np.array(found).astype(int) - frames).max() <= 2


def test_a_gif_keeps_time_though_its_clock_ticks_in_hundredths(tmp_path):
    gif.write_gif(tmp_path / "a.gif", [plain(level) for level in range(24)], 24)
    found = gif_milliseconds(tmp_path / "a.gif")
    assert set(found) == {40, 50}
    assert sum(found) == pytest.approx(1000, abs=10)


def test_a_gif_of_one_frame_and_of_equal_frames_is_whole(tmp_path):
    gif.write_gif(tmp_path / "a.gif", [plain(5)], 10)
    assert levels(gif_frames(tmp_path / "a.gif")) == [5]
    gif.write_gif(tmp_path / "b.gif", [plain(5)] * 3, 10)
    assert sum(gif_milliseconds(tmp_path / "b.gif")) == 300


def test_wide_frames_are_shrunk_and_small_ones_left(tmp_path):
    for width, expected in ((20, (12, 20, 3)), (0, (24, 40, 3)), (640, (24, 40, 3))):
        gif.write_gif(tmp_path / "a.gif", [plain(5)], 10, width=width)
        assert next(gif_frames(tmp_path / "a.gif")).shape == expected


def test_a_gif_without_frames_is_refused_and_leaves_no_file(tmp_path):
    with pytest.raises(InputError, match="no frames"):
        gif.write_gif(tmp_path / "a.gif", [], 10)
    assert not list(tmp_path.iterdir())


def test_an_interrupted_gif_leaves_the_old_one(tmp_path):
    path = tmp_path / "a.gif"
    gif.write_gif(path, [plain(7)], 10)
    before = path.read_bytes()

    def breaks_off():
        yield plain(8)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        gif.write_gif(path, breaks_off(), 10)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_frames_are_let_go_once_written(tmp_path):
    references = []

    def frames():
        for level in range(30):
            frame = plain(level)
            references.append(weakref.ref(frame))
            assert sum(reference() is not None for reference in references) <= 3
            yield frame

    gif.write_gif(tmp_path / "a.gif", frames(), 10)


def test_each_gif_holds_frames_of_its_own_kind(tmp_path):
    """The port wrote its SR frames into both."""
    with gif.comparison_gifs(tmp_path, 10, label="ELSR", limit=3) as add:
        for level in (10, 20, 30, 40):
            add(plain(level), plain(200 + level))
    assert levels(gif_frames(tmp_path / "bicubic_video.gif")) == [10, 20, 30]
    assert levels(gif_frames(tmp_path / "sr_video.gif")) == [210, 220, 230]
    both = list(gif_frames(tmp_path / "side_by_side.gif"))
    # The labels' grays cost colours of the palette: within one level.
    assert levels(frame[:, :40] for frame in both) == pytest.approx([10, 20, 30], abs=1)
    assert levels(both) == pytest.approx([210, 220, 230], abs=1)


def test_side_by_side_cuts_the_middle_out_of_large_frames():
    frame = np.zeros((100, 200, 3), np.uint8)
    frame[40:60, 80:120] = 200
    both = gif.side_by_side({"a": frame, "b": frame}, height=20, width=40)
    assert both.shape == (40, 84, 3)
    assert (both[20:, :40] == 200).all() and (both[20:, 44:] == 200).all()
