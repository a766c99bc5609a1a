"""How far trends would have to part for a conclusion to fall: Rambachan and Roth's (2023) sets, on arrays."""
