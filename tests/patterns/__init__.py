"""The workflow control-flow patterns that Baton's graphs express natively, a test each, decided by the real engine.

Their names are those of the Workflow Patterns initiative (workflowpatterns.com); docs/guides/patterns.md says how each
is drawn.
"""
