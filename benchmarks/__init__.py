"""Speed and stress of the market-clearing core: `python -m benchmarks`, `... benchmarks.stress`."""
