"""The command: inputs to outputs, exit statuses, the report, resuming, being killed."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image
from skimage.data import astronaut

from elsr_paddle.commands import progress
from elsr_paddle.commands.enlarge import main
from elsr_paddle.commands.main import COMMANDS
from elsr_paddle.enlarge.batch import Job, plan_jobs
from elsr_paddle.errors import InputError
from elsr_paddle.networks import zoo

PHOTO = Image.fromarray(astronaut()[40:88, 190:254])  # 64x48


@pytest.fixture
def upscale(nearest_weights, monkeypatch, capsys):
    """Runs the command in this process with the weights of nearest neighbours."""

    def run(*arguments):
        status = main([*map(str, arguments), "--weights", str(nearest_weights)])
        return status, capsys.readouterr()

    return run


def tree(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*")
                  if path.is_file())


def size_of(path):
    with Image.open(path) as picture:
        picture.load()
        return picture.size


def folder_of_pictures(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        PHOTO.save(folder / name)
    return folder


def write_video(path, count):
    photo = astronaut()
    with av.open(str(path), "w") as file:
        stream = file.add_stream("mpeg4", rate=25)
        stream.width, stream.height = 64, 48
        for number in range(count):
            image = np.ascontiguousarray(photo[number % 400:number % 400 + 48, 100:164])
            file.mux(stream.encode(av.VideoFrame.from_ndarray(image, "rgb24")))
        file.mux(stream.encode(None))
    return path


# From inputs to outputs

def test_names_and_folders_are_kept_in_natural_order(tmp_path):
    source = folder_of_pictures(tmp_path / "in", "b/10.png", "b/9.png", "a.jpg", ".hidden.png")
    (source / "notes.txt").write_text("no picture")
    out = tmp_path / "out"
    assert plan_jobs([source], out) == [
        Job(source / "a.jpg", out / "a.jpg", False),
        Job(source / "b" / "9.png", out / "b" / "9.png", False),
        Job(source / "b" / "10.png", out / "b" / "10.png", False),
    ]


def test_a_suffix_that_cannot_be_written_is_followed_by_png_or_mkv(tmp_path):
    for name in ("a.png", "a.psd", "b.avi", "b.mkv"):
        (tmp_path / name).touch()
    jobs = plan_jobs([tmp_path], tmp_path / "out")
    assert [job.output.name for job in jobs] == ["a.png", "a.psd.png", "b.avi.mkv", "b.mkv"]


def test_an_output_folder_inside_the_input_is_not_read_again(tmp_path):
    folder_of_pictures(tmp_path, "a.png", "out/a.png")
    assert [job.source for job in plan_jobs([tmp_path], tmp_path / "out")] == [tmp_path / "a.png"]


def test_what_a_killed_run_left_over_is_no_input(tmp_path):
    folder_of_pictures(tmp_path, "a.png", ".b.partial.png", ".c.partial.tif")
    assert [job.source.name for job in plan_jobs([tmp_path], tmp_path / "out")] == ["a.png"]


def test_several_inputs_go_into_a_folder_that_is_named_like_a_file(tmp_path):
    folder_of_pictures(tmp_path, "a.png", "b.png")
    (tmp_path / "both.png").mkdir()
    jobs = plan_jobs([tmp_path / "a.png", tmp_path / "b.png"], tmp_path / "both.png")
    assert [job.output.name for job in jobs] == ["a.png", "b.png"]


def test_two_inputs_with_one_output_are_refused(tmp_path):
    folder_of_pictures(tmp_path, "x/a.png", "y/a.png")
    with pytest.raises(InputError, match="would both become"):
        plan_jobs([tmp_path / "x", tmp_path / "y"], tmp_path / "out")


@pytest.mark.parametrize("output", ["a.png", "link.png", "."])
def test_an_output_that_is_an_input_is_refused(tmp_path, output):
    folder_of_pictures(tmp_path, "a.png")
    (tmp_path / "link.png").symlink_to(tmp_path / "a.png")
    with pytest.raises(InputError, match="is an input itself"):
        plan_jobs([tmp_path / "a.png"], tmp_path / output)


@pytest.mark.parametrize("inputs, output, message", [
    (["missing.png"], "out.png", "no such file or folder"),
    (["empty"], "out", "no pictures or videos in"),
    (["a.png", "b.png"], "c.png", "c.png is a file"),
    (["a.png", "b.png"], "both.png", "both.png names a file; leave .png out"),
    (["a.png", "b.png"], "both.MP4", "both.MP4 names a file; leave .MP4 out"),
    (["."], "all.png", "all.png names a file; leave .png out"),
    (["a.png"], "out.xyz", "expected an output that ends in one of .png"),
    (["v.mp4"], "out.png", "is a video, and cannot become out.png"),
])
def test_inputs_and_outputs_that_do_not_fit_are_refused(tmp_path, inputs, output, message):
    folder_of_pictures(tmp_path, "a.png", "b.png", "c.png")
    (tmp_path / "empty").mkdir()
    (tmp_path / "v.mp4").touch()
    with pytest.raises(InputError, match=message):
        plan_jobs([tmp_path / name for name in inputs], tmp_path / output)


# The command

def test_a_picture_becomes_larger_and_the_engine_is_named(tmp_path, upscale):
    folder_of_pictures(tmp_path, "a.png")
    status, said = upscale(tmp_path / "a.png", "-o", tmp_path / "out.png")
    assert status == 0 and said.out == ""
    assert said.err.startswith("engine ") and "elsr x2" in said.err
    expected = np.asarray(PHOTO).repeat(2, 0).repeat(2, 1)
    np.testing.assert_allclose(np.asarray(Image.open(tmp_path / "out.png"), int), expected, atol=1)


def test_pictures_animations_and_videos_go_through_one_command(tmp_path, upscale):
    source = folder_of_pictures(tmp_path / "in", "a.png")
    write_video(source / "clip.mp4", 5)
    PHOTO.save(source / "moving.gif", save_all=True, append_images=[PHOTO.rotate(90)])
    status, said = upscale(source, "-o", tmp_path / "out", "--scale", "1.5", "--json")
    report = json.loads(said.out)
    assert status == 0
    assert [(Path(item["output"]).name, item["width"], item["height"], item["frames"])
            for item in report["items"]] == [
        ("a.png", 96, 72, 1), ("moving.gif", 96, 72, 2), ("clip.mp4", 96, 72, 5)]
    assert (report["done"], report["skipped"], report["failed"]) == (3, 0, 0)
    assert report["engines"][0]["scale"] == 2


def test_a_gif_becomes_a_video_when_the_output_is_one(tmp_path, upscale):
    PHOTO.save(tmp_path / "a.gif", save_all=True, append_images=[PHOTO.rotate(90)], duration=100)
    assert upscale(tmp_path / "a.gif", "-o", tmp_path / "a.mp4")[0] == 0
    with av.open(str(tmp_path / "a.mp4")) as file:
        assert len(list(file.decode(video=0))) == 2


def test_some_failures_are_status_1_and_all_are_status_2(tmp_path, upscale):
    source = folder_of_pictures(tmp_path / "in", "good.png")
    (source / "bad.png").write_bytes(b"not a picture")
    (source / "bad.mp4").write_bytes(b"not a video")
    status, said = upscale(source, "-o", tmp_path / "out", "--json")
    assert status == 1
    assert {Path(item["input"]).name: item["status"] for item in json.loads(said.out)["items"]} == {
        "good.png": "done", "bad.png": "failed", "bad.mp4": "failed"}
    assert said.err.count("error: ") == 2
    assert tree(tmp_path / "out") == ["good.png"]
    (source / "good.png").unlink()
    assert upscale(source, "-o", tmp_path / "none")[0] == 2


def test_what_is_done_is_skipped_and_what_is_missing_made(tmp_path, upscale):
    source = folder_of_pictures(tmp_path / "in", "a.png", "b.png")
    upscale(source, "-o", tmp_path / "out")
    (tmp_path / "out" / "b.png").unlink()
    before = (tmp_path / "out" / "a.png").stat().st_mtime_ns
    status, said = upscale(source, "-o", tmp_path / "out", "--json")
    report = json.loads(said.out)
    assert (status, report["done"], report["skipped"]) == (0, 1, 1)
    assert (tmp_path / "out" / "a.png").stat().st_mtime_ns == before
    assert "exists, skipped" in said.err


def test_an_existing_file_is_replaced_only_with_overwrite(tmp_path, upscale):
    folder_of_pictures(tmp_path, "a.png", "out.png")
    before = (tmp_path / "out.png").read_bytes()
    with pytest.raises(InputError, match="out.png exists; give --overwrite"):
        upscale(tmp_path / "a.png", "-o", tmp_path / "out.png")
    assert (tmp_path / "out.png").read_bytes() == before
    assert upscale(tmp_path / "a.png", "-o", tmp_path / "out.png", "--overwrite")[0] == 0
    assert size_of(tmp_path / "out.png") == (128, 96)


def test_a_failed_overwrite_leaves_the_old_file(tmp_path, upscale):
    folder_of_pictures(tmp_path, "out.png")
    (tmp_path / "a.png").write_bytes(b"not a picture")
    before = (tmp_path / "out.png").read_bytes()
    assert upscale(tmp_path / "a.png", "-o", tmp_path / "out.png", "--overwrite")[0] == 2
    assert (tmp_path / "out.png").read_bytes() == before


def test_a_name_that_looks_like_no_picture_is_read_by_its_content(tmp_path, upscale):
    PHOTO.save(tmp_path / "a.png")
    (tmp_path / "a.png").rename(tmp_path / "scan.0001")
    assert upscale(tmp_path / "scan.0001", "-o", tmp_path / "out.png")[0] == 0


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such names")
@pytest.mark.parametrize("name", ["12:30 %03d.mp4", "-čaj ☕'\".mp4", "a#b?c=d.mp4", "n\nl.png"])
def test_any_name_is_a_name(tmp_path, upscale, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    Path("out").mkdir()
    if name.endswith("png"):
        PHOTO.save(name)
    else:
        write_video(Path("v.mp4"), 2)
        Path("v.mp4").rename(name)
    assert upscale(Path.cwd() / name if name.startswith("-") else name, "-o", "out")[0] == 0
    assert tree(Path("out")) == [name]


def test_a_size_beyond_the_network_fails_with_a_way_out(tmp_path, upscale):
    folder_of_pictures(tmp_path, "a.png")
    status, said = upscale(tmp_path / "a.png", "-o", tmp_path / "out.png", "--size", "640x480")
    assert status == 2
    assert "64x48 to 640x480 is x10 but the largest network is x2" in said.err


def test_a_bomb_names_the_flag_that_lets_it_pass(tmp_path, upscale):
    folder_of_pictures(tmp_path, "a.png")
    arguments = (tmp_path / "a.png", "-o", tmp_path / "out.png", "--max-pixels")
    status, said = upscale(*arguments, 12287)
    assert status == 2 and "12,288 pixels but the limit is 12,287" in said.err
    assert upscale(*arguments, 12288)[0] == 0


@pytest.mark.parametrize("arguments", [
    ["--scale", "0"], ["--scale", "nan"], ["--size", "10"], ["--size", "0x9"], ["--crf", "x"],
    ["--scale", "2", "--fit", "9x9"], ["--threads", "0"], ["--compare", "diagonal"],
])
def test_bad_usage_is_one_line_that_names_the_flag(tmp_path, upscale, arguments):
    folder_of_pictures(tmp_path, "a.png")
    with pytest.raises(InputError, match=f"{arguments[0]}.*--help lists the options") as caught:
        upscale(tmp_path / "a.png", "-o", tmp_path / "out.png", *arguments)
    assert "\n" not in str(caught.value)
    assert tree(tmp_path) == ["a.png"]


def test_the_shipped_network_is_taken_for_each_scale(tmp_path, monkeypatch, nearest_weights,
                                                     capsys):
    folder_of_pictures(tmp_path, "a.png")
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "elsr_x2.safetensors").write_bytes(nearest_weights.read_bytes())
    (tmp_path / "weights" / "elsr_x3.safetensors").write_bytes(b"damaged")
    monkeypatch.setattr(zoo, "SHIPPED", tmp_path / "weights")
    monkeypatch.chdir(tmp_path)
    assert main(["a.png", "-o", "out.png", "--model", "elsr"]) == 0
    assert size_of("out.png") == (128, 96)
    said = capsys.readouterr().err
    assert "elsr_x2.safetensors" in said
    assert re.search("warning: .*elsr_x3.safetensors is damaged", said)


@pytest.mark.parametrize("scale, size", [("1.5", (96, 72)), ("2", (128, 96)), ("4", (256, 192))])
def test_a_network_of_x4_alone_serves_the_smaller_scales_too(tmp_path, monkeypatch, save_nearest,
                                                             capsys, scale, size):
    folder_of_pictures(tmp_path, "a.png")
    save_nearest(tmp_path / "weights/elsr-aliased_x4.safetensors", degradation="opencv_cubic")
    monkeypatch.setattr(zoo, "SHIPPED", tmp_path / "weights")
    monkeypatch.chdir(tmp_path)
    arguments = ["--model", "elsr-aliased", "--scale", scale]
    assert main(["a.png", "-o", "out.png", *arguments]) == 0
    assert size_of("out.png") == size
    assert "elsr-aliased_x4.safetensors" in capsys.readouterr().err


def test_nothing_trained_and_nothing_shipped_says_how_to_train(tmp_path, monkeypatch):
    folder_of_pictures(tmp_path, "a.png")
    monkeypatch.setattr(zoo, "SHIPPED", tmp_path / "weights")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="train it: elsr train --model elsr-y"):
        main(["a.png", "-o", "out.png"])


def test_a_model_that_does_not_exist_is_told_with_those_that_do(tmp_path):
    folder_of_pictures(tmp_path, "a.png")
    with pytest.raises(InputError, match="a model of elsr, .* but got 'elsr-typo'; `elsr models`"):
        main([str(tmp_path / "a.png"), "-o", str(tmp_path / "b.png"), "--model", "elsr-typo"])


@pytest.mark.parametrize("scale", ["2", "2x", "x2", "X2.0"])
def test_a_scale_is_understood_as_people_write_it(tmp_path, upscale, scale):
    folder_of_pictures(tmp_path, "a.png")
    assert upscale(tmp_path / "a.png", "-o", tmp_path / "out.png", "--scale", scale)[0] == 0
    assert size_of(tmp_path / "out.png") == (128, 96)


def test_options_of_films_are_refused_where_there_is_none(tmp_path, upscale):
    folder_of_pictures(tmp_path, "a.png")
    with pytest.raises(InputError, match="expected a film for --crf and --preset"):
        upscale(tmp_path / "a.png", "-o", tmp_path / "b.png", "--crf", "9", "--preset", "slow")


def test_the_command_runs_in_a_thread(tmp_path, nearest_weights):
    folder_of_pictures(tmp_path, "a.png")
    arguments = [tmp_path / "a.png", "-o", tmp_path / "out.png", "--weights", nearest_weights]
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(main, [*map(str, arguments)]).result() == 0


def test_progress_is_json_for_scripts(tmp_path, upscale):
    write_video(tmp_path / "clip.mp4", 5)
    _, said = upscale(tmp_path / "clip.mp4", "-o", tmp_path / "out.mp4", "--progress", "json",
                      "--json")
    *lines, report = map(json.loads, said.out.splitlines())
    assert lines[0]["event"] == "progress"
    assert (lines[0]["name"], lines[0]["total"], lines[0]["unit"]) == ("clip.mp4", 5, "frames")
    assert report["done"] == 1


def test_without_a_terminal_a_line_comes_every_few_seconds(capsys, monkeypatch):
    monkeypatch.setattr(progress, "SECONDS", 0)
    for _ in progress.bar(range(3), desc="film", unit="frames", total=3):
        time.sleep(0.02)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) >= 2
    assert re.fullmatch(r"film: [23]/3 frames, .* frames/s, 00:00 left", lines[-1])


@pytest.mark.parametrize("arguments, words", [
    (["--version"], "elsr-paddle"), (["--help"], "Other commands"), (["models"], "elsr-y-aliased"),
    (["info", "elsr"], "conv 3x3, 6 to 48"), (["info", "elsr", "--json"], '"model": "elsr"'),
    *((([name, "--help"]), "usage: elsr") for name in COMMANDS),
])
def test_the_package_runs_as_the_command(arguments, words, run_python):
    done = run_python("-m", "elsr_paddle", *arguments)
    assert done.returncode == 0, done.stderr
    assert words in done.stdout


# As processes

def command(root, *arguments, **options):
    return subprocess.Popen([sys.executable, root / "upscale.py", *map(str, arguments)],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


def wait_for(condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
@pytest.mark.parametrize("number, status", [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
@pytest.mark.parametrize("segment, half", [
    (0, ".out.partial.mkv"), (100, "out.mkv.parts/.000000.partial.nut")])
def test_a_signal_in_mid_video_leaves_no_half_file(tmp_path, root, nearest_weights, number,
                                                   status, segment, half):
    source = write_video(tmp_path / "long.mkv", 6000)
    process = command(root, source, "-o", tmp_path / "out.mkv", "--weights", nearest_weights,
                      "--preset", "medium", "--segment", segment)
    half = tmp_path / half
    wait_for(lambda: half.exists() and half.stat().st_size > 50_000)
    process.send_signal(number)
    said = process.communicate(timeout=120)[1]
    assert process.returncode == status, said
    assert [path.name for path in tmp_path.iterdir()] == ["long.mkv"]


# The command with AVIF's encoder at its slowest, minutes for one call, which tells that it begins.
SLOW_AVIF = """
from PIL import AvifImagePlugin, Image
from elsr_paddle.commands.main import entry
from elsr_paddle.enlarge.suffixes import FORMATS
def save(picture, *arguments):
    picture.encoderinfo["speed"] = 0
    print("encoding", flush=True)
    AvifImagePlugin._save(picture, *arguments)
Image.init()
Image.register_save("AVIF", save)
entry()
"""


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
@pytest.mark.parametrize("number, status", [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_in_a_call_of_minutes_ends_the_run_and_leaves_no_file(
        tmp_path, root, nearest_weights, number, status):
    pytest.importorskip("PIL._avif", reason="Pillow without AVIF")
    noise = np.random.default_rng(0).integers(0, 256, (1536, 2048, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.png", compress_level=0)
    process = subprocess.Popen([sys.executable, "-c", SLOW_AVIF, tmp_path / "a.png", "-o",
                                tmp_path / "out.avif", "--weights", nearest_weights], cwd=root,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "encoding\n"
        process.send_signal(number)
        said = process.communicate(timeout=120)[1]
    finally:
        process.kill()
    assert process.returncode == status, said
    assert tree(tmp_path) == ["a.png"]


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_a_batch_killed_outright_is_resumed_by_the_same_command(tmp_path, root, nearest_weights):
    source = folder_of_pictures(tmp_path / "in", *(f"{n}.png" for n in range(3)))
    large = Image.fromarray(np.random.default_rng(0).integers(0, 256, (500, 500, 3), np.uint8))
    for number in range(3, 9):
        large.save(source / f"{number}.png", compress_level=0)
    arguments = (source, "-o", tmp_path / "out", "--weights", nearest_weights)
    process = command(root, *arguments)
    wait_for(lambda: (tmp_path / "out" / "3.png").exists())
    process.kill()
    process.communicate()
    finished = [name for name in tree(tmp_path / "out") if not name.startswith(".")]
    assert 4 <= len(finished) < 9
    for name in finished:
        size_of(tmp_path / "out" / name)
    process = command(root, *arguments, "--json")
    report = json.loads(process.communicate()[0])
    assert process.returncode == 0
    assert (report["skipped"], report["done"]) == (len(finished), 9 - len(finished))
    assert tree(tmp_path / "out") == [f"{n}.png" for n in range(9)]


@pytest.mark.parametrize("options", [("--model", "elsr", "--scale", "1.5"),
                                     ("--model", "elsr-y", "--size", "96x72", "--compare", "side"),
                                     ("--json",)])  # fmt: skip
def test_it_runs_with_the_core_packages_and_halide_alone(tmp_path, root, nearest_weights, options):
    pytest.importorskip("halide", reason="needs an engine that is not Paddle")
    source = folder_of_pictures(tmp_path / "in", "a.png")
    PHOTO.save(source / "b.gif", save_all=True, append_images=[PHOTO.rotate(90)])
    write_video(source / "c.mp4", 3)
    hidden = ["paddle", "openvino", "onnxruntime", "onnx", "cv2", "h5py", "matplotlib", "skimage",
              "scipy"]
    code = (f"import sys; sys.modules.update(dict.fromkeys({hidden}))\n"
            "from elsr_paddle.commands.main import entry; entry()")
    weights = () if "--model" in options else ("--weights", nearest_weights)
    done = subprocess.run([sys.executable, "-c", code, source, "-o", tmp_path / "out", *options,
                           *weights], cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert tree(tmp_path / "out") == ["a.png", "b.gif", "c.mp4"]


@pytest.mark.skipif(os.name == "nt", reason="limits of POSIX")
@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".png"])
def test_a_full_disk_is_one_line_and_no_file(
    tmp_path, tmp_path_factory, root, nearest_weights, suffix
):
    noise = np.random.default_rng(0).integers(0, 256, (300, 300, 3), np.uint8)
    source = tmp_path / f"a{suffix}"
    quality = ()
    if suffix == ".png":
        Image.fromarray(noise).save(source)
    else:
        quality = ("--crf", "4", "--segment", "0")
        write_video(source, 600)
    # A limit on the size of a file fails as a full disk does, in the middle of a write.
    code = ("import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
            "from elsr_paddle.commands.main import entry; entry()")
    done = subprocess.run([sys.executable, "-c", code, source, "-o", tmp_path / f"out{suffix}",
                           "--weights", nearest_weights, *quality], cwd=root,
                          env={**os.environ,  # nor has it room for a kernel that was just compiled
                               "XDG_CACHE_HOME": str(tmp_path_factory.mktemp("cache"))},
                          capture_output=True, text=True)
    assert done.returncode == 2
    assert "File too large" in done.stderr.splitlines()[-1]
    assert tree(tmp_path) == [source.name]


def test_help_needs_no_library(root):
    code = ("import sys; sys.modules.update(dict.fromkeys(['numpy', 'av', 'PIL', 'cv2', 'tqdm']));"
            "from elsr_paddle.commands.enlarge import main; main(['--help'])")
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Exit status" in done.stdout
