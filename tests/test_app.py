"""The page of `elsr app`: served by a real process, driven in a real browser."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from video_files import make_film, needs_ffmpeg, write_video

from elsr_paddle.errors import InputError

pytest.importorskip("gradio", reason="needs gradio, which the extra `app` brings")
pytestmark = pytest.mark.xdist_group("app")  # one server and one browser for all tests
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
ROOT = Path(__file__).parent.parent
SECRET = "a file of the machine that is nobody's business"
IN_A_THREAD = ("import sys, threading\n"
               "from elsr_paddle.commands.app import main\n"
               "thread = threading.Thread(target=main, args=(sys.argv[1:],))\n"
               "thread.start(); thread.join()")


class Served:
    """A process that serves the page: its address, and the folder of its temporary files."""

    def __init__(self, folder, *command, **environment):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = str(free.getsockname()[1])
        self.folder = folder
        self._process = subprocess.Popen(
            [sys.executable, *command], cwd=folder, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(folder),
                 "GRADIO_SERVER_PORT": port, **environment})
        line = self._process.stdout.readline()
        self.url = re.search(r"http://[\d.:]+", line)[0]
        assert self.url.endswith(f":{port}")

    @property
    def uploads(self):
        """Files of visitors that are on the machine."""
        (folder,) = self.folder.glob("elsr-app-*/uploads")
        return [path for path in folder.rglob("*") if path.is_file()]

    def get(self, path):
        """(status, text) of a request."""
        try:
            with urllib.request.urlopen(f"{self.url}{path}", timeout=60) as reply:
                return reply.status, reply.read().decode(errors="replace")
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode(errors="replace")

    def post(self, path, data, kind="application/json"):
        """The reply to a request with a body."""
        request = urllib.request.Request(f"{self.url}{path}", data, {"Content-Type": kind})
        with urllib.request.urlopen(request, timeout=60) as reply:
            return json.loads(reply.read())

    def close(self):
        """End it as a service is ended."""
        self._process.terminate()
        self._process.wait()
        self._process.stdout.close()


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """The page, served from a thread that is not the main one."""
    page = Served(tmp_path_factory.mktemp("served"), "-c", IN_A_THREAD, "--max-file-size", "1",
                  "--max-pixels", str(2**24))
    yield page
    page.close()


@pytest.fixture(scope="module")
def browser():
    """Headless Chromium."""
    if not CHROMIUM:
        pytest.skip("needs chromium")
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def visit(browser, served):
    """Opens the page as one more visitor: visit(width), a Visit; checks them all at the end."""
    visits = []

    def open_page(width=1280):
        visits.append(Visit(browser, served.url, width))
        return visits[-1]

    yield open_page
    for one in visits:
        one.close()


class Visit:
    """One visitor's page, and whatever it says on its console or asks of other machines."""

    def __init__(self, browser, url, width):
        self._context = browser.new_context(viewport={"width": width, "height": 900})
        self._context.set_default_timeout(120_000)
        self.page = self._context.new_page()
        self.errors, self._hosts = [], set()
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", self._note)
        self.page.on("request", lambda one: self._hosts.add(urllib.parse.urlsplit(one.url).netloc))
        self._host = urllib.parse.urlsplit(url).netloc
        self.page.goto(url)
        self.page.wait_for_selector("#start")

    def _note(self, message):
        if message.type == "error":
            self.errors.append(message.text)

    def enlarge(self, path, **choices):
        """Upload a file, choose in the lists, by their names, and press the button."""
        for name, choice in choices.items():
            self.page.click(f"#{name} input")
            self.page.click(f"[role=option]:has-text('{choice}')")
        self.page.set_input_files("#upload input[type=file]", path)
        self.page.wait_for_selector(f"#upload :text('{path.stem}')")
        self.page.click("#start")

    def download(self):
        """The bytes behind the Download button."""
        self.page.wait_for_selector("#download:visible")
        with self.page.expect_download() as download:
            self.page.click("#download")
        return Path(download.value.path()).read_bytes()

    def message(self):
        """The text of gradio's message of an error."""
        return self.page.inner_text(".toast-body")

    def close(self):
        """Leave; nothing may have been asked of others, nor gone wrong in silence."""
        self._context.close()
        assert {host for host in self._hosts if host} == {self._host}
        assert self.errors == []


@pytest.fixture
def photo(tmp_path, noise):
    """A picture that is as wide as a phone."""
    rows = np.linspace(0, 200, 96, dtype=np.uint8)[:, None, None]
    Image.fromarray(rows + noise(96, 128, 3) // 8).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def by_command(source, output, *options, model=None):
    """The bytes that `elsr` writes; without a model by that of the page, for whatever source."""
    network = ("--model", model) if model else ("--quality", "fast")
    command = [sys.executable, "-m", "elsr_paddle", source, "-o", output, *network, *options]
    subprocess.run(command, check=True, cwd=ROOT, capture_output=True)
    return output.read_bytes()


@pytest.mark.parametrize("width", [390, 1280])
def test_a_picture_is_enlarged_as_by_the_command(visit, photo, tmp_path, width):
    visitor = visit(width)
    visitor.enlarge(photo)
    assert visitor.download() == by_command(photo, tmp_path / "large.png", "--scale", "2")
    assert "256 x 192" in visitor.page.inner_text("#told")
    assert visitor.page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("choices, network, told", [
    ({}, "elsr-y-jpeg", "source jpeg: JPEG of quality 60"),
    ({"source": "clean"}, "elsr-y", ""), ({"source": "aliased"}, "elsr-y-aliased", ""),
])
def test_the_network_is_that_for_the_source(visit, photo, tmp_path, choices, network, told):
    Image.open(photo).save(tmp_path / "photo.jpg", quality=60)
    visitor = visit()
    visitor.enlarge(tmp_path / "photo.jpg", **choices)
    assert visitor.download() == by_command(tmp_path / "photo.jpg", tmp_path / "large.jpg",
                                            "--scale", "2", model=network)
    said = visitor.page.inner_text("#told")
    assert told in said if told else "source" not in said


def test_the_slider_moves_over_two_pictures(visit, photo):
    visitor = visit()
    visitor.enlarge(photo)
    visitor.page.wait_for_function(
        "[...document.querySelectorAll('#slider img')].filter(one => one.naturalWidth).length >= 2")
    sizes = visitor.page.eval_on_selector_all("#slider img", "all => all.map(one => "
                                              "[one.naturalWidth, one.naturalHeight])")
    assert sizes[:2] == [[256, 192]] * 2
    box = visitor.page.locator("#slider .image-container").bounding_box()
    before = visitor.page.locator("#slider").screenshot()
    visitor.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    visitor.page.mouse.down()
    visitor.page.mouse.move(box["x"] + box["width"] / 4, box["y"] + box["height"] / 2, steps=5)
    visitor.page.mouse.up()
    assert visitor.page.locator("#slider").screenshot() != before


@needs_ffmpeg
def test_a_film_is_enlarged_and_plays(visit, tmp_path):
    film = make_film(tmp_path / "film.mp4", sound="aac")
    visitor = visit()
    visitor.enlarge(film, size="4 times")
    assert visitor.download() == by_command(film, tmp_path / "large.mp4", "--scale", "4")
    assert "256 x 192 pixels, 50 frames" in visitor.page.inner_text("#told")
    video = "document.querySelector('#film video')"
    visitor.page.wait_for_function(f"{video}.readyState >= 2")
    assert visitor.page.evaluate(f"[{video}.videoWidth, {video}.videoHeight]") == [256, 192]


@needs_ffmpeg
def test_a_visitor_can_stop_while_another_one_waits(visit, tmp_path, photo):
    film = make_film(tmp_path / "film.mp4", "-s", "640x360", "-crf", "45", seconds=60)
    first, second = visit(), visit(390)
    first.enlarge(film, size="4 times")
    first.page.wait_for_selector("#told:has-text('frames')")  # it works, and tells how far it is
    second.enlarge(photo)
    second.page.wait_for_selector("#told:has-text('Waiting'), #told:has-text('queue')")
    assert not second.page.is_visible("#download")
    first.page.click("#stop")
    first.page.wait_for_selector("#told:has-text('Stopped')")
    assert second.download()
    first.page.wait_for_selector("#start:enabled")
    assert not first.page.is_visible("#download")


def test_without_a_file_it_asks_for_one(visit):
    visitor = visit()
    visitor.page.click("#start")
    visitor.page.wait_for_selector("#told:has-text('Choose a picture or a film')")


@pytest.mark.parametrize(("name", "content", "expected"), [
    ("broken.png", b"no picture at all", "no picture or film that can be read"),
    ("broken.mp4", b"no film at all" * 99, "no film that can be read here"),
])
def test_what_is_broken_is_told_in_one_line(visit, tmp_path, name, content, expected):
    (tmp_path / name).write_bytes(content)
    visitor = visit()
    visitor.enlarge(tmp_path / name)
    visitor.page.wait_for_selector(".toast-body")
    assert expected in visitor.message()
    visitor.page.wait_for_selector("#start:enabled")


def test_a_picture_of_too_many_pixels_is_refused(visit, tmp_path):
    Image.new("1", (8000, 8000)).save(tmp_path / "huge.png")
    visitor = visit()
    visitor.enlarge(tmp_path / "huge.png")
    visitor.page.wait_for_selector(".toast-body")
    assert "256,000,000 pixels but the limit is 16,777,216" in visitor.message()


def test_a_file_above_the_limit_is_refused(visit, tmp_path, noise):
    Image.fromarray(noise(800, 800, 3)).save(tmp_path / "large.png")
    visitor = visit()
    visitor.page.set_input_files("#upload input[type=file]", tmp_path / "large.png")
    visitor.page.wait_for_selector(".toast-body")
    assert "1" in visitor.message()
    assert "size" in visitor.message()
    visitor.errors = [text for text in visitor.errors if "413" not in text]  # Chromium's own line


# What is not a visitor's

@pytest.fixture
def secret(served, tmp_path):
    """A file of the machine, and a link to it among the uploads."""
    (tmp_path / "secret.txt").write_text(SECRET)
    (uploads,) = served.folder.glob("elsr-app-*/uploads")
    link = uploads / "link.txt"
    link.symlink_to(tmp_path / "secret.txt")
    yield tmp_path / "secret.txt", link
    link.unlink()


@pytest.mark.parametrize("route", ["/gradio_api/file=", "/file=", "/gradio_api/file/", "/file/",
                                   "/gradio_api/static/", "/static/", "/assets/",
                                   "/gradio_api/proxy=", "/gradio_api/stream/"])
def test_no_file_of_the_machine_comes_out(served, secret, route):
    path, link = secret
    up = "../" * 20
    for name in (path, link, f"{link.parent}/{up}{path}", f"{up}{path}", f"file://{path}",
                 f"{link.parent}/%2e%2e/%2e%2e/%2e%2e{path}", f"{link}%00.png", f"//{path}"):
        status, text = served.get(f"{route}{name}")
        assert SECRET not in text
        assert status in (400, 403, 404, 405, 422, 500) or "<!doctype html>" in text.lower()


class Listener:
    """A server of another machine, as it were; `asked` tells whether somebody came."""

    def __init__(self):
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}/x.png"
        self.asked = threading.Event()
        threading.Thread(target=self._wait, daemon=True).start()

    def _wait(self):
        self._socket.accept()[0].close()
        self.asked.set()


def result_of(served, data):
    """What the page's work says to a made-up request."""
    config = json.loads(served.get("/config")[1])
    (number,) = (one["id"] for one in config["dependencies"] if len(one["inputs"]) == 4)
    session = f"made-up-{time.monotonic_ns()}"
    body = {"data": [data, "elsr-y", "2 times", "auto"], "fn_index": number,
            "session_hash": session}
    served.post("/gradio_api/queue/join", json.dumps(body).encode())
    with urllib.request.urlopen(f"{served.url}/gradio_api/queue/data?session_hash={session}",
                                timeout=60) as events:
        for line in events:
            if b"process_completed" in line:
                return json.loads(line.decode().removeprefix("data:"))
    return None


def test_a_made_up_request_gets_no_other_file(served, secret):
    listener = Listener()
    for path in (*map(str, secret), f"{secret[1].parent}/../../../../../..{secret[0]}",
                 listener.url, "https://example.org/x.png"):
        found = result_of(served, {"path": path, "meta": {"_type": "gradio.FileData"}})
        assert found["success"] is False
        assert SECRET not in json.dumps(found)
    assert not listener.asked.is_set()


def test_no_address_is_fetched(served):
    listener = Listener()
    for address in (listener.url, "https://example.org/"):
        for route in ("/gradio_api/file=", "/file=", "/gradio_api/proxy=", "/proxy="):
            assert served.get(f"{route}{address}")[0] == 404
    assert not listener.asked.is_set()


def test_uploads_are_removed_after_their_time(tmp_path, photo):
    page = Served(tmp_path, ROOT / "app.gradio.py", "--keep", "2")
    try:
        border = "border"
        body = (f'--{border}\r\nContent-Disposition: form-data; name="files"; filename="a.png"'
                "\r\n\r\n").encode() + photo.read_bytes() + f"\r\n--{border}--\r\n".encode()
        (path,) = page.post("/gradio_api/upload", body, f"multipart/form-data; boundary={border}")
        assert page.uploads == [Path(path)]
        assert page.get(f"/gradio_api/file={path}")[0] == 200
        end = time.monotonic() + 60
        while page.uploads and time.monotonic() < end:
            time.sleep(0.2)
        assert page.uploads == []
    finally:
        page.close()
    assert list(tmp_path.glob("elsr-app-*")) == []


# What is decoded of strangers

@pytest.fixture
def studio(tmp_path):
    """The work behind the button, without a page: studio(name, bytes) enlarges an upload."""
    from elsr_paddle.commands.app_page import Choices, Studio

    for name in ("uploads", "work"):
        (tmp_path / name).mkdir()

    def enlarge(path, model="elsr-y"):
        return Studio(tmp_path / "uploads", tmp_path / "work", 2**24).enlarge(
            path, tmp_path / "work", Choices(model, "2 times"), lambda done, total: None,
            threading.Event())

    enlarge.uploads = tmp_path / "uploads"
    return enlarge


def test_a_network_of_one_form_takes_every_source(studio, photo, tmp_path):
    Image.open(photo).save(studio.uploads / "photo.jpg", quality=60)
    made = studio(studio.uploads / "photo.jpg", "elsr")
    assert made.path.read_bytes() == by_command(
        studio.uploads / "photo.jpg", tmp_path / "large.jpg", "--scale", "2", model="elsr")
    assert made.outcome.source == ""


def test_a_playlist_opens_no_other_film(studio, tmp_path):
    write_video(tmp_path / "private.ts")
    (studio.uploads / "film.mp4").write_text(
        "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n"
        f"file://{tmp_path}/private.ts\n#EXT-X-ENDLIST\n")
    with pytest.raises(InputError, match="no film that can be read here"):
        studio(studio.uploads / "film.mp4")
    (studio.uploads / "list.mkv").write_text(f"ffconcat version 1.0\nfile {tmp_path}/private.ts\n")
    with pytest.raises(InputError, match="no film that can be read here"):
        studio(studio.uploads / "list.mkv")


def test_a_program_that_draws_is_no_picture(studio):
    Image.new("RGB", (8, 8)).save(studio.uploads / "drawing.eps")
    (studio.uploads / "drawing.eps").rename(studio.uploads / "drawing.png")
    with pytest.raises(InputError, match=r"drawing\.png is EPS, which is not taken here"):
        studio(studio.uploads / "drawing.png")


def test_what_was_not_uploaded_is_refused(studio, photo):
    with pytest.raises(InputError, match="expected an uploaded file"):
        studio(photo)
    (studio.uploads / "link.png").symlink_to(photo)
    with pytest.raises(InputError, match="expected an uploaded file"):
        studio(studio.uploads / "link.png")
