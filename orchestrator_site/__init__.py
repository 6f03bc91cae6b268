"""Composition: settings, addresses, the web server, the worker's application and the supervisor of them all."""
