from pathlib import Path

import pytest

from tests.cluster.unicode_story import tell

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(180)]

SAMPLE = Path(__file__).parent.parent / "data" / "unicode_sample.txt"


def test_real_records_survive_every_kill(tmp_path: Path) -> None:
    """One node is killed half-way through the load, then all of them: every record comes back byte for byte."""
    tell(SAMPLE, tmp_path, print)
