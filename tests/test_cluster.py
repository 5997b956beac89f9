"""Films and pictures over a Ray cluster: the same as by one process, whoever dies on the way."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from odd_films import differing
from PIL import Image
from video_files import make_film, needs_ffmpeg

from elsr_paddle.engines.choose import make_engine
from elsr_paddle.engines.engine import EngineOptions
from elsr_paddle.enlarge.batch import plan_jobs
from elsr_paddle.enlarge.cluster import Work, run_on_cluster
from elsr_paddle.enlarge.parts import Parts
from elsr_paddle.enlarge.sizes import Target, Upscaler
from elsr_paddle.enlarge.video import transcode
from elsr_paddle.networks.weights import read
from elsr_paddle.video.encoder import VideoOptions

pytest.importorskip("ray", reason="needs Ray: pip install 'elsr-paddle[ray]'")
pytestmark = [needs_ffmpeg, pytest.mark.filterwarnings("ignore::ResourceWarning")]
SECONDS = 6


def test_where_no_cluster_runs_one_line_says_how_to_start_one(tmp_path, run_python, film):
    done = run_python("-m", "elsr_paddle", film, "-o", tmp_path / "out.mkv", "--ray", "auto")
    assert done.returncode == 2
    last = done.stderr.splitlines()[-1]
    assert last.startswith("error: no Ray cluster at auto: start one with `ray start --head`")


@pytest.fixture(scope="module")
def cluster():
    """Three machines of one core each, which are processes here."""
    from ray.cluster_utils import Cluster

    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(Path.cwd()), before)))
    machines = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    machines.add_node(num_cpus=1)
    machines.add_node(num_cpus=1)
    yield machines
    machines.shutdown()


@pytest.fixture
def film(tmp_path):
    return make_film(tmp_path / "a.mkv", "-g", 20, b_frames=2, sound="aac", seconds=SECONDS)


@pytest.fixture
def work(nearest_weights):
    return Work(((2, nearest_weights.read_bytes()),), EngineOptions("numpy", threads=1), Target(2),
                2**24, VideoOptions(codec="ffv1", segment=1, threads=1))


@pytest.fixture
def upscaler(nearest_weights):
    options = EngineOptions("numpy", threads=1)
    return Upscaler(lambda scale: make_engine(read(nearest_weights), options), (2,), Target(2),
                    2**24)


class Counting:
    """A progress bar that calls what was planned for its first, second, ... step."""

    def __init__(self, *plans):
        self.steps, self._plans = 0, plans

    def update(self, count):
        if count and self.steps < len(self._plans):
            self._plans[self.steps]()
        self.steps += bool(count)


def kill_a_worker():
    """SIGKILL for a process of Ray's that makes segments."""
    found = subprocess.run(["pgrep", "-f", "ray::make_segments"], capture_output=True, text=True)
    os.kill(int(found.stdout.split()[0]), signal.SIGKILL)


@pytest.mark.skipif(sys.platform == "win32", reason="needs pgrep")
def test_a_process_and_a_machine_may_die_and_the_film_is_whole(tmp_path, cluster, film, work,
                                                               upscaler):
    transcode(film, tmp_path / "one.mkv", upscaler, **vars(work.video))
    Image.fromarray(np.zeros((9, 12, 3), np.uint8)).save(tmp_path / "b.png")
    dying = cluster.add_node(num_cpus=1)
    bar = Counting(kill_a_worker, lambda: cluster.remove_node(dying, allow_graceful=False))
    jobs = plan_jobs([film, tmp_path / "b.png"], tmp_path / "out")
    results = list(run_on_cluster(jobs, upscaler, work, address=cluster.address, bar=bar))
    assert [(result.status, result.error) for result in results] == [("done", "")] * 2
    assert bar.steps == SECONDS + 1
    assert differing(tmp_path / "one.mkv", tmp_path / "out" / "a.mkv") == []
    assert Image.open(tmp_path / "out" / "b.png").size == (24, 18)
    assert not Parts(tmp_path / "out" / "a.mkv").folder.exists()


def test_a_run_goes_on_without_ray_and_with_it(tmp_path, cluster, film, work, upscaler):
    def stop():
        raise KeyboardInterrupt

    transcode(film, tmp_path / "one.mkv", upscaler, **vars(work.video))
    jobs = plan_jobs([film], tmp_path / "out.mkv")
    with pytest.raises(KeyboardInterrupt):
        list(run_on_cluster(jobs, upscaler, work, address=cluster.address,
                            bar=Counting(lambda: None, stop)))
    there = len(Parts(tmp_path / "out.mkv").whole())
    assert there >= 2
    outcome = transcode(film, tmp_path / "out.mkv", upscaler, **vars(work.video))
    assert (outcome.kept, outcome.segments) == (there, SECONDS)
    assert differing(tmp_path / "one.mkv", tmp_path / "out.mkv") == []


def test_inputs_may_be_shipped_and_clocks_that_jump_are_followed(tmp_path, cluster, work, upscaler):
    once = make_film(tmp_path / "once.ts", codec="mpeg2video", sound="mp2", b_frames=2)
    source = tmp_path / "twice.ts"
    source.write_bytes(once.read_bytes() * 2)
    one = transcode(source, tmp_path / "one.mkv", upscaler, **vars(work.video))
    jobs = plan_jobs([source], tmp_path / "out.mkv")
    (result,) = run_on_cluster(jobs, upscaler, work, address=cluster.address, ship=True)
    assert (result.status, result.outcome.warnings) == ("done", one.warnings)
    assert differing(tmp_path / "one.mkv", tmp_path / "out.mkv") == []


def test_what_cannot_be_enlarged_fails_alone(tmp_path, cluster, film, work, upscaler):
    (tmp_path / "b.png").write_bytes(b"no picture")
    jobs = plan_jobs([tmp_path / "b.png", film], tmp_path / "out")
    found = list(run_on_cluster(jobs, upscaler, replace(work, video=VideoOptions(threads=1)),
                                address=cluster.address))
    assert sorted(result.status for result in found) == ["done", "failed"]
    (error,) = (result.error for result in found if result.status == "failed")
    assert "b.png" in error and "\n" not in error
