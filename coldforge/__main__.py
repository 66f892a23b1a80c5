"""Makes ``python -m coldforge`` the command."""

from coldforge.cli import main

if __name__ == "__main__":
    main()
