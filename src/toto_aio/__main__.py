"""``python -m toto_aio``."""

from toto_aio.cli.main import main

if __name__ == "__main__":
    main()
