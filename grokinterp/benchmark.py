"""The command ``python -m grokinterp.benchmark``, see :mod:`grokinterp.commands.benchmark`."""

if __name__ == "__main__":
    from grokinterp.commands.arguments import run_command
    from grokinterp.commands.benchmark import main

    run_command(main)
elif __name__ != "__mp_main__":  # which a process that multiprocessing spawned calls it
    raise ImportError(
        "grokinterp.benchmark is a command and no module to import. Run "
        "python -m grokinterp.benchmark."
    )
