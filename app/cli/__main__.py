"""`python -m app.cli` is `ringkv`."""

from app.cli import main

main(prog_name="ringkv")
