"""Protocols: which colour, which border, which LR; and the options of an evaluation."""

import numpy as np
import pytest

from elsr_paddle.errors import InputError
from elsr_paddle.evaluation.protocol import PROTOCOLS, EvaluationOptions, score
from elsr_paddle.imaging.luma import rgb_to_y
from elsr_paddle.imaging.metrics import psnr, ssim


@pytest.fixture
def pair(noise):
    hr = noise(48, 64, 3)
    return hr, hr // 2 + 60


def test_protocol_y_is_luma_in_whole_levels_without_a_border_of_scale_pixels(pair):
    hr, restored = pair
    found = score(hr, restored, PROTOCOLS["y"], scale=4)
    luma = np.rint(rgb_to_y(hr)), rgb_to_y(restored)
    assert found.psnr_db == psnr(*luma, crop_border=4)
    assert found.ssim == ssim(*luma, crop_border=4)


@pytest.mark.parametrize("protocol", ["rgb", "port"])
def test_protocols_on_rgb_count_every_pixel_of_every_channel(pair, protocol):
    assert score(*pair, PROTOCOLS[protocol], scale=4).psnr_db == psnr(*pair)


def test_y_of_a_gray_file_is_its_gray_value(noise):
    gray = noise(48, 64, 1).repeat(3, axis=2)
    restored = gray // 2 + 60
    found = score(gray, restored, PROTOCOLS["y"], scale=4, gray=True)
    assert found.psnr_db == pytest.approx(psnr(gray[..., 0], restored[..., 0], crop_border=4))


def test_ssim_is_left_out_where_it_is_not_wanted(pair):
    assert score(*pair, PROTOCOLS["rgb"], scale=4, structure=False).ssim is None


def test_lr_is_made_as_the_protocol_says_unless_another_way_is_asked_for():
    assert EvaluationOptions(4).lr_kind == "bicubic"
    assert EvaluationOptions(4, "port").lr_kind == "opencv_cubic"
    assert EvaluationOptions(4, "port", "blur_noise").lr_kind == "blur_noise"


@pytest.mark.parametrize(("options", "message"), [
    ({"scale": 0}, "scale of at least 1 but got 0"),
    ({"scale": 4, "protocol": "ycbcr"}, "protocol to be one of y, rgb, port but got ycbcr"),
    ({"scale": 4, "degradation": "worn"}, "degradation to be one of aliased, .* but got worn"),
])  # fmt: skip
def test_options_that_do_not_exist_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        EvaluationOptions(**options)
