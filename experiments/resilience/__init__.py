"""How long users hold out when a supplier is cut off, and how long until they have recovered."""
