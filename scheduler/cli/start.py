"""Where the `skerry` command begins: an interruption while modules are loaded ends it without a traceback."""

import sys


def main() -> None:
    """Load the command line and run it."""
    try:
        from scheduler.cli.main import main as run
    except KeyboardInterrupt:
        sys.stderr.write("skerry: interrupted\n")
        raise SystemExit(130) from None
    run()


if __name__ == "__main__":
    main()
