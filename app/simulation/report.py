"""What `ringkv simulate` prints."""

from collections import Counter
from collections.abc import Sequence

from app.simulation.trial import Trial, command_of


def describe(trials: Sequence[Trial]) -> str:
    """One trial, or the sums of many: what happened, and what was checked."""
    outcomes: Counter[str] = Counter()
    faults: Counter[str] = Counter()
    checks: Counter[str] = Counter()
    for trial in trials:
        outcomes += trial.outcomes
        faults += trial.faults
        checks.update(dict(trial.checks))
    operations, simulated = outcomes.total(), sum(trial.simulated_seconds for trial in trials)
    real = sum(trial.real_seconds for trial in trials)
    lines = [f"{operations:,} operations of clients in {simulated:,.1f} simulated seconds, {real:,.1f} s of work here"]
    lines += _table(sorted(outcomes.items()))
    lines.append(f"{faults.total():,} faults")
    lines += _table(sorted(faults.items()))
    lines.append("checked")
    lines += _table(list(checks.items()))
    return "\n".join(lines)


def describe_violation(trial: Trial) -> str:
    """What was broken, which faults it took, and how to see it again."""
    assert trial.violation is not None, "there is one"
    lines = [f"seed {trial.options.seed}: {trial.violation}"]
    lines += [f"  {fault.at:9.3f} s  fault {number}: {fault}" for number, fault in trial.struck]
    lines.append(f"  {trial.simulated_seconds:9.3f} s  the violation")
    lines.append(f"again: {command_of(trial.options)}")
    return "\n".join(lines)


def _table(rows: Sequence[tuple[str, int]]) -> list[str]:
    return [f"  {count:12,}  {name}" for name, count in rows]
