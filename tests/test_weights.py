"""Files of weights: whole, unharmed and harmless, or refused."""

import os
import pickle
import random
import subprocess
import sys

import numpy as np
import pytest

from elsr_paddle.errors import InputError
from elsr_paddle.networks.weights import (
    degradation_of,
    load_pdparams,
    load_tensors,
    load_weights,
    read,
    read_metadata,
    save_tensors,
)

METADATA = {"model": "elsr", "config": {"scale": 4}, "psnr_rgb_db": 27.5, "versions": {"é": "ü"}}


@pytest.fixture(scope="module")
def arrays(trained):
    return trained("elsr").graph.arrays


@pytest.fixture
def weights_file(tmp_path, arrays):
    path = tmp_path / "elsr.safetensors"
    save_tensors(path, arrays, METADATA)
    return path


def test_weights_and_metadata_come_back_as_they_were(weights_file, arrays):
    weights, metadata = load_weights(weights_file)
    assert metadata == METADATA == read_metadata(weights_file)
    assert all((weights[name] == array).all() for name, array in arrays.items())
    assert weights_file.stat().st_size < 20_000


def test_a_file_that_does_not_tell_its_lr_is_for_bicubic_s():
    assert degradation_of({"degradation": "opencv_cubic"}) == "opencv_cubic"
    assert degradation_of({"degradation": "bicubic"}) == "bicubic"
    assert degradation_of({}) == "bicubic"  # older than the entry
    assert degradation_of({"degradation": "unknown"}) == "bicubic"  # trained on the port's pairs


def test_any_truncation_is_refused(weights_file):
    whole = weights_file.read_bytes()
    for length in [*range(0, 40), *range(40, len(whole), 97), len(whole) - 1]:
        weights_file.write_bytes(whole[:length])
        with pytest.raises(InputError, match="elsr.safetensors"):
            load_weights(weights_file)


def test_any_flipped_bit_is_refused(weights_file):
    whole = weights_file.read_bytes()
    header = 8 + int.from_bytes(whole[:8], "little")
    # Every bit of the length field, every 5th of the header, 300 of the numbers.
    bits = [*range(64), *range(64, 8 * header, 5)]
    bits += random.Random(0).sample(range(8 * header, 8 * len(whole)), 300)
    for bit in bits:
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        weights_file.write_bytes(damaged)
        with pytest.raises(InputError, match="elsr.safetensors"):
            load_weights(weights_file)


def test_the_digest_covers_the_metadata_too(tmp_path, arrays):
    from safetensors.numpy import save_file

    path = tmp_path / "forged.safetensors"
    save_file(arrays, path, metadata={"elsr_paddle": "0" * 64 + " {}"})
    with pytest.raises(InputError, match="SHA-256"):
        load_weights(path)
    save_file(arrays, path)
    with pytest.raises(InputError, match="not written by elsr-paddle"):
        load_weights(path)


def test_a_state_is_no_network(tmp_path):
    path = tmp_path / "state.safetensors"
    save_tensors(path, {"a": np.zeros(1)}, {"step": 3})
    with pytest.raises(InputError, match="holds no network"):
        load_weights(path)


@pytest.mark.parametrize("metadata", [{"model": ["elsr"], "config": {}},
                                      {"model": "elsr", "config": [1]}])  # fmt: skip
def test_metadata_of_another_kind_describes_no_network(tmp_path, metadata):
    path = tmp_path / "odd.safetensors"
    save_tensors(path, {"a": np.zeros(1)}, metadata)
    with pytest.raises(InputError, match="holds no network"):
        load_weights(path)


def test_weights_of_another_precision_become_float32_and_what_is_no_number_is_refused(tmp_path):
    path = tmp_path / "weights.pdparams"
    path.write_bytes(pickle.dumps({"a": np.array([0.5, 2.0])}))
    assert load_pdparams(path)["a"].dtype == np.float32
    for array in (np.array(["text"]), np.array([None]), np.arange(3)):
        path.write_bytes(pickle.dumps({"a": array}))
        with pytest.raises(InputError, match="expected floating-point weights but a is"):
            load_pdparams(path)


def test_a_network_is_read_with_its_graph_and_what_does_not_fit_names_the_file(tmp_path, trained):
    made = trained("elsr-y", scale=3)
    path = tmp_path / "odd.safetensors"
    save_tensors(path, made.graph.arrays, made.metadata)
    found = read(path)
    assert (found.network, found.path, found.scale, found.channels) == (made.network, path, 3, 1)
    assert found.graph.parameter_count == sum(array.size for array in made.graph.arrays.values())
    for metadata, message in (({"model": "elsr-9", "config": {}}, "expected a network of"),
                              ({"model": "elsr", "config": {}}, "weights do not fit")):
        save_tensors(path, made.graph.arrays, metadata)
        with pytest.raises(InputError, match=rf"odd\.safetensors: .*{message}"):
            read(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nothing\.safetensors"):
        load_tensors(tmp_path / "nothing.safetensors")


def test_a_full_disk_is_one_line_and_leaves_the_old_file(weights_file):
    before = weights_file.read_bytes()
    # A limit on the size of files stands for a full disk: the write fails half way.
    program = (
        "import resource, numpy, sys; from elsr_paddle.networks.weights import save_tensors\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (5000, resource.RLIM_INFINITY))\n"
        "save_tensors(sys.argv[1], {'a': numpy.zeros(9000)}, {})"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, weights_file], capture_output=True, text=True, check=False
    )
    assert "InputError: cannot write" in done.stderr
    assert weights_file.read_bytes() == before
    assert list(weights_file.parent.iterdir()) == [weights_file]


def test_pdparams_written_by_paddle_load(tmp_path, trained):
    paddle = pytest.importorskip("paddle")
    from elsr_paddle.networks.paddle_layer import load_model

    made = trained("elsr")
    path = tmp_path / "elsr.pdparams"
    paddle.save(load_model(made).state_dict(), str(path))
    found = load_pdparams(path)
    assert found.keys() == made.graph.arrays.keys()
    assert all((found[name] == array).all() for name, array in made.graph.arrays.items())


class _Malicious:
    def __init__(self, call, *arguments):
        self.call = (call, arguments)

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_a_malicious_pdparams_is_refused_and_not_run(tmp_path, protocol):
    path, witness = tmp_path / "evil.pdparams", tmp_path / "ran"
    for payload in (
        _Malicious(os.system, f"touch {witness}"),
        _Malicious(eval, f"open({str(witness)!r}, 'w')"),
        _Malicious(np.load, str(witness)),
        {"head.weight": _Malicious(exec, f"open({str(witness)!r}, 'w')")},
    ):
        path.write_bytes(pickle.dumps(payload, protocol=protocol))
        with pytest.raises(InputError, match="refused"):
            load_pdparams(path)
        assert not witness.exists()


@pytest.mark.parametrize("content", [b"", b"\x80", b"PK\x03\x04", pickle.dumps([1]),
                                     pickle.dumps({"a": 1})])  # fmt: skip
def test_a_pdparams_without_arrays_is_one_line(tmp_path, content):
    path = tmp_path / "odd.pdparams"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"odd\.pdparams"):
        load_pdparams(path)
