"""Clusters of real nodes, ended whatever a test does; their logs are shown when it fails."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.cluster.nodes import Cluster

NewCluster = Callable[..., Cluster]


MEASURED = pytest.StashKey[list[str]]()


@pytest.fixture
def measured(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Takes a line that is shown at the end of the run, whether or not the test passes."""
    return request.config.stash.setdefault(MEASURED, []).append


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Show what was measured, once, however many directories of tests have this hook."""
    lines = config.stash.get(MEASURED, [])
    while lines:
        terminalreporter.write_line(lines.pop(0))


@pytest.fixture
def new_cluster(tmp_path: Path) -> Iterator[NewCluster]:
    """Makes clusters that are not started yet."""
    with ExitStack() as stack:

        def make(
            size: int = 3,
            partitions: int = 16,
            environment: Mapping[str, str] | None = None,
            files_max: int | None = None,
        ) -> Cluster:
            directory = tmp_path / f"cluster{len(made)}"
            made.append(stack.enter_context(Cluster(directory, size, partitions, environment, files_max)))
            return made[-1]

        made: list[Cluster] = []
        yield make


@pytest.fixture
def cluster(new_cluster: NewCluster) -> Cluster:
    """Three nodes, ready."""
    made = new_cluster()
    made.start()
    return made
