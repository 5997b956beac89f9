"""What a run leaves on disk is read whole or refused in one line."""

import pytest

from elsr_paddle.errors import InputError
from elsr_paddle.training.runs import read_metrics

LINES = b'{"step": 1, "loss": 0.5}\n{"step": 2, "loss": 0.4}\n'


def test_a_last_line_cut_short_is_left_out(tmp_path):
    (tmp_path / "metrics.jsonl").write_bytes(LINES + b'{"step": 3, \xff')
    assert [line["step"] for line in read_metrics(tmp_path / "metrics.jsonl")] == [1, 2]


@pytest.mark.parametrize("place", [0, 12, 25])
@pytest.mark.parametrize("byte", [b"\xff", b"\0", b"}"])
def test_a_line_with_a_damaged_byte_is_refused_with_the_files_name(tmp_path, place, byte):
    (tmp_path / "metrics.jsonl").write_bytes(LINES[:place] + byte + LINES[place + 1 :])
    with pytest.raises(InputError, match="metrics.jsonl is damaged"):
        read_metrics(tmp_path / "metrics.jsonl")
