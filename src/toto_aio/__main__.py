"""``python -m toto_aio``."""

from toto_aio.cli.entry import main

if __name__ == "__main__":
    main()
