"""Figures of others: each with its source, and the cost that its paper states."""

from elsr_paddle.evaluation.published import PUBLISHED, published


def test_published_costs_are_those_their_papers_state():
    costs = {(row.method, row.scale): row.multiply_adds for row in PUBLISHED}
    assert costs["SRCNN, luma", 4] == 57_184 * 1280 * 720  # 52.7 G
    assert costs["ELSR-torch", 4] == 195_955_200
    assert costs["bicubic", 4] is None


def test_every_published_figure_has_a_source():
    assert all(row.source for row in PUBLISHED)


def test_only_rows_of_the_scale_that_cover_one_of_the_sets_are_given():
    found = published(3, ["B100", "Mine"])
    assert {row.method for row in found} == {"bicubic", "SRCNN, luma"}
    assert not published(4, ["Mine"])
