"""One function makes every LR/HR pair."""

import cv2
import numpy as np
import pytest

from elsr_paddle.data.degradations import (
    DEGRADATIONS,
    Compressed,
    Corrupted,
    make_clip_pair,
    make_pair,
    moved,
)
from elsr_paddle.errors import InputError
from elsr_paddle.imaging.degrade import JPEG, Degradation
from elsr_paddle.imaging.jpeg import deblocked
from elsr_paddle.imaging.metrics import psnr
from elsr_paddle.imaging.resize import imresize, opencv_cubic
from elsr_paddle.video.recode import Film

ALL = sorted(DEGRADATIONS)


def photo(height=48, width=60):
    """Smooth structure with edges, so that shifts show."""
    noise = np.random.default_rng(3).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return cv2.GaussianBlur(noise, (0, 0), 1.0)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_hr_is_cropped_to_a_multiple_and_lr_is_that_times_smaller(name, scale):
    hr = photo(47, 59)
    lr, cropped = make_pair(hr, scale, name)
    assert lr.dtype == cropped.dtype == np.uint8
    assert cropped.shape == (lr.shape[0] * scale, lr.shape[1] * scale, 3)
    np.testing.assert_array_equal(cropped, hr[: cropped.shape[0], : cropped.shape[1]])


def test_bicubic_is_matlabs():
    hr = photo()
    np.testing.assert_array_equal(make_pair(hr, 4)[0], imresize(hr, scale=0.25))


def test_opencv_cubic_is_what_the_port_does():
    hr = photo()
    np.testing.assert_array_equal(make_pair(hr, 4, "opencv_cubic")[0], opencv_cubic(hr, (12, 15)))


@pytest.mark.parametrize("name", [name for name in ALL
                                  if name not in ("blur_noise", "compressed", "jpeg")])
def test_without_noise_and_codec_a_flat_image_stays_flat(name):
    lr, _ = make_pair(np.full((24, 24, 3), 137, np.uint8), 4, name)
    assert (lr == 137).all()


@pytest.mark.parametrize("name", ["area", "bicubic", "gaussian_decimate", "lanczos",
                                  "opencv_cubic", "opencv_linear"])
@pytest.mark.parametrize("axis", [0, 1])
def test_flipping_commutes_with_degrading(name, axis):
    # Otherwise a flipped training pair would teach a shifted LR image.
    hr = photo()
    flipped, _ = make_pair(np.ascontiguousarray(np.flip(hr, axis)), 4, name)
    np.testing.assert_array_equal(np.flip(flipped, axis), make_pair(hr, 4, name)[0])


def test_gaussian_decimate_is_a_gaussian_sampled_once_per_lr_pixel():
    # Independent: blur an image enlarged 3x, so that the centre of a 4x4 cell is a pixel of it.
    hr = photo()
    fine = np.repeat(np.repeat(hr.astype(np.float64), 3, axis=0), 3, axis=1)
    blurred = cv2.GaussianBlur(fine, (0, 0), 3 * 1.6, borderType=cv2.BORDER_REFLECT)
    sampled = 0.25 * sum(blurred[5 + i :: 12, 5 + j :: 12] for i in (0, 1) for j in (0, 1))
    lr, _ = make_pair(hr, 4, "gaussian_decimate")
    assert np.abs(lr - sampled).max() < 3


def test_noise_follows_its_seed():
    hr = photo()
    one, again, other = (make_pair(hr, 4, "blur_noise", seed=seed)[0] for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert (one != other).any()


def test_noise_has_the_strength_it_says():
    lr, _ = make_pair(np.full((400, 400, 3), 128, np.uint8), 4, "blur_noise")
    assert lr.std() == pytest.approx(3.0, rel=0.05)
    assert lr.mean() == pytest.approx(128, abs=0.1)


def test_an_unknown_degradation_names_the_known():
    with pytest.raises(InputError, match="bicubic, blur_noise"):
        make_pair(photo(), 4, "bicubc")


def test_an_image_smaller_than_an_lr_pixel_is_refused():
    with pytest.raises(InputError, match="at least 4x4"):
        make_pair(photo(3, 60), 4)


MIXTURES = ("aliased", "compressed", "jpeg")


@pytest.mark.parametrize("name", [name for name in ALL if name not in MIXTURES])
def test_a_clip_is_its_frames_one_by_one_and_noise_of_each_is_its_own(name):
    clip = np.stack([photo(33, 41)] * 3)
    lr, hr = make_clip_pair(clip, 2, name, seed=5)
    assert (lr.shape, hr.shape) == ((3, 16, 20, 3), (3, 32, 40, 3))
    for index in range(3):
        np.testing.assert_array_equal(lr[index], make_pair(clip[index], 2, name, 5 + index)[0])


def test_a_degradation_may_see_the_whole_clip(monkeypatch):
    class MeanOfClip(Degradation):
        def __call__(self, clip, scale, seed=0):
            return np.stack([clip.mean(0).astype(np.uint8)[::scale, ::scale]] * len(clip))

    monkeypatch.setitem(DEGRADATIONS, "mean", MeanOfClip())
    clip = np.stack([np.full((4, 4, 3), level, np.uint8) for level in (0, 100)])
    lr, _ = make_clip_pair(clip, 2, "mean")
    assert (lr == 50).all() and lr.shape == (2, 2, 2, 3)


def smooth():
    """What codecs keep well: without sharp colours, which 4:2:0 takes away."""
    return cv2.GaussianBlur(photo(96, 120), (0, 0), 3.0)


def pan(count=6):
    """A clip whose every frame is moved by a pixel."""
    wide = smooth()
    return np.stack([wide[:, step:step + 96] for step in range(count)])


@pytest.mark.parametrize("make", [lambda worse: JPEG(95 - 65 * worse),
                                  lambda worse: Film("libx264", 16 + 19 * worse),
                                  lambda worse: Film("libx265", 16 + 19 * worse)])
def test_a_codec_keeps_order_and_colours_of_frames_and_loses_more_where_it_is_worse(make):
    clip = pan()
    good, bad = (make(worse)(clip) for worse in (0, 1))
    assert good.shape == clip.shape and good.dtype == np.uint8
    for found, worse, true in zip(good, bad, clip):
        assert psnr(true, found) > max(35, psnr(true, worse))


@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_a_film_of_odd_sides_keeps_its_size(codec):
    assert Film(codec, 20)(pan()[:, :33, :47]).shape == (6, 33, 47, 3)


@pytest.mark.parametrize("side", [32, 48])  # of pictures that are too small for x265
def test_equal_films_give_equal_bits(side):
    found = {Film("libx265", 28)(pan()[:, :side, :side]).tobytes() for _ in range(20)}
    assert len(found) == 1


def test_a_photo_in_a_film_is_one_frame_of_it_and_the_others_move():
    hr = photo()
    for seed in range(10):
        film, place = moved(hr, 4.0, seed)
        np.testing.assert_array_equal(film[place], hr)
        assert film.shape == (6, *hr.shape)
    at_rest = [(moved(hr, 4.0, seed)[0] == hr).all() for seed in range(20)]
    assert 0 < sum(at_rest) < 10


def test_a_photo_is_predicted_from_frames_before_it_as_in_a_film():
    film = Corrupted(codec=Film("libx264", 35), in_time=True)
    alone = Corrupted(codec=Film("libx264", 35))
    places = {moved(photo(96, 96), 1, seed)[1] for seed in range(20)}
    assert places == set(range(6))
    seed = next(seed for seed in range(20) if moved(photo(96, 96), 1, seed)[1] == 5)
    found, other = (kind(photo(96, 96)[None], 2, seed) for kind in (film, alone))
    assert found.shape == other.shape == (1, 48, 48, 3)
    assert (found != other).any()


def test_a_clip_goes_through_the_codec_as_it_is():
    clip = pan()
    found, _ = make_clip_pair(clip, 2, "bicubic")
    film = Film("libx264", 28)
    np.testing.assert_array_equal(Corrupted(codec=film, in_time=True)(clip, 2), film(found))


def test_compressed_draws_every_kind_and_follows_its_seed():
    drawn = [Compressed().drawn(seed) for seed in range(300)]
    assert drawn == [Compressed().drawn(seed) for seed in range(300)]
    codecs = {type(kind.codec).__name__ + getattr(kind.codec, "codec", "") for kind in drawn}
    assert codecs == {"NoneType", "JPEG", "Filmlibx264", "Filmlibx265"}
    untouched = [kind for kind in drawn if kind == Corrupted(kind.shrink)]
    assert 40 < len(untouched) < 90  # 22 %, but for those with blur
    assert {kind.shrink for kind in drawn} == {way for _, way in Compressed().shrink.ways}
    assert all(kind.in_time for kind in drawn if isinstance(kind.codec, Film))
    jpeg = [kind.codec.quality for kind in drawn if isinstance(kind.codec, JPEG)]
    assert 50 <= min(jpeg) < 55 and 85 < max(jpeg) <= 92


def test_jpegs_of_low_quality_are_deblocked():
    drawn = [DEGRADATIONS["jpeg"].drawn(seed) for seed in range(300)]
    assert {type(kind.codec) for kind in drawn} == {JPEG}
    assert {kind.codec.quality for kind in drawn} >= {21, 50, 71}
    hr = photo()[None]
    blocks, without = (JPEG(30, deblock)(hr) for deblock in (False, True))
    np.testing.assert_array_equal(without[0], deblocked(blocks[0], JPEG(30).steps))
    lossy = next(kind for kind in drawn if kind == Corrupted(kind.shrink, codec=kind.codec))
    np.testing.assert_array_equal(lossy(hr, 4), lossy.codec(lossy.shrink(hr, 4)))


def test_aliased_is_one_of_the_ways_with_and_without_antialiasing():
    hr = photo()
    ways = [way(hr[None], 4)[0] for _, way in DEGRADATIONS["aliased"].ways]
    found = [make_pair(hr, 4, "aliased", seed)[0] for seed in range(100)]
    drawn = [next(number for number, way in enumerate(ways) if (way == lr).all()) for lr in found]
    assert set(drawn) == set(range(len(ways)))


def test_blur_and_noise_have_the_strengths_they_say():
    flat = np.full((1, 400, 400, 3), 128, np.uint8)
    assert Corrupted(noise=5.0)(flat, 4).std() == pytest.approx(5.0, rel=0.05)
    hr = photo()[None]
    np.testing.assert_array_equal(Corrupted(blur=0.5)(hr, 4)[0], make_pair(
        cv2.GaussianBlur(hr[0], (0, 0), 2.0, borderType=cv2.BORDER_REFLECT), 4)[0])
