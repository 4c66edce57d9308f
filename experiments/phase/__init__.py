"""Severity of a control against coverage of the alliance, and where retaliation pays no more."""
