"""The names under which a study's storage keeps what Optuna knows nothing of.

Of a trial: its place and its point. Of a study: what it depends on, the seconds spent by each command (the name goes
on with the command's), and whether it has ended at its budget.
"""

PLACE, POINT = "gradops.place", "gradops.point"
DEPENDS_ON, SPENT, ENDED = "gradops.depends_on", "gradops.spent.", "gradops.ended"
