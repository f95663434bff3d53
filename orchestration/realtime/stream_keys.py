"""Names of the queue's keys in a cell's Redis; those of the counters are in ``counter_keys.py``."""

STREAM = "stream:events"
GROUP = "processor"
DEAD_LETTERS = "stream:events:dead"
# Which queue this is: a random UUID that the cell's database knows too. Where it is missing, Redis was emptied.
INCARNATION = "stream:incarnation"
# Set by whoever starts Redis and finds its append-only file torn: when that was, as Unix time in seconds.
DAMAGED = "stream:damaged"
