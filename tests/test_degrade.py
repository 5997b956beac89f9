"""One function makes every LR/HR pair."""

import cv2
import numpy as np
import pytest

from elsr_paddle.errors import InputError
from elsr_paddle.imaging.degrade import DEGRADATIONS, make_pair
from elsr_paddle.imaging.resize import imresize, opencv_cubic

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


@pytest.mark.parametrize("name", [name for name in ALL if name != "blur_noise"])
def test_without_noise_a_flat_image_stays_flat(name):
    lr, _ = make_pair(np.full((24, 24, 3), 137, np.uint8), 4, name)
    assert (lr == 137).all()


@pytest.mark.parametrize("name", ["bicubic", "gaussian_decimate", "opencv_cubic"])
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
