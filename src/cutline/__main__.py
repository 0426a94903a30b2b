"""`python -m cutline`."""

from cutline.cli.main import main

if __name__ == "__main__":
    main()
