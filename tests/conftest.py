"""What several test files need: a small set of real pairs, and the scripts by path."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from skimage.data import astronaut, coffee

from elsr_paddle.data.degradations import make_pair
from elsr_paddle.data.pairs import pair_writer
from elsr_paddle.enlarge.sizes import Target, Upscaler
from elsr_paddle.networks import NETWORKS
from elsr_paddle.networks.network import Network
from elsr_paddle.networks.weights import Trained, save_tensors

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session", autouse=True)
def _children_hear_ctrl_c():
    """A suite started in the background ignores SIGINT, and so would the processes it starts."""
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, previous)


@pytest.fixture(scope="session")
def training_data(tmp_path_factory):
    """A folder as prepare_h5.py makes it: x2 and x4, 24 training and 4 validation pairs."""
    folder = tmp_path_factory.mktemp("training_data")
    photos = {"train": astronaut()[:256, :384], "val": coffee()[100:164, 100:356]}
    for scale in (2, 4):
        for part, photo in photos.items():
            with pair_writer(folder / f"{part}_x{scale}.h5", scale=scale) as pairs:
                for top in range(0, photo.shape[0], 64):
                    for left in range(0, photo.shape[1], 64):
                        lr, hr = make_pair(photo[top : top + 64, left : left + 64], scale)
                        pairs.add(lr, hr, clip=part)
    return folder


@pytest.fixture(scope="session")
def root():
    """The folder that holds the scripts."""
    return ROOT


@pytest.fixture(scope="session")
def run_python(root):
    """Runs a fresh interpreter to its end: run_python("-c", code), run_python(root / "test.py")."""

    # With more than one Paddle warns on stderr, whose lines some tests compare.
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}

    def run(*arguments, cwd=root):
        command = [sys.executable, *map(str, arguments)]
        return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True,
                              timeout=120)

    return run


@pytest.fixture(scope="session")
def folder_from():
    """The folder that an environment variable names; skips the test without one."""

    def folder(variable):
        if not os.environ.get(variable):
            pytest.skip(f"{variable} names no folder")
        return Path(os.environ[variable])

    return folder


class NearestEngine:
    """An engine whose output is known: every pixel becomes a square of its colour."""

    name, model_name, reason, fingerprint = "nearest", "nearest", "", "nearest"

    def __init__(self, scale, channels, direct, degradation="bicubic"):
        self.scale, self.channels, self.direct = scale, channels, direct
        self.degradation = degradation

    def upscale(self, image):
        assert image.dtype == np.uint8
        return image.repeat(self.scale, axis=0).repeat(self.scale, axis=1)

    upscale_plane = upscale

    def luma(self, weights):
        """As `Engine.luma`, by the book."""
        if self.channels == 1 or not self.direct:
            return None

        def run(image):
            plane = self.upscale(image) @ weights[:3] + weights[3]
            return np.rint(plane).clip(0, 255).astype(np.uint8)

        return run


@pytest.fixture
def nearest():
    """Makes an Upscaler of nearest neighbours: nearest(scale=2), nearest(size=(640, 480)).

    With `direct` its engines turn RGB into luma themselves. `degradation` is that of their
    networks.
    """

    def make(channels=3, max_pixels=2**24, direct=False, degradation="bicubic", **target):
        return Upscaler(lambda scale: NearestEngine(scale, channels, direct, degradation),
                        (2, 3, 4), Target(**target), max_pixels)

    return make


@pytest.fixture(scope="session")
def save_nearest():
    """Writes weights of an ELSR that repeats every pixel: save_nearest(path, scale=4).

    What else is given goes into their metadata: save_nearest(path, degradation="opencv_cubic").
    """

    def save(path, scale=4, **metadata):
        config = {"scale": scale, "width": 6, "prelu": "channel"}
        metadata = {"model": "elsr", "config": config, **metadata}
        save_tensors(path, _nearest_arrays(scale), metadata)
        return path

    return save


@pytest.fixture(scope="session")
def nearest_weights(tmp_path_factory, save_nearest):
    """A file of weights of ELSR x2 that, run by any engine, is the same nearest neighbour."""
    return save_nearest(tmp_path_factory.mktemp("weights") / "nearest_x2.safetensors", scale=2)


def _nearest_arrays(scale, width=6):
    weights = {f"{name}.weight": np.zeros((out, into, 3, 3), np.float32) for name, out, into in (
        ("head", width, 3), ("body.0", width, width), ("body.2", width, width),
        ("tail", 3 * scale**2, width))}
    weights |= {name.replace("weight", "bias"): np.zeros(len(kernel), np.float32)
                for name, kernel in weights.items()}
    weights["body.1.weight"] = np.full(width, 0.25, np.float32)
    for channel in range(3):
        weights["head.weight"][channel, channel, 1, 1] = 1
        weights["tail.weight"][channel * scale**2:(channel + 1) * scale**2, channel, 1, 1] = 1
    return weights


@pytest.fixture(scope="session")
def arrays_of():
    """Makes arrays for a Network, none of which could be left out unnoticed: arrays_of(network)."""

    def make(network):
        rng = np.random.default_rng(0)
        arrays = {}
        for name, shape in network.graph.parameters().items():
            if len(shape) == 4:  # about as much comes out as goes in
                array = rng.normal(0, 1 / np.sqrt(np.prod(shape[1:])), shape)
            else:
                array = rng.uniform(0.05, 0.5, shape)  # biases, slopes, statistics
            arrays[name] = array.astype(np.float32)
        return arrays

    return make


@pytest.fixture(scope="session")
def trained(arrays_of):
    """Makes a trained network in which every parameter matters: trained("elsr", scale=4), or of a
    Network: trained(Toy())."""

    def make(kind, **options):
        network = kind if isinstance(kind, Network) else NETWORKS[kind](**options)
        metadata = {"model": network.name, "config": network.config}
        return Trained(network, network.graph.bind(arrays_of(network)), metadata)

    return make


@pytest.fixture(scope="session")
def noise():
    """Makes a picture with nothing regular in it: noise(height, width, channels)."""

    def make(*shape):
        return np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)

    return make
