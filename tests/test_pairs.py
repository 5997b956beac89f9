"""One class reads every file of pairs: ours and the PyTorch port's."""

import multiprocessing

import h5py
import numpy as np
import pytest

from elsr_paddle.data.pairs import MixedSizesError, Pairs, pair_writer
from elsr_paddle.errors import InputError


def images(count=5, scale=2, side=8):
    rng = np.random.default_rng(0)
    lr = rng.integers(0, 256, (count, side, side + 4, 3), dtype=np.uint8)
    hr = rng.integers(0, 256, (count, side * scale, (side + 4) * scale, 3), dtype=np.uint8)
    return lr, hr


def write(path, lr, hr, scale=2, degradation="bicubic"):
    with pair_writer(path, scale=scale, degradation=degradation, source="test") as writer:
        for i in range(len(lr)):
            writer.add(lr[i], hr[i], f"clip{i // 2}")
    return path


def write_as_the_port_does(path, lr, hr, grouped):
    """float32, NCHW, RGB, 0..255; validation as one dataset a row."""
    with h5py.File(path, "w") as file:
        for name, values in (("lr", lr), ("hr", hr)):
            planes = np.moveaxis(values, -1, 1).astype(np.float32)
            if grouped:
                for i, image in enumerate(planes):
                    file.create_dataset(f"{name}/{i}", data=image)
            else:
                file[name] = planes
    return path


@pytest.mark.parametrize("budget", [2**30, 0])
def test_rows_come_back_as_written(tmp_path, budget):
    lr, hr = images()
    with Pairs(write(tmp_path / "a.h5", lr, hr), memory_budget=budget) as pairs:
        assert len(pairs) == 5
        assert pairs.in_memory == (budget > 0)
        assert (pairs.scale, pairs.degradation) == (2, "bicubic")
        assert pairs.clips == ["clip0", "clip0", "clip1", "clip1", "clip2"]
        assert (pairs.lr_size, pairs.hr_size) == ((8, 12), (16, 24))
        for i, (small, large) in enumerate(pairs):
            np.testing.assert_array_equal(small, lr[i])
            np.testing.assert_array_equal(large, hr[i])
        np.testing.assert_array_equal(pairs[-1][1], hr[4])
        small, large = pairs.crop(3, 2, 1, 4)
        np.testing.assert_array_equal(small, lr[3, 2:6, 1:5])
        np.testing.assert_array_equal(large, hr[3, 4:12, 2:10])


@pytest.mark.parametrize("budget", [2**30, 0])
@pytest.mark.parametrize("grouped", [False, True])
def test_files_of_the_port_read_as_uint8_images(tmp_path, grouped, budget):
    lr, hr = images(count=12)  # twelve, so that the order 0, 1, 10, 11, 2 would show
    path = write_as_the_port_does(tmp_path / "train_X2.h5", lr, hr, grouped)
    with Pairs(path, memory_budget=budget) as pairs:
        assert (pairs.scale, len(pairs)) == (2, 12)
        assert set(pairs.clips) == {"train_X2"}
        for i in range(12):
            assert pairs[i][0].dtype == np.uint8
            np.testing.assert_array_equal(pairs[i][0], lr[i])
            np.testing.assert_array_equal(pairs[i][1], hr[i])
        np.testing.assert_array_equal(pairs.crop(11, 1, 2, 3)[1], hr[11, 2:8, 4:10])


def test_float_values_are_rounded_and_clipped(tmp_path):
    values = np.zeros((1, 3, 2, 2), np.float32)
    values[0, 0] = [[-7.0, 1.6], [254.4, 300.0]]  # cubic interpolation overshoots
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["lr"], file["hr"] = values[:, :, :1, :1], values
    assert Pairs(tmp_path / "a.h5")[0][1][..., 0].tolist() == [[0, 2], [254, 255]]


def test_a_file_of_0_to_1_is_refused_instead_of_read_as_black(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["lr"], file["hr"] = np.full((1, 3, 2, 2), 0.5), np.full((1, 3, 4, 4), 0.5)
    with pytest.raises(InputError, match="0..1"):
        Pairs(tmp_path / "a.h5")


def test_rows_of_different_size_are_read_but_have_no_common_size(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for i, side in enumerate((4, 6)):
            file.create_dataset(f"lr/{i}", data=np.full((3, side, side), 9, np.float32))
            file.create_dataset(f"hr/{i}", data=np.full((3, 2 * side, 2 * side), 9, np.float32))
    pairs = Pairs(tmp_path / "a.h5")
    assert pairs.hr_size is None
    assert [pairs[i][1].shape[0] for i in range(2)] == [8, 12]


def test_the_file_says_what_it_holds(tmp_path):
    lr, hr = images()
    with h5py.File(write(tmp_path / "a.h5", lr, hr, degradation="blur_noise")) as file:
        assert dict(file.attrs).keys() == {"scale", "degradation", "colour", "source", "versions"}
        assert file.attrs["degradation"] == b"blur_noise"
        assert file["hr"].chunks == (1, 16, 24, 3)
        assert file["hr"].compression is None
        assert file["hr"].dtype == np.uint8


def test_a_row_of_another_size_is_refused_and_leaves_no_file(tmp_path):
    lr, hr = images()
    with (
        pytest.raises(MixedSizesError, match="--hr-patch"),
        pair_writer(tmp_path / "a.h5", scale=2) as writer,
    ):
        writer.add(lr[0], hr[0], "a")
        writer.add(lr[0][:4], hr[0][:8], "a")
    assert not list(tmp_path.iterdir())


def test_a_file_without_pairs_is_not_written(tmp_path):
    with pytest.raises(InputError), pair_writer(tmp_path / "a.h5", scale=2):
        pass
    assert not list(tmp_path.iterdir())


def test_the_scale_asked_for_must_be_the_files(tmp_path):
    path = write(tmp_path / "a.h5", *images())
    assert Pairs(path, scale=2).scale == 2
    with pytest.raises(InputError, match="--scale 4"):
        Pairs(path, scale=4)


def test_images_that_are_no_pairs_are_refused(tmp_path):
    lr, hr = images()
    for name, small, large in (("size", lr, hr[:, 1:]), ("count", lr[:3], hr), ("swap", hr, lr)):
        with h5py.File(tmp_path / f"{name}.h5", "w") as file:
            file["lr"], file["hr"] = small, large
        with pytest.raises(InputError):
            Pairs(tmp_path / f"{name}.h5")
    with pytest.raises(InputError, match="says scale 4"):
        Pairs(write(tmp_path / "lie.h5", lr, hr, scale=4))


def test_a_missing_file_says_how_to_make_it(tmp_path):
    with pytest.raises(InputError, match="prepare_h5.py"):
        Pairs(tmp_path / "none.h5")


def foreign_files(folder):
    (folder / "empty.h5").write_bytes(b"")
    (folder / "text.h5").write_text("not HDF5\n" * 100)
    (folder / "folder.h5").mkdir()
    with h5py.File(folder / "other.h5", "w") as file:
        file["images"] = np.zeros(3)
    with h5py.File(folder / "flat.h5", "w") as file:
        file["lr"], file["hr"] = np.zeros(3), np.zeros(3)
    with h5py.File(folder / "no_rows.h5", "w") as file:
        file["lr"], file["hr"] = np.zeros((0, 4, 4, 3)), np.zeros((0, 8, 8, 3))
    with h5py.File(folder / "groups.h5", "w") as file:
        file.create_group("lr/a")
        file.create_group("hr/a")
    with h5py.File(folder / "nested.h5", "w") as file:
        file.create_group("lr/0")
        file.create_group("hr/0")
    with h5py.File(folder / "words.h5", "w") as file:
        file["lr"], file["hr"] = "some", "words"
    with h5py.File(folder / "gray.h5", "w") as file:
        file["lr"], file["hr"] = np.zeros((2, 1, 4, 4)), np.zeros((2, 1, 8, 8))
    return sorted(folder.iterdir())


def test_foreign_files_are_refused_by_name(tmp_path):
    for path in foreign_files(tmp_path):
        with pytest.raises(InputError, match=path.name):
            Pairs(path)


def test_a_file_cut_short_anywhere_is_refused(tmp_path):
    whole = write(tmp_path / "whole.h5", *images()).read_bytes()
    cut = tmp_path / "cut.h5"
    for length in range(0, len(whole), 97):
        cut.write_bytes(whole[:length])
        with pytest.raises(InputError, match="cut.h5"):
            Pairs(cut)


def test_damaged_bytes_give_a_line_or_pairs_but_no_traceback(tmp_path):
    whole = write(tmp_path / "whole.h5", *images(count=2, side=4)).read_bytes()
    rng = np.random.default_rng(0)
    refused = 0
    for place in rng.integers(0, len(whole), 300):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << int(rng.integers(8))
        (tmp_path / "damaged.h5").write_bytes(damaged)
        try:
            with Pairs(tmp_path / "damaged.h5", memory_budget=0) as pairs:
                pairs[0]
        except InputError:
            refused += 1
    assert refused > 0


def test_the_file_is_opened_once_not_per_sample(tmp_path, monkeypatch):
    path = write(tmp_path / "a.h5", *images())
    opened = []
    real = h5py.File
    monkeypatch.setattr(h5py, "File", lambda *a, **k: opened.append(a) or real(*a, **k))
    with Pairs(path, memory_budget=0) as pairs:
        for _ in range(20):
            pairs[3]
    assert len(opened) == 2  # once to look inside, once to read rows


def test_a_file_beyond_the_budget_is_not_held_in_memory(tmp_path):
    pairs = Pairs(write(tmp_path / "a.h5", *images()), memory_budget=100)
    assert not pairs.in_memory
    assert not any(isinstance(value, np.ndarray) for value in vars(pairs).values())


def read_row(pairs, queue):
    queue.put(pairs[4][1].tobytes())


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # fork in a process with threads
@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no fork here")
def test_a_forked_process_opens_the_file_for_itself(tmp_path):
    lr, hr = images()
    pairs = Pairs(write(tmp_path / "a.h5", lr, hr), memory_budget=0)
    pairs[0]  # the parent has it open
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=read_row, args=(pairs, queue))
    child.start()
    assert queue.get(timeout=120) == hr[4].tobytes()
    child.join(timeout=120)
    np.testing.assert_array_equal(pairs[4][1], hr[4])
