"""The command ``python -m grokinterp.league``, see :mod:`grokinterp.commands.league`."""

if __name__ == "__main__":
    from grokinterp.commands.arguments import run_command
    from grokinterp.commands.league import main

    run_command(main)
elif __name__ != "__mp_main__":  # which a process that multiprocessing spawned calls it
    raise ImportError(
        "grokinterp.league is a command and no module to import. Call gi.league(measures), or run "
        "python -m grokinterp.league."
    )
