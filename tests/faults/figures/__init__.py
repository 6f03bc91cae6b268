"""The release figures R1 to R12, a file each: what `make faults` measures and no other test run collects."""
