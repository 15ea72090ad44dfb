"""Pairs, shared ranks, bars and sets: against the single tests, against enumeration, against hand-made cases."""

import itertools

import numpy as np
import pytest

from sslbench.stats import paired, ranking, variance_components


def models(random, count: int, trainings: int, n: int, shifts: object = 0.0, sd: object = 0.05) -> dict:
    """Models with tastes of their own for pictures; equal in truth where the shifts are, as sd moves none of them."""
    shift, spread = np.broadcast_to(shifts, count), np.broadcast_to(sd, count)
    hard = random.normal(0, 1.5, n)
    found = {}
    for i in range(count):
        skill = random.normal(0, spread[i], (trainings, 1))
        own = random.normal(0, 0.7, n)
        found[f"m{i:02}"] = shift[i] + skill + hard + own + random.normal(0, 0.7, (trainings, n)) > 0
    return found


def test_pairs_of_single_networks_are_the_exact_test_and_tangos_interval():
    correct = {name: right[0] for name, right in models(np.random.default_rng(0), 5, 1, 300, np.arange(5) / 3).items()}
    pairs = ranking.all_pairs(correct)
    adjusted = paired.holm([paired.compare(correct[a], correct[b]).p for a, b in pairs.found])
    for ((a, b), pair), p in zip(pairs.found.items(), adjusted, strict=True):
        theirs = paired.compare(correct[a], correct[b])
        assert pair[:4] == pytest.approx(theirs, abs=1e-9)
        assert pair.adjusted == pytest.approx(p)
        assert pair.discordant == pytest.approx((correct[a] != correct[b]).mean())
        assert pairs.between(b, a)[:4] == pytest.approx(paired.compare(correct[b], correct[a]), abs=1e-9)


def test_pairs_over_seeds_are_compare_where_the_models_are_too_few_to_tell_of_each_other():
    correct = models(np.random.default_rng(1), variance_components.FEWEST - 1, 3, 400, [0, 0.2, 0.5, 1.0])
    for (a, b), pair in ranking.all_pairs(correct).found.items():
        assert pair[:4] == pytest.approx(paired.compare(correct[a], correct[b]))


def test_many_models_tell_how_much_one_varies_and_so_find_more():
    """Three seeds each: a pair alone has two degrees of freedom a side, ten models together have more."""
    correct = models(np.random.default_rng(2), 10, 3, 2000, np.linspace(0, 1.5, 10), 0.12)
    pairs = ranking.all_pairs(correct)
    alone = paired.holm([paired.compare(correct[a], correct[b]).p for a, b in pairs.found])
    assert (alone <= 0.05).sum() < len(pairs.apart()) / 2
    assert all(a > b for a, b in pairs.apart())  # m09 is the best


def test_two_seeds_each_tell_next_to_nothing_of_trainings():
    """One degree of freedom a side, and which models vary most cannot be told: no prior."""
    pairs = ranking.all_pairs(models(np.random.default_rng(2), 10, 2, 500, np.linspace(0, 1.5, 10), 0.12))
    assert pairs.priors == {} and {pair.freedom for pair in pairs.found.values()} == {1}
    assert not pairs.apart()


def test_a_model_with_one_seed_is_compared_as_if_it_varied_as_the_others_do():
    random = np.random.default_rng(3)
    correct = models(random, 8, 3, 2000, 0.0, 0.3)
    correct["m00"] = correct["m00"][:1]
    pairs = ranking.all_pairs(correct)
    mine = [pair for names, pair in pairs.found.items() if "m00" in names]
    rest = [pair for names, pair in pairs.found.items() if "m00" not in names]
    assert min(pair.error for pair in mine) > 1.1 * np.median([pair.error for pair in rest])
    assert np.isfinite([pair.freedom for pair in mine]).all()
    networks = paired.compare(correct["m00"], correct["m01"])  # would speak of these two networks alone
    assert networks.high - networks.low < 0.6 * (pairs.between("m00", "m01").high - pairs.between("m00", "m01").low)


def test_some_of_the_models_are_corrected_for_their_own_pairs_alone():
    correct = models(np.random.default_rng(4), 6, 3, 500, np.arange(6) / 4)
    pairs = ranking.all_pairs(correct)
    some = pairs.among(["m01", "m04"])
    assert some.names == ["m04", "m01"]
    assert some.between("m04", "m01").adjusted == pairs.between("m04", "m01").p
    assert ranking.tie_groups(pairs) == ranking.tie_groups(correct)


def test_other_pictures_are_refused_and_nothing_has_no_pairs():
    with pytest.raises(ValueError, match="9 and 10 pictures"):
        ranking.all_pairs({"a": np.ones(9, bool), "b": np.ones(10, bool)})
    assert ranking.tie_groups({}) == []
    one = ranking.all_pairs({"a": np.ones((3, 9), bool)})
    assert (one.found, one.smallest_detectable(), [r.rank for r in ranking.tie_groups(one)]) == ({}, None, [1])


@pytest.mark.parametrize("trainings", [1, 3])
def test_the_smallest_detectable_difference_is_found_at_least_as_often_as_it_says(trainings):
    random, shift = np.random.default_rng(5), 0.24 if trainings > 1 else 0.22
    found, sizes = [], []
    for _ in range(60):
        correct = models(random, 6, trainings, 1500, [shift, 0, 0, 0, 0, 0], 0.02)
        pairs = ranking.all_pairs(correct)
        sizes.append(pairs.smallest_detectable())
        found.append(np.mean([("m00", f"m{i:02}") in pairs.apart() for i in range(1, 6)]))
    truth = np.mean([pairs.between("m00", f"m{i:02}").difference for i in range(1, 6)])
    assert np.mean(sizes) == pytest.approx(truth, rel=0.25)  # the shift was chosen to be about that size
    assert 0.75 <= np.mean(found) <= 0.95


def brute_bars(names, apart):
    runs = [names[i:j] for i in range(len(names)) for j in range(i + 2, len(names) + 1)]
    free = [r for r in runs if not any({a, b} == set(p) for a, b in itertools.combinations(r, 2) for p in apart)]
    return [tuple(r) for r in free if not any(set(r) < set(other) for other in free)]


def test_bars_are_the_longest_runs_that_enumeration_finds():
    random = np.random.default_rng(6)
    for _ in range(150):
        names = list("abcdefg")[: random.integers(1, 8)]
        everything = list(itertools.combinations(names, 2))
        apart = {pair for pair in everything if random.random() < random.random()}
        assert ranking.bars(names, apart) == brute_bars(names, apart)


def test_of_many_models_each_meets_its_leaders_alone_and_comparisons_grow_with_the_models(monkeypatch):
    """Equal shares on three levels of accuracy: three leaders, so at most three comparisons a model."""
    monkeypatch.setattr(ranking, "MOST", 10)
    counts = {}
    for count in (30, 60):
        correct = models(np.random.default_rng(6), count, 3, 600, np.repeat([0, 1.5, 3], count // 3), 0.02)
        pairs = ranking.all_pairs(correct)
        ranks = {rank.name: rank for rank in ranking.tie_groups(pairs)}
        assert not pairs.complete and pairs.possible == count * (count - 1) // 2
        assert {rank.rank for rank in ranks.values()} == {1, 1 + count // 3, 1 + 2 * count // 3}
        assert {(rank.lowest, rank.highest) for rank in ranks.values()} == {(None, None)}
        for pair in pairs.found.values():
            assert pair.adjusted == min(pair.p * pairs.possible, 1)
        counts[count] = len(pairs.found)
    assert counts[30] < 3 * 30 and counts[60] == pytest.approx(2 * counts[30], abs=3)


def test_leaders_alone_never_part_what_all_pairs_leave_together(monkeypatch):
    correct = models(np.random.default_rng(7), 24, 3, 500, np.arange(24) / 12)
    whole = ranking.all_pairs(correct)
    monkeypatch.setattr(ranking, "MOST", 23)
    led = ranking.all_pairs(correct)
    assert led.apart() <= whole.apart() and len(led.found) < len(whole.found)
    for names, pair in led.found.items():
        theirs = whole.found[names]
        assert pair._replace(adjusted=0) == theirs._replace(adjusted=0) and pair.adjusted >= theirs.adjusted
    assert led.smallest_detectable() == pytest.approx(whole.smallest_detectable(), rel=0.1)
    best = {rank.name for rank in ranking.tie_groups(led) if rank.rank == 1}
    assert best >= {rank.name for rank in ranking.tie_groups(whole) if rank.rank == 1}


def test_the_bound_is_never_below_the_exact_test_and_so_changes_no_p_value(monkeypatch):
    random = np.random.default_rng(8)
    for _ in range(60):
        signs = random.choice([-1, 1], 80, p=(share := random.uniform(0.2, 0.5), 1 - share))
        differences = signs * random.integers(0, 7, 80)
        assert paired.flip_bound(differences) >= paired.flip_sums(differences)
    assert paired.flip_bound(np.zeros(4)) >= paired.flip_sums(np.zeros(4, int))
    correct = models(random, 12, 3, 400, np.arange(12) / 5)
    found = ranking.all_pairs(correct).found
    monkeypatch.setattr(paired, "flip_bound", lambda differences: 2.0)
    assert ranking.all_pairs(correct).found == found


def test_pairs_with_leaders_alone_are_not_complete_even_if_they_are_all_pairs(monkeypatch):
    """Far apart, each model leads a rank of its own, and so meets every other; the correction is Bonferroni's."""
    correct = {f"m{i}": np.arange(900) < 200 * (4 - i) for i in range(4)}
    assert ranking.all_pairs(correct).complete
    monkeypatch.setattr(ranking, "MOST", 3)
    pairs = ranking.all_pairs(correct)
    assert len(pairs.found) == pairs.possible == 6 and not pairs.complete
    assert [(rank.rank, rank.lowest, rank.highest) for rank in ranking.tie_groups(pairs)] == [
        (place, None, None) for place in (1, 2, 3, 4)
    ]


def test_pairs_with_the_leaders_of_one_level_are_not_grouped_at_another(monkeypatch):
    correct = models(np.random.default_rng(9), 8, 1, 400, np.arange(8) / 4)
    assert ranking.tie_groups(ranking.all_pairs(correct), 0.2) == ranking.tie_groups(
        correct, 0.2
    )  # all pairs serve any level
    monkeypatch.setattr(ranking, "MOST", 7)
    pairs = ranking.all_pairs(correct, 0.9)
    assert ranking.tie_groups(pairs, 0.1) == ranking.tie_groups(pairs, 1 - 0.9) == ranking.tie_groups(correct, 0.1)
    for level in (0.05, 0.2):
        with pytest.raises(ValueError, match=f"at level 0.1, not {level}"):
            ranking.tie_groups(pairs, level)
