"""The tests of ringkv."""
