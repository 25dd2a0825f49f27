"""How long a group waits, for what."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Timing:
    """How long a group waits. All in seconds.

    election    a follower that hears no leader for a random time in this range stands
    failover    the same, once the link to the leader is lost
    heartbeat   between two heartbeats of a leader
    lease       how long a majority's promises let a leader answer `lease` reads without asking
                (lease.py); 0 is never, and then the loss of a link makes an election at once
    quiet       how long nothing must have happened in a group before it sleeps (vigil.py); 0 is never
    """

    election_seconds_min: float = 1.0
    election_seconds_max: float = 2.0
    failover_seconds_min: float = 0.05
    failover_seconds_max: float = 0.15
    heartbeat_seconds: float = 0.15
    lease_seconds: float = 0.0
    quiet_seconds: float = 0.0
