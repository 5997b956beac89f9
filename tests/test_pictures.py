"""Picture files of every kind through the tool, and back from disk."""

import io
import struct

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageDraw, ImageSequence, PngImagePlugin, TiffImagePlugin
from skimage.data import astronaut

from elsr_paddle.enlarge.pictures import upscale_picture
from elsr_paddle.errors import InputError
from elsr_paddle.imaging.io import is_gray_file, read_image

PHOTO = Image.fromarray(astronaut()[40:88, 190:254])  # 64x48
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def twice(picture):
    """What nearest neighbours make of a picture."""
    return np.asarray(picture).repeat(2, axis=0).repeat(2, axis=1)


def enlarge(picture, tmp_path, upscaler, name="picture.png", output="out.png", **options):
    """Save a picture, upscale the file, and open the result."""
    source = tmp_path / name
    picture.save(source, **options)
    outcome = upscale_picture(source, tmp_path / output, upscaler)
    result = Image.open(tmp_path / output)
    assert (outcome.width, outcome.height) == result.size
    return result, outcome


@pytest.mark.parametrize("mode, kept", [
    ("RGB", "RGB"), ("L", "L"), ("1", "L"), ("P", "RGB"), ("LA", "LA"), ("RGBA", "RGBA"),
])
def test_every_mode_keeps_its_pixels_and_kind(tmp_path, nearest, mode, kept):
    picture = PHOTO.convert(mode)
    result, outcome = enlarge(picture, tmp_path, nearest(scale=2))
    assert result.mode == kept
    np.testing.assert_array_equal(np.asarray(result), twice(picture.convert(kept)))
    assert outcome.warnings == []


@pytest.mark.parametrize("name", ["picture.png", "picture.tif"])
def test_gray_of_sixteen_bits_keeps_twelve_of_them(tmp_path, nearest, name):
    deep = np.linspace(0, 65535, 64 * 48).reshape(48, 64).astype(np.uint16)
    result, _ = enlarge(Image.fromarray(deep), tmp_path, nearest(scale=2), name, f"out_{name}")
    assert result.mode == "I;16"
    assert np.abs(np.asarray(result).astype(int) - twice(deep)).max() <= 257 / 16


def test_cmyk_stays_cmyk_with_its_profile(tmp_path, nearest):
    inks = PHOTO.convert("CMYK")
    result, _ = enlarge(inks, tmp_path, nearest(scale=2), "inks.tif", "out.tif", icc_profile=SRGB)
    assert result.mode == "CMYK"
    assert result.info["icc_profile"] == SRGB
    np.testing.assert_array_equal(np.asarray(result), twice(inks))


def test_cmyk_becomes_rgb_where_the_format_has_none_and_says_so(tmp_path, nearest):
    result, outcome = enlarge(PHOTO.convert("CMYK"), tmp_path, nearest(scale=2), "inks.jpg")
    assert result.mode == "RGB"
    assert outcome.warnings == ["CMYK became RGB: the output's format has no CMYK"]
    difference = np.abs(np.asarray(result).astype(int) - twice(PHOTO))
    assert difference.mean() < 6  # JPEG at quality 75, halved colour


def test_a_picture_is_turned_as_exif_says_and_the_other_fields_stay(tmp_path, nearest):
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "Maker"  # Orientation, Make
    exif.get_ifd(0x8769).update({0x9003: "2020:01:01 00:00:00", 0xA002: 64, 0xA003: 48})
    result, _ = enlarge(PHOTO, tmp_path, nearest(scale=2), "photo.jpg", "out.jpg", exif=exif,
                        dpi=(240, 240), icc_profile=SRGB, comment=b"a comment")
    kept = result.getexif()
    assert result.size == (96, 128)
    assert kept.get(0x0112, 1) == 1 and kept[0x010F] == "Maker"
    assert dict(kept.get_ifd(0x8769)) == {0x9003: "2020:01:01 00:00:00", 0xA002: 96, 0xA003: 128}
    assert result.info["dpi"] == (240, 240)
    assert result.info["icc_profile"] == SRGB
    assert result.info["comment"] == b"a comment"
    # 6: the first row is the right side; so upright is a quarter turn clockwise.
    difference = np.abs(np.asarray(result).astype(int) - twice(PHOTO.rotate(-90, expand=True)))
    assert difference.mean() < 6


def test_texts_and_resolution_of_a_png_stay(tmp_path, nearest):
    texts = PngImagePlugin.PngInfo()
    texts.add_text("Title", "Žofie")
    result, _ = enlarge(PHOTO, tmp_path, nearest(scale=2), dpi=(300, 300), pnginfo=texts)
    assert result.text["Title"] == "Žofie"
    assert result.info["dpi"] == pytest.approx((300, 300), abs=0.01)


def test_what_is_transparent_leaves_no_dark_fringe(tmp_path, nearest):
    disc = Image.new("RGBA", (64, 48), (0, 0, 0, 0))
    ImageDraw.Draw(disc).ellipse((8, 8, 40, 40), fill=(255, 255, 255, 255))
    # x1.5 ends in a bicubic, which mixes neighbours as a network does.
    result, _ = enlarge(disc, tmp_path, nearest(scale=1.5))
    pixels = np.asarray(result)
    assert pixels[pixels[..., 3] > 0][:, :3].min() >= 254
    assert set(np.unique(pixels[..., 3])) > {0, 255}  # the edge itself is soft


def test_transparency_of_a_palette_is_kept(tmp_path, nearest):
    palette = PHOTO.quantize(16)
    result, _ = enlarge(palette, tmp_path, nearest(scale=2), transparency=3)
    assert result.mode == "RGBA"
    seen_through = np.asarray(result)[..., 3] < 128
    assert (seen_through == (twice(palette) == 3)).mean() > 0.95  # its corners are rounded


def test_transparency_is_laid_on_white_where_the_format_has_none(tmp_path, nearest):
    clear = Image.new("RGBA", (32, 32), (255, 0, 0, 0))
    result, outcome = enlarge(clear, tmp_path, nearest(scale=2), output="out.jpg")
    assert result.mode == "RGB" and np.asarray(result).min() >= 254
    assert outcome.warnings == ["transparency was laid on white: the output's format has none"]


@pytest.mark.parametrize("suffix, exact", [
    (".bmp", True), (".tga", True), (".ppm", True), (".tif", True), (".webp", False),
    (".jpg", False), (".gif", False), (".jp2", True),
])
def test_a_photo_goes_into_every_common_format(tmp_path, nearest, suffix, exact):
    result, _ = enlarge(PHOTO, tmp_path, nearest(scale=2), output=f"out{suffix}")
    difference = np.abs(np.asarray(result.convert("RGB")).astype(int) - twice(PHOTO))
    assert difference.max() == 0 if exact else difference.mean() < 6


ANIMATION = []
for _number in range(5):
    ANIMATION.append(Image.new("RGBA", (48, 32), (0, 0, 0, 0)))
    ImageDraw.Draw(ANIMATION[-1]).rectangle((6 * _number, 4, 6 * _number + 15, 25),
                                            fill=(250, 40 * _number, 0, 255))
DURATIONS = [50, 100, 150, 200, 250]  # ms


@pytest.mark.parametrize("name, options", [
    ("a.gif", {"loop": 0, "disposal": 2}), ("a.png", {"loop": 3, "blend": 0, "disposal": 1}),
    ("a.webp", {"loop": 2, "lossless": True}),
])
def test_an_animation_stays_one_with_its_times_and_loop(tmp_path, nearest, name, options):
    result, outcome = enlarge(ANIMATION[0], tmp_path, nearest(scale=2), name, f"out_{name}",
                              save_all=True, append_images=ANIMATION[1:], duration=DURATIONS,
                              **options)
    assert outcome.frames == result.n_frames == 5
    assert result.info["loop"] == options["loop"]
    source = Image.open(tmp_path / name)
    for duration, before, after in zip(DURATIONS, ImageSequence.Iterator(source),
                                       ImageSequence.Iterator(result)):
        after.load()
        assert after.info["duration"] == duration
        expected, pixels = twice(before.convert("RGBA")), np.asarray(after.convert("RGBA"))
        # Alpha is enlarged by bicubic, which overshoots beside an edge.
        assert np.abs(pixels[..., 3].astype(int) - expected[..., 3]).mean() < 4
        shown = expected[..., 3] == 255
        # WebP stores at quality 95, GIF in 255 colours chosen by octree.
        assert np.abs(pixels[shown].astype(int) - expected[shown]).mean() < 6


def test_pages_of_a_tiff_stay_pages(tmp_path, nearest):
    pages = [PHOTO, PHOTO.transpose(Image.Transpose.FLIP_LEFT_RIGHT)]
    result, _ = enlarge(pages[0], tmp_path, nearest(scale=2), "a.tif", "out.tif", save_all=True,
                        append_images=pages[1:])
    for page, frame in zip(pages, ImageSequence.Iterator(result)):
        np.testing.assert_array_equal(np.asarray(frame), twice(page))


def test_an_animation_does_not_become_a_still_picture(tmp_path, nearest):
    with pytest.raises(InputError, match="it has 5 frames but .jpg holds one"):
        enlarge(ANIMATION[0], tmp_path, nearest(scale=2), "a.gif", "out.jpg", save_all=True,
                append_images=ANIMATION[1:], disposal=2)


def test_one_pixel_is_enough(tmp_path, nearest):
    result, _ = enlarge(Image.new("RGB", (1, 1), (1, 2, 3)), tmp_path, nearest(scale=4))
    assert result.size == (4, 4) and result.getpixel((3, 3)) == (1, 2, 3)


@pytest.mark.parametrize("content", [b"", b"no picture at all"])
def test_what_is_no_picture_is_refused(tmp_path, nearest, content):
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(InputError, match="no picture that can be read"):
        upscale_picture(tmp_path / "a.png", tmp_path / "out.png", nearest(scale=2))
    assert not (tmp_path / "out.png").exists()


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.tif", "a.gif"])
def test_a_truncated_picture_is_refused(tmp_path, nearest, name):
    Image.fromarray(astronaut()).save(tmp_path / name)
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[:len(whole) // 2])
    with pytest.raises(InputError, match="no picture that can be read"):
        upscale_picture(tmp_path / name, tmp_path / "out.png", nearest(scale=2))


def test_floats_are_refused_with_a_way_out(tmp_path, nearest):
    floats = Image.fromarray(np.zeros((8, 8), np.float32))
    with pytest.raises(InputError, match="32-bit floats; convert the picture to 8 or 16 bits"):
        enlarge(floats, tmp_path, nearest(scale=2), "a.tif")


def test_a_bomb_is_refused_by_its_header(tmp_path, nearest):
    Image.new("1", (4000, 4000)).save(tmp_path / "bomb.png")
    with pytest.raises(InputError, match="64,000,000 pixels but the limit is 16,777,216"):
        upscale_picture(tmp_path / "bomb.png", tmp_path / "out.png", nearest(scale=2))


def test_a_picture_too_large_for_the_format_leaves_no_file(tmp_path, nearest):
    with pytest.raises(InputError, match="cannot write"):  # WebP ends at 16383 pixels a side
        enlarge(Image.new("RGB", (9000, 1)), tmp_path, nearest(scale=2), output="out.webp")
    assert [path.name for path in tmp_path.iterdir()] == ["picture.png"]


@pytest.mark.parametrize("layout, size", [("split", (128, 96)), ("side", (256, 96))])
def test_a_comparison_shows_bicubic_at_the_left(tmp_path, nearest, layout, size):
    PHOTO.save(tmp_path / "a.png")
    upscale_picture(tmp_path / "a.png", tmp_path / "out.png", nearest(scale=2), layout=layout)
    result = np.asarray(Image.open(tmp_path / "out.png"))
    assert result.shape[1::-1] == size
    np.testing.assert_array_equal(result[:, -40:], twice(PHOTO)[:, -40:])
    assert (result[:, :40] != twice(PHOTO)[:, :40]).any()


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "CMYK"])
@pytest.mark.parametrize("size", [(1, 1), (8, 1), (1, 8)])
def test_a_picture_one_pixel_wide_or_high_keeps_its_shape(tmp_path, nearest, mode, size):
    picture = Image.new("RGBA", size, (50, 50, 50, 50)).convert(mode)
    result, _ = enlarge(picture, tmp_path, nearest(scale=4), "a.tif", "out.tif")
    assert (result.mode, result.size) == (mode, (4 * size[0], 4 * size[1]))
    assert result.getcolors() == [(16 * size[0] * size[1], picture.getpixel((0, 0)))]


@pytest.mark.parametrize("text", ["\nexif\n      20\nzz45786966\n", "\nexif\n 2\n4578"])
def test_damaged_exif_among_the_texts_of_a_png_is_dropped_with_a_warning(tmp_path, nearest, text):
    texts = PngImagePlugin.PngInfo()
    texts.add_text("Raw profile type exif", text)
    texts.add_text("Title", "kept")
    result, outcome = enlarge(PHOTO, tmp_path, nearest(scale=2), pnginfo=texts)
    np.testing.assert_array_equal(np.asarray(result), twice(PHOTO))
    assert result.text == {"Title": "kept"}
    assert outcome.warnings == ["its EXIF was dropped: it is damaged"]


@pytest.mark.parametrize("exif", [b"II", b"XX", b"II*\0\xff\xff\xff\xff",
                                  b"MM\0*\0\0\0\x08\xff\xff\1\x12"])
def test_damaged_exif_of_a_jpeg_is_dropped_with_a_warning(tmp_path, nearest, exif):
    result, outcome = enlarge(PHOTO, tmp_path, nearest(scale=2), "a.jpg", "out.png",
                              exif=b"Exif\0\0" + exif)
    assert result.size == (128, 96) and "exif" not in result.info
    assert outcome.warnings == ["its EXIF was dropped: it is damaged"]


def test_metadata_that_the_format_cannot_hold_are_dropped_and_the_picture_kept(tmp_path, nearest):
    exif = exif_of_a_camera("<") + bytes(65536)  # JPEG holds 64 KiB of EXIF
    result, outcome = enlarge(PHOTO, tmp_path, nearest(scale=2), "a.png", "out.jpg", exif=exif,
                              dpi=(100, 100))
    assert "exif" not in result.info and result.info["dpi"] == (100, 100)
    assert outcome.warnings == ["its EXIF was dropped: EXIF data is too long"]


def exif_of_a_camera(order):
    """EXIF with what libraries rewrite: a rational not reduced, a maker's notes, a thumbnail."""
    def entry(tag, kind, count, value):
        return struct.pack(order + "HHLL", tag, kind, count, value)

    def short(tag, value):
        return struct.pack(order + "HHLHH", tag, 3, 1, value, 0)

    def table(entries, following):
        count = struct.pack(order + "H", len(entries))
        return count + b"".join(entries) + struct.pack(order + "L", following)

    first = table([short(0x0112, 6), entry(0x8769, 4, 1, 50), entry(0x8825, 4, 1, 104)], 130)
    details = table([entry(0x927C, 7, 16, 122), short(0xA002, 64), entry(0xA003, 4, 1, 48)], 0)
    places = table([entry(0x0006, 5, 1, 122)], 0)  # GPSAltitude, 3000/100
    end = struct.pack(order + "LL", 3000, 100) + b"\0" * 8 + table([short(0x0103, 6)], 0)
    head = (b"II" if order == "<" else b"MM") + struct.pack(order + "HL", 42, 8)
    return head + first + details[:42] + b"\0" * 12 + places + end


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("output", ["out.jpg", "out.png", "out.webp"])
def test_exif_keeps_its_bytes_but_for_size_orientation_and_thumbnail(tmp_path, nearest, order,
                                                                     output):
    before = exif_of_a_camera(order)
    result, outcome = enlarge(PHOTO, tmp_path, nearest(scale=2), "a.jpg", output,
                              exif=b"Exif\0\0" + before)
    after = result.info["exif"].removeprefix(b"Exif\0\0")
    assert outcome.warnings == [] and result.size == (96, 128)
    changed = [place for place in range(len(before)) if before[place] != after[place]]
    assert len(before) == len(after)
    # The values of the orientation, of the next table, and of the two sizes with the one's type.
    assert set(changed) <= {*range(18, 22), *range(46, 50), *range(64, 76), *range(84, 88)}
    table = result.getexif()
    assert table[0x0112] == 1
    details = table.get_ifd(0x8769)
    assert (details[0xA002], details[0xA003]) == (96, 128)
    assert table.get_ifd(0x8825)[6] == 30
    assert not table.get_ifd(1)


def test_the_orientation_in_xmp_does_not_turn_a_picture_twice(tmp_path, nearest):
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><a tiff:Orientation="6"/></x:xmpmeta>'
    exif = Image.Exif()
    exif[0x0112] = 6
    result, _ = enlarge(PHOTO, tmp_path, nearest(scale=2), "a.jpg", "out.jpg", xmp=xmp, exif=exif)
    assert result.size == (96, 128)
    assert b'tiff:Orientation="1"' in result.info["xmp"]


def test_a_format_that_this_pillow_lacks_is_refused(tmp_path, nearest, monkeypatch):
    Image.init()
    monkeypatch.delitem(Image.SAVE, "WEBP")
    with pytest.raises(InputError, match="cannot write .webp; upgrade it"):
        enlarge(PHOTO, tmp_path, nearest(scale=2), output="out.webp")


@pytest.mark.parametrize("alpha, kept", [(range(48), "RGBA"), ([0], "RGB"), ([255], "RGB")])
def test_a_bmp_keeps_its_alpha_where_it_has_one(tmp_path, nearest, alpha, kept):
    levels = np.resize(np.array(alpha, np.uint8), (64, 48)).T  # smooth down each column
    picture = PHOTO.copy()
    picture.putalpha(Image.fromarray(levels))
    result, _ = enlarge(picture, tmp_path, nearest(scale=2), "a.bmp", "out.png")
    assert result.mode == kept
    if kept == "RGBA":  # alpha is enlarged by bicubic
        seen = np.asarray(result)[..., 3].astype(int)
        assert np.abs(seen - twice(Image.fromarray(levels))).max() < 8


def test_the_place_of_a_geotiff_is_dropped_with_a_warning(tmp_path, nearest):
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[33550], tags.tagtype[33550] = (10.0, 10.0, 0.0), 12  # metres for each pixel
    tags[270] = "a description"
    result, outcome = enlarge(PHOTO, tmp_path, nearest(scale=2), "a.tif", "out.tif", tiffinfo=tags)
    assert outcome.warnings == ["its GeoTIFF tags were dropped: they count pixels of the old size"]
    assert 33550 not in result.tag_v2 and result.tag_v2[270] == "a description"


@pytest.mark.parametrize("name", ["a.png", "a.gif", "a.webp"])
def test_frames_that_repeat_stay_as_long_as_they_did(tmp_path, nearest, name):
    red, blue = Image.new("RGB", (8, 8), "red"), Image.new("RGB", (8, 8), "blue")
    # Pillow writes a frame like the one before it only where the two are blended in two ways.
    result, outcome = enlarge(red, tmp_path, nearest(scale=2), "a.png", f"out_{name}",
                              save_all=True, append_images=[red, blue, blue, red],
                              duration=[100, 200, 300, 400, 500], blend=[0, 1, 0, 1, 0])
    assert outcome.frames == 5
    shown = []
    for number in range(result.n_frames):
        result.seek(number)
        result.load()
        colour = result.convert("RGB").getpixel((5, 5))
        shown.append(("red" if colour[0] > colour[2] else "blue", result.info["duration"]))
    assert shown == [("red", 300), ("blue", 700), ("red", 500)]


# Damaged files

def small_files():
    """(suffix, bytes) of small pictures of every common format, with metadata and frames."""
    small = PHOTO.resize((16, 12))
    exif = exif_of_a_camera("<")
    frames = {"save_all": True, "append_images": [small.rotate(180)], "duration": 50}
    for suffix, picture, options in [
        (".png", small.convert("P"), {}), (".png", small.convert("LA"), {"exif": exif}),
        (".png", small, frames), (".jpg", small, {"exif": b"Exif\0\0" + exif}),
        (".jpg", small.convert("CMYK"), {}), (".webp", small.convert("RGBA"), {"exif": exif}),
        (".webp", small, frames), (".gif", small, frames), (".bmp", small.convert("RGBA"), {}),
        (".tif", small, {"compression": "tiff_lzw"}), (".tif", small.convert("1"), {}),
        (".tif", small, {"save_all": True, "append_images": [small]}), (".jp2", small, {}),
        (".tga", small, {"compression": "tga_rle"}), (".ppm", small, {}), (".ico", small, {}),
        (".pcx", small, {}), (".sgi", small, {}), (".dds", small, {}), (".icns", small, {}),
        (".xbm", small.convert("1"), {}),
    ]:  # fmt: skip
        buffer = io.BytesIO()
        Image.init()
        picture.save(buffer, Image.EXTENSION[suffix], **options)
        yield suffix, buffer.getvalue()


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::PIL.Image.DecompressionBombWarning")
def test_whatever_bytes_are_damaged_a_picture_is_enlarged_or_refused(tmp_path, nearest):
    rng = np.random.default_rng(0)
    upscaler = nearest(scale=2, max_pixels=2**16)
    for suffix, whole in small_files():
        for number in range(40):
            damaged = bytearray(whole)
            for place in rng.integers(len(whole), size=rng.integers(1, 9)):
                damaged[place] = rng.integers(256)
            path = tmp_path / f"{number}{suffix}"
            path.write_bytes(damaged)
            for read in (read_image, is_gray_file,
                         lambda path: upscale_picture(path, tmp_path / "out.png", upscaler)):
                try:
                    read(path)
                except (InputError, OSError) as error:
                    assert "\n" not in str(error)
