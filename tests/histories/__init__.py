"""Recorded runs: every fact the engine of a real run was told and every decision it made, to be decided again."""
