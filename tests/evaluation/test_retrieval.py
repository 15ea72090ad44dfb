"""Retrieval figures against loops over Python lists, scikit-learn, and cases solved by hand."""

import math

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.metrics import average_precision_score

from sslbench.evaluation import retrieval
from sslbench.stats.paired import wilson


def cosine_order(gallery: np.ndarray, query: np.ndarray) -> list[int]:
    """Gallery positions from the most to the least similar, in float64."""
    similarity = gallery @ query / np.linalg.norm(gallery, axis=1) / np.linalg.norm(query)
    return sorted(range(len(gallery)), key=lambda i: -similarity[i])


def by_hand(hits: list[bool]) -> tuple[int, float, float]:
    """First relevant rank, average precision, and MAP@R of one ranking, as the definitions read."""
    r = sum(hits)
    precision = [sum(hits[: i + 1]) / (i + 1) for i in range(len(hits))]
    first = next(i for i, hit in enumerate(hits) if hit) + 1
    average = sum(p for p, hit in zip(precision, hits, strict=True) if hit) / r
    return first, average, sum(p for p, hit in list(zip(precision, hits, strict=True))[:r] if hit) / r


@pytest.fixture(scope="module")
def drawn():
    random = np.random.default_rng(0)
    # unequal classes, and one that the gallery lacks
    gallery_labels, labels = random.choice(4, 150, p=[0.6, 0.2, 0.15, 0.05]), np.append(random.choice(4, 40), [4, 4])
    centres = random.normal(size=(5, 12))
    gallery = centres[gallery_labels] + random.normal(0, 1.5, (150, 12))
    queries = centres[labels] + random.normal(0, 1.5, (42, 12))
    return gallery, gallery_labels, queries, labels


def scored(drawn) -> retrieval.Scores:
    gallery, gallery_labels, queries, labels = drawn
    return retrieval.score(
        torch.tensor(gallery).float(), torch.tensor(gallery_labels), torch.tensor(queries).float(), torch.tensor(labels)
    )


def test_every_query_scores_what_the_definitions_say(drawn):
    gallery, gallery_labels, queries, labels = drawn
    found = scored(drawn)
    for i in range(40):
        order = cosine_order(gallery, queries[i])
        first, average, at_r = by_hand([bool(gallery_labels[j] == labels[i]) for j in order])
        assert (int(found.first[i]), int(found.relevant[i])) == (first, (gallery_labels == labels[i]).sum())
        assert float(found.average_precision[i]) == pytest.approx(average, abs=1e-12)
        assert float(found.map_at_r[i]) == pytest.approx(at_r, abs=1e-12)
        similarity = gallery @ queries[i] / np.linalg.norm(gallery, axis=1)
        assert average == pytest.approx(average_precision_score(gallery_labels == labels[i], similarity))


def test_small_blocks_change_nothing(drawn, monkeypatch):
    whole = scored(drawn)
    monkeypatch.setattr(retrieval, "BLOCK_BYTES", retrieval.PAIR_BYTES * 150 * 4)  # four queries at a time
    for a, b in zip(whole, scored(drawn), strict=True):
        assert torch.equal(a, b)


def test_a_query_that_nothing_can_answer_is_left_out_and_counted(drawn):
    report = retrieval.judge(scored(drawn), [1], 0.95)
    assert (report["n"], report["without_match"]) == (40, 2)


def test_map_at_r_rewards_early_answers_as_r_precision_does_not():
    """Ten relevant pictures of which only the first is found: R-precision and MAP@R are both 0.1. Found at rank 10
    instead of 1, R-precision stays and MAP@R falls to 0.01: it rewards early answers (Musgrave et al. 2020)."""
    hits = torch.zeros(2, 40, dtype=torch.bool)
    hits[0, 0] = hits[1, 9] = True
    hits[:, 31:] = True  # the other nine come last
    found = retrieval._of_ranking(hits)
    assert found.relevant.tolist() == [10, 10]
    assert found.map_at_r.tolist() == pytest.approx([0.1, 0.01])


def test_perfect_and_worst_rankings():
    gallery = torch.eye(3).repeat_interleave(4, 0)
    labels = torch.arange(3).repeat_interleave(4)
    perfect = retrieval.judge(retrieval.score(gallery, labels, torch.eye(3), torch.arange(3)), [1, 8], 0.95)
    assert perfect["map"]["value"] == perfect["map_at_r"]["value"] == perfect["recall"]["1"]["value"] == 1
    worst = retrieval.judge(retrieval.score(gallery, labels, -torch.eye(3), torch.arange(3)), [1, 8, 12], 0.95)
    # the eight wrong ones come first, then the four right ones at ranks 9 to 12
    assert worst["map"]["value"] == pytest.approx(sum((i + 1) / (9 + i) for i in range(4)) / 4)
    assert worst["map_at_r"]["value"] == worst["recall"]["8"]["value"] == 0
    assert worst["recall"]["12"]["value"] == 1


def test_intervals_are_wilsons_for_recall_and_students_over_queries(drawn):
    found = scored(drawn)
    report = retrieval.judge(found, [1, 4], 0.9)
    hits = int((found.first[:40] <= 4).sum())
    assert report["recall"]["4"] == {"value": hits / 40, "interval": wilson(hits, 40, 0.9)}
    values = found.average_precision[:40].numpy()
    low, high = stats.t.interval(0.9, 39, values.mean(), values.std(ddof=1) / math.sqrt(40))
    assert report["map"]["interval"] == pytest.approx([low, high])
