"""From the store onto a node: :mod:`resolve` gets one model, :mod:`fill` many, both by :mod:`fetch`."""
