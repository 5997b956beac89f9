"""Encoders by name: how --crf and --preset reach them, and what is said where one cannot work."""

import os
from contextlib import nullcontext, suppress
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest
from video_files import decode, moving_photo, write_video

from elsr_paddle.enlarge.video import transcode
from elsr_paddle.errors import InputError
from elsr_paddle.video.encoder import (
    ENCODERS,
    VideoOptions,
    encoder_of,
    encoder_options,
    stored_as,
)

HARDWARE = [row for row in ENCODERS if row.needs]
BY_NAME = ["h264_nvenc", "hevc_nvenc", "av1_nvenc", "h264_qsv", "hevc_qsv", "h264_amf", "hevc_amf",
           "h264_vaapi", "hevc_vaapi", "h264_videotoolbox", "hevc_videotoolbox", "h264_mf",
           "h264_v4l2m2m"]
HERE = [name for name in BY_NAME if name in av.codecs_available]
lists_options = pytest.mark.skipif(
    not hasattr(av.CodecContext.create("libx264", "w"), "supported_options"),
    reason="PyAV lists the options of an encoder from 18 on")


@pytest.mark.parametrize("name", BY_NAME)
def test_every_hardware_encoder_that_people_name_has_a_row(name):
    assert encoder_of(name) in HARDWARE


@pytest.mark.parametrize("row", [row for row in HARDWARE if row.quality], ids=lambda row: row.name)
def test_a_lower_crf_is_a_better_quality_for_the_hardware(row):
    values = [row.scale(crf) for crf in range(52)]
    rising = row.name not in ("_videotoolbox", "_mf")  # theirs count up to 100, the best
    assert values == sorted(values, reverse=not rising)
    assert len(set(values)) >= 50
    limit = {"_videotoolbox": 118 * 100, "_mf": 100}.get(row.name, 51)
    assert 0 <= min(values) <= max(values) <= limit


@pytest.mark.parametrize(("codec", "expected"), [
    ("h264_nvenc", {"rc": "vbr", "cq": "23", "b": "0", "preset": "p6"}),
    ("hevc_qsv", {"global_quality": "23", "preset": "p6"}),
    ("h264_amf", {"qp_i": "23", "qp_p": "23", "rc": "cqp", "quality": "p6"}),
])
def test_crf_and_preset_become_the_options_of_the_encoder(codec, expected):
    if codec not in HERE:
        pytest.skip(f"this build of FFmpeg has no {codec}")
    assert encoder_options(codec, "yuv420p", VideoOptions(crf=23, preset="p6")) == expected


@lists_options
@pytest.mark.parametrize("codec", HERE)
def test_ffmpeg_knows_every_option_that_the_table_names(codec):
    row = encoder_of(codec)
    own = {option.name for option in
           av.CodecContext.create(codec, "w").supported_options.private}
    shared = {"global_quality", "b", "flags"}  # of all encoders, see FFmpeg's options_table.h
    assert {*row.quality, *row.settings} <= own | shared


@pytest.mark.parametrize("options", [row.settings for row in HARDWARE if "flags" in row.settings])
def test_shared_options_are_taken_by_any_encoder(options):
    context = av.CodecContext.create("mpeg4", "w")
    context.width, context.height, context.pix_fmt = 64, 48, "yuv420p"
    context.framerate = 25
    context.options = {**options, "global_quality": "590"}
    context.open()
    assert not context.options


def test_an_encoder_without_presets_refuses_one():
    if "h264_v4l2m2m" not in HERE:
        pytest.skip("this build of FFmpeg has no h264_v4l2m2m")
    with pytest.raises(InputError, match="h264_v4l2m2m has no presets"):
        encoder_options("h264_v4l2m2m", "yuv420p", VideoOptions(preset="fast"))


@pytest.mark.parametrize(("codec", "pixel_format", "expected"), [
    ("h264_nvenc", "yuv420p", "yuv420p"), ("hevc_nvenc", "yuv420p10le", "p010le"),
    ("h264_qsv", "yuv420p", "nv12"), ("h264_qsv", "yuv420p10le", None),
    ("hevc_qsv", "yuv420p10le", "p010le"), ("libx265", "yuv420p10le", "yuv420p10le"),
])
def test_samples_are_stored_as_the_encoder_takes_them(codec, pixel_format, expected):
    if codec not in av.codecs_available:
        pytest.skip(f"this build of FFmpeg has no {codec}")
    assert stored_as(codec, pixel_format) == expected


def test_frames_too_small_for_an_encoder_that_fails_on_them_are_refused(tmp_path, nearest):
    source = write_video(tmp_path / "film.mkv", moving_photo(2, height=24, width=20))
    with pytest.raises(InputError, match="libx265 fails on frames below 64x64, .* 40x48"):
        transcode(source, tmp_path / "out.mkv", nearest(scale=2), codec="libx265")


def test_another_layout_of_the_samples_is_the_same_film(tmp_path, nearest, monkeypatch):
    source = write_video(tmp_path / "film.mkv", moving_photo(3))
    transcode(source, tmp_path / "planar.mkv", nearest(scale=2))
    monkeypatch.setattr("elsr_paddle.enlarge.frames.stored_as", lambda codec, name: "nv12")
    transcode(source, tmp_path / "interleaved.mkv", nearest(scale=2))
    planar, interleaved = (decode(tmp_path / f"{name}.mkv") for name in ("planar", "interleaved"))
    assert np.array_equal(planar, interleaved)


@pytest.mark.parametrize("codec", BY_NAME)
def test_an_encoder_works_or_says_in_one_line_what_it_needs(tmp_path, nearest, codec):
    source = write_video(tmp_path / "film.mkv", moving_photo(3, height=128, width=128))
    quality = {"crf": 25} if encoder_of(codec).quality else {}
    try:
        outcome = transcode(source, tmp_path / "out.mkv", nearest(scale=2), codec=codec, **quality)
    except InputError as error:
        assert codec in str(error)
        assert f"needs {encoder_of(codec).needs}" in str(error)
        assert "\n" not in str(error)
        assert not (tmp_path / "out.mkv").exists()
    else:
        assert outcome.frames == 3


@pytest.mark.skipif(not Path("/proc/self/task").exists() or os.geteuid() != 0,
                    reason="only Linux lists threads, and only root is given real time")
@pytest.mark.skipif("libsvtav1" not in av.codecs_available, reason="this FFmpeg has no libsvtav1")
@pytest.mark.parametrize("segment", [0, 0.1])
def test_an_encoder_makes_no_thread_a_real_time_one(tmp_path, nearest, segment):
    seen, tasks = set(), Path("/proc/self/task")

    def look(count):
        for thread in tasks.iterdir():
            with suppress(ProcessLookupError):  # it ended meanwhile
                seen.add(os.sched_getscheduler(int(thread.name)))

    source = write_video(tmp_path / "a.mp4", moving_photo(8))
    transcode(source, tmp_path / "b.mp4", nearest(scale=2), codec="libsvtav1", segment=segment,
              progress=lambda total: nullcontext(SimpleNamespace(update=look)))
    look(0)
    assert seen == {os.SCHED_OTHER}
