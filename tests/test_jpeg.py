"""A JPEG tells its quantisation, and its artefacts become weaker by it."""

import io

import numpy as np
import pytest
from PIL import Image
from skimage.data import coffee

from elsr_paddle.enlarge.pictures import upscale_image, upscale_picture
from elsr_paddle.imaging import jpeg
from elsr_paddle.imaging.degrade import JPEG
from elsr_paddle.imaging.jpeg import deblocked, luma_steps, quality_of
from elsr_paddle.imaging.metrics import psnr

PHOTO = np.ascontiguousarray(coffee()[100:213, 100:235])  # sides of 14 and 17 blocks, less or more
_ORIENTATION = 0x0112  # of EXIF


def through_file(image, quality):
    """An image as Pillow reads it from a JPEG."""
    memory = io.BytesIO()
    Image.fromarray(image).save(memory, "jpeg", quality=quality)
    return Image.open(memory)


def opened(path):
    return np.asarray(Image.open(path))


@pytest.mark.parametrize("quality", [20, 30, 50, 75, 85, 90, 95, 100])
@pytest.mark.parametrize("image", [PHOTO, PHOTO[..., 0]], ids=["RGB", "L"])
def test_the_quality_of_a_jpeg_is_read_from_its_steps(quality, image):
    picture = through_file(image, quality)
    assert abs(quality_of(luma_steps(picture)) - quality) <= 1
    assert luma_steps(picture) == JPEG(quality).steps


def test_a_picture_of_another_format_has_no_steps():
    assert luma_steps(Image.fromarray(PHOTO)) is None


@pytest.mark.parametrize("image", [PHOTO, PHOTO[..., 1]], ids=["RGB", "gray"])
@pytest.mark.parametrize("quality", [20, 40, 60])
def test_a_deblocked_picture_is_nearer_to_its_original(image, quality):
    lossy = JPEG(quality)(image[None])[0]
    assert psnr(image, deblocked(lossy, JPEG(quality).steps)) > psnr(image, lossy) + 0.1


def test_the_edges_of_blocks_become_weaker():
    lossy = JPEG(20)(PHOTO[None])[0]

    def edges(image):
        """Mean step across the edges of blocks, over that at all pixels."""
        steps = np.abs(np.diff(image[..., 1].astype(float), axis=1))
        return steps[:, 7::8].mean() / steps.mean()

    assert edges(deblocked(lossy, JPEG(20).steps)) < edges(lossy) - 0.1


def test_colour_differences_stay_as_they_are():
    lossy = JPEG(30)(PHOTO[None])[0].clip(40, 215)
    found = deblocked(lossy, JPEG(30).steps)
    assert (found != lossy).any()
    for one, other in ((0, 1), (1, 2)):
        np.testing.assert_array_equal(found[..., one].astype(int) - found[..., other],
                                      lossy[..., one].astype(int) - lossy[..., other])


@pytest.mark.parametrize("quality", [1, 100])
@pytest.mark.parametrize("shape", [(1, 1), (1, 9, 3), (8, 8, 3), (5, 70)])
def test_pictures_of_any_size_and_quality_keep_their_shape(shape, quality):
    image = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    found = deblocked(image, JPEG(quality).steps)
    assert found.shape == shape and found.dtype == np.uint8


def test_a_picture_longer_than_libjpeg_writes_stays_as_it_is():
    image = np.random.default_rng(0).integers(0, 256, (2, jpeg._LONGEST), np.uint8)
    np.testing.assert_array_equal(deblocked(image, JPEG(50).steps), image)


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_networks_for_compressed_sources_take_a_jpeg_deblocked(tmp_path, nearest, mode):
    Image.fromarray(PHOTO).convert(mode).save(tmp_path / "a.jpg", quality=40)
    lossy = opened(tmp_path / "a.jpg")
    expected = deblocked(lossy, JPEG(40).steps)
    for kind, taken in (("bicubic", lossy), ("compressed", expected), ("jpeg", expected)):
        upscale_picture(tmp_path / "a.jpg", tmp_path / "out.png",
                        nearest(scale=2, degradation=kind))
        np.testing.assert_array_equal(opened(tmp_path / "out.png")[::2, ::2], taken)


def test_other_formats_and_sizes_without_a_network_are_not_deblocked(tmp_path, nearest):
    Image.fromarray(PHOTO).save(tmp_path / "a.jpg", quality=40)
    lossy = opened(tmp_path / "a.jpg")
    Image.fromarray(lossy).save(tmp_path / "a.png")
    for name, scale in (("a.png", 2), ("a.jpg", 1)):
        upscale_picture(tmp_path / name, tmp_path / "out.png",
                        nearest(scale=scale, degradation="compressed"))
        np.testing.assert_array_equal(opened(tmp_path / "out.png")[::scale, ::scale], lossy)


def test_a_jpeg_is_deblocked_as_it_lies_in_its_file_and_turned_after_that(tmp_path, nearest):
    exif = Image.Exif()
    exif[_ORIENTATION] = 6  # a quarter turn
    Image.fromarray(PHOTO).save(tmp_path / "a.jpg", quality=40, exif=exif)
    upscale_picture(tmp_path / "a.jpg", tmp_path / "out.png",
                    nearest(scale=2, degradation="compressed"))
    expected = deblocked(opened(tmp_path / "a.jpg"), JPEG(40).steps)
    np.testing.assert_array_equal(opened(tmp_path / "out.png")[::2, ::2], np.rot90(expected, -1))


def test_a_picture_in_memory_is_deblocked_and_stays_as_it_was(nearest):
    picture = through_file(PHOTO, 40)
    lossy = np.array(picture)
    found = upscale_image(picture, nearest(scale=2, degradation="compressed"))
    np.testing.assert_array_equal(np.asarray(found)[::2, ::2], deblocked(lossy, JPEG(40).steps))
    np.testing.assert_array_equal(np.asarray(picture), lossy)
