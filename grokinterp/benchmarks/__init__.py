"""What ``python -m grokinterp.benchmark`` measures, each case in a process of its own."""
