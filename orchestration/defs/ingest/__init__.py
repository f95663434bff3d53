"""What brings rows into the cells: seeds, real imports, synthetic events and orders, the hourly rollup."""
