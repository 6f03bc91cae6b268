"""What a run did, in one signed archive that can be checked without Baton's database: `packing` makes it, `checking`
reads it."""
