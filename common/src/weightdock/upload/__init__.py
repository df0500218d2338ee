"""From an origin into the store: :mod:`plan` says what is missing, :mod:`pipeline` does it."""
