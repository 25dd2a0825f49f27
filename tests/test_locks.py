"""The locks: which version of everything is installed, for the server and image, and for development."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
SERVER = ROOT / "docker" / "requirements.txt"
DEVELOPMENT = ROOT / "tests" / "requirements.txt"


def pinned(lock: Path) -> dict[str, str]:
    """Name and version of each package of a lock; whatever else would be installed fails the test."""
    text = re.sub(r"#.*", "", lock.read_text()).replace("\\\n", " ")
    found: dict[str, str] = {}
    for line in filter(None, (line.strip() for line in text.splitlines())):
        requirement, *hashes = line.split(" --hash=")
        match = re.fullmatch(r"([a-z0-9._-]+)==([^ ;]+)( ;.*)?", requirement.strip())
        assert match and hashes, f"{line[:80]} has no exact version, or no hash"
        assert all(each.strip().startswith("sha256:") for each in hashes), line[:80]
        found[canonicalize_name(match[1])] = match[2]
    return found


def wanted(*extras: str) -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    texts = [*project["dependencies"], *(text for extra in extras for text in project["optional-dependencies"][extra])]
    return [Requirement(text) for text in texts]


@pytest.mark.parametrize(("lock", "extras"), [(SERVER, ()), (DEVELOPMENT, ("dev", "bench"))])
def test_a_lock_has_all_that_the_project_wants(lock: Path, extras: tuple[str, ...]) -> None:
    versions = pinned(lock)

    for requirement in wanted(*extras):
        assert requirement.specifier.contains(versions[canonicalize_name(requirement.name)]), requirement


def test_development_has_what_the_server_runs_with() -> None:
    server, development = pinned(SERVER), pinned(DEVELOPMENT)

    assert server and server.items() <= development.items()


def test_a_server_is_installed_without_what_development_needs() -> None:
    assert not {"pytest", "mypy", "ruff", "playwright", "schemathesis"} & set(pinned(SERVER))
