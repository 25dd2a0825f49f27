"""The face of ringkv: HTTP in, HTTP out, and the `ringkv` command. The only layer that knows FastAPI."""

__all__: list[str] = []
