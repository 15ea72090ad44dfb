"""The small pack of the tests that train."""

from tests.training.conftest import small_pack  # noqa: F401 - a fixture
