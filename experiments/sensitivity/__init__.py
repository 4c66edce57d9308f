"""Which settings the results hang on: Morris screening and Sobol indices."""
