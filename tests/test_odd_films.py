"""Odd films, one of each container, against ffmpeg's decoding; `odd_films.py` has them all."""

from subprocess import CalledProcessError

import pytest
from odd_films import CONTAINERS, Film, check, films
from video_files import needs_ffmpeg

WITH_SOUND = [film for film in films() if film.sound and film.parts == 1]
CHOSEN = [max((film for film in WITH_SOUND if film.suffix == suffix),
              key=lambda film: (film.start == 0, film.b_frames, film.rate))
          for suffix in CONTAINERS]
CHOSEN += [
    Film(".ts", "libx264", 2, "25", "aac", "wrap"),
    Film(".vob", "mpeg2video", 2, "25", "ac3", 5),
    Film(".ts", "mpeg2video", 2, "30000/1001", "mp2", parts=2),
    Film(".vob", "mpeg2video", 2, "25", "mp2", parts=2),
]


@needs_ffmpeg
@pytest.mark.parametrize("film", CHOSEN, ids=lambda film: f"{film.suffix[1:]}-{film.codec}-"
                         f"{film.start or film.parts}")
def test_an_odd_film_keeps_its_frames_times_and_sound(tmp_path, nearest, film):
    try:
        differences, _ = check(film, tmp_path, nearest(scale=2))
    except CalledProcessError as error:
        pytest.skip(f"this ffmpeg does not make it: {error.stderr.strip()[-80:]}")
    assert differences == []
