"""The scenarios of the fault matrix, a file for each letter. To import this enters all of them."""

from tests.chaos.rows import clocks, disks, links, members, mixtures, processes, resources, upgrades
from tests.chaos.scenario import SCENARIOS

__all__ = ["SCENARIOS", "clocks", "disks", "links", "members", "mixtures", "processes", "resources", "upgrades"]
