"""`test_video.py` as a person runs it: a clip, its figures, its GIFs and its speed."""

import csv
import json

import numpy as np
import pytest
from PIL import Image
from skimage.data import coffee

from elsr_paddle.commands import test_video as command
from elsr_paddle.data import demo
from elsr_paddle.data.degradations import make_pair
from elsr_paddle.errors import InputError
from elsr_paddle.evaluation.protocol import PROTOCOLS, flicker, score
from elsr_paddle.imaging.io import write_image
from elsr_paddle.imaging.resize import imresize
from elsr_paddle.networks.weights import save_tensors


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The test's own folder, and the one that this process works in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def call(*arguments):
    return command.main(["--engine", "numpy", *map(str, arguments)])


def nearest(image, scale=4):
    return image.repeat(scale, axis=0).repeat(scale, axis=1)


def photo(top=0):
    return np.ascontiguousarray(coffee()[top : top + 60, 100:183])


@pytest.fixture
def frames():
    """Five frames of a pan, uint8 (60, 83, 3)."""
    return [photo(top) for top in range(0, 50, 10)]


@pytest.fixture
def clip(tmp_path, frames):
    """A folder of them, in another order than that of letters: f8, f9, f10, ..."""
    for number, frame in enumerate(frames):
        write_image(tmp_path / "clip" / f"f{8 + number}.png", frame)
    return tmp_path / "clip"


def gif_frames(path):
    with Image.open(path) as gif:
        for number in range(gif.n_frames):
            gif.seek(number)
            yield np.array(gif.convert("RGB"))


def distance(first, second):
    return np.abs(first.astype(float) - second).mean()


@pytest.fixture
def tested(tmp_path, clip, save_nearest, root, run_python):
    """The folder of a run of the script on the clip, whose third frame is damaged."""
    (clip / "f10.png").write_bytes(b"broken")
    weights = save_nearest(tmp_path / "w.safetensors")
    done = run_python(root / "test_video.py", clip, "--weights", weights, "--fps", "10",
                      cwd=tmp_path)  # fmt: skip
    assert done.returncode == 2 and "f10.png" in done.stderr, done.stderr
    return tmp_path


def test_a_clip_gives_scores_per_frame_gifs_of_their_own_frames_and_counted_speed(tested, frames):
    pairs = [make_pair(frames[number], 4) for number in (0, 1, 3, 4)]
    check_csv(tested / "out/frames.csv", pairs)
    check_gifs(tested / "out", pairs)
    found = json.loads((tested / "out/test_video.json").read_text())
    assert set(found["mean"]) == {"bicubic", "elsr"} and len(found["items"]) == 4
    check_flicker(found, pairs)
    assert (found["speed"]["lr_width"], found["speed"]["lr_height"]) == (20, 15)
    for name in ("network", "image_to_image", "file_to_file"):
        speed = found["speed"][name]
        assert speed["frames"] == 4 and speed["fps"] == pytest.approx(1 / speed["median_seconds"])
    assert {path.name for path in (tested / "plots").iterdir()} == {"architecture.png",
                                                                    "psnr_frames.png"}


def check_flicker(found, pairs):
    assert found["items"][0]["elsr"]["flicker_db"] is None
    (lr, hr), (next_lr, next_hr) = pairs[:2]
    expected = flicker((hr, next_hr), (nearest(lr), nearest(next_lr)), PROTOCOLS["y"], scale=4)
    assert found["items"][1]["elsr"]["flicker_db"] == expected
    later = [item["bicubic"]["flicker_db"] for item in found["items"][1:]]
    assert found["mean"]["bicubic"]["flicker_db"] == pytest.approx(np.mean(later))


def check_csv(path, pairs):
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == ["0", "1", "3", "4"]
    for row, (lr, hr) in zip(rows, pairs):
        expected = score(hr, nearest(lr), PROTOCOLS["y"], scale=4)
        assert float(row["elsr_psnr_db"]) == expected.psnr_db
    assert [bool(row["elsr_flicker_db"]) for row in rows] == [False, True, True, True]


def check_gifs(folder, pairs):
    bicubic = list(gif_frames(folder / "bicubic_video.gif"))
    network = list(gif_frames(folder / "sr_video.gif"))
    assert len(bicubic) == len(network) == 4
    for bicubic_frame, sr_frame, (lr, hr) in zip(bicubic, network, pairs):
        smooth, blocks = imresize(lr, size=hr.shape[:2]), nearest(lr)
        assert distance(bicubic_frame, smooth) < distance(bicubic_frame, blocks)
        assert distance(sr_frame, blocks) < distance(sr_frame, smooth)
        # The palette maps equal pixels to equal ones: this network's blocks stay blocks.
        assert np.array_equal(sr_frame, nearest(sr_frame[::4, ::4]))
        assert not np.array_equal(bicubic_frame, nearest(bicubic_frame[::4, ::4]))
    assert len(list(gif_frames(folder / "side_by_side.gif"))) == 4


def test_a_bare_call_takes_the_highest_stage_and_the_demo_clip(here, save_nearest, capsys):
    clip = here / "data/demo/val" / demo.SPLITS["val"][0].photo
    for number in range(3):
        write_image(clip / f"{number:08d}.png", photo(number))
    for other in demo.SPLITS["train"]:
        write_image(here / "data/demo/train" / other.photo / "00000000.png", photo())
    for name in demo.PAIR_FILES:
        (here / "data/demo" / name).touch()
    save_nearest(here / "out/stage1/best.safetensors", scale=2)
    save_nearest(here / "out/stage4/best.safetensors")
    assert command.main([]) == 0
    printed = capsys.readouterr().out.replace("\\", "/")
    assert "out/stage4/best.safetensors" in printed and "engine eager" in printed
    assert len(json.loads((here / "out/test_video.json").read_text())["items"]) == 3


def test_every_kth_frame_is_taken_and_gifs_end_after_n(here, clip, save_nearest, capsys):
    weights = save_nearest(here / "w.safetensors")
    assert call(clip, "--weights", weights, "--every", "2", "--gif-frames", "2") == 0
    found = json.loads((here / "out/test_video.json").read_text())
    assert [item["name"] for item in found["items"]] == ["0", "2", "4"]
    assert len(list(gif_frames(here / "out/sr_video.gif"))) == 2
    assert "the GIFs hold 2 of 3 frames" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [("--every", "0"), ("--gif-frames", "-1")])
def test_counts_that_mean_nothing_are_refused(arguments):
    with pytest.raises(InputError, match=arguments[0]):
        call("clip", *arguments)


def test_a_missing_clip_is_named(here, save_nearest):
    weights = save_nearest(here / "w.safetensors")
    with pytest.raises(InputError, match="no such file: none"):
        call("none", "--weights", weights)


def test_a_network_on_luma_is_tested_as_one_on_rgb(here, clip, trained):
    made = trained("elsr-y", scale=2)
    save_tensors(here / "y.safetensors", made.graph.arrays, made.metadata)
    assert call(clip, "--weights", "y.safetensors") == 0
    found = json.loads((here / "out/test_video.json").read_text())
    assert set(found["mean"]) == {"bicubic", "elsr-y"} and len(found["items"]) == 5
