"""What leaves a cell: k-anonymous aggregates, through the gate, into database ``global`` on the control cluster."""
