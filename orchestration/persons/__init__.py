"""A person's rights: access to what is kept, erasure, and another region of record, over every store of every cell."""
