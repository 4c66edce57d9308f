"""Who decides: countries and non-allied producers one by one, firms and buyers as populations."""
