"""Reads: linearizable ones, on the leader and on followers.

Source: Ongaro 2014, section 6.4.
"""

from collections.abc import Sequence

from raftgroups.ids import LogIndex, Term
from raftgroups.messages import ReadIndexReply, ReadIndexRequest
from raftgroups.port import LocalRead, Read, RemoteRead
from raftgroups.readindex import Probe, Serve
from raftgroups.rest import Rest


class Reads(Rest):
    """A replica that has reads waiting."""

    def read(self, read: LocalRead) -> None:
        """Have `read` served with the newest acknowledged write in sight; it leaves with the next launch."""
        if self._reign is not None:
            self._reign.busy_at = self._now
            self._reign.reads.arrived(read)
        elif self.leader is None:
            read.abandon()
        else:
            self._questions.arrived(read)

    def launch_reads(self) -> None:
        """One round for all reads that arrived since the last: quorum echo on a leader, a question on a follower."""
        reign = self._reign
        if reign is not None:
            if reign.reads.has_waiting:
                self._perform(reign.reads.launch(max(self.commit_index, reign.no_op_index)))
        elif self._questions.has_waiting and self.leader is not None:
            self._send(self.leader, ReadIndexRequest(self._group, self.term, self._questions.ask()))

    @property
    def owes_reads(self) -> bool:
        """Whether reads are confirmed here that wait for something that is due."""
        return self._reign is not None and self._reign.reads.has_held

    def release_reads(self) -> None:
        """Something was applied: serve what waited for that."""
        if self._reign is not None:
            for serve in self._reign.reads.release(self._port.has_told):
                self._hand_out(serve.reads, max(serve.index, self.applied_index))

    def give_up_reads(self) -> None:
        """This replica stops: no read that waits here will be served."""
        if self._reign is not None:
            for read in self._reign.reads.abandon():
                self._refuse(read)
        self._abandon_questions()

    def _perform(self, effects: Sequence[Probe | Serve[Read]]) -> None:
        for effect in effects:
            if isinstance(effect, Probe):
                for peer in self._peers:
                    self._heartbeat(peer)
            else:
                self._serve(effect)

    def _serve(self, effect: Serve[Read]) -> None:
        """Reads are confirmed. What is due by now has happened for them, and an entry has to say so first."""
        due_ms = self._port.due_ms()
        if due_ms and self._reign is not None:
            self._reign.reads.hold(due_ms, effect)
        else:
            self._hand_out(effect.reads, effect.index)

    def _hand_out(self, reads: Sequence[Read], index: LogIndex) -> None:
        local = []
        for read in reads:
            if isinstance(read, LocalRead):
                local.append(read)
            else:
                self._send(read.node, ReadIndexReply(self._group, self.term, read.read, index, self.commit_index))
        if local:
            self._port.may_serve(local, index)

    def _on_read_index_request(self, sender: str, request: ReadIndexRequest) -> None:
        """A follower's question is itself an echo: it had this term after its reads arrived.

        Where leader and follower are a majority, nobody else need be asked.
        """
        self._step_down(Term(request.term))
        read = RemoteRead(sender, request.read)
        reign = self._reign
        if reign is not None:
            reign.busy_at = self._now
        if reign is None or request.term != self.term:
            self._refuse(read)
        elif reign.may_be_sole(sender):
            reign.heard(sender, self._now)
            self._serve(Serve((read,), max(self.commit_index, reign.no_op_index)))
        else:
            reign.reads.arrived(read)

    def _on_read_index_reply(self, sender: str, reply: ReadIndexReply) -> None:  # noqa: ARG002  # as all handlers
        self._step_down(Term(reply.term))
        reads = self._questions.answered(reply.read)
        if reply.index and reply.term == self.term:
            self._commit_up_to(reply.commit)
            self._port.may_serve(reads, LogIndex(reply.index))
        else:
            for read in reads:
                read.abandon()

    def _forget_reads_of(self, peer: str) -> None:
        """What it asked over the link that is lost it will ask again, by numbers that may begin anew."""
        if self._reign is not None:
            self._reign.reads.forget(lambda read: isinstance(read, RemoteRead) and read.node == peer)

    def _refuse(self, read: Read) -> None:
        if isinstance(read, LocalRead):
            read.abandon()
        else:
            self._send(read.node, ReadIndexReply(self._group, self.term, read.read, 0, 0))
