"""The drawing of a network: what its boxes say, how they connect, and that long ones wrap."""

from dataclasses import dataclass

import pytest
from matplotlib.figure import Figure

from elsr_paddle.evaluation.network_figure import ROW, arranged, network_figure
from elsr_paddle.imaging.io import read_image
from elsr_paddle.networks import build
from elsr_paddle.networks.network import Network


@pytest.fixture
def drawn(monkeypatch, tmp_path):
    """Draws a network and gives the texts of the figure: drawn(network)."""

    def draw(network):
        figures = []
        monkeypatch.setattr(
            Figure, "savefig",
            lambda figure, path, **_: figures.append(figure) or path.write_bytes(b"a picture"))
        network_figure(tmp_path / "network.png", network)
        found = figures[0].findobj(lambda artist: hasattr(artist, "get_text"))
        return [artist.get_text() for artist in found]

    return draw


def elsr(**config):
    return build("elsr", {"scale": 4, **config})


def test_the_drawing_names_layers_parameters_shapes_and_cost(drawn):
    shown = drawn(elsr())
    # The network of arXiv 2208.14600 with a slope per channel, 320x180 -> 1280x720.
    assert ("ELSR: 3,474 parameters, 195.96 M multiply-adds for a frame of 320×180") in shown
    for text in ("input", "head", "body.0", "body.1", "PReLU", "6 parameters", "body.2", "tail",
                 "Conv 3×3", "6 → 48 channels", "2,640 parameters", "pixel shuffle ×4", "output",
                 "48 × H × W", "3 × 4H × 4W"):  # fmt: skip
        assert text in shown


def test_activations_without_parameters_are_boxes(drawn):
    shown = drawn(build("espcn", {"scale": 3}))
    assert shown.count("tanh") == 2 and "9 × H × W" in shown and "1 × 3H × 3W" in shown


def by_name(elements):
    return {element.lines[0]: index for index, element in enumerate(elements) if element.lines}


def test_a_skip_ends_in_a_sign_between_the_boxes():
    elements = arranged(elsr().graph)
    name = by_name(elements)
    (plus,) = (index for index, element in enumerate(elements) if element.sign == "+")
    assert elements[plus].sources == (name["body.2"], name["head"])
    assert elements[name["tail"]].sources == (plus,)
    assert elements[name["body.2"]].x < elements[plus].x < elements[name["tail"]].x


def test_a_network_without_the_skip_has_no_sign():
    without = build("elsr-y", {"skip": False})
    assert not any(element.sign for element in arranged(without.graph))


@dataclass(frozen=True)
class Long(Network):
    """Sixteen blocks with channel attention, a skip over all of them, and bicubic beside them."""

    name = "long"
    scale: int = 4

    def layers(self, x):
        head = body = x.conv("head", 8)
        for number in range(16):
            inner = body.conv(f"body.{number}", 8)
            body = body + inner.channel_scale(inner.global_pool().conv(f"gate.{number}", 8, 1))
        body = (body + head).conv("tail", 3 * self.scale**2).pixel_shuffle(self.scale)
        return body + x.bicubic(self.scale)


def test_a_long_network_wraps_into_rows_that_stay_readable(tmp_path):
    elements = arranged(Long().graph)
    boxes = [element for element in elements if not element.sign]
    rows = [[box for box in boxes if box.row == row] for row in range(boxes[-1].row + 1)]
    assert [len(row) for row in rows[:-1]] == [ROW] * (len(rows) - 1) and len(rows) > 4
    assert all(after.x - before.x > 1.5  # inches
               for row in rows for before, after in zip(row, row[1:]))  # fmt: skip
    network_figure(tmp_path / "long.png", Long())
    height, width = read_image(tmp_path / "long.png").shape[:2]
    assert height > 1500 and 1500 < width < 6000


def test_gates_are_products_and_pooled_features_have_one_pixel():
    elements = arranged(Long().graph)
    assert sum(element.sign == "x" for element in elements) == 16
    assert sum(element.sign == "+" for element in elements) == 18
    assert elements[by_name(elements)["gate.0"]].shape == "8 × 1 × 1"


def test_the_drawing_needs_no_paddle(tmp_path, run_python):
    done = run_python("-c", "import sys; sys.modules['paddle'] = None\n"
                      "from elsr_paddle.evaluation.network_figure import network_figure\n"
                      "from elsr_paddle.networks import build\n"
                      f"network_figure({str(tmp_path / 'a.png')!r}, build('elsr', {{}}))")
    assert done.returncode == 0, done.stderr
    assert min(read_image(tmp_path / "a.png").shape[:2]) > 300
