"""Configuring: the membership in force follows the log, and what is committed.

Source: Ongaro 2014, section 4.1.
"""

from raftgroups.command import configuration_in
from raftgroups.ids import LogIndex
from raftgroups.reads import Reads


class Configuring(Reads):
    """A replica whose members its own log names."""

    def _note_configurations(self, first: LogIndex) -> None:
        """The log has changed from `first` on: what it says of the membership is in force at once (thesis, 4.1)."""
        log, configurations = self._log, self._configurations
        changed = configurations.truncated(first)
        for index in range(first, log.last_index + 1):
            configuration = configuration_in(log.entry_at(LogIndex(index))[1])
            if configuration is not None:
                configurations.appended(LogIndex(index), configuration)
                changed = True
        if changed:
            self._configuration_changed()

    def _configuration_changed(self) -> None:
        configuration = self.configuration
        self._peers = tuple(member for member in configuration.members if member != self._name)
        self.is_voter = self._name in configuration.voters
        self.is_settled = configuration.is_settled
        self._count_links()
        reign = self._reign
        if reign is not None:
            reign.reconfigure(configuration, self._log.last_index, self._now)
            self._perform(reign.reads.reconfigure(configuration.voters))

    def _count_links(self) -> None:
        self.has_quorum_links = self.configuration.is_majority((self._name, *self._connected))

    def _set_commit(self, index: LogIndex) -> None:
        self._store_commit(index)
        if self._configurations.commit(index):
            self._port.configured()
            reign = self._reign
            if reign is not None and self._name not in self.configuration.voters:
                self._resign(reign)
