"""Pictures of every kind become the same uint8 RGB; broken ones are named, never half read."""

import io
import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from elsr_paddle.errors import InputError
from elsr_paddle.imaging import io as images


@pytest.fixture
def photo():
    """A small picture with colour, uint8 (24, 32, 3)."""
    return np.random.default_rng(7).integers(0, 256, (24, 32, 3), dtype=np.uint8)


@pytest.fixture
def gray(photo):
    return photo[..., 0]


def saved(tmp_path, picture, name="picture.png", **options):
    picture.save(tmp_path / name, **options)
    return tmp_path / name


def as_rgb(gray):
    return np.repeat(gray[..., None], 3, axis=2)


def test_rgb_comes_back_bit_for_bit(tmp_path, photo):
    images.write_image(tmp_path / "a.png", photo)
    assert np.array_equal(images.read_image(tmp_path / "a.png"), photo)


def test_red_stays_red(tmp_path):
    path = saved(tmp_path, Image.new("RGB", (4, 3), (255, 0, 0)))
    assert images.read_image(path)[0, 0].tolist() == [255, 0, 0]


def test_gray_becomes_three_equal_channels(tmp_path, gray):
    path = saved(tmp_path, Image.fromarray(gray))
    assert np.array_equal(images.read_image(path), as_rgb(gray))


def test_one_bit_becomes_black_and_white(tmp_path, gray):
    bits = gray > 127
    path = saved(tmp_path, Image.fromarray(bits))
    assert np.array_equal(images.read_image(path), as_rgb(np.uint8(255) * bits))


def test_a_palette_is_looked_up(tmp_path, photo):
    picture = Image.fromarray(photo).quantize(16)
    assert np.array_equal(images.read_image(saved(tmp_path, picture)), picture.convert("RGB"))


def test_alpha_is_dropped_and_hidden_colour_kept(tmp_path, photo):
    alpha = np.zeros((24, 32, 1), np.uint8)
    path = saved(tmp_path, Image.fromarray(np.concatenate([photo, alpha], axis=2)))
    assert np.array_equal(images.read_image(path), photo)


def test_gray_with_alpha_is_read(tmp_path, gray):
    path = saved(tmp_path, Image.merge("LA", [Image.fromarray(gray)] * 2))
    assert np.array_equal(images.read_image(path), as_rgb(gray))


def test_sixteen_bit_gray_keeps_its_upper_byte(tmp_path, gray):
    samples = gray.astype(np.uint16) * 257  # 8 bits stretched over 16, as programs do
    for name in ("a.png", "a.tif"):
        path = saved(tmp_path, Image.fromarray(samples), name)
        assert np.array_equal(images.read_image(path), as_rgb(gray))


def test_sixteen_bit_colour_keeps_its_upper_byte(tmp_path, photo):
    cv2.imwrite(str(tmp_path / "a.png"), photo[..., ::-1].astype(np.uint16) * 257)
    assert np.array_equal(images.read_image(tmp_path / "a.png"), photo)


def test_cmyk_becomes_rgb(tmp_path):
    path = saved(tmp_path, Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "a.jpg", quality=100)
    assert np.abs(images.read_image(path).astype(int) - [255, 0, 0]).max() <= 2


def test_the_exif_orientation_is_applied(tmp_path, photo):
    exif = Image.Exif()
    exif[0x0112] = 6  # EXIF 2.3: rotate by 90 degrees clockwise to show
    path = saved(tmp_path, Image.fromarray(photo), exif=exif)
    assert np.array_equal(images.read_image(path), np.rot90(photo, -1))


def test_floats_of_unknown_range_are_refused(tmp_path, gray):
    path = saved(tmp_path, Image.fromarray(gray.astype(np.float32)), "a.tif")
    with pytest.raises(InputError, match="a.tif.*32-bit floats"):
        images.read_image(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match="no such file.*none.png"):
        images.read_image(tmp_path / "none.png")


def test_a_text_file_is_no_picture(tmp_path):
    (tmp_path / "a.png").write_text("hello")
    for read in (images.read_image, images.is_gray_file):
        with pytest.raises(InputError, match="a.png"):
            read(tmp_path / "a.png")


@pytest.mark.parametrize("kind", ["png", "jpeg", "tiff", "webp", "gif", "bmp"])
def test_a_file_cut_anywhere_is_refused_or_whole(tmp_path, photo, kind):
    buffer = io.BytesIO()
    Image.fromarray(photo).save(buffer, format=kind)
    whole = buffer.getvalue()
    path = tmp_path / f"cut.{kind}"
    path.write_bytes(whole)
    expected = images.read_image(path)
    for length in range(0, len(whole), max(1, len(whole) // 60)):
        path.write_bytes(whole[:length])
        try:
            assert np.array_equal(images.read_image(path), expected)
        except InputError as error:
            assert path.name in str(error) and "\n" not in str(error)


def test_a_decompression_bomb_is_refused(tmp_path):
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)  # PNG's IHDR, 3.6 gigapixels
    chunk = b"IHDR" + header
    signature, checksum = b"\x89PNG\r\n\x1a\n", struct.pack(">I", zlib.crc32(chunk))
    png = signature + struct.pack(">I", len(header)) + chunk + checksum
    (tmp_path / "bomb.png").write_bytes(png)
    with pytest.raises(InputError, match="bomb.png"):
        images.read_image(tmp_path / "bomb.png")


def test_only_files_that_store_gray_count_as_gray(tmp_path, gray):
    assert images.is_gray_file(saved(tmp_path, Image.fromarray(gray)))
    assert images.is_gray_file(saved(tmp_path, Image.fromarray(gray.astype(np.uint16))))
    assert not images.is_gray_file(saved(tmp_path, Image.fromarray(as_rgb(gray))))


def test_an_unknown_suffix_is_refused_before_anything_is_written(tmp_path, photo):
    for name in ("a.xyz", "a", "a.mp4"):
        with pytest.raises(InputError, match="suffix"):
            images.write_image(tmp_path / name, photo)
    assert not list(tmp_path.iterdir())


def test_frame_10_comes_after_frame_9(tmp_path, photo):
    for name in ("f10.png", "f9.PNG", "f1.jpg", ".hidden.png", "notes.txt"):
        (tmp_path / name).touch()
    assert [path.name for path in images.list_images(tmp_path)] == ["f1.jpg", "f9.PNG", "f10.png"]


def test_a_tensor_and_back_is_the_same_image(photo):
    tensor = images.image_to_tensor(photo)
    assert tensor.shape == (1, 3, 24, 32) and tensor.dtype == np.float32
    assert tensor.min() >= 0 and tensor.max() <= 1
    assert np.array_equal(images.tensor_to_image(tensor), photo)


def test_an_output_is_clipped_and_rounded():
    levels = np.array([-20, 0.4, 0.6, 254.4, 254.6, 300], np.float32) / np.float32(255)
    tensor = np.broadcast_to(levels, (1, 3, 2, 6))
    assert images.tensor_to_image(tensor)[0, :, 0].tolist() == [0, 0, 1, 254, 255, 255]
