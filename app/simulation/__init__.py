"""A whole cluster in one process, from one seed: simulated time, network, disks and chance, and the judges."""

__all__: list[str] = []
