"""`python -m safeguards_extproc` and the program `safeguards-extproc`."""

from safeguards_extproc.cli import main

if __name__ == "__main__":
    main()
