"""Where people's data are that no rule can see: a cell's other stores and the shared ones, surveyed for its suite."""
