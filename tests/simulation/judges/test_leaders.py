from tests.simulation.judges.court import NO_OP, Court, breaks

LEADERS = "leader completeness"


def vote(court: Court, leader: str, term: int) -> None:
    for node in court.nodes.values():
        node.group.consensus.is_leader = False
        node.set_term(term, leader)
        node.sync()
    court.see()
    court[leader].group.consensus.is_leader = True


def committed_without(court: Court, name: str) -> None:
    """An entry of term 1 is committed by the two others."""
    court.elect("a", term=1)
    for node in court.nodes.values():
        if node.name != name:
            node.append((1, NO_OP))
            node.sync()
    court.see()
    court["a"].commit(1)
    court.see()


def test_nobody_leads_without_what_was_committed() -> None:
    court = Court()
    committed_without(court, "c")

    vote(court, "c", term=2)
    with breaks(LEADERS, "leads in term 2 without entry 1"):
        court.see()


def test_nobody_leads_with_another_entry_where_one_was_committed() -> None:
    court = Court()
    committed_without(court, "c")
    court["c"].append((0, NO_OP))

    vote(court, "c", term=2)
    with breaks(LEADERS, "without entry 1"):
        court.see()


def test_whoever_has_what_was_committed_may_lead() -> None:
    court = Court()
    committed_without(court, "c")

    vote(court, "b", term=2)
    court.see()


def test_a_leader_need_not_have_what_was_committed_after_its_reign() -> None:
    """One that stood still wakes up and leads, as it believes, while the next one has committed."""
    court = Court()
    court.elect("a", term=1)
    court.replicate(NO_OP)
    court["a"].group.consensus.is_leader = False
    for leader, term, voters in (("c", 2, "bc"), ("b", 3, "ab")):
        for voter in voters:
            court[voter].set_term(term, leader)
            court[voter].sync()
            court.see(voter)
    court["b"].group.consensus.is_leader = True
    for name in "ab":
        court[name].append((3, NO_OP))
        court[name].sync()
        court.see(name)
    court["b"].commit(2)
    court.see("b")

    court["c"].group.consensus.is_leader = True
    court.see("c")
