"""Configuring: the membership in force follows the log, and what is committed.

Source: Ongaro 2014, section 4.1.
"""

from raftgroups.command import configuration_in
from raftgroups.ids import LogIndex
from raftgroups.messages import Removed
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
        members = self._configurations.committed[1].members
        if self._configurations.commit(index):
            self._port.configured()
            reign = self._reign
            if reign is not None:
                self._tell_removed(members)
                if self._name not in self.configuration.voters:
                    self._resign(reign)

    def _tell_removed(self, members: tuple[str, ...]) -> None:
        """Of these members some may be none any more: nothing else will be sent to them.

        Whoever is not told finds out by its own election timeout, and lets requests wait for a leader until then.
        """
        at, committed = self._configurations.committed
        for node in members:
            if node != self._name and node not in committed.members and node not in self.configuration.members:
                self._send(node, Removed(self._group, self.term, at))
