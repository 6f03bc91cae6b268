"""Sends the spans that the rows hold to the operator's OpenTelemetry collector, each at least once.

`wire` knows the protocol, `reading` makes spans of rows, `cursor` remembers how far they were sent, `sending` sends.
"""
