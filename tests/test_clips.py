"""Clips are found in whatever a person has, in natural order, and split whole."""

import re
import zipfile

import numpy as np
import pytest

from elsr_paddle.data.clips import Clip, find_clips, find_reds, split_clips
from elsr_paddle.errors import InputError
from elsr_paddle.imaging.io import write_image


def picture(path, size=(8, 12), value=0):
    write_image(path, np.full((*size, 3), value, np.uint8))
    return path


def frames(folder, count=3, size=(8, 12)):
    for i in range(count):
        picture(folder / f"{i:08d}.png", size, value=i)
    return folder


def names(clips):
    return [clip.name for clip in clips]


def test_frame_10_comes_after_frame_9(tmp_path):
    for i in (10, 9, 0, 1, 2, 11):
        picture(tmp_path / f"hr{i}.png", value=i)
    (clip,) = find_clips([tmp_path])
    assert [int(frame.read()[0, 0, 0]) for frame in clip.frames()] == [0, 1, 2, 9, 10, 11]


def test_clips_come_in_natural_order_too(tmp_path):
    for name in ("clip10", "clip9", "clip1"):
        frames(tmp_path / "set" / name)
    assert names(find_clips([tmp_path / "set"])) == ["set/clip1", "set/clip9", "set/clip10"]


def test_a_folder_of_one_size_is_a_clip_and_of_several_is_photos(tmp_path):
    frames(tmp_path / "same")
    picture(tmp_path / "mixed/a.png", (8, 12))
    picture(tmp_path / "mixed/b.png", (12, 8))
    clips = find_clips([tmp_path / "same", tmp_path / "mixed"])
    assert names(clips) == ["same", "mixed/a", "mixed/b"]
    assert [clip.count() for clip in clips] == [3, 1, 1]


def test_when_asked_to_every_picture_is_a_photo(tmp_path):
    frames(tmp_path / "set/same")
    frames(tmp_path / "set", 2)
    expected = ["set/00000000", "set/00000001", *(f"set/same/{i:08d}" for i in range(3))]
    clips = find_clips([tmp_path / "set"], photos=True)
    assert names(clips) == expected
    assert {clip.count() for clip in clips} == {1}


def test_folders_of_folders_and_single_photos_go_together(tmp_path):
    frames(tmp_path / "set/000")
    frames(tmp_path / "set/deep/001", 2)
    photo = picture(tmp_path / "photo.jpg")
    (tmp_path / "set/.hidden").mkdir()
    (tmp_path / "set/notes.txt").write_text("no clip")
    assert names(find_clips([tmp_path / "set", photo])) == ["set/000", "set/deep/001", "photo"]


def test_a_link_to_a_folder_above_gives_no_clip_twice(tmp_path):
    frames(tmp_path / "set/000")
    (tmp_path / "set/000/up").symlink_to("..")
    (tmp_path / "set/here").symlink_to(".")
    assert names(find_clips([tmp_path / "set"])) == ["set/000"]


def test_clips_of_the_same_name_stay_apart(tmp_path):
    paths = [frames(tmp_path / parent / "000") for parent in "ab"]
    assert names(find_clips(paths)) == ["000", "000 (2)"]


def test_every_k_takes_the_first_then_each_kth(tmp_path):
    (clip,) = find_clips([frames(tmp_path / "c", 7)])
    assert [frame.number for frame in clip.frames(every=3)] == [0, 3, 6]
    assert clip.count(every=3) == 3
    with pytest.raises(InputError, match="every=0"):
        list(clip.frames(every=0))


def test_frames_are_decoded_only_when_read(tmp_path):
    (tmp_path / "c").mkdir()
    (tmp_path / "c/0.png").write_bytes(b"no picture")
    (clip,) = find_clips([tmp_path / "c"])
    (frame,) = clip.frames()
    with pytest.raises(InputError, match="0.png"):
        frame.read()


def test_a_video_is_a_clip(tmp_path, folder_from):
    clips = find_clips([folder_from("ELSR_VIDEOS")])
    by_name = {clip.name.split("/")[-1]: clip for clip in clips}
    clip = by_name["bigbuckbunny"]
    assert clip.count() == 132
    assert clip.count(every=50) == 3
    assert [(f.number, f.read().shape) for f in clip.frames(every=50)] == [
        (number, (720, 1280, 3)) for number in (0, 50, 100)
    ]


def test_clips_whose_names_lack_leading_zeros_are_in_order(folder_from):
    (clip,) = find_clips([folder_from("ELSR_CLIPS") / "aspen_960x540"])
    assert [path.stem for path in clip.paths] == [f"hr{i}" for i in range(31)]


def test_what_holds_no_clip_is_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("text")
    for path in (tmp_path / "empty", tmp_path / "notes.txt", tmp_path / "none"):
        with pytest.raises(InputError, match=path.name):
            find_clips([path])


def reds(root, outer=True, given=True):
    for part, clips in (("train", ("000", "001", "010")), ("val", ("000", "001"))):
        base = root / part if outer else root
        for clip in clips:
            frames(base / f"{part}_sharp" / clip, 2, (16, 24))
            if given:
                frames(base / f"{part}_sharp_bicubic/X4" / clip, 2, (4, 6))
    return root


@pytest.mark.parametrize("outer", [True, False])
def test_both_layouts_of_reds_are_known_with_their_lr_frames(tmp_path, outer):
    train, val = find_reds(reds(tmp_path, outer))
    assert (names(train), names(val)) == (["000", "001", "010"], ["000", "001"])
    first = next(iter(val[1].frames()))
    assert first.image.parts[-3:] == ("val_sharp", "001", "00000000.png")
    assert first.given_lr.parts[-4:] == ("val_sharp_bicubic", "X4", "001", "00000000.png")


def test_reds_without_lr_frames_or_with_some_missing_is_fine(tmp_path):
    train, _ = find_reds(reds(tmp_path / "a", given=False))
    assert [frame.given_lr for frame in train[0].frames()] == [None, None]
    reds(tmp_path / "b")
    (tmp_path / "b/train/train_sharp_bicubic/X4/000/00000001.png").unlink()
    train, _ = find_reds(tmp_path / "b")
    assert [frame.given_lr is None for frame in train[0].frames()] == [False, True]


@pytest.mark.parametrize("place", ["data", "data/data4711", "data/data4711/REDS"])
def test_auto_finds_reds_where_ai_studio_puts_it(tmp_path, monkeypatch, place):
    monkeypatch.chdir(tmp_path)
    frames(tmp_path / "data/data1/other/000")
    reds(tmp_path / place)
    train, val = find_reds("auto", home=tmp_path / "home")
    assert (len(train), len(val)) == (3, 2)


@pytest.mark.parametrize("place", ["data/data4711", "data/data4711/REDS", "home/data/data4711"])
def test_auto_finds_reds_beside_the_clone_and_in_the_home_of_ai_studio(
    tmp_path, monkeypatch, place
):
    (tmp_path / "clone").mkdir()
    monkeypatch.chdir(tmp_path / "clone")
    reds(tmp_path / place)
    train, val = find_reds("auto", home=tmp_path / "home")
    assert (len(train), len(val)) == (3, 2)


@pytest.mark.parametrize("inside", ["train_sharp.zip", "REDS.zip"])
def test_auto_names_the_archives_that_have_to_be_unpacked(tmp_path, monkeypatch, inside):
    monkeypatch.chdir(tmp_path)
    for path in ("data/data1/other.zip", f"data/data2/{inside}"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(tmp_path / path, "w") as archive:
            archive.writestr("notes.txt", "no REDS")
    if inside == "REDS.zip":
        with zipfile.ZipFile(tmp_path / "data/data2" / inside, "a") as archive:
            archive.writestr("REDS/train/train_sharp/000/00000000.png", b"")
    message = f"found {inside} in data/data2; unpack it"
    with pytest.raises(InputError, match=re.escape(message)):
        find_reds("auto", home=tmp_path / "home")
    with pytest.raises(InputError, match=re.escape(f"found {inside} in {tmp_path}/data/data2")):
        find_reds(tmp_path / "data/data2")


def test_without_reds_the_layout_expected_is_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for root in ("auto", tmp_path):
        with pytest.raises(InputError, match="train_sharp"):
            find_reds(root, home=tmp_path / "home")


def clips_named(*names):
    return [Clip(name) for name in names]


def test_a_tenth_and_at_least_one_clip_is_for_validation():
    for count, expected in ((1, 0), (2, 1), (9, 1), (30, 3), (590, 59)):
        clips = clips_named(*(f"set/{i}" for i in range(count)))
        train, val = split_clips(clips)
        assert (len(train), len(val)) == (count - expected, expected)
        assert not set(names(train)) & set(names(val))


def test_validation_clips_are_spread_over_the_whole():
    clips = clips_named(*(f"set/{i}" for i in range(10)))
    assert names(split_clips(clips, 2)[1]) == ["set/2", "set/7"]


def test_validation_clips_go_by_name_whole_or_last_part():
    clips = clips_named("a/000", "a/011", "b/015")
    assert names(split_clips(clips, ["011", "b/015"])[1]) == ["a/011", "b/015"]
    with pytest.raises(InputError, match="'012'.*a/000"):
        split_clips(clips, ["012"])


def test_no_split_leaves_training_empty():
    clips = clips_named("a", "b")
    for validation in (2, 5, -1, ["a", "b"]):
        with pytest.raises(InputError):
            split_clips(clips, validation)
