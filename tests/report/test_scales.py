"""Scales of the charts: what their ticks are."""

import numpy

from sslbench.report.charts import scales


def test_axes_have_round_ticks_that_span_the_data() -> None:
    rng = numpy.random.default_rng(1)
    for _ in range(200):
        values = (rng.random(5) * 10.0 ** rng.integers(-3, 4)).tolist()
        for axis in (scales.linear(values, 5), scales.cost(values)):
            assert axis.ticks[0] <= min(values) * 1.002 and max(values) <= axis.ticks[-1] * 1.002
            assert list(axis.ticks) == sorted(set(axis.ticks)) and 2 <= len(axis.ticks) <= 25
            assert not axis.logarithmic or max(values) / min(values) > 8
    assert scales.cost([1.0, 20.0]).ticks == (1, 2, 5, 10, 20)
    assert scales.linear([3.0], 5).ticks[0] <= 3 <= scales.linear([3.0], 5).ticks[-1]
