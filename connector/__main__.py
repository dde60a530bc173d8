"""`python -m connector` is the same as the console script."""

from connector.cli import main

if __name__ == "__main__":
    main()
