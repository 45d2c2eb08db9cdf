"""What ``python -m grokinterp.train`` and the other commands do: their flags, what they print."""
