"""The command ``python -m grokinterp.analyze``, see :mod:`grokinterp.commands.analyze`."""

if __name__ == "__main__":
    from grokinterp.commands.analyze import main
    from grokinterp.commands.arguments import run_command

    run_command(main)
elif __name__ != "__mp_main__":  # which a process that multiprocessing spawned calls it
    raise ImportError(
        "grokinterp.analyze is a command and no module to import. Run "
        "python -m grokinterp.analyze, or in Python: "
        "import grokinterp as gi; gi.analyze_run(gi.load_run(folder))."
    )
