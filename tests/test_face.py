"""The public verb: arrays to arrays, pictures to pictures, files to files."""

import av
import numpy as np
import pytest
from PIL import Image
from skimage.data import astronaut

from elsr_paddle.enlarge.face import upscale
from elsr_paddle.errors import InputError

PHOTO = np.ascontiguousarray(astronaut()[40:88, 190:254])  # 64x48


def twice(image):
    return image.repeat(2, axis=0).repeat(2, axis=1)


@pytest.mark.parametrize("image", [PHOTO, PHOTO[..., 0], PHOTO[..., 0].astype(np.uint16) * 257,
                                   PHOTO.astype(np.uint16) * 257],
                         ids=["colour", "gray", "deep gray", "deep colour"])
def test_an_array_becomes_an_array_of_its_type_and_kind(nearest_weights, image):
    before = image.copy()
    enlarged = upscale(image, model=nearest_weights)
    assert enlarged.dtype == image.dtype
    step = np.iinfo(image.dtype).max // 255
    np.testing.assert_allclose(enlarged.astype(int), twice(image), atol=step)
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize("mode, kept", [("RGB", "RGB"), ("LA", "LA"), ("RGBA", "RGBA"),
                                        ("P", "RGB"), ("CMYK", "CMYK"), ("1", "L")])
def test_a_pil_image_becomes_one(nearest_weights, mode, kept):
    enlarged = upscale(Image.fromarray(PHOTO).convert(mode), model=nearest_weights)
    assert (enlarged.mode, enlarged.size) == (kept, (128, 96))


def test_a_picture_file_becomes_one_and_its_path_comes_back(tmp_path, nearest_weights):
    Image.fromarray(PHOTO).save(tmp_path / "a.png")
    written = upscale(str(tmp_path / "a.png"), tmp_path / "out.png", model=nearest_weights)
    assert written == tmp_path / "out.png"
    np.testing.assert_allclose(np.asarray(Image.open(written), int), twice(PHOTO), atol=1)


def test_a_folder_as_output_keeps_the_name(tmp_path, nearest_weights):
    Image.fromarray(PHOTO).save(tmp_path / "a.png")
    written = upscale(tmp_path / "a.png", tmp_path / "out", model=nearest_weights)
    assert written == tmp_path / "out" / "a.png" and written.is_file()


def test_a_video_becomes_one(tmp_path, nearest_weights):
    with av.open(str(tmp_path / "a.mp4"), "w") as file:
        stream = file.add_stream("mpeg4", rate=25)
        stream.width, stream.height = 64, 48
        for _ in range(3):
            file.mux(stream.encode(av.VideoFrame.from_ndarray(PHOTO, "rgb24")))
        file.mux(stream.encode(None))
    written = upscale(tmp_path / "a.mp4", tmp_path / "out.mkv", scale=1.5, model=nearest_weights)
    with av.open(str(written)) as file:
        assert [(frame.width, frame.height) for frame in file.decode(video=0)] == [(96, 72)] * 3


@pytest.mark.parametrize("target, shape", [({"scale": 1.5}, (72, 96, 3)),
                                           ({"size": (100, 90)}, (90, 100, 3)),
                                           ({"fit": (100, 90)}, (75, 100, 3))])
def test_the_size_is_given_as_a_factor_exactly_or_as_a_box(nearest_weights, target, shape):
    assert upscale(PHOTO, model=nearest_weights, **target).shape == shape


def test_a_network_that_ships_is_found_for_each_scale():
    for scale in (2, 3, 4):
        enlarged = upscale(PHOTO[:8, :8], scale=scale, model="elsr-y", engine="eager")
        assert enlarged.shape == (8 * scale, 8 * scale, 3)


def test_weights_that_have_changed_are_read_again(tmp_path, save_nearest):
    for scale in (2, 4):
        save_nearest(tmp_path / "w.safetensors", scale=scale)
        assert len(upscale(PHOTO, model=tmp_path / "w.safetensors", engine="eager")) == 48 * scale


def test_what_could_not_be_kept_is_a_warning(tmp_path, nearest_weights):
    Image.new("RGBA", (8, 8)).save(tmp_path / "a.png")
    with pytest.warns(UserWarning, match="a.png: transparency was laid on white"):
        upscale(tmp_path / "a.png", tmp_path / "out.jpg", model=nearest_weights)


@pytest.mark.parametrize("source, options, message", [
    ("a.png", {}, "expected an output for a.png"),
    ("missing.png", {"output": "out.png"}, "no such file or folder: missing.png"),
    (".", {"output": "out"}, "is a folder; call it for each file"),
    (PHOTO, {"output": "out.png"}, "leave the output out and save what comes back"),
    (PHOTO, {"scale": 2, "fit": (9, 9)}, "one of scale, size and fit"),
    (PHOTO, {"scale": 3}, "is x3 but the largest network is x2"),
    (PHOTO.astype(np.float32), {}, "expected uint8 or uint16"),
    (PHOTO[..., :2], {}, r"but got uint8 \(48, 64, 2\)"),
    (PHOTO[:0], {}, "not empty"),
    (5, {}, "expected a file, a PIL image or an array but got a int"),
])
def test_what_does_not_fit_is_refused_in_one_line(nearest_weights, source, options, message):
    with pytest.raises(InputError, match=message):
        upscale(source, model=nearest_weights, **options)


def test_an_unknown_network_is_refused_with_those_that_are_known():
    with pytest.raises(InputError, match="network that ships .*elsr x4"):
        upscale(PHOTO, model="no-such-network")


@pytest.mark.parametrize("model", ["elsr", "elsr-y"])
def test_no_picture_needs_opencv(tmp_path, run_python, model):
    picture = Image.fromarray(PHOTO).convert("RGBA")
    picture.putpixel((0, 0), (0, 0, 0, 0))
    picture.save(tmp_path / "a.png")
    Image.fromarray(PHOTO[..., 0]).save(tmp_path / "gray.png")
    code = ("import sys; sys.modules['cv2'] = None\n"
            "from elsr_paddle.enlarge.face import upscale\n"
            "for name in ('a.png', 'gray.png'):\n"
            f"    upscale(f'{tmp_path}/{{name}}', '{tmp_path}/out', model='{model}')")
    done = run_python("-c", code)
    assert done.returncode == 0, done.stderr
    with Image.open(tmp_path / "out" / "a.png") as colour, \
            Image.open(tmp_path / "out" / "gray.png") as gray:
        assert (colour.size, gray.mode) == ((256, 192), "L")
