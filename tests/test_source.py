"""What a file went through is told from its header and its pixels, and decides which networks
enlarge it."""

import json
import logging
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image
from skimage.data import astronaut
from video_files import write_video

from elsr_paddle.commands.enlarge import main
from elsr_paddle.engines.choose import load_engine
from elsr_paddle.enlarge.face import upscale
from elsr_paddle.enlarge.quality import choose_for_film
from elsr_paddle.enlarge.source import CLEAN_QUALITY, FAIR_QUALITY, source_of
from elsr_paddle.errors import InputError
from elsr_paddle.imaging.degrade import Bicubic, OpenCVCubic
from elsr_paddle.imaging.jpeg import deblocked, luma_steps
from elsr_paddle.imaging.resize import imresize
from elsr_paddle.networks import zoo
from elsr_paddle.networks.weights import save_tensors
from elsr_paddle.networks.zoo import Entry
from elsr_paddle.video.encoder import VideoOptions

PHOTO = Image.fromarray(np.ascontiguousarray(astronaut()[40:88, 190:254]))  # 64x48
# 128x128 each, shrunk with a filter and without one.
FILTERED, ALIASED = (Image.fromarray(way(astronaut()[None], 4)[0])
                     for way in (Bicubic(), OpenCVCubic()))
NUMPY = ["--engine", "numpy", "--scale", "2"]
DEGRADATIONS = {"": "bicubic", "-compressed": "compressed", "-jpeg": "jpeg", "-aliased": "aliased"}


def entry(name, scale=4, ending=""):
    return Entry(Path(f"{name}{ending}_x{scale}.safetensors"), name, scale, DEGRADATIONS[ending])


@pytest.fixture
def here(tmp_path, monkeypatch, trained):
    """An empty folder; tiny networks of x2 stand for what ships: elsr-y and elsr-m for clean and
    compressed sources, elsr-m for JPEGs, elsr-y for aliased ones."""
    for name, ending in (("elsr-y", ""), ("elsr-m", ""), ("elsr-y", "-compressed"),
                         ("elsr-m", "-compressed"), ("elsr-m", "-jpeg"), ("elsr-y", "-aliased")):
        made = trained(name, scale=2, width=1, depth=1)
        save_tensors(tmp_path / "shipped" / f"{name}{ending}_x2.safetensors", made.graph.arrays,
                     {"model": name, "config": made.network.config,
                      "degradation": DEGRADATIONS[ending]})
    monkeypatch.setattr(zoo, "SHIPPED", tmp_path / "shipped")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name, options, kind, reason", [
    ("a.jpg", {"quality": FAIR_QUALITY - 2}, "jpeg", f"JPEG of quality {FAIR_QUALITY - 2}"),
    ("a.jpg", {"quality": 75}, "compressed", "JPEG of quality 75"),
    ("a.jpg", {"quality": CLEAN_QUALITY + 2}, "clean", f"JPEG of quality {CLEAN_QUALITY + 2}"),
    ("a.png", {}, "clean", "PNG, without lossy compression"),
    ("a.tif", {}, "clean", "TIFF, without lossy compression"),
    ("a.webp", {"quality": 80}, "compressed", "lossy WebP"),
    ("a.webp", {"lossless": True}, "clean", "WEBP, without lossy compression"),
])
def test_pictures_tell_what_they_are(tmp_path, name, options, kind, reason):
    PHOTO.save(tmp_path / name, **options)
    assert source_of(tmp_path / name, False) == (kind, reason)


@pytest.mark.parametrize("name, options, kind", [
    ("a.png", {}, "aliased"), ("a.tif", {}, "aliased"), ("a.webp", {"lossless": True}, "aliased"),
    ("a.jpg", {"quality": 97}, "aliased"), ("a.jpg", {"quality": 75}, "compressed"),
    ("a.gif", {}, "clean"),  # of 256 colours, which are dithered
])
def test_aliasing_is_told_from_pixels_where_no_compression_shows(tmp_path, name, options, kind):
    ALIASED.save(tmp_path / name, **options)
    FILTERED.save(tmp_path / f"filtered_{name}", **options)
    found = source_of(tmp_path / name, False)
    assert found.kind == kind
    assert found.reason.endswith("without a filter") == (kind == "aliased")
    assert source_of(tmp_path / f"filtered_{name}", False).kind != "aliased"


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA"])
def test_aliasing_is_told_of_gray_pictures_and_of_those_with_transparency(tmp_path, mode):
    ALIASED.convert(mode).save(tmp_path / "a.png")
    assert source_of(tmp_path / "a.png", False).kind == "aliased"


@pytest.mark.parametrize("dark, kind", [(0, "aliased"), (6, "aliased"), (30, "clean")])
def test_aliasing_of_a_film_is_told_from_its_first_second(tmp_path, dark, kind):
    frames = [np.zeros((128, 128, 3), np.uint8)] * dark + [np.array(ALIASED)] * 24
    write_video(tmp_path / "a.mkv", frames, codec="ffv1")
    assert source_of(tmp_path / "a.mkv", True).kind == kind


def test_an_interlaced_film_has_stairs_without_being_aliased(tmp_path):
    write_video(tmp_path / "a.mkv", [np.array(ALIASED)] * 5,
                options={"crf": "1", "x264-params": "interlaced=1"})
    with av.open(str(tmp_path / "a.mkv")) as film:
        assert next(film.decode(video=0)).interlaced_frame
    assert source_of(tmp_path / "a.mkv", True).kind == "clean"


@pytest.mark.parametrize("name, codec, crf, kind", [
    ("a.mp4", "libx264", "40", "compressed"), ("a.mp4", "libx264", "1", "clean"),
    ("a.mkv", "libx265", "40", "compressed"), ("a.mkv", "libx264", "40", "compressed"),
])
@pytest.mark.parametrize("size", [(48, 64), (192, 256)])  # a small film has more bits a pixel
def test_films_tell_by_codec_and_bits_a_pixel(tmp_path, name, codec, crf, kind, size):
    options = {"crf": crf, **({"x265-params": "log-level=none"} if codec == "libx265" else {})}
    photo = imresize(astronaut(), scale=0.5)
    pan = [photo[n:n + size[0], :size[1]] for n in range(30)]
    write_video(tmp_path / name, pan, codec=codec, options=options)
    found = source_of(tmp_path / name, True)
    assert found.kind == kind
    assert found.reason.startswith({"libx264": "h264, ", "libx265": "hevc, "}[codec])
    assert found.reason.endswith(" bits a pixel")


def test_a_film_without_loss_is_clean(tmp_path):
    write_video(tmp_path / "a.mkv", codec="ffv1")
    assert source_of(tmp_path / "a.mkv", True) == ("clean", "ffv1, without loss")


@pytest.mark.parametrize("video", [False, True])
def test_what_does_not_tell_is_clean(tmp_path, video):
    (tmp_path / "a.mp4").write_bytes(b"nothing")
    assert source_of(tmp_path / "a.mp4", video).kind == "clean"
    assert source_of("-", True).kind == "clean"


def test_a_quality_is_that_of_the_networks_for_the_source():
    files = [entry(name, scale, ending) for name in ("elsr-y", "elsr-m") for scale in (2, 4)
             for ending in ("", "-compressed")] + [entry("elsr-l"), entry("elsr-y", 4, "-aliased")]

    def stems(quality, source):
        return {scale: path.stem for scale, path in zoo.of_quality(files, quality, source).items()}

    assert stems("best", "clean") == {2: "elsr-m_x2", 4: "elsr-l_x4"}
    assert stems("best", "compressed") == {2: "elsr-m-compressed_x2", 4: "elsr-m-compressed_x4"}
    assert stems("fast", "compressed") == {2: "elsr-y-compressed_x2", 4: "elsr-y-compressed_x4"}
    assert stems("best", "aliased") == {4: "elsr-y-aliased_x4"}
    with pytest.raises(InputError, match="of clean, compressed, jpeg, aliased but got 'old'"):
        zoo.of_quality(files, "best", "old")


def test_where_no_network_ships_for_a_source_that_for_clean_ones_is_taken():
    assert zoo.of_quality([entry("elsr-y")], "fast", "compressed") == {
        4: Path("elsr-y_x4.safetensors")}


@pytest.mark.parametrize("name, options, network, why", [
    ("a.jpg", {"quality": 60}, "elsr-m-jpeg", "source jpeg: JPEG of quality 60"),
    ("a.png", {}, "elsr-m", "source clean: PNG, without lossy compression"),
    ("aliased.png", {}, "elsr-y-aliased", "source aliased: PNG, without lossy compression; its "
                                          "pixels look as if it was shrunk without a filter"),
])
def test_the_command_takes_the_networks_for_what_a_picture_is_and_says_why(
        here, capsys, name, options, network, why):
    (ALIASED if name == "aliased.png" else PHOTO).save(name, **options)
    assert main([name, "-o", "out.png", *NUMPY]) == 0
    said = capsys.readouterr().err
    assert f"{network}_x2.safetensors" in said
    assert sum(why in line for line in said.splitlines()) == 1


def test_a_folder_of_both_kinds_takes_both_networks(here, capsys):
    Path("in").mkdir()
    PHOTO.save("in/a.jpg", quality=60)
    PHOTO.save("in/b.png")
    assert main(["in", "-o", "out", *NUMPY, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {engine["model"] for engine in found["engines"]} == {"elsr-m-jpeg", "elsr-m"}
    assert [item["source"].partition(":")[0] for item in found["items"]] == ["jpeg", "clean"]


@pytest.mark.parametrize("source, network", [("clean", "elsr-m"), ("aliased", "elsr-y-aliased"),
                                             ("compressed", "elsr-m-compressed"),
                                             ("jpeg", "elsr-m-jpeg")])
def test_a_source_that_is_named_goes_before_what_the_file_tells(here, capsys, source, network):
    PHOTO.save("a.jpg", quality=60)
    assert main(["a.jpg", "-o", "out.png", *NUMPY, "--source", source]) == 0
    said = capsys.readouterr().err
    assert f"{network}_x2.safetensors" in said and "; source" not in said


def test_a_film_is_made_by_a_network_for_its_source_whose_name_repeats_it(here, capsys):
    write_video("a.mp4", options={"crf": "40"})
    assert main(["a.mp4", "-o", "out.mp4", *NUMPY]) == 0
    said = capsys.readouterr().err
    assert "a.mp4: source compressed: h264" in said
    name = said.rpartition("chosen: --model ")[2].split()[0]
    assert name in ("elsr-y-compressed", "elsr-m-compressed")
    assert main(["a.mp4", "-o", "again.mp4", *NUMPY, "--model", name]) == 0
    assert f"{name}_x2.safetensors" in capsys.readouterr().err


def test_a_run_that_is_continued_keeps_its_network_for_the_source(here):
    Path("out.mp4.parts").mkdir()
    manifest = {"network": {"model": "elsr-y-compressed", "scale": 2}}
    Path("out.mp4.parts/manifest.json").write_text(json.dumps(manifest))
    upscalers = {"fast": "the fast one", "best": "the best one"}
    found = choose_for_film("a.mp4", "out.mp4", upscalers, VideoOptions(), [].append, "compressed")
    assert found == ("the fast one", "elsr-y-compressed")


@pytest.mark.parametrize("name", [["--model", "elsr-y"], ["--weights", "a.safetensors"]])
def test_a_source_beside_a_network_is_refused(here, name):
    with pytest.raises(InputError, match="names a network, whatever the source"):
        main(["a.png", "-o", "b.png", "--source", "compressed", *name])


def test_in_python_files_tell_their_source_and_pictures_in_memory_are_clean(here, caplog):
    PHOTO.save("a.jpg", quality=60)
    with caplog.at_level(logging.INFO, "elsr_paddle"):
        upscale("a.jpg", "out.png", engine="numpy")
    assert "source jpeg: JPEG of quality 60" in caplog.text
    decoded = np.array(Image.open("a.jpg"))
    told = np.array(Image.open("out.png"))
    with Image.open("a.jpg") as picture:
        taken = deblocked(decoded, luma_steps(picture))
    np.testing.assert_array_equal(told, upscale(taken, model="elsr-m-jpeg", engine="numpy"))
    np.testing.assert_array_equal(told, upscale(taken, kind="jpeg", engine="numpy"))
    np.testing.assert_array_equal(told, upscale(Image.open("a.jpg"), kind="jpeg", engine="numpy"))
    np.testing.assert_array_equal(upscale(decoded, engine="numpy"),
                                  upscale(decoded, model="elsr-m", engine="numpy"))
    with pytest.raises(InputError, match="a model or a kind of source but got both"):
        upscale(decoded, model="elsr-m", kind="compressed")


def test_an_engine_is_loaded_for_a_source(here):
    engine = load_engine(quality="best", source="compressed", scale=2, engine="numpy")
    assert engine.model_name == "elsr-m-compressed"
    with pytest.raises(InputError, match="names a network, whatever the source"):
        load_engine("elsr-y", source="compressed")
