"""The last minutes: the queue of live events, the processor that stores them, and what is counted of them in Redis."""
