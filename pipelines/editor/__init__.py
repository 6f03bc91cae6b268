"""What the editor of a draft shows and does: every gesture is a command that becomes ops, judged by `drafts`."""
