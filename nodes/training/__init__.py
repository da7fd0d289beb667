"""Training as a graph: the folder, the run, the base model."""
