"""Speed and memory, as ratios inside one run. None of this is a test."""
