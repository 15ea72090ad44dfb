"""The second article, "The state of Self-Supervision for Vision": its four figures, and its claims tested.

Its figures are of ImageNet-1K and match no cell; its claims are about methods, and are tested where the first article's
are, too.
"""

DATASETS = ("imagenet", "imagenette", "imagewoof", "nabirds")
FILES = (
    "sslbench/studies/data/published_second_article.csv",
    "sslbench/studies/data/published_results.csv",
)  # claims/comparable_entries.py reads the other
HOOKS = {
    "tested": ("sslbench.studies.claims.comparable_entries:may_test",),
    "fields": ("sslbench.studies.milestones:fields", "sslbench.studies.claims.claims:fields"),
    "sections": ("sslbench.studies.claims.section:section", "sslbench.studies.milestones:section"),
    "tables": ("sslbench.studies.claims.claims:tables",),
}
