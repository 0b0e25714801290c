"""Changing rules while they run: which state stays, what the old version still says, what is withheld.

A reload takes effect between two messages of the input, at a recorded sequence: what stands before it is
matched by the old set, what comes after it by the new one. For each rule:

- *kept*: it matches the same things. All its state stays; texts, severity and PARAMs that only alerts show
  are the new ones from the next alert on.
- *drained*: it matches other things. The old version goes on as if, from the reload on, no event fitted its
  first step: it completes the runs that had begun, and revises what it has said, until its longest run is
  over. The new version begins cold: it knows no event from before.
- *dropped*: the rule is gone. Its runs are forgotten, and its alerts stay as they are.

A run so belongs to the version that was in force when its first event arrived: no run is in both, and none
is in neither. Pure: the clock is the time at which messages were stored.
"""
