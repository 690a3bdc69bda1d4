"""The driver of bench/run: `__main__` (rounds) -> `network`, `contenders` (what is measured) -> `workloads` (with
what load) -> `results` (medians) -> `table`, `plot`, `reach`, `compare` (what is shown)."""
