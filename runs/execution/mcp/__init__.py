"""MCP servers over streamable HTTP: what they offer, and one call of one tool. Never a process."""
