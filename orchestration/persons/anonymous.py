"""The record that retained orders refer to once their shopper is erased: one per cell, and nobody's.

One per shopper, or per erased person, would be a pseudonym: it would say that the orders of two shops are one person's.
Of each shopper with orders or ratings there is still a shopper of its own, without any attribute and under a new
number, so that what the shop's figures say of first and further orders stays true.
"""

from uuid import UUID, uuid5

from orchestration.cells.regions import CELLS, Cell

_NAMESPACE = UUID("2b0c0f3e-6c55-4c2e-9e0f-6d1e64b1f9a7")

# Below the domain that RFC 2606 reserves: no mail is ever delivered there.
DOMAIN = "erased.invalid"

# The load that retained orders belong to from then on: no load that is done again finds them, to change or delete them.
RETAINED_LOAD = uuid5(_NAMESPACE, "retained orders")


def anonymous_person(cell: Cell) -> UUID:
    """Return the id of the cell's record."""
    return uuid5(_NAMESPACE, f"anonymous person/{cell}")


def is_anonymous(person_id: UUID) -> bool:
    """Return whether it is the record of a cell."""
    return person_id in {anonymous_person(cell) for cell in CELLS}
