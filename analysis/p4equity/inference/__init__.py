"""Few-cluster inference on arrays: one job a module."""
