"""Make files of pairs of clips: whole, in order, in bounded memory."""

import os
import runpy
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from skimage.data import astronaut

from elsr_paddle.data.clips import Clip, Frame, find_clips
from elsr_paddle.data.degradations import make_pair
from elsr_paddle.data.pairs import Pairs
from elsr_paddle.data.prepare import detail, ensure_reds, frame_pairs, patch_corners, prepare
from elsr_paddle.data.recipe import Job, Recipe
from elsr_paddle.errors import InputError
from elsr_paddle.imaging.io import write_image
from elsr_paddle.imaging.luma import rgb_to_y
from elsr_paddle.imaging.resize import imresize

ROOT = Path(__file__).parent.parent


def script(*arguments):
    return runpy.run_path(str(ROOT / "prepare_h5.py"))["main"]([str(a) for a in arguments])


def frame(i, height=64, width=96):
    """Moving window of a photo: every frame differs."""
    return astronaut()[4 * i : 4 * i + height, 100 + i : 100 + i + width]


def write_clip(folder, count=4, height=64, width=96, first=0):
    for i in range(count):
        write_image(folder / f"{i}.png", frame(first + i, height, width))
    return folder


@pytest.fixture(scope="module")
def two_clips(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    write_clip(folder / "a", 12)
    write_clip(folder / "b", 3, first=20)
    return folder


def rows(path):
    with Pairs(path) as pairs:
        return [(pairs.clips[i], *pairs[i]) for i in range(len(pairs))]


def assert_same_rows(found, expected):
    assert len(found) == len(expected)
    for one, other in zip(found, expected):
        assert one[0] == other[0]
        np.testing.assert_array_equal(one[1], other[1])
        np.testing.assert_array_equal(one[2], other[2])


def test_the_script_writes_four_files_that_hold_every_frame_in_order(two_clips, tmp_path, capsys):
    script(two_clips / "a", two_clips / "b", "--val-clips", "b", "--output", tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "train_x2.h5",
        "train_x4.h5",
        "val_x2.h5",
        "val_x4.h5",
    ]
    for scale in (2, 4):
        expected = [("a", *make_pair(frame(i), scale)) for i in range(12)]
        assert_same_rows(rows(tmp_path / f"train_x{scale}.h5"), expected)
        expected = [("b", *make_pair(frame(20 + i), scale)) for i in range(3)]
        assert_same_rows(rows(tmp_path / f"val_x{scale}.h5"), expected)
    assert "12 pairs of 1 clip, HR 96x64" in capsys.readouterr().out


def test_several_threads_write_the_file_that_one_writes(two_clips, tmp_path):
    clips = find_clips([two_clips])
    for workers in (1, 4):
        recipe = Recipe(degradation="blur_noise")
        prepare(clips, [], tmp_path / str(workers), recipe, Job(workers=workers))
    for name in ("train_x2.h5", "train_x4.h5"):
        assert_same_rows(rows(tmp_path / "4" / name), rows(tmp_path / "1" / name))


def test_each_frame_has_noise_of_its_own(tmp_path):
    flat = np.full((16, 16, 3), 128, np.uint8)
    for name in ("a/0.png", "a/1.png", "b/0.png"):
        write_image(tmp_path / name, flat)
    clips = find_clips([tmp_path / "a", tmp_path / "b"])
    (path,) = prepare(clips, [], tmp_path / "out", Recipe((2,), degradation="blur_noise"))
    assert len({lr.tobytes() for _, lr, _ in rows(path)}) == 3
    assert Pairs(path).degradation == "blur_noise"


@pytest.mark.parametrize("shrink", ["2", "1.3"])
def test_every_clips_and_shrink_do_what_they_say(two_clips, tmp_path, shrink):
    script(two_clips, "--clips", "1", "--every", "5", "--shrink", shrink, "--scale", "4",
           "--val-clips", "0", "--output", tmp_path)  # fmt: skip
    expected = [
        (f"{two_clips.name}/a", *make_pair(imresize(frame(i), scale=1 / float(shrink)), 4))
        for i in (0, 5, 10)
    ]
    assert_same_rows(rows(tmp_path / "train_x4.h5"), expected)
    assert [path.name for path in tmp_path.iterdir()] == ["train_x4.h5"]


def test_each_frame_is_taken_at_every_size_that_shrink_names(two_clips, tmp_path):
    script(two_clips, "--shrink", "1", "2", "--scale", "2", "--hr-patch", "24", "--val-clips", "b",
           "--output", tmp_path)  # fmt: skip
    whole, half = (prepare(find_clips([two_clips / "a"]), [], tmp_path / name,
                           Recipe((2,), shrinks=shrinks, hr_patch=24))[0]
                   for name, shrinks in (("whole", (1,)), ("half", (2,))))
    both = rows(tmp_path / "train_x2.h5")
    assert len(both) == len(rows(whole)) + len(rows(half))
    made = {lr.tobytes() for _, lr, _ in both}
    assert made == {lr.tobytes() for path in (whole, half) for _, lr, _ in rows(path)}
    assert 4 * len(rows(tmp_path / "val_x2.h5")) == len(both)  # 3 frames of 15


def test_a_frame_that_is_too_small_at_one_size_is_kept_at_the_other(two_clips, tmp_path, capsys):
    script(two_clips / "a", "--shrink", "1", "2", "--scale", "2", "--hr-patch", "48",
           "--val-clips", "0", "--output", tmp_path)  # fmt: skip
    assert len(rows(tmp_path / "train_x2.h5")) == 12 * len(patch_corners(64, 96, 48, 2))
    assert "0.png shrunk by 2 is 48x32, smaller than a patch" in capsys.readouterr().err


def test_a_frame_smaller_than_the_number_it_is_shrunk_by_is_left_out_in_a_line(
        two_clips, tmp_path, capsys):
    script(two_clips / "a", "--shrink", "1", "1e9", "--scale", "2", "--hr-patch", "48",
           "--val-clips", "0", "--output", tmp_path)  # fmt: skip
    assert len(rows(tmp_path / "train_x2.h5")) == 12 * len(patch_corners(64, 96, 48, 2))
    assert "at least 1000000000x1000000000 pixels but got 96x64" in capsys.readouterr().err


def test_saturation_weakens_the_colours_of_both_pictures_and_keeps_their_luma(two_clips, tmp_path):
    script(two_clips / "a", "--saturation", "0.5", "--scale", "2", "--output", tmp_path)
    for i, (_, lr, hr) in enumerate(rows(tmp_path / "train_x2.h5")):
        plain = frame(i).astype(float)
        assert np.abs(rgb_to_y(hr) - rgb_to_y(plain)).max() < 1
        assert np.abs(np.ptp(hr.astype(float), axis=2) - np.ptp(plain, axis=2) / 2).max() <= 1
        np.testing.assert_array_equal(lr, make_pair(hr, 2)[0])


def test_patches_are_cut_from_pairs_of_whole_frames():
    image = frame(0, 70, 100)
    recipe = Recipe(scales=(2, 4), hr_patch=32)
    made = list(frame_pairs(Frame(0, image), recipe))
    corners = patch_corners(68, 100, 32, 4)
    assert len(made) == 2 * len(corners) == 24
    for index, scale in enumerate((2, 4)):
        lr, hr = make_pair(image, scale)
        mine = [pair[1:] for pair in made if pair[0] == index]
        for (top, left), (small, large) in zip(corners, mine):
            np.testing.assert_array_equal(large, hr[top : top + 32, left : left + 32])
            rows, columns = slice(top // scale, (top + 32) // scale), slice(left // scale, None)
            np.testing.assert_array_equal(small, lr[rows, columns][:, : 32 // scale])


def test_a_grid_of_patches_covers_the_whole_frame():
    covered = np.zeros((720, 1280), int)
    for top, left in patch_corners(720, 1280, 256, 4):
        assert top % 4 == left % 4 == 0
        covered[top : top + 256, left : left + 256] += 1
    assert covered.min() == 1
    assert len(patch_corners(720, 1280, 256, 4)) == 3 * 5
    assert patch_corners(256, 256, 256, 4) == [(0, 0)]
    assert patch_corners(255, 300, 256, 4) == []


def test_min_detail_drops_flat_patches(tmp_path):
    image = np.full((64, 128, 3), 90, np.uint8)
    image[:, 64:] = astronaut()[100:164, 200:264]
    write_image(tmp_path / "c/0.png", image)
    assert detail(image[:, :64]) == 0 < 2 < detail(image[:, 64:])
    clips = find_clips([tmp_path / "c"])
    files = prepare(clips, [], tmp_path / "out", Recipe(hr_patch=64, min_detail=2))
    for path in files:
        ((_, _, hr),) = rows(path)
        np.testing.assert_array_equal(hr, image[:, 64:])


def test_images_of_different_size_need_hr_patch(tmp_path):
    write_image(tmp_path / "photos/a.png", frame(0, 64, 96))
    write_image(tmp_path / "photos/b.png", frame(0, 96, 64))
    with pytest.raises(InputError, match="--hr-patch"):
        script(tmp_path / "photos", "--val-clips", "0", "--output", tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())
    script(tmp_path / "photos", "--val-clips", "0", "--output", tmp_path / "out", "--hr-patch", 32)
    assert len(Pairs(tmp_path / "out/train_x2.h5")) == 12


def test_validation_keeps_whole_frames_unless_they_differ_in_size(tmp_path):
    write_clip(tmp_path / "a")
    write_clip(tmp_path / "b", height=48)
    clips = find_clips([tmp_path / "a", tmp_path / "b"])
    prepare(clips[:1], clips[1:], tmp_path / "one", Recipe(hr_patch=32, min_detail=1))
    assert Pairs(tmp_path / "one/train_x4.h5").hr_size == (32, 32)
    assert Pairs(tmp_path / "one/val_x4.h5").hr_size == (48, 96)
    prepare(clips[:1], clips, tmp_path / "both", Recipe(hr_patch=32))
    assert Pairs(tmp_path / "both/val_x4.h5").hr_size == (32, 32)


def test_photos_smaller_than_a_patch_are_left_out_by_name(tmp_path, capsys):
    write_image(tmp_path / "photos/large.png", frame(0, 64, 96))
    write_image(tmp_path / "photos/small.png", frame(0, 24, 96))
    script(tmp_path / "photos", "--val-clips", "0", "--hr-patch", 32, "--output", tmp_path / "out")
    assert "small.png is 96x24, smaller than a patch" in capsys.readouterr().err
    assert set(Pairs(tmp_path / "out/train_x2.h5").clips) == {"photos/large"}


def test_unreadable_images_are_left_out_by_name(two_clips, tmp_path, capsys):
    write_clip(tmp_path / "c", 5)
    whole = (tmp_path / "c/1.png").read_bytes()
    (tmp_path / "c/1.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "c/3.png").write_text("no picture")
    script(tmp_path / "c", "--output", tmp_path / "out")
    expected = [("c", *make_pair(frame(i), 2)) for i in (0, 2, 4)]
    assert_same_rows(rows(tmp_path / "out/train_x2.h5"), expected)
    errors = capsys.readouterr().err
    assert all(f"c/{i}.png" in errors for i in (1, 3))


def test_when_nothing_is_left_no_file_is_written(tmp_path):
    (tmp_path / "c").mkdir()
    (tmp_path / "c/0.png").write_text("no picture")
    with pytest.raises(InputError, match="nothing to write"):
        script(tmp_path / "c", "--output", tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())


def test_what_is_there_is_replaced_only_when_asked_to(two_clips, tmp_path):
    script(two_clips, "--output", tmp_path)
    before = (tmp_path / "train_x2.h5").read_bytes()
    with pytest.raises(InputError, match="--overwrite"):
        script(two_clips / "a", "--output", tmp_path)
    assert (tmp_path / "train_x2.h5").read_bytes() == before
    script(two_clips / "a", "--output", tmp_path, "--overwrite")
    # The old validation files go: their clips may be among those now trained on.
    assert sorted(path.name for path in tmp_path.iterdir()) == ["train_x2.h5", "train_x4.h5"]


@pytest.mark.parametrize(
    "options",
    [
        {"scales": ()},
        {"scales": (1,)},
        {"scales": (2, 2)},
        {"degradation": "none"},
        {"shrinks": (0,)},
        {"shrinks": (float("nan"),)},
        {"shrinks": (float("inf"),)},
        {"shrinks": (1, 2)},
        {"shrinks": (1, 1), "hr_patch": 24},
        {"hr_patch": 30},
        {"every": 0},
        {"min_detail": 2.0},
    ],
)
def test_unusable_options_are_refused(options):
    with pytest.raises(InputError):
        Recipe(**options)


def test_unusable_threads_are_refused():
    with pytest.raises(InputError, match="workers of at least 1 but got 0"):
        Job(workers=0)


def test_progress_sees_every_frame_and_knows_how_many(two_clips, tmp_path):
    seen = []

    def progress(iterable, *, total, desc):
        seen.append([desc, total, 0])
        for item in iterable:
            seen[-1][2] += 1
            yield item

    clips = find_clips([two_clips])
    prepare(clips[:1], clips[1:], tmp_path, Recipe(every=2), Job(progress=progress))
    assert seen == [["val", 2, 2], ["train", 6, 6]]


@pytest.fixture
def reds(tmp_path):
    """Two clips a part; the LR frames given are recognisable: gray."""
    root = tmp_path / "data/data123/REDS"
    for part in ("train", "val"):
        for clip in ("000", "001"):
            write_clip(root / part / f"{part}_sharp" / clip, 2)
            for i in range(2):
                lr = root / part / f"{part}_sharp_bicubic/X4" / clip / f"{i}.png"
                write_image(lr, np.full((16, 24, 3), 77, np.uint8))
    return root


def test_the_lr_files_of_reds_are_used_where_they_are_what_would_be_made(reds, tmp_path):
    script("--reds", reds, "--output", tmp_path / "out")
    for part in ("train", "val"):
        assert len(Pairs(tmp_path / f"out/{part}_x4.h5")) == 4
        assert all((lr == 77).all() for _, lr, _ in rows(tmp_path / f"out/{part}_x4.h5"))
        assert not any((lr == 77).all() for _, lr, _ in rows(tmp_path / f"out/{part}_x2.h5"))
    for option in (["--shrink", "2"], ["--saturation", "0.5"],
                   ["--degradation", "gaussian_decimate"]):
        script("--reds", reds, "--output", tmp_path / "out", "--overwrite", *option)
        assert not any((lr == 77).all() for _, lr, _ in rows(tmp_path / "out/train_x4.h5"))


def test_an_lr_file_that_does_not_fit_is_left_out_by_name(reds, tmp_path, capsys):
    odd = reds / "train/train_sharp_bicubic/X4/000/1.png"
    write_image(odd, np.zeros((8, 8, 3), np.uint8))
    script("--reds", reds, "--output", tmp_path / "out")
    assert "X4/000/1.png does not fit" in capsys.readouterr().err
    assert len(Pairs(tmp_path / "out/train_x4.h5")) == 3


def test_reds_is_prepared_once_for_training(reds, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    files = ensure_reds("auto", tmp_path / "prepared")
    assert [len(Pairs(path)) for path in files] == [2, 2, 2, 2]  # a tenth of each clip's frames
    before = [path.stat().st_mtime_ns for path in files]
    assert ensure_reds("auto", tmp_path / "prepared") == files
    assert [path.stat().st_mtime_ns for path in files] == before


def test_a_video_is_read_as_it_streams(tmp_path, folder_from):
    clips = find_clips([folder_from("ELSR_VIDEOS") / "bikes.mp4"])
    (path,) = prepare(clips, [], tmp_path, Recipe((2,), every=50))
    with Pairs(path) as pairs:
        assert (len(pairs), pairs.hr_size) == (5, (272, 640))
        for i, decoded in enumerate(clips[0].frames(every=50)):
            np.testing.assert_array_equal(pairs[i][1], decoded.image)


class CountedClip(Clip):
    """Frames that count how many were asked for."""

    asked = 0

    def frames(self, every=1, on_error=None):
        for i in range(200):
            CountedClip.asked += 1
            yield Frame(i, frame(i % 50))

    def count(self, every=1):
        return 200


def test_frames_are_asked_for_no_faster_than_they_are_written(tmp_path):
    ahead = []

    def progress(iterable, *, total, desc):
        for done, item in enumerate(iterable, start=1):
            ahead.append(CountedClip.asked - done)
            yield item

    prepare([CountedClip("a")], [], tmp_path, Recipe((4,)), Job(workers=2, progress=progress))
    assert len(ahead) == 200
    assert max(ahead) <= 4


WRITE = """
import sys
from elsr_paddle.data.prepare import prepare
from elsr_paddle.data.clips import find_clips
from elsr_paddle.data.recipe import Job

def progress(items, *, total, desc):
    for i, item in enumerate(items):
        yield item
        if i == 2:
            print("writing", flush=True)
            while True:
                pass

clips = find_clips([sys.argv[1]])
prepare(clips[:1], clips[1:], sys.argv[2], job=Job(overwrite=True, progress=progress))
"""


@pytest.mark.parametrize("before", [False, True])
def test_a_kill_in_mid_write_leaves_nothing_half_under_the_final_names(two_clips, tmp_path, before):
    names = [f"{part}_x{scale}.h5" for part in ("train", "val") for scale in (2, 4)]
    clips = find_clips([two_clips])
    if before:
        prepare(clips[:1], clips[1:], tmp_path, Recipe(every=3))
    old = {name: (tmp_path / name).read_bytes() for name in names if before}
    process = subprocess.Popen(
        [sys.executable, "-c", WRITE, str(two_clips), str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "writing\n"
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=120)
    assert list(tmp_path.glob(".*.partial.h5"))  # it was in the middle of writing
    assert {name: (tmp_path / name).read_bytes() for name in old} == old
    assert before or not [name for name in names if (tmp_path / name).exists()]
    prepare(clips[:1], clips[1:], tmp_path, job=Job(overwrite=True))  # the next run is good
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)


def test_ctrl_c_leaves_no_file_at_all(two_clips, tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", WRITE, str(two_clips), str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout.readline() == "writing\n"
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=120)
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_one_line_and_leaves_nothing(two_clips, tmp_path):
    # A file may not grow beyond 64 KiB: the kernel then fails the write as it does on a full disk.
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**16, limits[1]))
    try:
        with pytest.raises(InputError, match="cannot write to"):
            prepare(find_clips([two_clips]), [], tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    assert not list((tmp_path / "out").iterdir())


def test_an_output_that_is_no_folder_is_one_line(two_clips, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write to"):
        prepare(find_clips([two_clips]), [], tmp_path / "file")


def test_photos_of_one_size_are_taken_for_a_clip_aloud_and_for_photos_when_asked(tmp_path, capsys):
    photos = tmp_path / "photos"
    for i in range(6):
        write_image(photos / f"photo{i}.png", frame(i))
    with pytest.raises(InputError, match=r"0\.\.0 validation clips of 1 but got 4.*--photos"):
        script(photos, "--val-clips", 4, "--output", tmp_path / "out")
    assert capsys.readouterr().out.splitlines() == [
        f"{photos}/: 6 pictures of 96x64 taken for one clip; --photos takes them as photos"
    ]
    script(photos, "--val-clips", 4, "--photos", "--output", tmp_path / "out")
    assert "taken for" not in capsys.readouterr().out
    assert set(Pairs(tmp_path / "out/train_x2.h5").clips) == {"photos/photo1", "photos/photo4"}
    assert len(Pairs(tmp_path / "out/val_x2.h5")) == 4


def test_of_many_folders_taken_for_clips_a_few_are_named(tmp_path, capsys):
    for i in range(8):
        write_clip(tmp_path / "set" / str(i), 2, 16, 16)
    script(tmp_path / "set", "--scale", 2, "--output", tmp_path / "out")
    lines = [line for line in capsys.readouterr().out.splitlines() if "taken for" in line]
    assert len(lines) == 6
    assert lines[-1] == "and 3 more folders, each taken for one clip"


@pytest.mark.parametrize("flags", [["--photos"], ["--photos", "--reds", "auto"]])
def test_photos_without_folders_are_refused(flags):
    with pytest.raises(InputError, match="beside --photos"):
        script(*flags)


@pytest.mark.parametrize("arguments", [[""], ["--reds", ""]])
def test_an_empty_name_is_not_taken_for_this_folder_or_the_demo(arguments):
    with pytest.raises(InputError, match="an empty one"):
        script(*arguments)


def last_line(run_python, *arguments):
    """The one line that the script leaves on stderr."""
    done = run_python(ROOT / "prepare_h5.py", *arguments)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    return line


def test_sources_that_cannot_be_used_are_one_line_each(tmp_path, run_python):
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("text")
    for name, reason in (
        ("empty", "expected pictures or videos in"),
        ("notes.txt", "expected a folder, a picture or a video but got"),
        ("missing", "no such file or folder"),
    ):
        line = last_line(run_python, tmp_path / name, "--output", tmp_path / "out")
        assert line.startswith(f"error: {reason}")
        assert str(tmp_path / name) in line
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read all")
def test_a_folder_that_may_not_be_read_is_one_line(tmp_path, run_python):
    closed = write_clip(tmp_path / "closed", 1)
    closed.chmod(0)
    try:
        line = last_line(run_python, closed, "--output", tmp_path / "out")
    finally:
        closed.chmod(0o755)
    assert line == f"error: {closed}: Permission denied"


def test_each_patch_is_made_by_every_draw_of_a_degradation(two_clips):
    pictures = Frame(0, frame(0))
    one, three = (list(frame_pairs(pictures, Recipe((2,), "blur_noise", hr_patch=32, draws=draws)))
                  for draws in (1, 3))
    drawn = {}
    for _, lr, hr in three:
        drawn.setdefault(hr.tobytes(), []).append(lr.tobytes())
    assert len(one) == 6
    assert all(len(set(drawn[hr.tobytes()])) == 3 for _, _, hr in one)
    assert all(drawn[hr.tobytes()][0] == lr.tobytes() for _, lr, hr in one)


def test_draws_need_patches():
    with pytest.raises(InputError, match="--hr-patch beside --draws"):
        Recipe(draws=2)
