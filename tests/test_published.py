"""Figures of others: each with its source, and the cost that its paper states."""

import numpy as np
import pytest

from elsr_paddle.evaluation.peers import PEERS, with_random_weights
from elsr_paddle.evaluation.published import PUBLISHED, published
from elsr_paddle.networks.graph import evaluate


def test_published_costs_are_those_their_papers_state():
    costs = {(row.method, row.scale): row.multiply_adds for row in PUBLISHED}
    assert costs["SRCNN, luma", 4] == 57_184 * 1280 * 720  # 52.7 G
    assert costs["ELSR-torch", 4] == 195_955_200
    assert costs["bicubic", 4] is None


def test_every_published_figure_has_a_source():
    assert all(row.source for row in PUBLISHED)


def test_only_rows_of_the_scale_that_cover_one_of_the_sets_are_given():
    found = published(3, ["B100", "Mine"])
    assert {row.method for row in found} == {"bicubic", "SRCNN, luma", "ESPCN D10-S15, luma"}
    assert not published(4, ["Mine"])


# The counts that the edge-SR study, ECBSR and ETDS state, biases and slopes with them.
@pytest.mark.parametrize("method, scale, parameters", [
    ("ESPCN D10-S15, luma", 2, 2169), ("ESPCN D10-S15, luma", 3, 2849),
    ("ESPCN D10-S15, luma", 4, 3801), ("ESPCN D12-S12, luma", 4, 3364),
    ("ESPCN D12-S24, luma", 4, 6400), ("ESPCN D16-S32, luma", 4, 9680),
    ("ECBSR-M4C16", 4, 16_768), ("ECBSR-M4C32", 4, 51_920), ("ETDS-M", 4, 72_608),
])  # fmt: skip
def test_the_layers_of_a_peer_have_as_many_parameters_as_its_source_states(method, scale,
                                                                           parameters):
    assert PEERS[method, scale].graph.parameter_count == parameters


def test_whether_figures_are_published_or_of_weights_run_by_us_is_told():
    run_by_us = {row.method: row.run_by_us for row in published(4, ["Set5"])}
    assert run_by_us["ETDS-M"] and run_by_us["ELSR-torch"]
    assert not run_by_us["FSRCNN, luma"] and not run_by_us["bicubic"]


@pytest.mark.parametrize("method", ["ECBSR-M4C16", "ETDS-M", "ESPCN D12-S12, luma"])
def test_a_peer_with_random_weights_gives_values_that_an_engine_can_be_timed_on(method):
    made = with_random_weights(PEERS[method, 4])
    image = np.full((6, 7, made.channels), 128, np.uint8)
    enlarged = evaluate(made.graph, image)
    assert enlarged.shape == (24, 28, made.channels)
    assert np.isfinite(enlarged).all() and np.ptp(enlarged) > 0
