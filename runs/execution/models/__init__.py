"""The model adapters: one neutral request and answer, and the ways to the providers."""
