"""The command ``python -m grokinterp.train``, see :mod:`grokinterp.commands.train`."""

if __name__ == "__main__":
    from grokinterp.commands.arguments import run_command
    from grokinterp.commands.train import main

    run_command(main)
elif __name__ != "__mp_main__":  # which a process that multiprocessing spawned calls it
    # Imported, it would take the place of the function gi.train.
    raise ImportError(
        "grokinterp.train is a command and no module to import. Run "
        "python -m grokinterp.train, or in Python: "
        "import grokinterp as gi; gi.train(config, folder)."
    )
