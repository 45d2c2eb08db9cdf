"""The command ``python -m grokinterp.reproduce``, see :mod:`grokinterp.commands.reproduce`."""

if __name__ == "__main__":
    from grokinterp.commands.arguments import run_command
    from grokinterp.commands.reproduce import main

    run_command(main)
elif __name__ != "__mp_main__":  # which a process that multiprocessing spawned calls it
    # Imported, it would take the place of the function gi.reproduce.
    raise ImportError(
        "grokinterp.reproduce is a command and no module to import. Run "
        "python -m grokinterp.reproduce, or in Python: "
        "import grokinterp as gi; gi.reproduce(name)."
    )
