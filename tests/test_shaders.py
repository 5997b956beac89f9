"""Networks as shaders: run by FFmpeg's libplacebo filter, on a GPU or on Mesa's lavapipe."""

import subprocess

import numpy as np
import pytest
from odd_networks import Attentive, Branched, OnBicubic, Residual, Saturating

from elsr_paddle.errors import InputError
from elsr_paddle.export.format import ExportOptions
from elsr_paddle.export.mpv import MpvShader, run_shader, user_shader
from elsr_paddle.networks import zoo
from elsr_paddle.networks.graph import evaluate
from elsr_paddle.networks.operations import Unsupported
from elsr_paddle.networks.weights import read

LEVELS = 2  # of 255; half a level is the rounding of the output
SHIPPED = [("elsr-y", 2), ("elsr-y", 3), ("elsr-y", 4), ("elsr-m", 2)]


@pytest.fixture(scope="session")
def libplacebo(tmp_path_factory):
    """Skips the test where no GPU, nor Mesa's software one, runs a player's shader."""
    path = tmp_path_factory.mktemp("probe") / "probe_x2.glsl"
    path.write_text("//!HOOK LUMA\n//!BIND LUMA\nvec4 hook() { return LUMA_texOff(vec2(0.0)); }\n")
    try:
        run_shader(path, np.zeros((8, 8), np.uint8), 1)
    except InputError as error:
        pytest.skip(str(error))


def difference(trained, folder, plane):
    """The largest difference, in levels, of the shader's luma from the float64 reference."""
    files = MpvShader().write(trained, folder, ExportOptions())
    reference = evaluate(trained.graph, plane[:, :, None])[:, :, 0].clip(0, 255)
    found = MpvShader().run(files, plane)
    assert found.shape == reference.shape
    return np.abs(found - reference).max()


@pytest.mark.parametrize(("name", "scale"), SHIPPED)
def test_a_player_shows_what_the_reference_computes(name, scale, tmp_path, noise, libplacebo):
    assert difference(read(zoo.find(name, scale)), tmp_path, noise(21, 34)) < LEVELS


@pytest.mark.parametrize(("kind", "options"), [
    ("elsr-l", {"scale": 2, "depth": 1}), ("espcn", {"scale": 3}), (Branched(), {}),
    (OnBicubic(), {}), (Saturating(), {}),
])  # fmt: skip
def test_a_player_takes_every_operation(kind, options, tmp_path, noise, trained, libplacebo):
    assert difference(trained(kind, **options), tmp_path, noise(13, 18)) < LEVELS


def test_a_picture_of_a_single_pixel_has_borders_on_all_sides(tmp_path, noise, libplacebo):
    assert difference(read(zoo.find("elsr-y", 2)), tmp_path, noise(1, 1)) < LEVELS


def test_luma_of_limited_range_stays_in_its_range(tmp_path, libplacebo):
    trained = read(zoo.find("elsr-y", 2))
    (path,) = MpvShader().write(trained, tmp_path, ExportOptions())
    plane = np.random.default_rng(2).integers(40, 200, (16, 16), dtype=np.uint8)
    reference = evaluate(trained.graph, plane[:, :, None])[:, :, 0]
    colour = np.full((2, 16, 16), 128, np.uint8)
    command = ["ffmpeg", "-v", "error", "-init_hw_device", "vulkan=gpu", "-filter_hw_device", "gpu",
               "-f", "rawvideo", "-pix_fmt", "yuv444p", "-s", "16x16", "-i", "-", "-vf",
               "setparams=range=tv:colorspace=bt709,hwupload,libplacebo=w=32:h=32:format=yuv444p:"
               f"dithering=none:custom_shader_path={path},hwdownload,format=yuv444p",
               "-f", "rawvideo", "-"]  # fmt: skip
    done = subprocess.run(command, input=np.concatenate([plane[None], colour]).tobytes(),
                          capture_output=True, check=True)
    found = np.frombuffer(done.stdout, np.uint8)[:1024].reshape(32, 32)
    inside = (reference > 16) & (reference < 235)  # the filter cuts off what RGB cannot show
    assert inside.mean() > 0.9
    assert np.abs(found - reference)[inside].max() < LEVELS


def test_the_shader_rests_where_the_window_is_no_larger_than_the_film(tmp_path, noise, libplacebo):
    (path,) = MpvShader().write(read(zoo.find("elsr-y", 2)), tmp_path, ExportOptions())
    plane = noise(16, 24)
    assert np.abs(run_shader(path, plane, 1).astype(int) - plane).max() <= 1


@pytest.mark.parametrize(("network", "reason"), [
    (Residual(), "RGB"), (Attentive(), "RGB"),
])  # fmt: skip
def test_a_network_on_rgb_is_refused(network, reason, trained):
    with pytest.raises(Unsupported, match=reason):
        user_shader(trained(network).graph, "name")


def test_the_header_states_passes_and_texels_read(trained):
    text = user_shader(trained("elsr-y", scale=2, width=10, depth=2).graph, "elsr-y x2")
    header = " ".join(line[3:] for line in text.splitlines() if line.startswith("// "))
    assert text.count("//!HOOK LUMA") == 11
    # Head: 3 passes of 9 texels. Body: 2 times 3 passes of 9 * 3, and 3 for the skip. Tail: 9 * 3.
    # Shuffle: 1 for each of 4 pixels.
    assert f"11 passes; {27 + 162 + 3 + 27 + 4} texels read and 2250 multiply-adds" in header
