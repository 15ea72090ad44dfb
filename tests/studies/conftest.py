"""The report's results trees."""

from tests.report.conftest import labels, new_tree, tree  # noqa: F401 - fixtures
