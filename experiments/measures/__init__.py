"""What is measured on runs: panels, effects of membership, welfare, indicators."""
