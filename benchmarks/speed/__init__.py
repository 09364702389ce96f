"""How long the suite takes: side by side with a plain script, and with the bare passes of the networks. See `__main__`."""
