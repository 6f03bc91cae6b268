"""The release figures, a file each: what `make faults` measures and no other test run collects."""
