"""The second article, "The state of Self-Supervision for Vision": its four figures, and its claims tested.

Its figures are of ImageNet-1K and match no cell; its claims are about methods, and are tested where the first article's
are, too.
"""

DATASETS = ("imagenet", "imagenette", "imagewoof", "nabirds")
FILES = ("reports/published_second_article.csv", "reports/published_results.csv")  # evidence.py reads the other
HOOKS = {
    "tested": ("sslbench.report.evidence:may_test",),
    "fields": ("sslbench.report.milestones:fields", "sslbench.report.claims:fields"),
    "sections": ("sslbench.report.verdicts:section", "sslbench.report.milestones:section"),
    "tables": ("sslbench.report.claims:tables",),
}
