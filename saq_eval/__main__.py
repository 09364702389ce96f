"""`python -m saq_eval`: the command line."""

from saq_eval.cli import main

if __name__ == "__main__":
    main()
