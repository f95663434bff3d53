"""What leaves the cells, and what is made of it."""
