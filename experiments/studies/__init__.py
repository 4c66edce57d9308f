"""The questions besides membership: one module a study, and their registry."""
