"""p4equity."""
