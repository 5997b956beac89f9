"""Bicubic resizing is MATLAB's, to the bit."""

import math

import cv2
import numpy as np
import pytest

from elsr_paddle.errors import InputError
from elsr_paddle.imaging.io import list_images, read_image
from elsr_paddle.imaging.resize import imresize, modcrop, opencv_cubic


def slow_cubic(x):
    x = abs(x)
    if x <= 1:
        return 1.5 * x**3 - 2.5 * x**2 + 1
    return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x <= 2 else 0.0


def slow_line(values, out_length, scale):
    """One line, pixel by pixel: MATLAB's imresize.m (contributions.m) read line by line."""
    stretch, width = (scale, 4 / scale) if scale < 1 else (1, 4)
    result = []
    for i in range(1, out_length + 1):
        centre = i / scale + 0.5 * (1 - 1 / scale)
        left = math.floor(centre - width / 2)
        taps = range(left, left + math.ceil(width) + 2)
        weights = [stretch * slow_cubic(stretch * (centre - tap)) for tap in taps]
        mirrored = [*range(len(values)), *reversed(range(len(values)))]
        pixels = [values[mirrored[(tap - 1) % len(mirrored)]] for tap in taps]
        result.append(sum(w * p for w, p in zip(weights, pixels)) / sum(weights))
    return result


def slow_imresize(image, size):
    """MATLAB's imresize(image, size) of a uint8 (H, W) image with loops only."""
    scales = [out / length for out, length in zip(size, image.shape)]
    for axis in (0, 1) if scales[0] <= scales[1] else (1, 0):
        lines = np.moveaxis(image, axis, -1).astype(float).tolist()
        new = np.array([slow_line(line, size[axis], scales[axis]) for line in lines])
        image = np.moveaxis(np.clip(np.floor(new + 0.5), 0, 255), -1, axis)
    return image.astype(np.uint8)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_lr_of_set5_equals_the_published_files(scale, folder_from):
    set5 = folder_from("ELSR_BENCHMARKS") / "Set5"
    hr_paths = list_images(set5 / "HR")
    lr_paths = list_images(set5 / f"LR_bicubic/X{scale}")
    assert len(hr_paths) == len(lr_paths) == 5
    for hr_path, lr_path in zip(hr_paths, lr_paths):
        hr = modcrop(read_image(hr_path), scale)
        published = read_image(lr_path)
        np.testing.assert_array_equal(imresize(hr, scale=1 / scale), published)
        np.testing.assert_array_equal(imresize(hr, size=published.shape[:2]), published)


def test_a_step_edge_shrinks_to_the_values_worked_out_by_hand():
    # Keys' kernel, a = -0.5, stretched by 2, at 0.5, 1.5, 2.5, 3.5 pixels: 111, 29, -9, -3 / 256.
    # Outputs: -3, 17, 239, 259 of 256 parts white; times 255 / 256, rounded and clipped.
    edge = np.array([[0, 0, 0, 0, 255, 255, 255, 255]] * 2, np.uint8)
    np.testing.assert_array_equal(imresize(edge, scale=0.5), [[0, 17, 238, 255]])


def test_halves_are_rounded_up_as_matlab_does():
    spot = np.zeros((1, 8), np.uint8)
    spot[0, 4] = 128  # times 29 / 256 = 14.5 exactly; round-half-to-even would give 14
    assert imresize(spot, size=(1, 4))[0, 1] == 15
    assert slow_imresize(spot, (1, 4))[0, 1] == 15


@pytest.mark.parametrize(
    ("shape", "size"),
    [
        ((12, 8), (6, 4)),
        ((12, 9), (4, 3)),
        ((16, 20), (4, 5)),
        ((5, 7), (20, 28)),
        ((5, 7), (15, 21)),
        ((9, 13), (7, 4)),  # columns shrink more, so they go first
        ((9, 13), (4, 11)),
        ((8, 8), (16, 4)),
        ((1, 1), (4, 4)),
        ((1, 9), (1, 3)),
        ((6, 6), (6, 6)),
    ],
)
def test_any_size_equals_a_loop_written_from_matlabs_source(shape, size):
    image = np.random.default_rng(7).integers(0, 256, shape, dtype=np.uint8)
    image[image < 90] = 0  # extremes make the kernel overshoot, so clipping is exercised
    image[image > 170] = 255
    np.testing.assert_array_equal(imresize(image, size=size), slow_imresize(image, size))


def test_colours_do_not_mix():
    image = np.random.default_rng(0).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    small = imresize(image, scale=0.25)
    for channel in range(3):
        plane = np.ascontiguousarray(image[..., channel])
        np.testing.assert_array_equal(small[..., channel], imresize(plane, scale=0.25))


def test_scale_gives_as_many_pixels_as_matlab():
    image = np.zeros((10, 7, 3), np.uint8)
    assert imresize(image, scale=1 / 3).shape == (4, 3, 3)  # ceil(10 / 3), ceil(7 / 3)
    assert imresize(image, scale=1.5).shape == (15, 11, 3)


def test_float_images_are_neither_rounded_nor_clipped():
    image = np.random.default_rng(0).random((16, 16)).astype(np.float32) - 0.5
    small = imresize(image, scale=0.25)
    assert small.dtype == np.float32
    assert small.min() < 0
    np.testing.assert_allclose(imresize(np.full((8, 8), 0.3), scale=2), 0.3, rtol=1e-12)


def test_a_line_alone_comes_out_as_it_does_in_a_picture():
    image = np.random.default_rng(0).random((900, 8))  # float shows the last bit of every sum
    small = imresize(image, size=(300, 8))
    for column in range(8):
        line = np.ascontiguousarray(image[:, column : column + 1])
        alone = imresize(line, size=(300, 1))
        np.testing.assert_array_equal(alone, small[:, column : column + 1])
        np.testing.assert_array_equal(imresize(line.T.copy(), size=(1, 300)), alone.T)


def test_large_images_done_in_bands_equal_their_parts():
    image = np.random.default_rng(0).integers(0, 256, (2000, 300), dtype=np.uint8)
    whole = imresize(image, size=(500, 300))
    part = np.ascontiguousarray(image[:, 100:140])
    np.testing.assert_array_equal(whole[:, 100:140], imresize(part, size=(500, 40)))


def test_the_result_is_never_the_callers_own_array():
    image = np.zeros((4, 4), np.uint8)
    assert not np.shares_memory(imresize(image, scale=1), image)


def test_shrinking_antialiases_where_the_ports_opencv_does_not():
    stripes = np.zeros((64, 64), np.uint8)
    stripes[:, ::4] = 255  # finer than an x4 LR image can show: must become even gray
    ours, ports = imresize(stripes, scale=0.25), opencv_cubic(stripes, (16, 16))
    assert np.ptp(ours[:, 4:-4]) <= 1
    assert abs(int(ours[8, 8]) - 64) <= 2
    assert abs(int(ports[8, 8]) - 64) > 20


def test_opencv_cubic_takes_height_first():
    image = np.random.default_rng(0).integers(0, 256, (8, 12, 3), dtype=np.uint8)
    expected = cv2.resize(image, (6, 2), interpolation=cv2.INTER_CUBIC)
    np.testing.assert_array_equal(opencv_cubic(image, (2, 6)), expected)


def test_modcrop_keeps_the_top_left():
    image = np.arange(7 * 9).reshape(7, 9)
    np.testing.assert_array_equal(modcrop(image, 4), image[:4, :8])
    with pytest.raises(InputError, match="at least 8x8"):
        modcrop(image, 8)


@pytest.mark.parametrize(
    ("image", "arguments"),
    [
        (np.zeros((4, 4), np.int32), {"scale": 2}),
        (np.zeros((0, 4), np.uint8), {"scale": 2}),
        (np.zeros((4,), np.uint8), {"scale": 2}),
        (np.zeros((4, 4), np.uint8), {}),
        (np.zeros((4, 4), np.uint8), {"scale": 2, "size": (8, 8)}),
        (np.zeros((4, 4), np.uint8), {"scale": 0}),
        (np.zeros((4, 4), np.uint8), {"size": (0, 4)}),
    ],
)
def test_what_cannot_be_resized_is_refused(image, arguments):
    with pytest.raises(InputError):
        imresize(image, **arguments)
