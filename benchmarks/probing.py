"""Is the probe as exact as scikit-learn's, and how much faster? Same features, penalty and held-out pictures.

    python -m benchmarks.probing --classes 555 --pictures 23929 --threads 2

Ours is the whole probe: the search over penalties and the final fit. scikit-learn's row is one LogisticRegression
(lbfgs, tol 1e-6, until it converges) at the penalty that we chose, which favours it; ``--search`` adds a row in which
it searches the same penalties on the same held-out pictures, and takes minutes at 555 classes. Then kNN: ours with its
weighted vote, scikit-learn's KNeighborsClassifier (brute force, cosine). Features are drawn unless ``--features`` names
a safetensors file that ``sslbench`` wrote; a fifth of its pictures, or as many drawn ones, serve as the test.
"""

import resource
import sys

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from threadpoolctl import threadpool_limits

from benchmarks import bench
from sslbench.config.evaluation import PENALTIES
from sslbench.evaluation import knn, linear_probe
from sslbench.evaluation.features import read


def drawn(classes: int, n: int, width: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Features [n, width] like those behind a ReLU, and labels [n].

    Variance falls as 1 / j^1.5 over the latent directions, channels are off for 10 to 80 % of the pictures, and a
    picture's spread about its class is heavy-tailed, so that a linear probe is right for about 0.6 of 555 classes.
    """
    g = torch.Generator().manual_seed(seed)
    scale = torch.arange(1, width + 1).float().pow(-0.75)
    centres, mixing = 0.5 * torch.randn(classes, width, generator=g), torch.randn(width, width, generator=g)
    shift = torch.rand(width, generator=g) * 1.5 - 1
    labels = torch.randint(classes, (n,), generator=g)
    features = torch.empty(n, width)
    for rows in torch.arange(n).split(8192):
        tail = torch.randn(len(rows), 1, generator=g).mul(0.5).exp()
        latent = (centres[labels[rows]] + tail * torch.randn(len(rows), width, generator=g)) * scale
        signal = latent @ mixing / scale.square().sum().sqrt()
        features[rows] = torch.relu(signal + shift + 0.05 * torch.randn(len(rows), width, generator=g))
    return features, labels


def peak() -> int:
    """Bytes, the process's peak resident set so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def main() -> None:
    parser = bench.parser(__doc__)
    parser.add_argument("--classes", type=int, default=10)
    parser.add_argument("--pictures", type=int, default=9469)
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--features", metavar="FILE", help="features-*.safetensors instead of drawn ones")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--search", action="store_true", help="let scikit-learn search the penalties as well")
    parser.add_argument("--limit", type=float, help="seconds that our probe may take, as a row to compare with")
    parser.add_argument("--ours-only", action="store_true", help="peak memory without the peer")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    n = 2000 if options.quick and not options.features else options.pictures
    if options.features:
        stored = read(options.features)
        features, labels = stored.features, stored.labels
        options.classes = len(stored.origin["classes"])
        shuffled = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))
        features, labels, n = features[shuffled], labels[shuffled], len(labels) * 4 // 5
    else:
        features, labels = drawn(options.classes, n + n // 5, options.width)
    train, test, seen, unseen = features[:n], features[n:], labels[:n], labels[n:]
    found: dict = {}

    def ours() -> int:
        found["ours"] = linear_probe.probe(train, seen, test, options.classes, penalties=PENALTIES)
        return 1

    before = peak()
    ours()
    knn.predict(train, seen, test, options.classes, k=[20])
    memory = peak() - before
    probe = found["ours"]
    mean, deviation = train.double().mean(0), train.double().std(0, correction=0)
    live = deviation > 0
    x, x_test = (((part - mean) / deviation)[:, live].float().numpy() for part in (train, test))
    y, y_test, held = seen.numpy(), unseen.numpy(), linear_probe.held_out(seen, 0.2).numpy()

    def fit(rows: np.ndarray, truth: np.ndarray, penalty: float) -> LogisticRegression:
        model = LogisticRegression(C=1 / (len(rows) * penalty), tol=1e-6, max_iter=10000)
        with threadpool_limits(options.threads):
            return model.fit(rows, truth)

    def theirs() -> int:
        found["theirs"] = fit(x, y, probe.penalty)
        return 1

    def searching() -> int:
        scores = {p: fit(x[~held], y[~held], p).score(x[held], y[held]) for p in sorted(PENALTIES, reverse=True)}
        found["their search"] = scores
        fit(x, y, max(scores, key=scores.get))
        return 1

    def our_neighbours() -> int:
        found["knn"] = knn.predict(train, seen, test, options.classes, k=[20])[20]
        return 1

    def their_neighbours() -> int:
        with threadpool_limits(options.threads):
            model = KNeighborsClassifier(20, algorithm="brute", metric="cosine").fit(train, y)
            found["their knn"] = model.predict(test)
        return 1

    title = f"{n} pictures, {train.shape[1]} features, {options.classes} classes, {options.threads} threads"
    ways = {"sslbench, search and fit": ours}
    if not options.ours_only:
        ways["scikit-learn, one fit"] = theirs
        if options.search:
            ways["scikit-learn, search and fit"] = searching
    table = bench.interleaved(f"linear probe: {title}", "probe", ways, options.repeats)
    if options.limit:
        table.add("the limit", {"wall": [options.limit]})
        table.compare("sslbench, search and fit", "the limit", 1.0)
    table.notes += [
        f"penalty {probe.penalty:g}; peak memory of our probe and kNN over the inputs {memory / 2**20:,.0f} MiB"
    ]
    ours_right = float((probe.ranking[:, 0] == unseen).double().mean())
    table.notes.append(
        f"sslbench: objective {probe.fit.objective:.7f}, held-out {max(e['top1'] for e in probe.searched):.4f}, "
        f"test {ours_right:.4f}, converged {probe.fit.converged}"
    )
    tables = [table]
    if not options.ours_only:
        model = found["theirs"]
        scores = torch.from_numpy(x).double() @ torch.from_numpy(model.coef_).double().T + torch.from_numpy(
            model.intercept_
        )
        place = torch.from_numpy(np.searchsorted(model.classes_, y))
        loss = float(torch.nn.functional.cross_entropy(scores, place)) + probe.penalty / 2 * float(
            (model.coef_**2).sum()
        )
        table.notes.append(
            f"scikit-learn: objective {loss:.7f} ({probe.fit.objective - loss:+.1e} ours), "
            f"test {model.score(x_test, y_test):.4f}, {int(max(model.n_iter_))} iterations"
        )
        for name in list(ways)[1:]:
            table.compare("sslbench, search and fit", name)
        pair = {"sslbench": our_neighbours, "scikit-learn": their_neighbours}
        neighbours = bench.interleaved(f"20 nearest neighbours: {title}", "test set", pair, options.repeats)
        neighbours.notes.append(
            f"test accuracy: sslbench {float((found['knn'][:, 0] == unseen).double().mean()):.4f}, "
            f"scikit-learn {float((found['their knn'] == y_test).mean()):.4f} (unweighted votes)"
        )
        neighbours.compare("sslbench", "scikit-learn")
        tables.append(neighbours)
    bench.finish(options, tables, ["torch", "scikit-learn", "numpy"])


if __name__ == "__main__":
    main()
