"""Colours turned by a matrix, with OpenCV and without."""

import numpy as np
import pytest

from elsr_paddle.imaging import colour

MATRIX = np.array([[1.164, 0, 1.793, -248.1], [1.164, -0.213, -0.533, 76.9],
                   [1.164, 2.112, 0, -289.0]])  # BT.709, limited range -> RGB


@pytest.fixture(params=[True, False], ids=["opencv", "numpy"])
def library(request, monkeypatch):
    if request.param:
        pytest.importorskip("cv2")
    else:
        monkeypatch.setattr(colour, "_opencv", lambda: None)


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize("height, width", [(1, 1), (63, 5), (130, 77)])
def test_a_matrix_turns_colours_to_the_nearest_level(noise, height, width):
    planes = list(noise(3, height, width))
    exact = np.moveaxis(planes, 0, -1) @ MATRIX[:, :3].T + MATRIX[:, 3]
    found = colour.turn_colours(planes, MATRIX)
    assert found.dtype == np.uint8
    assert np.abs(found - exact.clip(0, 255)).max() < 0.7  # OpenCV calculates in fixed point
