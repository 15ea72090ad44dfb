"""The robust empirical Bayes of variances, against limma 3.54.1 (its cases: limma_reference.R)."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import special

from sslbench.stats import empirical_bayes

REFERENCE = {
    str(name): case
    for name, case in pd.read_csv(Path(__file__).with_name("limma_reference.csv")).groupby("case", sort=False)
}


@pytest.mark.parametrize("name", REFERENCE)
def test_prior_and_each_models_degrees_of_freedom_are_limmas(name):
    case = REFERENCE[name]
    found = empirical_bayes.fit_robustly(case.variance.to_numpy(), case.freedom.to_numpy())
    assert found.variance == pytest.approx(case.s0.iloc[0], rel=1e-7)
    assert found.freedom == pytest.approx(case.d0.iloc[0], rel=1e-7)
    assert found.each == pytest.approx(case.each.to_numpy(), rel=1e-7, abs=1e-30)


def test_limmas_cases_have_outliers_equal_and_unequal_models():
    """Or the comparison above would say little."""
    lowered = {name: (case.each < case.d0).sum() for name, case in REFERENCE.items()}
    assert lowered["scattered_and_loud"] >= 3 and lowered["unequal"] >= 1 and lowered["alike"] == 0
    assert math.isinf(REFERENCE["alike"].d0.iloc[0]) and REFERENCE["unequal"].freedom.nunique() == 2


@pytest.mark.parametrize("d0", [3.0, 10.0])
def test_both_fits_find_how_variances_scatter(d0):
    random = np.random.default_rng(5)
    variances = 1e-4 * d0 / random.chisquare(d0, 100_000) * random.chisquare(2, 100_000) / 2
    for fit in (empirical_bayes.fit, empirical_bayes.fit_robustly):
        found = fit(variances, np.full(len(variances), 2.0))
        assert (found.freedom, found.variance) == pytest.approx((d0, 1e-4), rel=0.15)


def test_a_few_loud_models_leave_the_others_as_they_are():
    random = np.random.default_rng(6)
    quiet = 1e-4 * random.chisquare(2, 40) / 2
    loud = np.r_[quiet[:37], 0.02, 0.05, 0.09]
    freedom = np.full(40, 2.0)
    plain, robust = empirical_bayes.fit(loud, freedom), empirical_bayes.fit_robustly(loud, freedom)
    assert robust.variance == pytest.approx(empirical_bayes.fit(quiet, freedom).variance, rel=0.3)
    assert plain.freedom < 2 < robust.each[:37].min()
    assert robust.each[37:].max() < 2


def test_trigamma_is_inverted():
    for x in (1e-4, 0.05, 0.5, 1.0, 7.0, 300.0, 1e5):
        assert empirical_bayes.trigamma_inverse(float(special.polygamma(1, x))) == pytest.approx(x, rel=1e-6)
