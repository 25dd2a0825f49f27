"""What was measured is shown at the end of the run, as for the tests of tests/cluster."""

from tests.cluster.conftest import measured, pytest_terminal_summary

__all__ = ["measured", "pytest_terminal_summary"]
