"""Pairs straight from folders are those that would be packed, and no picture stays in memory."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from skimage.data import astronaut

from elsr_paddle.data.clips import find_clips, find_reds
from elsr_paddle.data.degradations import DEGRADATIONS, make_pair
from elsr_paddle.data.folders import LOCAL, FolderPairs, lr_of_window, open_folder
from elsr_paddle.data.pairs import Pairs
from elsr_paddle.data.patches import PatchBatches
from elsr_paddle.data.prepare import prepare
from elsr_paddle.data.recipe import Recipe
from elsr_paddle.errors import InputError
from elsr_paddle.imaging.io import write_image
from elsr_paddle.networks import build
from elsr_paddle.training.fit import fit
from elsr_paddle.training.run import Run
from elsr_paddle.training.stages import STAGES


def picture(i, height=70, width=98):
    """A window of a photo that differs for every i."""
    return astronaut()[3 * i : 3 * i + height, 90 + i : 90 + i + width]


def write_clip(folder, count=3, **size):
    for i in range(count):
        write_image(folder / f"{i}.png", picture(i, **size))
    return folder


def assert_equal(first, second):
    for one, other in zip(first, second):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("degradation", DEGRADATIONS)
def test_rows_are_those_that_prepare_packs_of_the_same_clips(tmp_path, degradation, scale):
    write_clip(tmp_path / "in/a")
    write_clip(tmp_path / "in/b", 2)
    clips = find_clips([tmp_path / "in"])
    (file,) = prepare(clips, [], tmp_path, Recipe((scale,), degradation))
    packed, direct = Pairs(file), FolderPairs(clips, scale, degradation)
    assert len(direct) == len(packed) == 5
    assert direct.clips == packed.clips
    assert (direct.scale, direct.degradation) == (packed.scale, packed.degradation)
    assert (direct.lr_size, direct.hr_size) == (packed.lr_size, packed.hr_size)
    np.testing.assert_array_equal(direct.lr_sizes, packed.lr_sizes)
    for one, other in zip(direct, packed):
        assert_equal(one, other)
    assert_equal(direct[-1], packed[-1])


@pytest.mark.parametrize("degradation", DEGRADATIONS)
def test_training_gets_the_batches_that_it_gets_from_the_packed_file(tmp_path, degradation):
    clips = find_clips([write_clip(tmp_path / "in", 6)])
    (file,) = prepare(clips, [], tmp_path, Recipe((2,), degradation))
    packed, direct = (PatchBatches(pairs, hr_patch=32, batch_size=4, seed=3)
                      for pairs in (Pairs(file), FolderPairs(clips, 2, degradation)))
    for one, other in zip(direct.loader(0, 6, workers=2), packed.loader(0, 6)):
        assert_equal(one, other)


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("degradation", sorted(LOCAL))
def test_lr_of_a_window_is_the_window_of_lr_wherever_it_lies(degradation, scale):
    rng = np.random.default_rng(scale)
    hr = rng.integers(0, 256, (40 * scale, 33 * scale, 3), dtype=np.uint8)  # noise: every bit shows
    lr, _ = make_pair(hr, scale, degradation)
    corners = {(0, 0), (31, 24), (0, 24), (31, 0), *map(tuple, rng.integers(0, 25, (20, 2)))}
    for top, left in corners:
        window = slice(top, top + 9), slice(left, left + 9)
        np.testing.assert_array_equal(lr_of_window(hr, window, scale, degradation), lr[window])


def test_photos_of_different_size_are_cropped_over_all_their_area(tmp_path):
    sizes = {"flat": (16, 40), "high": (40, 16), "square": (24, 24)}
    for name, (height, width) in sizes.items():
        rows, columns = np.mgrid[:height, :width].astype(np.uint8)
        write_image(tmp_path / f"{name}.png", np.stack([rows, columns, rows], axis=2))
    pairs = FolderPairs(find_clips([tmp_path]), 2)
    assert pairs.hr_size is pairs.lr_size is None
    assert pairs.lr_sizes.tolist() == [[8, 20], [20, 8], [12, 12]]
    batches = PatchBatches(pairs, hr_patch=16, batch_size=12, seed=0)
    corners = {tuple(patch[..., :2].min(axis=(0, 1)).tolist())
               for step in range(150) for patch in batches[step][1]}
    expected = {(2 * top, 2 * left) for height, width in sizes.values()
                for top in range(height // 2 - 7) for left in range(width // 2 - 7)}
    assert corners == expected


def test_the_lr_files_of_reds_are_used(tmp_path):
    write_clip(tmp_path / "train_sharp/000", 2, height=64, width=96)
    given = tmp_path / "train_sharp_bicubic/X4/000"
    write_image(given / "0.png", np.full((16, 24, 3), 77, np.uint8))
    train, _ = find_reds(tmp_path)
    pairs = FolderPairs(train, 4)
    assert (pairs[0][0] == 77).all()
    assert (pairs.crop(0, 2, 3, 8)[0] == np.full((8, 8, 3), 77)).all()
    assert not (pairs[1][0] == 77).all()  # made, since its file is missing
    assert not (FolderPairs(train, 2)[0][0] == 77).all()


def test_no_picture_stays_in_memory(tmp_path):
    clips = find_clips([write_clip(tmp_path / "in", 40, height=160, width=240)])
    picture_bytes = 160 * 240 * 3
    batches = PatchBatches(FolderPairs(clips, 2), hr_patch=32, batch_size=4, seed=0)
    batches[0]  # tables of weights and modules that Pillow loads late are there from here on
    tracemalloc.start()
    try:
        for step in range(1, 20):
            batches[step]
        kept, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < picture_bytes
    assert peak < 10 * picture_bytes


@pytest.mark.parametrize("suffix", ["jpg", "png", "tiff", "webp"])
def test_a_sideways_photo_counts_as_the_upright_one_it_is_read_as(tmp_path, suffix):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    Image.fromarray(picture(0, 40, 60)).save(tmp_path / f"a.{suffix}", exif=exif)
    pairs = FolderPairs(find_clips([tmp_path]), 2)
    assert pairs.hr_size == (60, 40)
    assert pairs[0][1].shape == (60, 40, 3)


def test_what_is_no_picture_or_too_small_is_left_out_by_name(tmp_path):
    write_image(tmp_path / "good.png", picture(0, 64, 64))
    write_image(tmp_path / "small.png", picture(0, 64, 20))
    (tmp_path / "text.png").write_text("no picture")
    clips, told = find_clips([tmp_path]), []
    pairs = FolderPairs(clips, 2, smallest=32, on_error=told.append)
    assert [name.split("/")[-1] for name in pairs.clips] == ["good"]
    assert ["small.png is 20x64" in str(told[0]), "text.png" in str(told[1])] == [True, True]
    with pytest.raises(InputError, match=r"small\.png"):
        FolderPairs(clips, 2, smallest=32)
    with pytest.raises(InputError, match="no one could be used"):
        FolderPairs(clips, 2, smallest=999, on_error=told.append)


def test_a_picture_that_has_changed_or_is_cut_short_is_one_line_with_its_name(tmp_path):
    pairs = FolderPairs(find_clips([write_clip(tmp_path)]), 2)
    whole = (tmp_path / "0.png").read_bytes()
    (tmp_path / "0.png").write_bytes(whole[: len(whole) // 2])
    write_image(tmp_path / "1.png", picture(1, 40, 40))
    for row, reason in ((0, "cannot read"), (1, "98x70 pixels but got 40x40")):
        with pytest.raises(InputError, match=rf"{row}\.png") as caught:
            pairs.crop(row, 0, 0, 16)
        assert reason in str(caught.value)


def test_a_video_is_refused_since_its_frames_come_in_order(folder_from):
    with pytest.raises(InputError, match=r"bikes\.mp4.*prepare it"):
        FolderPairs(find_clips([folder_from("ELSR_VIDEOS") / "bikes.mp4"]), 2)


@pytest.mark.parametrize("options", [{"scale": 1}, {"scale": 2, "degradation": "none"}])
def test_unusable_options_are_refused(tmp_path, options):
    with pytest.raises(InputError):
        FolderPairs(find_clips([write_clip(tmp_path)]), **options)


def clips_of(pairs):
    return sorted({name.split("/")[-1] for name in pairs.clips})


def test_validation_takes_its_own_folder_or_a_tenth_of_the_clips(tmp_path):
    for name in ("train/a", "train/b", "val/c"):
        write_clip(tmp_path / name, 2)
    assert [clips_of(pairs) for pairs in open_folder(tmp_path, 2)] == [["a", "b"], ["c"]]
    assert [clips_of(pairs) for pairs in open_folder(tmp_path / "train", 2)] == [["a"], ["b"]]
    train, val = open_folder(tmp_path / "val/c", 2, photos=True)
    assert [clips_of(train), clips_of(val)] == [["0"], ["1"]]
    with pytest.raises(InputError, match="--photos"):
        open_folder(tmp_path / "val/c", 2)


@pytest.mark.parametrize("outer", ["train/", ""])
def test_a_folder_of_reds_is_known_with_its_own_validation_clips(tmp_path, outer):
    write_clip(tmp_path / outer / "train_sharp/000", 2)
    write_clip(tmp_path / outer.replace("train", "val") / "val_sharp/001", 1)
    assert [clips_of(pairs) for pairs in open_folder(tmp_path, 4)] == [["000"], ["001"]]


def test_training_from_a_folder_gives_the_bits_of_training_from_the_packed_file(tmp_path):
    clips = find_clips([write_clip(tmp_path / "a", 4), write_clip(tmp_path / "b", 2)])
    files = prepare(clips[:1], clips[1:], tmp_path, Recipe((2,)))
    sources = {
        "packed": [Pairs(file) for file in files],
        "direct": [FolderPairs(part, 2) for part in (clips[:1], clips[1:])],
    }
    stage = replace(STAGES[1], steps=4, hr_patch=32, batch_size=4, expansion=4)
    made = set()
    for name, (train, val) in sources.items():
        run = Run(stage, build("elsr", {"scale": 2}), tmp_path / name, validate_every=4, val_rows=2)
        best = fit(run, train, val, workers=2)
        made.add((run.last.read_bytes(), best["psnr_rgb_db"]))
    assert len(made) == 1
