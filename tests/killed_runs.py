"""Kill a run with SIGKILL at random moments, repeat its command, and compare what comes out.

    python tests/killed_runs.py [KILLS [SEED]]

Half of the kills come at any moment, the other half while the segments are joined. The film that
comes out in the end must be that of a run that nobody killed, and no segment that was finished may
be made again. It is encoded without loss: x264 with several threads gives other bits now and then,
from the same pictures, and so does the ffmpeg command. A disk that is full (a small tmpfs, for root
on Linux) counts as a kill, too.
"""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

from odd_films import differing
from video_files import run

ROOT = Path(__file__).parents[1]
_SECONDS, _SEGMENT = 12, 1
_POLL = 0.001  # seconds between two looks at whether joining has begun
_DISK = 2**20  # bytes of the disk that is too small


def make(path):
    """Write a film with B-frames, sound, subtitles, chapters and uneven frame times."""
    folder = path.parent
    (folder / "words.srt").write_text("1\n00:00:01,000 --> 00:00:04,000\nHello\n\n"
                                      "2\n00:00:06,000 --> 00:00:09,000\nBye\n", "utf-8")
    (folder / "chapters.txt").write_text(
        ";FFMETADATA1\n[CHAPTER]\nTIMEBASE=1/1\nSTART=0\nEND=9\ntitle=One\n", "utf-8")
    run("ffmpeg", "-v", "error", "-y", "-f", "lavfi", "-i",
        f"testsrc2=s=160x90:r=30:d={_SECONDS},select='mod(n\\,7)'", "-f", "lavfi", "-i",
        f"sine=d={_SECONDS}", "-i", folder / "words.srt", "-i", folder / "chapters.txt", "-map",
        "0", "-map", "1", "-map", "2", "-map_metadata", "3", "-fps_mode", "vfr", "-c:v", "libx264",
        "-bf", "2", "-c:a", "aac", "-c:s", "srt", path)


class Film:
    """One output, and the command that makes it."""

    def __init__(self, source, output):
        self.output = output
        self.parts = output.with_name(f"{output.name}.parts")
        self._partial = output.with_name(f".{output.stem}.partial{output.suffix}")
        self._command = [sys.executable, "-m", "elsr_paddle", source, "-o", output, "--scale", "2",
                         "--crf", "0", "--segment", _SEGMENT, "--progress", "none"]

    def start(self):
        """Start the command."""
        return subprocess.Popen(list(map(str, self._command)), cwd=ROOT, text=True,
                                stderr=subprocess.PIPE)

    def finished(self):
        """Names of the segments that are finished, and when the last one was (epoch seconds)."""
        records = list(self.parts.glob("[0-9]*.json"))
        return ({path.name for path in records},
                max((path.stat().st_mtime for path in records), default=0))

    def run(self):
        """Run to the end.

        Returns
        -------
        (float, float), seconds: until joining begins, and of joining
        """
        begin = time.time()
        process = self.start()
        joining = self.wait_for_joining(process)
        _, words = process.communicate()
        if process.returncode:
            raise SystemExit(f"status {process.returncode}: {words}")
        return joining - begin, time.time() - joining, words

    def wait_for_joining(self, process):
        """Epoch seconds when the output begins to be written, or the process ends."""
        while process.poll() is None and not self._partial.exists():
            time.sleep(_POLL)
        return time.time()

    def kill(self, seconds, joining):
        """Run, and kill after `seconds` from the start, or from when joining begins.

        Returns
        -------
        (bool, float), whether it was killed before its end, and seconds of work that were lost
        """
        begin = time.time()
        process = self.start()
        if joining:
            self.wait_for_joining(process)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        lost = time.time() - max(begin, self.finished()[1])
        process.stderr.close()
        return process.returncode == -9, lost


def kill_and_repeat(film, whole, kills, rng, lengths):
    """Kill so many times and compare each film that comes out.

    Returns
    -------
    list of str, what was wrong; and a list of float, seconds lost by each kill
    """
    work, join = lengths
    wrong, lost, films = [], {True: [], False: []}, 0
    while sum(map(len, lost.values())) < kills:
        joining = len(lost[True]) < len(lost[False])
        before, _ = film.finished()
        killed, seconds = film.kill(rng.uniform(0, join if joining else work), joining)
        if killed:
            lost[joining].append(seconds)
            print(f"kill {sum(map(len, lost.values()))}: {'joining' if joining else 'at work'}, "
                  f"{len(film.finished()[0])} segments finished, {seconds:.1f} s lost", flush=True)
        after, _ = film.finished()
        if film.parts.exists() and not before <= after:
            wrong.append(f"segments {sorted(before - after)} are gone")
        if film.output.exists():
            films += 1
            wrong += differing(whole, film.output)
            film.output.unlink()
            shutil.rmtree(film.parts, ignore_errors=True)
    there, _ = film.finished()
    _, _, words = film.run()
    if there and f"{len(there)} of {_SECONDS} segments were there" not in words:
        wrong.append(f"{len(there)} segments were there but: {words}")
    wrong += differing(whole, film.output)
    print(f"{len(lost[False])} kills while segments were made: {max(lost[False]):.1f} s lost at "
          f"most; {len(lost[True])} while they were joined; {films + 1} films whole")
    return wrong


def fill_the_disk(source, whole):
    """Run on a disk that is too small, make it larger, repeat the command; what was wrong."""
    with tempfile.TemporaryDirectory() as folder, _tmpfs(Path(folder)) as resize:
        film = Film(source, Path(folder) / "out.mkv")
        process = film.start()
        _, words = process.communicate()
        there, _ = film.finished()
        wrong = [] if process.returncode == 2 and "No space left" in words else [words]
        resize(2**28)
        _, _, words = film.run()
        print(f"disk full after {len(there)} segments; then: {words.splitlines()[-1]}")
        return wrong + differing(whole, film.output)


@contextmanager
def _tmpfs(folder):
    def resize(size):
        run("mount", "-o", f"remount,size={size}", folder)

    run("mount", "-t", "tmpfs", "-o", f"size={_DISK}", "tmpfs", folder)
    try:
        yield resize
    finally:
        run("umount", folder)


def main(kills=50, seed=0):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = folder / "film.mkv"
        make(source)
        reference = Film(source, folder / "whole.mkv")
        reference.run()  # the first one compiles
        reference.output.unlink()
        work, join, _ = reference.run()
        print(f"uninterrupted: {work:.1f} s for {_SECONDS} segments, {join:.1f} s of joining")
        wrong = kill_and_repeat(Film(source, folder / "out.mkv"), reference.output, kills,
                                random.Random(seed), (work, join))
        try:
            wrong += fill_the_disk(source, reference.output)
        except subprocess.CalledProcessError as error:
            print("no small disk could be made:", error.stderr.strip())
    print(*wrong or ["every film is that of the uninterrupted run"], sep="\n")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
